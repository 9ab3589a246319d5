"""Redo and success rates as a table."""

from __future__ import annotations

from collections.abc import Sequence

from spandag.query.rates import By, Rate
from spandag.query.render.formats import DIM, Line, Page
from spandag.query.render.reasons import percent
from spandag.query.render.table import Column, table


def render_rates(rates: Sequence[Rate], page: Page, *, by: By) -> list[Line]:
    """A line for each step, agent or model; nothing where there are none.

    Args:
        rates: What was found.
        page: Where to.
        by: What was asked for.
    """
    if not rates:
        return []
    columns = (
        Column(by, gives_way=True),
        Column("steps", right=True),
        Column("attempts", right=True),
        Column("redos", right=True, goes=4),
        Column("redone", right=True),
        Column("accepted", right=True),
        Column("rejected", right=True),
        Column("failed", right=True, goes=1),
        Column("cancelled", right=True, goes=6),
        Column("unfinished", right=True, goes=5),
        Column("exhausted", right=True, goes=3),
        Column("mean", right=True, goes=2),
        Column("first ok", right=True),
        Column("redo ok", right=True),
    )
    return table(
        columns,
        [
            (
                (_name(rate, page, by), "bold"),
                (str(rate.steps), ""),
                (str(rate.attempts), ""),
                (str(rate.redos or ""), "yellow"),
                (percent(rate.redo_rate), DIM),
                (str(rate.accepted or ""), "green"),
                (str(rate.rejected or ""), "yellow"),
                (str(rate.failed or ""), "red"),
                (str(rate.cancelled or ""), "yellow"),
                (str(rate.unfinished or ""), "cyan"),
                (str(rate.exhausted or ""), "red"),
                (f"{rate.mean_attempts:.1f}", ""),
                (percent(rate.first_success_rate), ""),
                (percent(rate.redo_success_rate), ""),
            )
            for rate in rates
        ],
        page,
    )


def _name(rate: Rate, page: Page, by: By) -> str:
    if by == "step":
        return page.line(rate.step)
    if by == "agent":
        return page.line(rate.agent_name) or "(no agent)"
    provider = page.line(rate.provider)
    return (page.line(rate.model) or "(no model)") + (f" ({provider})" if provider else "")
