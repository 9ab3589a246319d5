"""The runs that a search goes through, newest first."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, exists, func, select, text

from spandag.query.cursors import Place
from spandag.query.matching import Wanted
from spandag.query.text import decoded
from spandag.store import load_run, schema
from spandag.store.text import storable
from spandag.store.text_index import RUNS


class Candidate(NamedTuple):
    """A run that may have what is searched for.

    Attributes:
        started_at: Unix nanoseconds.
        id: Its id.
        name: Its name, as it was recorded.
        task: What it was asked to do.
        root_node_id: The node that it takes both from.
        is_behind: Whether these are still to be derived, by `up_to_date`.
    """

    started_at: int
    id: str
    name: str | None
    task: str | None
    root_node_id: str | None
    is_behind: bool


def candidates(
    connection: Connection,
    *,
    session: str | None,
    run_id: str | None,
    since: int | None,
    until: int | None,
    wanted: Wanted | None,
    can_have: set[str] | None,
    after: Place | None,
) -> list[Candidate]:
    """The runs to go through, newest first.

    Args:
        connection: Of the store.
        session: Their session.
        run_id: The only one.
        since: They have nodes that started then or later, in Unix nanoseconds.
        until: They have nodes that started earlier.
        wanted: The text that is searched for.
        can_have: The runs that the text index found; None where it was not asked.
        after: Where the page before ended.
    """
    runs, nodes = schema.workflow_runs.c, schema.dag_nodes.c
    base = select(runs.id, runs.started_at, runs.name, runs.task, runs.root_node_id, runs.session_id)
    if run_id is not None:
        base = base.where(runs.id == run_id)
    if since is not None or until is not None:
        within = [nodes.run_id == runs.id]
        within += [nodes.started_at >= since] if since is not None else []
        within += [nodes.started_at < until] if until is not None else []
        base = base.where(exists(select(nodes.id).where(*within)))
    settled = base.where(schema.IS_SETTLED, runs.root_node_id.is_not(None))
    if session is not None:
        settled = settled.where(runs.session_id == storable(session))
    covered = _covered(connection) if can_have is not None else frozenset()
    found = []
    for row in connection.execute(settled):
        run = Candidate(
            row.started_at or 0, row.id, decoded(row.name), decoded(row.task), row.root_node_id, False
        )
        if _is_of_interest(run, wanted, can_have, covered):
            found.append(run)
    # What is still being written is derived where the search gets to it. A run starts with one of its nodes.
    first = select(func.min(nodes.started_at)).where(nodes.run_id == runs.id).scalar_subquery()
    for row in connection.execute(base.add_columns(first.label("first")).where(~schema.IS_SETTLED)):
        found.append(Candidate(row.started_at or row.first or 0, row.id, None, None, None, True))
    found.sort(key=lambda run: (-run.started_at, run.id))
    if after is None:
        return found
    rest = [run for run in found if (-run.started_at, run.id) > (-after.run_started_at, after.run_id)]
    if after.started_at is None:
        return rest
    # The run that the page before ended in comes first, even where its start has moved.
    here = [run for run in found if run.id == after.run_id]
    return here + [run for run in rest if run.id != after.run_id]


def up_to_date(connection: Connection, run: Candidate, session: str | None) -> Candidate | None:
    """A run with what is derived; None where it is none, or not of the session."""
    if not run.is_behind:
        return run
    loaded = load_run(connection, run.id)
    if loaded is None or loaded.run.root_node_id is None:
        return None
    record = loaded.run
    if session is not None and decoded(record.session_id) != session:
        return None
    return run._replace(
        name=decoded(record.name),
        task=decoded(record.task),
        root_node_id=record.root_node_id,
        is_behind=False,
    )


def _is_of_interest(
    run: Candidate, wanted: Wanted | None, can_have: set[str] | None, covered: frozenset[str]
) -> bool:
    if can_have is None or run.id in can_have or run.id not in covered:
        return True
    # Names and tasks are derived, and not in the index.
    return wanted is not None and (wanted.is_in(run.name) or wanted.is_in(run.task))


def _covered(connection: Connection) -> frozenset[str]:
    """The runs of which everything is in the text index."""
    query = (
        f"SELECT i.run_id FROM {RUNS} AS i JOIN workflow_runs AS r "
        "ON r.id = i.run_id AND r.facts_version = i.facts_version"
    )
    return frozenset(connection.execute(text(query)).scalars())
