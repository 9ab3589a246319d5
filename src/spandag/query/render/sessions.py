"""Sessions as a table."""

from __future__ import annotations

from collections.abc import Sequence

from spandag.query.render.formats import DIM, Line, Page, cost, count, duration, short_moment
from spandag.query.render.marks import mark_of
from spandag.query.render.table import Cell, Column, table
from spandag.query.sessions import ACTIVE, Session

_COLUMNS = (
    Column("session", gives_way=True),
    Column("name", gives_way=True),
    Column("user", gives_way=True, goes=1),
    Column("status"),
    Column("started"),
    Column("took", right=True, goes=3),
    Column("runs", right=True),
    Column("redos", right=True, goes=2),
    Column("tokens", right=True),
    Column("cost", right=True),
)


def render_sessions(sessions: Sequence[Session], page: Page) -> list[Line]:
    """A line for each session; nothing where there are none."""
    if not sessions:
        return []
    return table(_COLUMNS, [_cells(session, page) for session in sessions], page)


def _cells(session: Session, page: Page) -> tuple[Cell, ...]:
    glyphs = page.glyphs
    status = (session.status, DIM)
    if session.status == ACTIVE:
        mark, style = mark_of(session.status, glyphs)
        status = (f"{mark} {session.status}", style)
    return (
        (page.line(session.id), "cyan"),
        (page.line(session.name), "bold"),
        (page.line(session.user_id), ""),
        status,
        (short_moment(session.started_at), DIM),
        (duration(session.started_at, session.last_active_at), ""),
        (str(session.runs), ""),
        (str(session.redos or ""), "yellow"),
        (count(session.spent.tokens) if session.spent.calls else "", ""),
        (cost(session.spent, glyphs), ""),
    )
