"""Which sessions are there?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from spandag.query.asked import at_least
from spandag.query.liveness import INTERRUPTED, load_tree, runs_with_standings
from spandag.query.runs import REDO, Run, summary
from spandag.query.spent import NOTHING, Spent
from spandag.query.text import decoded
from spandag.store import Store, schema
from spandag.store.records import RunRecord

ACTIVE = "active"
IDLE = "idle"

_RUNS, _SESSIONS = schema.workflow_runs, schema.sessions
# How many sessions are asked about in one statement.
_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Session:
    """Runs that belong together for a user; the fields up to `last_active_at` are columns of ``sessions``.

    Attributes:
        id: ``session.id``, else ``gen_ai.conversation.id``, of its runs.
        name: Of its first run.
        task: Of its first run.
        user_id: Of the first of its runs that has one.
        status: ``active`` while a run of it is running or open, else ``idle``.
        started_at: When its first run started, in Unix nanoseconds.
        last_active_at: When its last run ended, or started where that has not ended; Unix nanoseconds.
        runs: How many runs it has.
        redos: How many redos these have.
        spent: Tokens, cost and model calls of all of its runs.
    """

    id: str
    name: str | None
    task: str | None
    user_id: str | None
    status: str
    started_at: int | None
    last_active_at: int | None
    runs: int
    redos: int
    spent: Spent


def sessions(store: Store, *, limit: int | None = 20) -> list[Session]:
    """The sessions that were active last, newest first.

    Args:
        store: Where they are.
        limit: How many at most; None for all.

    Raises:
        QueryError: The limit makes no sense.
    """
    at_least(0, limit, "the limit")
    with store.connection() as connection:
        behind, touched = _behind(connection)
        newest = (
            select(_SESSIONS.c.id)
            .order_by(_SESSIONS.c.last_active_at.desc(), _SESSIONS.c.id)
            # What is derived here and now can move sessions out of the way, not more of them than it touches.
            .limit(None if limit is None else limit + len(touched))
        )
        ids = [session_id for session_id in connection.execute(newest).scalars() if session_id not in touched]
        found = _as_stored(connection, ids) + _anew(connection, sorted(touched), behind)
    found.sort(key=lambda session: (-(session.last_active_at or 0), session.id))
    return found[:limit]


def _behind(connection: Connection) -> tuple[dict[str, list[Run]], set[str]]:
    """By session the runs whose derivation is behind, and all sessions that these are or were part of."""
    nodes = schema.dag_nodes
    named = select(nodes.c.id).where(nodes.c.run_id == _RUNS.c.id, nodes.c.session_id.is_not(None)).exists()
    found = connection.execute(
        select(_RUNS.c.id, _RUNS.c.session_id)
        .where(~schema.IS_SETTLED, or_(_RUNS.c.session_id.is_not(None), named))
        .order_by(_RUNS.c.id)
    ).all()
    by_session: dict[str, list[Run]] = {}
    touched = {session_id for _, session_id in found if session_id is not None}
    for run_id, _ in found:
        rows = load_tree(connection, run_id)
        if rows is not None and rows.run.session_id is not None:
            by_session.setdefault(rows.run.session_id, []).append(summary(rows))
    return by_session, touched | by_session.keys()


def _as_stored(connection: Connection, ids: Sequence[str]) -> list[Session]:
    """Sessions all of whose runs are derived."""
    found = []
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        sums = _sums(connection, some)
        rows = connection.execute(select(_SESSIONS).where(_SESSIONS.c.id.in_(some))).all()
        going_on = _going_on(connection, [row.id for row in rows if row.status == ACTIVE])
        for row in rows:
            runs, redos, spent = sums.get(row.id, (0, 0, NOTHING))
            found.append(
                Session(
                    id=decoded(row.id),
                    name=decoded(row.name),
                    task=decoded(row.task),
                    user_id=decoded(row.user_id),
                    status=ACTIVE if row.id in going_on else IDLE,
                    started_at=row.started_at,
                    last_active_at=row.last_active_at,
                    runs=runs,
                    redos=redos,
                    spent=spent,
                )
            )
    return found


def _anew(connection: Connection, ids: Sequence[str], behind: dict[str, list[Run]]) -> list[Session]:
    """Sessions with runs that are not derived yet: what the others say and these, as the store will have it."""
    sums = _sums(connection, ids)
    going_on = _going_on(connection, ids)
    found = []
    for session_id in ids:
        mine = behind.get(session_id, [])
        runs, redos, spent = sums.get(session_id, (0, 0, NOTHING))
        if not mine and not runs:
            continue
        of_session = and_(_RUNS.c.session_id == session_id, schema.IS_SETTLED)
        first = _first(connection, of_session)
        with_user = _first(connection, and_(of_session, _RUNS.c.user_id.is_not(None)))
        candidates: list[Run | _First] = sorted([*mine, *first], key=_by_start)
        users: list[Run | _First] = sorted([*mine, *with_user], key=_by_start)
        active_at = [at for run in mine if (at := run.ended_at or run.started_at) is not None]
        active_at += [at for at in _last_active(connection, of_session) if at is not None]
        for run in mine:
            spent = spent.plus(run.spent)
        goes_on = session_id in going_on or any(_goes_on(run) for run in mine)
        found.append(
            Session(
                id=decoded(session_id),
                name=candidates[0].name,
                task=candidates[0].task,
                user_id=next((run.user_id for run in users if run.user_id is not None), None),
                status=ACTIVE if goes_on else IDLE,
                started_at=candidates[0].started_at,
                last_active_at=max(active_at, default=None),
                runs=runs + len(mine),
                redos=redos + sum(run.redos for run in mine),
                spent=spent,
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class _First:
    """What the first run of a session says of it."""

    id: str
    name: str | None
    task: str | None
    user_id: str | None
    started_at: int | None


def _by_start(run: Run | _First) -> tuple[int, str]:
    return run.started_at or 0, run.id


def _first(connection: Connection, condition: ColumnElement[bool]) -> list[_First]:
    row = connection.execute(
        select(_RUNS.c.id, _RUNS.c.name, _RUNS.c.task, _RUNS.c.user_id, _RUNS.c.started_at)
        .where(condition)
        .order_by(_RUNS.c.started_at, _RUNS.c.id)
        .limit(1)
    ).first()
    if row is None:
        return []
    return [_First(row.id, decoded(row.name), decoded(row.task), decoded(row.user_id), row.started_at)]


def _last_active(connection: Connection, condition: ColumnElement[bool]) -> Iterable[int | None]:
    ended = select(func.max(_RUNS.c.ended_at)).where(condition)
    started = select(func.max(_RUNS.c.started_at)).where(condition, _RUNS.c.ended_at.is_(None))
    return connection.execute(ended).scalar(), connection.execute(started).scalar()


def _goes_on(run: Run | RunRecord) -> bool:
    return run.ended_at is None and run.status != INTERRUPTED


def _going_on(connection: Connection, ids: Collection[str]) -> set[str]:
    """Those of these sessions of which a run goes on whose derivation is up to date."""
    if not ids:
        return set()
    rows = connection.execute(
        select(*(_RUNS.c[name] for name in RunRecord._fields)).where(
            _RUNS.c.session_id.in_(list(ids)), _RUNS.c.ended_at.is_(None), schema.IS_SETTLED
        )
    )
    runs = runs_with_standings(connection, [RunRecord._make(row) for row in rows])
    return {run.session_id for run in runs if run.session_id is not None and _goes_on(run)}


def _sums(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[int, int, Spent]]:
    """By session its derived runs, their redos, and what was spent on them."""
    if not ids:
        return {}
    of_these = and_(_RUNS.c.session_id.in_(list(ids)), schema.IS_SETTLED)
    branches, costs = schema.branches, schema.cost_records

    def by_session(*columns: ColumnElement[Any], join: Any = None, where: Any = ()) -> dict[str, Any]:
        statement = select(_RUNS.c.session_id, *columns)
        if join is not None:
            statement = statement.select_from(_RUNS).join(join, join.c.run_id == _RUNS.c.id)
        statement = statement.where(of_these, *where).group_by(_RUNS.c.session_id)
        return {row[0]: row for row in connection.execute(statement)}

    runs = by_session(func.count())
    redos = by_session(func.count(), join=branches, where=(branches.c.kind == REDO,))
    spent = by_session(
        func.count(),
        func.sum(costs.c.input_tokens),
        func.sum(costs.c.output_tokens),
        func.sum(costs.c.cost_usd),
        func.sum(case((costs.c.cost_usd.is_(None), 1), else_=0)),
        join=costs,
        where=(costs.c.counted,),
    )
    return {
        session_id: (
            row[1],
            redos[session_id][1] if session_id in redos else 0,
            _spent(spent.get(session_id)),
        )
        for session_id, row in runs.items()
    }


def _spent(row: Any) -> Spent:
    if row is None:
        return NOTHING
    _, calls, read, written, cost, unpriced = row
    # PostgreSQL sums to Decimal.
    return Spent(calls, int(read or 0), int(written or 0), cost, int(unpriced))
