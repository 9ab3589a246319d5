"""Which runs may be removed, oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, select, tuple_

from spandag.store import schema
from spandag.store.heartbeat import DROPPED, STALE_NS

EVER = 2**63 - 1
"""Later than any run."""


class Old(NamedTuple):
    """A run by its age.

    Attributes:
        time: When it ended, in Unix ns; of one that is open, when its last node started.
        run_id: The run.
    """

    time: int
    run_id: str


FIRST = Old(-EVER - 1, "")
"""Before all runs."""


def oldest(connection: Connection, before: int, after: Old = FIRST, limit: int | None = None) -> list[Old]:
    """The oldest runs, in order.

    Args:
        connection: To the store.
        before: Only those of an earlier time, in Unix ns.
        after: Only those that come after this one.
        limit: How many.
    """
    runs = _by_time().subquery()
    query = (
        select(runs.c.time, runs.c.id)
        .where(runs.c.time < before, tuple_(runs.c.time, runs.c.id) > tuple_(*after))
        .order_by(runs.c.time, runs.c.id)
        .limit(limit)
    )
    return [Old(time, run_id) for time, run_id in connection.execute(query)]


def count(connection: Connection, before: int) -> int:
    """How many runs there are of an earlier time."""
    runs = _by_time().subquery()
    return connection.execute(select(func.count()).select_from(runs).where(runs.c.time < before)).scalar_one()


def newest(connection: Connection) -> str | None:
    """The run that is the last one to be removed, and so never is for the store's size."""
    runs = _by_time().subquery()
    return connection.execute(
        select(runs.c.id)
        .where(runs.c.time.is_not(None))
        .order_by(runs.c.time.desc(), runs.c.id.desc())
        .limit(1)
    ).scalar()


def time_of(connection: Connection, run_id: str) -> int | None:
    """The time by which a run is old; None where there is no such run, or nothing that says it."""
    return connection.execute(
        select(_time()).select_from(schema.workflow_runs).where(schema.workflow_runs.c.id == run_id)
    ).scalar()


def going_on(connection: Connection, now: int, run_id: str | None = None) -> set[str]:
    """The runs that have an open node of a process that is alive.

    Args:
        connection: To the store.
        now: Unix ns by the database's clock.
        run_id: To ask about one run.
    """
    nodes, writers = schema.dag_nodes, schema.writers
    query = (
        select(nodes.c.run_id, writers.c.meta)
        .join(writers, writers.c.id == nodes.c.writer_id)
        .where(nodes.c.ended_at.is_(None), writers.c.heartbeat_at >= now - STALE_NS)
    )
    if run_id is not None:
        query = query.where(nodes.c.run_id == run_id)
    return {found for found, meta in connection.execute(query) if not is_closed(meta)}


def idle_writers(connection: Connection, before: int) -> dict[str, int | None]:
    """The processes that hold no span open any more, with their last heartbeat.

    One that has lost spans is not among them: what it says of that is said nowhere else.

    Args:
        connection: To the store.
        before: Those that have not closed must have been silent since then, in Unix ns.
    """
    writers, nodes = schema.writers, schema.dag_nodes
    rows: Sequence[Any] = connection.execute(
        select(writers.c.id, writers.c.heartbeat_at, writers.c.meta).order_by(writers.c.id)
    ).all()
    idle = {
        row.id: row.heartbeat_at
        for row in rows
        if (is_closed(row.meta) or (row.heartbeat_at or 0) < before) and not dropped_by(row.meta)
    }
    if idle:
        # Once through all nodes, and only where it matters.
        holding = select(nodes.c.writer_id).where(nodes.c.ended_at.is_(None)).distinct()
        for writer_id in connection.execute(holding).scalars():
            idle.pop(writer_id, None)
    return idle


def dropped_by(meta: object) -> int:
    """How many spans a process has lost, by its ``writers.meta``."""
    said = meta.get(DROPPED) if isinstance(meta, dict) else None
    return said if type(said) is int else 0


def is_closed(meta: object) -> bool:
    """Whether a process has said that it ended, by its ``writers.meta``."""
    return isinstance(meta, dict) and meta.get("closed") is True


def _by_time() -> Any:
    return select(schema.workflow_runs.c.id, _time().label("time"))


def _time() -> ColumnElement[Any]:
    runs, nodes = schema.workflow_runs, schema.dag_nodes
    last = (
        select(func.max(nodes.c.started_at))
        .where(nodes.c.run_id == runs.c.id)
        .correlate(runs)
        .scalar_subquery()
    )
    return func.coalesce(runs.c.ended_at, last, runs.c.started_at)
