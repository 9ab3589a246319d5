"""Costs as a table."""

from __future__ import annotations

from collections.abc import Sequence

from spandag.query.costs import By, Cost
from spandag.query.render.formats import DIM, Line, Page, cost, count
from spandag.query.render.table import Column, table
from spandag.query.resolve import SHORT_ID
from spandag.query.spent import NOTHING


def render_costs(costs: Sequence[Cost], page: Page, *, by: By) -> list[Line]:
    """A line for each agent, model, session, day or run, and their sum; nothing where there are none.

    Args:
        costs: What was found.
        page: Where to.
        by: What was asked for.
    """
    if not costs:
        return []
    columns = (
        Column(by, gives_way=True),
        Column("calls", right=True),
        Column("in", right=True, goes=1),
        Column("out", right=True, goes=1),
        Column("cached", right=True, goes=2),
        Column("tokens", right=True),
        Column("cost", right=True),
        Column("unpriced", right=True),
    )
    total = NOTHING
    for each in costs:
        total = total.plus(each.spent)
    named = [(_name(each, page, by), each.spent, each.cache_read_tokens) for each in costs]
    if len(costs) > 1:
        named.append(("total", total, sum(each.cache_read_tokens for each in costs)))
    return table(
        columns,
        [
            (
                (name, "bold"),
                (str(spent.calls), ""),
                (count(spent.input_tokens), DIM),
                (count(spent.output_tokens), DIM),
                (count(cached) if cached else "", DIM),
                (count(spent.tokens), ""),
                (cost(spent, page.glyphs), ""),
                (str(spent.unpriced_calls or ""), "yellow"),
            )
            for name, spent, cached in named
        ],
        page,
    )


def _name(each: Cost, page: Page, by: By) -> str:
    match by:
        case "agent":
            return page.line(each.agent_name) or "(no agent)"
        case "model":
            provider = page.line(each.provider)
            return (page.line(each.model) or "(unknown)") + (f" ({provider})" if provider else "")
        case "session":
            return page.line(each.session_id) or "(no session)"
        case "day":
            return each.day or "(unknown)"
        case "run":
            return f"{(each.run_id or '')[:SHORT_ID]} {page.line(each.run_name)}".rstrip()
