"""Runs as a table."""

from __future__ import annotations

from collections.abc import Sequence

from spandag.query.render.formats import DIM, Line, Page, cost, count, duration, short_moment
from spandag.query.render.marks import status_cell
from spandag.query.render.table import Column, table
from spandag.query.resolve import SHORT_ID
from spandag.query.runs import Run

_COLUMNS = (
    Column("run"),
    Column("name", gives_way=True),
    Column("session", gives_way=True, goes=1),
    Column("status"),
    Column("started"),
    Column("took", right=True),
    Column("nodes", right=True, goes=2),
    Column("redos", right=True),
    Column("tokens", right=True),
    Column("cost", right=True),
)


def render_runs(runs: Sequence[Run], page: Page) -> list[Line]:
    """A line for each run; nothing where there are none."""
    if not runs:
        return []
    glyphs = page.glyphs
    return table(
        _COLUMNS,
        [
            (
                (run.id[:SHORT_ID], "cyan"),
                (page.line(run.name), "bold"),
                (page.line(run.session_id), ""),
                status_cell(run.status, glyphs, mark_only_if_done=True),
                (short_moment(run.started_at), DIM),
                (duration(run.started_at, run.ended_at), ""),
                (str(run.nodes), ""),
                (str(run.redos or ""), "yellow"),
                (count(run.spent.tokens) if run.spent.calls else "", ""),
                (cost(run.spent, glyphs), ""),
            )
            for run in runs
        ],
        page,
    )
