"""Derive a run and write what changed."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from spandag.store import schema
from spandag.store.connect import Database
from spandag.store.derive import Charge, Derived, Identity, Place, derive
from spandag.store.facts import read_header, read_rows, read_run, read_task
from spandag.store.records import EventRecord, RunRows
from spandag.store.rows import DERIVED, DERIVED_EDGES, EventRow
from spandag.store.statements import Statements
from spandag.store.text import to_json

LARGE = 2_000
"""Nodes of a run beyond which deriving it takes longer than what has ended meanwhile may wait."""

# Rows of a large run that are written before others have their turn, and for how much of the time they have it:
# SQLite tells nobody that its lock is free, so it must be so for a while.
_ROWS_AT_ONCE = 2_000
_PAUSE = 1.0
_BITS_OF_A_MARK = 60


class Settled(Enum):
    """What became of a run that was to be brought up to date."""

    IT_WAS = "there was nothing to do"
    NOW = "it is up to date"
    BEHIND = "facts came meanwhile, and what follows from them is still to be derived"
    TOO_LARGE = "it has more nodes than it may have, and is left as it is"


@dataclass(slots=True)
class _Derivation:
    """What follows from a run's facts, and what has to be written for that.

    Attributes:
        rows: The facts, and what was derived earlier.
        derived: What follows.
        changes: Statements with their parameters.
    """

    rows: RunRows
    derived: Derived
    changes: list[tuple[str, list[tuple[Any, ...]]]]

    @classmethod
    def of(cls, statements: Statements, rows: RunRows) -> _Derivation:
        derived = derive(rows)
        return cls(rows, derived, list(_changes(statements, rows, derived)))


def settle_run(
    database: Database, statements: Statements, run_id: str, *, at_most: int | None = None
) -> Settled:
    """Bring the derived rows and columns of a run up to date, in a transaction of its own.

    What changes of a large run is written in several, between which others write.

    Args:
        database: Open for writing.
        statements: Of this database.
        run_id: The run.
        at_most: How many nodes it may have; any number by default.
    """

    def look(connection: Connection) -> Settled | RunRows:
        run = read_header(connection, run_id)
        if run is None or run.is_settled:
            return Settled.IT_WAS
        if at_most is not None and _has_more_nodes(connection, run_id, at_most):
            return Settled.TOO_LARGE
        return read_rows(connection, run)

    # Reading and deriving take seconds of a run of 100,000 nodes; nobody has to wait meanwhile, and no transaction
    # to stay open.
    found = database.transact(look, reads=True)
    if isinstance(found, Settled):
        return found
    derivation = _Derivation.of(statements, found)
    if len(found.nodes) > LARGE:
        return _write_in_turns(database, statements, derivation)

    def work(connection: Connection) -> Settled:
        # Of two that derive at once, the second finds what the first has written.
        database.lock(connection, f"run {run_id}")
        # From here on facts wait. As every writer takes the run first, whatever was written meanwhile
        # has moved its counter, and whatever was derived meanwhile its other one.
        versions = _hold_run(connection, run_id)
        if versions is None or versions[0] == versions[1]:
            return Settled.IT_WAS
        valid = derivation
        if versions != (derivation.rows.run.facts_version, derivation.rows.run.derived_version):
            again = read_run(connection, run_id)
            if again is None:
                return Settled.IT_WAS
            valid = _Derivation.of(statements, again)
        _write(connection, valid.changes)
        _finish(database, connection, statements, valid)
        return Settled.NOW

    return database.transact(work)


def _write_in_turns(database: Database, statements: Statements, derivation: _Derivation) -> Settled:
    """Write what changes of a large run a part at a time.

    Until the last part the run counts as behind, and whoever reads it derives in memory. What is written is right as of
    the facts that were read, also where others have come meanwhile. Of two that derive at once one finishes: each part leaves a
    mark in ``derived_version``, and whoever does not find there what he has read or left last goes no further.
    """
    run = derivation.rows.run
    # What is there before the next part. Marks are negative, so no version is taken for one, and begin anywhere.
    expected = run.derived_version
    mark = -random.getrandbits(_BITS_OF_A_MARK) - len(derivation.rows.nodes)

    def hold(connection: Connection) -> tuple[int, int] | None:
        database.lock(connection, f"run {run.id}")
        versions = _hold_run(connection, run.id)
        # The mark is there where its own transaction is tried again, as the answer was lost.
        return versions if versions is not None and versions[1] in (expected, mark) else None

    def write(sql: str, part: list[tuple[Any, ...]], connection: Connection) -> float | None:
        if hold(connection) is None:
            return None
        began = time.monotonic()
        connection.execute(_SET_MARK, {"the_run": run.id, "mark": mark})
        _write(connection, [(sql, part)])
        return time.monotonic() - began

    for sql, parameters in derivation.changes:
        for start in range(0, len(parameters), _ROWS_AT_ONCE):
            part = parameters[start : start + _ROWS_AT_ONCE]
            took_s = database.transact(partial(write, sql, part))
            if took_s is None:
                return Settled.BEHIND
            expected, mark = mark, mark - 1
            time.sleep(_PAUSE * took_s)

    def finish(connection: Connection) -> Settled:
        versions = hold(connection)
        if versions is None:
            return Settled.BEHIND
        _finish(database, connection, statements, derivation)
        return Settled.NOW if versions[0] == run.facts_version else Settled.BEHIND

    return database.transact(finish)


# Made once, here and below: of a small run making the statements takes as long as running them.
_RUNS = schema.workflow_runs
_THE_RUN = _RUNS.c.id == bindparam("the_run")
_VERSIONS = select(_RUNS.c.facts_version, _RUNS.c.derived_version).where(_THE_RUN).with_for_update()
_SET_RUN = (
    update(_RUNS)
    .where(_THE_RUN)
    .values({name: bindparam(name) for name in (*Identity._fields, "task", "derived_version")})
)
_SET_MARK = update(_RUNS).where(_THE_RUN).values(derived_version=bindparam("mark"))


def _hold_run(connection: Connection, run_id: str) -> tuple[int, int] | None:
    """Keep others from writing to the run until the end of the transaction; gives both of its versions."""
    row = connection.execute(_VERSIONS, {"the_run": run_id}).one_or_none()
    return None if row is None else (row[0], row[1])


_NODE_AFTER = (
    select(schema.dag_nodes.c.id)
    .where(schema.dag_nodes.c.run_id == bindparam("the_run"))
    .limit(1)
    .offset(bindparam("at_most"))
)


def _has_more_nodes(connection: Connection, run_id: str, at_most: int) -> bool:
    found = connection.execute(_NODE_AFTER, {"the_run": run_id, "at_most": at_most})
    return found.one_or_none() is not None


def _write(connection: Connection, changes: Iterable[tuple[str, list[tuple[Any, ...]]]]) -> None:
    cursor = connection.connection.cursor()
    try:
        for sql, parameters in changes:
            if parameters:
                cursor.executemany(sql, parameters)
    finally:
        cursor.close()


def _finish(
    database: Database, connection: Connection, statements: Statements, derivation: _Derivation
) -> None:
    """Write what a run as a whole is, and its session."""
    run, identity = derivation.rows.run, derivation.derived.run
    task = read_task(connection, run.id, identity.root_node_id)
    values = {**identity._asdict(), "task": task, "derived_version": run.facts_version}
    connection.execute(_SET_RUN, {"the_run": run.id, **values})
    for session_id in sorted({run.session_id, identity.session_id} - {None}, key=str):
        database.lock(connection, f"session {session_id}")
        settle_session(connection, statements, str(session_id))


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
