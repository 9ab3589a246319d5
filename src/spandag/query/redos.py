"""What was done again, why, and with what success?"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from spandag.query.ancestors import phase_name
from spandag.query.asked import at_least
from spandag.query.liveness import load_tree
from spandag.query.resolve import resolve_run
from spandag.query.runs import REDO
from spandag.query.spent import Spent
from spandag.query.text import decoded
from spandag.query.tree import tree_of_rows
from spandag.query.tree_node import TreeNode
from spandag.store import Store, TreeRows, schema
from spandag.store.records import BranchRecord
from spandag.store.rows import BRANCH_POINT_PREFIX


@dataclass(frozen=True, slots=True)
class AttemptSummary:
    """One attempt at a step.

    Attributes:
        node_id: Its node.
        attempt: From 1.
        status: Of the node, as in `spandag.query.TreeNode`.
        outcome: ``accepted``, ``rejected``, ``failed`` or ``cancelled``; None where it has not ended.
        started_at: Unix nanoseconds.
        ended_at: Unix nanoseconds; None where it has not ended.
        error_type: What went wrong.
        error_message: The error's message.
        spent: Tokens, cost and model calls at and below it.
    """

    node_id: str
    attempt: int | None
    status: str
    outcome: str | None
    started_at: int
    ended_at: int | None
    error_type: str | None
    error_message: str | None
    spent: Spent


@dataclass(frozen=True, slots=True)
class Redo:
    """One redo; the fields from `branch_node_id` to `ended_at` are columns of ``branches``.

    Attributes:
        run_id: The run.
        run_name: Its name.
        phase: The phase that the step is in, if any.
        step: The step's name.
        step_number: Its number within the phase.
        branch_node_id: The branch point.
        source_node_id: Attempt 1 of the step.
        number: 1 for the first redo.
        branch_name: ``redo_1`` …
        hypothesis: Why this attempt should do better.
        requested_by: Who asked for it.
        status: ``accepted``, ``rejected``, ``failed``, ``abandoned`` or ``exhausted``; of one that has not ended
            ``active``, ``interrupted`` or ``open``, as its branch point.
        started_at: Unix nanoseconds.
        ended_at: Unix nanoseconds; None where it has not ended.
        before: The attempt that was rejected; None where it is not stored.
        after: The attempt that is the redo; None where it is not stored.
    """

    run_id: str
    run_name: str | None
    phase: str | None
    step: str
    step_number: int | None
    branch_node_id: str
    source_node_id: str | None
    number: int | None
    branch_name: str | None
    hypothesis: str | None
    requested_by: str | None
    status: str
    started_at: int
    ended_at: int | None
    before: AttemptSummary | None
    after: AttemptSummary | None


def redos(store: Store, run: str | None = None, *, limit: int | None = 20) -> list[Redo]:
    """The redos of a run, or of the newest runs that have any.

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
    with store.connection() as connection:
        run_ids = [resolve_run(connection, run)] if run is not None else _with_redos(connection, limit)
        loaded = [load_tree(connection, run_id) for run_id in run_ids]
    return [redo for rows in loaded if rows is not None for redo in redos_of_rows(rows)]


def _with_redos(connection: Connection, limit: int | None) -> list[str]:
    branches = schema.branches
    newest = func.max(branches.c.started_at)
    return list(
        connection.execute(
            select(branches.c.run_id)
            .where(branches.c.kind == REDO)
            .group_by(branches.c.run_id)
            .order_by(newest.desc(), branches.c.run_id)
            .limit(limit)
        ).scalars()
    )


def redos_of_rows(rows: TreeRows, by_id: dict[str, TreeNode] | None = None) -> list[Redo]:
    """The redos of one run in the order of their start.

    Args:
        rows: Of the run, with what is known of what has not ended.
        by_id: The nodes of its tree, where that is made already.
    """
    nodes = {node.id: node for node in tree_of_rows(rows).nodes} if by_id is None else by_id
    branches = sorted(
        (branch for branch in rows.branches if branch.kind == REDO),
        key=lambda branch: (branch.started_at, branch.branch_node_id),
    )
    redos = {(branch.source_node_id, branch.number): _redo_id(branch) for branch in _by_id(branches)}
    return [_redo(rows, branch, nodes, redos) for branch in branches]


def _by_id(branches: list[BranchRecord]) -> list[BranchRecord]:
    """So that of redos that claim the same number the last counts as the one before the next, as in ``v_redos``."""
    return sorted(branches, key=lambda branch: branch.branch_node_id)


def _redo_id(branch: BranchRecord) -> str:
    """The node of the redo that a branch point stands for."""
    return branch.branch_node_id.removeprefix(BRANCH_POINT_PREFIX)


def _redo(
    rows: TreeRows,
    branch: BranchRecord,
    nodes: dict[str, TreeNode],
    redos: dict[tuple[str | None, int | None], str],
) -> Redo:
    number = branch.number or 1
    before_id = branch.source_node_id if number == 1 else redos.get((branch.source_node_id, number - 1))
    before, after = nodes.get(before_id or ""), nodes.get(_redo_id(branch))
    step = after or before or nodes.get(branch.branch_node_id)
    return Redo(
        run_id=rows.run.id,
        run_name=decoded(rows.run.name),
        phase=phase_name(step, nodes),
        step=step.name if step else "",
        step_number=step.step_number if step else None,
        branch_node_id=branch.branch_node_id,
        source_node_id=branch.source_node_id,
        number=branch.number,
        branch_name=decoded(branch.branch_name),
        hypothesis=decoded(branch.hypothesis),
        requested_by=decoded(branch.requested_by),
        status=branch.status,
        started_at=branch.started_at,
        ended_at=branch.ended_at,
        before=_attempt(before),
        after=_attempt(after),
    )


def _attempt(node: TreeNode | None) -> AttemptSummary | None:
    if node is None:
        return None
    return AttemptSummary(
        node_id=node.id,
        attempt=node.attempt,
        status=node.status,
        outcome=node.outcome,
        started_at=node.started_at,
        ended_at=node.ended_at,
        error_type=node.error_type,
        error_message=node.error_message,
        spent=node.spent,
    )
