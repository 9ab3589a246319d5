"""Which steps has nobody accepted?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, func, or_, select

from spandag import semconv
from spandag.query.ancestors import nearest, phase_of
from spandag.query.asked import at_least
from spandag.query.liveness import OPEN, RUNNING, load_tree
from spandag.query.over_runs import AT_ONCE, has_spent_limit, has_step, newest_answers, with_spent_limit
from spandag.query.rejections import Rejection, rejections
from spandag.query.resolve import resolve_run
from spandag.query.text import decoded
from spandag.query.tree_node import Row
from spandag.semconv import NodeType, Outcome
from spandag.store import Store, TreeRows, schema
from spandag.store.derive import SUPERSEDED
from spandag.store.records import TREE_COLUMNS

_GOOD = frozenset({Outcome.ACCEPTED, "completed"})
_SMALL_NUMBER = re.compile("[0-9]{1,9}")

_ID, _NODE_TYPE, _NAME, _STATUS, _STEP, _DISPOSITION, _STEP_NUMBER, _ATTEMPT = map(
    TREE_COLUMNS.index,
    ("id", "node_type", "name", "status", "step_node_id", "disposition", "step_number", "attempt"),
)
_OUTCOME, _STARTED_AT, _ENDED_AT, _ERROR_TYPE, _ERROR_MESSAGE = map(
    TREE_COLUMNS.index, ("outcome", "started_at", "ended_at", "error_type", "error_message")
)


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A step of which no attempt that still counts was accepted; named as the columns of ``v_unresolved``.

    Attributes:
        run_id: The run.
        run_name: Its name.
        phase: The phase that the step is in, if any.
        step_node_id: Attempt 1 of the step.
        step: The step's name.
        step_number: Its number within the phase.
        attempts: How many attempts there were.
        max_redos: How many redos were allowed; None where nobody said it.
        exhausted: Whether the limit is spent.
        node_id: The last attempt.
        status: Of its node, as in `spandag.query.TreeNode`.
        outcome: ``rejected``, ``failed`` or ``cancelled``; ``accepted`` where the program went on with it though
            the limit is spent; None where it has not ended.
        hypothesis: What its rejection suggested.
        requested_by: Who rejected it.
        started_at: Unix nanoseconds, of the last attempt.
        ended_at: Unix nanoseconds; None where it has not ended.
        error_type: What went wrong.
        error_message: The error's message.
    """

    run_id: str
    run_name: str | None
    phase: str | None
    step_node_id: str | None
    step: str
    step_number: int | None
    attempts: int
    max_redos: int | None
    exhausted: bool
    node_id: str
    status: str
    outcome: str | None
    hypothesis: str | None
    requested_by: str | None
    started_at: int
    ended_at: int | None
    error_type: str | None
    error_message: str | None


def unresolved(store: Store, run: str | None = None, *, limit: int | None = 20) -> list[Unresolved]:
    """Steps that were left rejected, failed, cancelled, or with their limit spent.

    Of each the last attempt, unless the work around it was done again or still goes on. Where the program
    was killed, that is the attempt that it was at.

    Args:
        store: Where they are.
        run: As `spandag.query.resolve_run` takes it; None for all runs.
        limit: Of how many runs at most; None for all. Of no effect where a run is named.

    Returns:
        Newest run first; within a run in the order of their start.

    Raises:
        QueryError: No run is meant, or several are, or the limit makes no sense.
    """
    at_least(0, limit, "the limit")
    nodes = schema.dag_nodes
    with store.connection() as connection:
        answer = partial(unresolved_of, connection)
        if run is None:
            # What is superseded is not the last; of the others, what has not simply ended well is looked at.
            condition = has_step(
                nodes.c.disposition != SUPERSEDED,
                or_(
                    func.coalesce(nodes.c.outcome, nodes.c.status).not_in(_GOOD),
                    has_spent_limit(connection),
                ),
            )
            return [
                step for of_run in newest_answers(connection, condition, answer, limit) for step in of_run
            ]
        rows = load_tree(connection, resolve_run(connection, run))
        return [] if rows is None else answer(rows) or []


def unresolved_of(connection: Connection, rows: TreeRows) -> list[Unresolved] | None:
    """As `unresolved`, of a run that is loaded; None where there are none.

    Args:
        connection: Of the store, in the snapshot that the rows are from.
        rows: Of the run, with what is known of what has not ended.
    """
    by_id = {row[_ID]: row for row in rows.nodes}
    # An attempt that was accepted and then redone counts no more, whatever became of the redo.
    settled = {
        row[_STEP]
        for row in rows.nodes
        if row[_NODE_TYPE] == NodeType.STEP and row[_DISPOSITION] != SUPERSEDED and _ended_well(row)
    }
    spent = with_spent_limit(connection, rows.run.id)

    def is_loose(row: Row) -> bool:
        if row[_NODE_TYPE] != NodeType.STEP or row[_DISPOSITION] == SUPERSEDED:
            return False
        if row[_ID] in spent:
            return True
        if row[_STATUS] in (RUNNING, OPEN) and rows.run.ended_at is None:
            return False
        return row[_STEP] not in settled

    loose = [row for row in rows.nodes if is_loose(row)]
    if not loose:
        return None
    ids = [row[_ID] for row in loose]
    said = rejections(connection, ((rows.run.id, node_id) for node_id in ids))
    limits = _limits(connection, rows.run.id, ids)
    phases = nearest(by_id, phase_of)
    nothing = Rejection(None, None)
    return [
        Unresolved(
            run_id=rows.run.id,
            run_name=decoded(rows.run.name),
            phase=decoded(phases[row[_ID]]),
            step_node_id=row[_STEP],
            step=decoded(row[_NAME]),
            step_number=row[_STEP_NUMBER],
            attempts=row[_ATTEMPT] or 1,
            max_redos=limits[row[_ID]],
            exhausted=row[_ID] in spent,
            node_id=row[_ID],
            status=row[_STATUS],
            outcome=row[_OUTCOME],
            hypothesis=said.get((rows.run.id, row[_ID]), nothing).hypothesis,
            requested_by=said.get((rows.run.id, row[_ID]), nothing).requested_by,
            started_at=row[_STARTED_AT],
            ended_at=row[_ENDED_AT],
            error_type=decoded(row[_ERROR_TYPE]),
            error_message=decoded(row[_ERROR_MESSAGE]),
        )
        for row in sorted(loose, key=lambda row: (row[_STARTED_AT], row[_ID]))
    ]


def _ended_well(row: Row) -> bool:
    """As in ``branches.status``: what ended well without saying its outcome is accepted."""
    return (row[_OUTCOME] or row[_STATUS]) in _GOOD


def _limits(connection: Connection, run_id: str, node_ids: list[str]) -> dict[str, int | None]:
    """By attempt how many redos were allowed."""
    nodes = schema.dag_nodes
    found: dict[str, int | None] = dict.fromkeys(node_ids)
    for start in range(0, len(node_ids), AT_ONCE):
        rows = connection.execute(
            select(nodes.c.id, nodes.c.attributes).where(
                nodes.c.run_id == run_id, nodes.c.id.in_(node_ids[start : start + AT_ONCE])
            )
        )
        for node_id, attributes in rows:
            said = attributes if isinstance(attributes, dict) else {}
            found[node_id] = _small_number(said.get(semconv.SPANDAG_STEP_MAX_REDOS))
    return found


def _small_number(value: Any) -> int | None:
    """As the view takes it, whatever a foreign span says there."""
    return int(value) if not isinstance(value, bool) and _SMALL_NUMBER.fullmatch(str(value)) else None
