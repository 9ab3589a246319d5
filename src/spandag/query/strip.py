"""How a run branched: the attempts of its steps, with the redos beside them."""

from __future__ import annotations

from dataclasses import dataclass

from spandag.query.runs import Run
from spandag.query.spent import Spent
from spandag.query.tree import Tree, tree
from spandag.query.tree_node import TreeNode
from spandag.semconv import NodeType, Outcome
from spandag.store import Store


@dataclass(frozen=True, slots=True)
class StripAttempt:
    """One attempt of one step.

    Attributes:
        node_id: Its node.
        step_node_id: Attempt 1 of the step.
        branch_id: The branch point of the redo that it is part of; None on the first path.
        phase: The phase that it is in, if any.
        name: The step's.
        step_number: Within the phase.
        attempt: From 1.
        lane: 0 on the first path, one more within each redo.
        nesting: How many steps it is within.
        starts_lane: Whether it is a redo itself.
        joins: Whether its lane goes back into the one that it left: the redo was accepted.
        branch_name: ``redo_1`` … of a redo; None of others, as are the next two.
        hypothesis: Why the redo should do better.
        requested_by: Who asked for it.
        status: Of the node, as in `spandag.query.TreeNode`.
        outcome: ``accepted``, ``rejected``, ``failed`` or ``cancelled``; None where it has not ended.
        disposition: ``active``, ``abandoned`` or ``superseded``.
        started_at: Unix nanoseconds.
        ended_at: Unix nanoseconds; None where it has not ended.
        spent: Tokens, cost and model calls at and below it.
    """

    node_id: str
    step_node_id: str | None
    branch_id: str | None
    phase: str | None
    name: str
    step_number: int | None
    attempt: int
    lane: int
    nesting: int
    starts_lane: bool
    joins: bool
    branch_name: str | None
    hypothesis: str | None
    requested_by: str | None
    status: str
    outcome: str | None
    disposition: str | None
    started_at: int
    ended_at: int | None
    spent: Spent


@dataclass(frozen=True, slots=True)
class Strip:
    """The branches of a run.

    Attributes:
        run: The run.
        attempts: In the order of the tree: a redo after its step and all that is within that.
    """

    run: Run
    attempts: list[StripAttempt]


def strip(store: Store, run: str) -> Strip:
    """The attempts of a run's steps.

    Args:
        store: Where it is.
        run: As `spandag.query.resolve_run` takes it.

    Raises:
        QueryError: No run is meant, or several are.
    """
    return strip_of_tree(tree(store, run))


def strip_of_tree(found: Tree) -> Strip:
    """As `strip`, of a tree."""
    # What is above each node: lanes, steps, phase.
    above: dict[str, tuple[int, int, str | None]] = {}
    branch_points: dict[str, TreeNode] = {}
    attempts = []
    for node in found.nodes:
        lane, nesting, phase = above.get(node.parent_node_id or "", (0, 0, None))
        branch_point = branch_points.get(node.parent_node_id or "")
        if node.node_type == NodeType.BRANCH_POINT:
            branch_points[node.id] = node
            lane += 1
        elif node.node_type == NodeType.PHASE:
            phase = node.name
        elif node.node_type == NodeType.STEP:
            attempts.append(_attempt(node, lane, nesting, phase, branch_point))
            nesting += 1
        above[node.id] = (lane, nesting, phase)
    return Strip(found.run, attempts)


def _attempt(
    node: TreeNode, lane: int, nesting: int, phase: str | None, branch_point: TreeNode | None
) -> StripAttempt:
    # Without an outcome of its own it is what its node is.
    accepted = node.outcome == Outcome.ACCEPTED if node.outcome is not None else node.status == "completed"
    return StripAttempt(
        node_id=node.id,
        step_node_id=node.step_node_id,
        branch_id=node.branch_id,
        phase=phase,
        name=node.name,
        step_number=node.step_number,
        attempt=node.attempt or 1,
        lane=lane,
        nesting=nesting,
        starts_lane=branch_point is not None,
        joins=branch_point is not None and accepted,
        branch_name=branch_point.branch_name if branch_point is not None else None,
        hypothesis=branch_point.hypothesis if branch_point is not None else None,
        requested_by=branch_point.requested_by if branch_point is not None else None,
        status=node.status,
        outcome=node.outcome,
        disposition=node.disposition,
        started_at=node.started_at,
        ended_at=node.ended_at,
        spent=node.spent,
    )
