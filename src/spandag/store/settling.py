"""Derive a run and write what changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from spandag.store import schema
from spandag.store.connect import Database
from spandag.store.derive import Charge, Derived, Identity, Place, derive
from spandag.store.facts import EventRecord, RunRows, read_header, read_rows, read_run, read_task
from spandag.store.rows import DERIVED, DERIVED_EDGES, EventRow
from spandag.store.statements import Statements
from spandag.store.text import to_json


def settle_run(database: Database, statements: Statements, run_id: str) -> bool:
    """Bring the derived rows and columns of a run up to date, in a transaction of its own.

    Args:
        database: Open for writing.
        statements: Of this database.
        run_id: The run.

    Returns:
        Whether it was out of date.
    """
    # Reading and thinking take seconds of a run of 100,000 nodes; nobody has to wait meanwhile.
    seen: list[tuple[RunRows, Derived]] = []

    def look(connection: Connection) -> None:
        seen.clear()
        run = read_header(connection, run_id)
        if run is not None and not run.is_settled:
            rows = read_rows(connection, run)
            seen.append((rows, derive(rows)))

    def work(connection: Connection) -> bool:
        # Of two that derive at once, the second finds what the first has written.
        database.lock(connection, f"run {run_id}")
        # From here on facts wait. As every writer takes the run first, whatever was written meanwhile
        # has moved its counter, and whatever was derived meanwhile its other one.
        versions = _hold_run(connection, run_id)
        if versions is None or versions[0] == versions[1]:
            return False
        [(rows, derived)] = seen
        if versions != (rows.run.facts_version, rows.run.derived_version):
            again = read_run(connection, run_id)
            if again is None:
                return False
            rows, derived = again, derive(again)
        _write(connection, statements, rows, derived)
        for session_id in sorted({rows.run.session_id, derived.run.session_id} - {None}, key=str):
            database.lock(connection, f"session {session_id}")
            settle_session(connection, statements, str(session_id))
        return True

    database.transact(look, reads=True)
    return bool(seen) and database.transact(work)


# Made once, here and below: of a small run making the statements takes as long as running them.
_RUNS = schema.workflow_runs
_THE_RUN = _RUNS.c.id == bindparam("the_run")
_VERSIONS = select(_RUNS.c.facts_version, _RUNS.c.derived_version).where(_THE_RUN).with_for_update()
_SET_RUN = (
    update(_RUNS)
    .where(_THE_RUN)
    .values({name: bindparam(name) for name in (*Identity._fields, "task", "derived_version")})
)


def _hold_run(connection: Connection, run_id: str) -> tuple[int, int] | None:
    """Keep others from writing to the run until the end of the transaction; gives both of its versions."""
    row = connection.execute(_VERSIONS, {"the_run": run_id}).one_or_none()
    return None if row is None else (row[0], row[1])


def _write(connection: Connection, statements: Statements, rows: RunRows, derived: Derived) -> None:
    run_id = rows.run.id
    cursor = connection.connection.cursor()
    try:
        for sql, parameters in _changes(statements, rows, derived):
            if parameters:
                cursor.executemany(sql, parameters)
    finally:
        cursor.close()
    task = read_task(connection, run_id, derived.run.root_node_id)
    values = {**derived.run._asdict(), "task": task, "derived_version": rows.run.facts_version}
    connection.execute(_SET_RUN, {"the_run": run_id, **values})


def _changes(
    statements: Statements, rows: RunRows, derived: Derived
) -> Iterable[tuple[str, list[tuple[Any, ...]]]]:
    """Statements and their parameters, sorted by key, for what differs from what is stored."""
    run_id = rows.run.id
    stored_places = {
        node.id: Place(
            node.parent_node_id,
            node.depth,  # type: ignore[arg-type]
            node.order_index,  # type: ignore[arg-type]
            node.step_node_id,
            node.branch_id,
            node.disposition,  # type: ignore[arg-type]
        )
        for node in rows.nodes
    }
    yield (
        statements.place,
        [
            (*place, run_id, node_id)
            for node_id, place in sorted(derived.places.items())
            if place != stored_places[node_id]
        ],
    )
    stored_edges = {edge for edge in rows.edges if edge.dependency_type in DERIVED_EDGES}
    yield statements.delete_edge, [edge[:4] for edge in sorted(stored_edges.difference(derived.edges))]
    yield statements.facts["dag_edges"], [edge for edge in derived.edges if edge not in stored_edges]

    stored_events = {(e.node_id, e.seq): e for e in rows.events if e.origin == DERIVED}
    events = {(e.node_id, e.seq): e for e in derived.events}
    yield (
        statements.delete_event,
        sorted((run_id, *key) for key, event in stored_events.items() if events.get(key) != event),
    )
    yield (
        statements.facts["execution_events"],
        [_event_row(run_id, event) for key, event in events.items() if stored_events.get(key) != event],
    )
    stored_charges = {cost.node_id: Charge(cost.agent_name, cost.counted) for cost in rows.costs}
    yield (
        statements.charge,
        [
            (*charge, run_id, node_id)
            for node_id, charge in sorted(derived.charges.items())
            if charge != stored_charges[node_id]
        ],
    )


def _event_row(run_id: str, event: EventRecord) -> EventRow:
    return EventRow(run_id, *event[:-1], None if event.meta is None else to_json(event.meta))


_OTHER = _RUNS.alias()
# Each column is one look at an index, however many runs there are.
_SESSION = (
    select(
        _RUNS.c.name,
        _RUNS.c.task,
        _RUNS.c.started_at,
        select(_OTHER.c.user_id)
        .where(_OTHER.c.session_id == bindparam("session"), _OTHER.c.user_id.is_not(None))
        .order_by(_OTHER.c.started_at, _OTHER.c.id)
        .limit(1)
        .scalar_subquery()
        .label("user_id"),
        select(func.max(_OTHER.c.ended_at))
        .where(_OTHER.c.session_id == bindparam("session"))
        .scalar_subquery()
        .label("last_ended_at"),
        select(func.max(_OTHER.c.started_at))
        .where(_OTHER.c.session_id == bindparam("session"), _OTHER.c.ended_at.is_(None))
        .scalar_subquery()
        .label("last_open_at"),
    )
    .where(_RUNS.c.session_id == bindparam("session"))
    .order_by(_RUNS.c.started_at, _RUNS.c.id)
    .limit(1)
)
_FORGET_SESSION = delete(schema.sessions).where(schema.sessions.c.id == bindparam("session"))


def settle_session(connection: Connection, statements: Statements, session_id: str) -> None:
    """A session is what its runs say: the first names it, the last says how long it was active.

    Args:
        connection: In a transaction that holds the lock of the session.
        statements: Of this database.
        session_id: The session; one without runs is deleted.
    """
    session = connection.execute(_SESSION, {"session": session_id}).one_or_none()
    if session is None:
        connection.execute(_FORGET_SESSION, {"session": session_id})
        return
    active_at = [at for at in (session.last_ended_at, session.last_open_at) if at is not None]
    connection.execute(
        statements.upsert_session,
        {
            "id": session_id,
            "name": session.name,
            "task": session.task,
            "user_id": session.user_id,
            "started_at": session.started_at,
            "last_active_at": max(active_at, default=None),
            "status": "idle" if session.last_open_at is None else "active",
            "meta": None,
        },
    )
