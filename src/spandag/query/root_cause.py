"""Where did it begin to go wrong?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from spandag.query.ancestors import AGENTS
from spandag.query.errors import QueryError
from spandag.query.liveness import load_tree
from spandag.query.resolve import resolve_run
from spandag.query.runs import Run
from spandag.query.text import decoded
from spandag.query.tree import tree_of_rows
from spandag.query.tree_node import TreeNode
from spandag.query.unresolved import Unresolved, unresolved_of
from spandag.semconv import NodeType, Outcome
from spandag.store import Store, schema
from spandag.store.derive import SUPERSEDED

_FAILED = "failed"
_NO_REDO_LEFT = "RedoLimitExceeded"


@dataclass(frozen=True, slots=True)
class FailedNode:
    """A node that failed because of what failed below it.

    Attributes:
        node_id: The node.
        node_type: One of `spandag.semconv.NodeType`.
        name: Its name.
        error_type: What went wrong.
        error_message: The error's message.
    """

    node_id: str
    node_type: str
    name: str
    error_type: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class LastCall:
    """The last model call that had ended before something.

    Attributes:
        node_id: The call.
        model: The model asked for.
        provider: Whose model it is.
        agent_name: The agent that called it; None where there is none.
        ended_at: Unix nanoseconds.
        output_preview: The last message that came out, at most 4,096 characters; None where it was not recorded.
    """

    node_id: str
    model: str | None
    provider: str | None
    agent_name: str | None
    ended_at: int
    output_preview: str | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure that nothing below it explains.

    Attributes:
        node_id: The node that failed.
        node_type: One of `spandag.semconv.NodeType`.
        name: Its name.
        status: ``failed``; of an attempt that was rejected with no redo left, that of its node.
        outcome: Of an attempt: ``rejected`` or ``failed``.
        disposition: ``active``, ``abandoned`` or ``superseded``, as in `spandag.query.TreeNode`.
        started_at: Unix nanoseconds.
        ended_at: Unix nanoseconds.
        error_type: What went wrong.
        error_message: The error's message.
        agent_name: The agent at work: the nearest at or above it.
        phase: The nearest phase above it.
        step: The nearest step at or above it.
        step_number: The step's number within its phase.
        attempt: Which attempt at the step it was in.
        failed_above: The nodes that failed because of it, from the nearest to the highest.
        failed_the_run: Whether the run failed because of it: its root is the last of those, or itself. A run
            without a run node has its status from all that is at its top, of which any is taken as the root.
    """

    node_id: str
    node_type: str
    name: str
    status: str
    outcome: str | None
    disposition: str | None
    started_at: int
    ended_at: int | None
    error_type: str | None
    error_message: str | None
    agent_name: str | None
    phase: str | None
    step: str | None
    step_number: int | None
    attempt: int | None
    failed_above: list[FailedNode]
    failed_the_run: bool


@dataclass(frozen=True, slots=True)
class RootCause:
    """Where a run began to go wrong.

    Attributes:
        run: The run.
        cause: The first failure; None where nothing failed.
        before: The last model call that had ended before the failure, wherever in the run.
        others: The other failures that nothing below them explains, ranked as the first was chosen.
        rejected: Steps that nobody accepted; where nothing failed, they are what went wrong.
    """

    run: Run
    cause: Failure | None
    before: LastCall | None
    others: list[Failure]
    rejected: list[Unresolved]


def root_cause(store: Store, run: str) -> RootCause:
    """The earliest failure of a run that nothing else explains, and what failed because of it.

    A node that has failed is explained by a node directly below it that has failed as well if both have
    the same error, or if nothing else below it started after that one had ended: then it was the last
    that happened. Whoever goes on after a failure has coped with it, and what fails later fails by itself.
    What went on until no redo was left (`spandag.RedoLimitExceeded`) is explained by the last rejected attempt.
    What is not explained is a failure of its own; the nodes that it explains, and those that these explain
    in turn, failed because of it.

    Of all such failures the first is the one that ended earliest; those in superseded attempts come after
    all that counted, however early, since another attempt took their place. The first is not always what
    the run ended with, which `Failure.failed_the_run` says. Spans of other libraries take no part.

    Args:
        store: Where it is.
        run: As `spandag.query.resolve_run` takes it.

    Raises:
        QueryError: No run is meant, or several are.
    """
    with store.connection() as connection:
        run_id = resolve_run(connection, run)
        rows = load_tree(connection, run_id)
        if rows is None:
            raise QueryError(f"run {run_id} was removed meanwhile")
        tree = tree_of_rows(rows)
        nodes = {node.id: node for node in tree.nodes if node.node_type != NodeType.BRANCH_POINT}
        parents = _parents(tree.nodes)
        explained_by = _explained(nodes, parents)
        explains = {below: above for above, below in explained_by.items()}
        origins = [
            node
            for node in nodes.values()
            if (node.status == _FAILED or node.id in explains) and node.id not in explained_by
        ]
        origins.sort(key=_rank)
        roots = _roots(nodes, parents, rows.run.root_node_id)
        failures = [_failure(node, nodes, parents, explains, roots) for node in origins]
        before = _last_call(connection, run_id, tree.nodes, nodes, parents, origins[0]) if origins else None
        return RootCause(
            run=tree.run,
            cause=failures[0] if failures else None,
            before=before,
            others=failures[1:],
            rejected=unresolved_of(connection, rows) or [],
        )


def _rank(node: TreeNode) -> tuple[bool, bool, int, int, str]:
    ended = node.ended_at
    return node.disposition == SUPERSEDED, ended is None, ended or 0, node.started_at, node.id


def _parents(nodes: list[TreeNode]) -> dict[str, str | None]:
    """By node the node above it; a redo is below what its step is below."""
    parents = {node.id: node.parent_node_id for node in nodes}
    points = {node.id for node in nodes if node.node_type == NodeType.BRANCH_POINT}
    for node_id, parent in parents.items():
        while parent in points:
            parent = parents[parent]
        parents[node_id] = parent
    return parents


def _roots(
    nodes: Mapping[str, TreeNode], parents: Mapping[str, str | None], root_node_id: str | None
) -> set[str]:
    """What a run takes its status from, as `spandag.store.derive` does: its root, else whatever is topmost."""
    root = nodes.get(root_node_id or "")
    if root is None or root.node_type == NodeType.RUN:
        return set() if root is None else {root.id}
    return {node_id for node_id in nodes if parents[node_id] is None}


def _explained(nodes: Mapping[str, TreeNode], parents: Mapping[str, str | None]) -> dict[str, str]:
    """By node that has failed the one below it that it failed because of."""
    latest_start: dict[str, int] = {}
    for node in nodes.values():
        parent = parents[node.id]
        if parent is not None:
            latest_start[parent] = max(latest_start.get(parent, node.started_at), node.started_at)
    found: dict[str, TreeNode] = {}
    for node in nodes.values():
        above = nodes.get(parents[node.id] or "")
        if above is None or above.status != _FAILED:
            continue
        if node.status != _FAILED and not _spent_the_limit(node, above):
            continue
        same = bool(node.error_type or node.error_message) and (node.error_type, node.error_message) == (
            above.error_type,
            above.error_message,
        )
        was_last = node.ended_at is not None and latest_start[above.id] <= node.ended_at
        before = found.get(above.id)
        # Of several that explain it, the one that ended last brought it down.
        if (same or was_last) and (before is None or (before.ended_at or 0) < (node.ended_at or 0)):
            found[above.id] = node
    return {above: node.id for above, node in found.items()}


def _spent_the_limit(attempt: TreeNode, above: TreeNode) -> bool:
    return (
        attempt.outcome == Outcome.REJECTED and (above.error_type or "").rpartition(".")[2] == _NO_REDO_LEFT
    )


def _failure(
    node: TreeNode,
    nodes: Mapping[str, TreeNode],
    parents: Mapping[str, str | None],
    explains: Mapping[str, str],
    roots: set[str],
) -> Failure:
    chain: list[TreeNode] = []
    at = explains.get(node.id)
    while at is not None:
        chain.append(nodes[at])
        at = explains.get(at)
    agent = step = phase = None
    up: TreeNode | None = node
    while up is not None:
        if agent is None:
            agent = up.name if up.node_type in AGENTS else up.agent
        if step is None and up.node_type == NodeType.STEP:
            step = up
        if phase is None and up.node_type == NodeType.PHASE:
            phase = up.name
        up = nodes.get(parents[up.id] or "")
    return Failure(
        node_id=node.id,
        node_type=node.node_type,
        name=node.name,
        status=node.status,
        outcome=node.outcome,
        disposition=node.disposition,
        started_at=node.started_at,
        ended_at=node.ended_at,
        error_type=node.error_type,
        error_message=node.error_message,
        agent_name=agent,
        phase=phase,
        step=step.name if step else None,
        step_number=step.step_number if step else None,
        attempt=(step.attempt or 1) if step else None,
        failed_above=[
            FailedNode(each.id, each.node_type, each.name, each.error_type, each.error_message)
            for each in chain
        ],
        failed_the_run=not roots.isdisjoint((node.id, *(each.id for each in chain))),
    )


def _last_call(
    connection: Connection,
    run_id: str,
    in_order: list[TreeNode],
    nodes: Mapping[str, TreeNode],
    parents: Mapping[str, str | None],
    failure: TreeNode,
) -> LastCall | None:
    calls = [
        (node.ended_at, node.started_at, node.id)
        for node in in_order
        if node.node_type == NodeType.LLM
        and node.id != failure.id
        and node.ended_at is not None
        and node.ended_at <= (failure.started_at if failure.node_type == NodeType.LLM else _end(failure))
    ]
    if not calls:
        return None
    ended_at, _, node_id = max(calls)
    call = nodes[node_id]
    agent: str | None = None
    up: TreeNode | None = call
    while up is not None and agent is None:
        agent = up.name if up.node_type in AGENTS else up.agent
        up = nodes.get(parents[up.id] or "")
    table = schema.dag_nodes
    preview = connection.execute(
        select(table.c.output_preview).where(table.c.run_id == run_id, table.c.id == node_id)
    ).scalar()
    return LastCall(node_id, call.model, call.provider, agent, ended_at, decoded(preview))


def _end(node: TreeNode) -> int:
    return node.started_at if node.ended_at is None else node.ended_at
