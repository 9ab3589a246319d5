"""Questions over many runs: those that are settled by SQL, those that are behind in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Boolean, ColumnElement, Connection, and_, func, literal_column, select

from spandag import semconv
from spandag.query.liveness import load_tree
from spandag.store import TreeRows, schema
from spandag.store.limits import DAY_NS, days_ago, now_ns
from spandag.store.views.dialects import DIALECTS

T = TypeVar("T")

_RUNS = schema.workflow_runs

# How many nodes are asked about in one statement.
AT_ONCE = 1_000


def runs_behind(connection: Connection) -> list[str]:
    """Runs of which SQL must not read what is derived: mostly those that are running."""
    return list(
        connection.execute(select(_RUNS.c.id).where(~schema.IS_SETTLED).order_by(_RUNS.c.id)).scalars()
    )


def first_day(connection: Connection, days: int | None, now: int | None = None) -> int:
    """When the last so many days began, today included, in Unix nanoseconds; days begin at midnight UTC.

    Args:
        connection: Of the store, by whose clock it is.
        days: How many; None for all that there ever were.
        now: The time, in Unix nanoseconds, instead of the clock's.
    """
    if days is None:
        return -(2**63)
    time = now_ns(connection) if now is None else now
    return days_ago(time - time % DAY_NS, days - 1)


def day_of(time: int) -> str | None:
    """The day of a time in Unix nanoseconds, in UTC, as ``2026-01-31``; None for an absurd clock's."""
    try:
        return datetime.fromtimestamp(time // 10**9, UTC).strftime("%Y-%m-%d")
    except (OverflowError, ValueError, OSError):
        return None


def newest_answers(
    connection: Connection,
    condition: ColumnElement[bool],
    answer: Callable[[TreeRows], T | None],
    limit: int | None,
) -> list[T]:
    """What the newest runs answer that have an answer at all, newest run first.

    Args:
        connection: Of the store.
        condition: Of ``workflow_runs``: true for each settled run that has an answer, and for few others.
        answer: Of the rows of a run; None where it has none.
        limit: How many answers at most; None for all.
    """
    found: list[tuple[int, str, T]] = []

    def look(run_id: str) -> None:
        rows = load_tree(connection, run_id)
        if rows is None or rows.run.root_node_id is None:
            return
        said = answer(rows)
        if said is not None:
            found.append((-(rows.run.started_at or 0), run_id, said))

    settled = connection.execute(
        select(_RUNS.c.id)
        .where(schema.IS_SETTLED, _RUNS.c.root_node_id.is_not(None), condition)
        .order_by(_RUNS.c.started_at.desc(), _RUNS.c.id)
    ).scalars()
    for run_id in settled.all():
        if limit is not None and len(found) >= limit:
            break
        look(run_id)
    for run_id in _behind_since(connection, found, limit):
        look(run_id)
    found.sort(key=lambda each: each[:2])
    return [said for *_, said in found[:limit]]


def _behind_since(
    connection: Connection, found: list[tuple[int, str, T]], limit: int | None
) -> Iterator[str]:
    """Runs that are behind and may be among the newest: a run starts with one of its nodes."""
    enough = limit is not None and len(found) >= limit
    oldest = -found[-1][0] if enough and found else None
    nodes = schema.dag_nodes
    latest = (
        select(func.max(nodes.c.started_at))
        .where(nodes.c.run_id == _RUNS.c.id)
        .scalar_subquery()
        .label("latest")
    )
    for run_id, started_at in connection.execute(select(_RUNS.c.id, latest).where(~schema.IS_SETTLED)).all():
        if oldest is None or (started_at or 0) >= oldest:
            yield run_id


def has_step(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a run has a step of which something is true; by the index of steps."""
    nodes = schema.dag_nodes
    # In these words, or SQLite does not use the index.
    is_step: ColumnElement[Any] = literal_column(f"dag_nodes.{schema.IS_STEP}")
    return select(nodes.c.id).where(nodes.c.run_id == _RUNS.c.id, is_step, and_(*conditions)).exists()


def has_spent_limit(connection: Connection) -> ColumnElement[bool]:
    """Whether an attempt was rejected with no redo left, be it accepted all the same or not."""
    sql = DIALECTS[connection.dialect.name]
    return literal_column(sql.is_true("dag_nodes.attributes", semconv.SPANDAG_REDO_EXHAUSTED), Boolean)


def with_spent_limit(connection: Connection, run_id: str) -> set[str]:
    """The attempts of a run for which `has_spent_limit` is true."""
    nodes = schema.dag_nodes
    is_step: ColumnElement[Any] = literal_column(f"dag_nodes.{schema.IS_STEP}")
    asked = select(nodes.c.id).where(nodes.c.run_id == run_id, is_step, has_spent_limit(connection))
    return set(connection.execute(asked).scalars())
