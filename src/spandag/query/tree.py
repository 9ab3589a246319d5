"""What happened in a run, as a tree?"""

from __future__ import annotations

from dataclasses import dataclass, field

from spandag.query.errors import QueryError
from spandag.query.resolve import resolve_run
from spandag.query.runs import REDO, Run, summary
from spandag.query.spent import Spent, below
from spandag.query.text import decoded
from spandag.semconv import NodeType
from spandag.store import Store, load_run
from spandag.store.facts import BranchRecord, NodeRecord, RunRows


@dataclass(slots=True)
class TreeNode:
    """A node in its place; the fields up to `error_message` are columns of ``dag_nodes``.

    Attributes:
        id: The span id; of a branch point ``bp:`` and the redo's span id.
        parent_node_id: The node above it in this tree; None at the top. A node whose recorded parent is
            not stored is below the run.
        depth: 0 at the top of this tree.
        node_type: One of `spandag.semconv.NodeType`.
        name: Of the agent, tool, model, step …
        agent: The agent at work, as recorded on its span.
        status: ``pending``, ``running``, ``completed``, ``failed``, ``cancelled`` or ``skipped``.
        step_node_id: Attempt 1 of the step that it is part of.
        branch_id: The branch point of the redo that it is part of.
        disposition: ``active``, ``abandoned`` or ``superseded``: the worst of its own and its ancestors'.
        step_number: Of a step within its phase, of an iteration within its agent.
        attempt: Of a step and its branch point, from 1.
        outcome: Of an attempt: ``accepted``, ``rejected``, ``failed`` or ``cancelled``.
        started_at: Unix nanoseconds.
        ended_at: Unix nanoseconds; None while it is running.
        model: The model asked for.
        provider: Whose model it is.
        error_type: What went wrong.
        error_message: The error's message.
        branch_name: ``redo_1`` … on a branch point; None elsewhere, as are the next two.
        hypothesis: Why the redo should do better.
        requested_by: Who asked for the redo.
        spent: Tokens, cost and model calls at and below it.
        children: Ids of the nodes below it, in order.
    """

    id: str
    parent_node_id: str | None
    depth: int
    node_type: str
    name: str
    agent: str | None
    status: str
    step_node_id: str | None
    branch_id: str | None
    disposition: str | None
    step_number: int | None
    attempt: int | None
    outcome: str | None
    started_at: int
    ended_at: int | None
    model: str | None
    provider: str | None
    error_type: str | None
    error_message: str | None
    branch_name: str | None
    hypothesis: str | None
    requested_by: str | None
    spent: Spent
    children: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Tree:
    """A run and its nodes.

    Attributes:
        run: The run.
        nodes: Every node after its parent, siblings by their start; a redo follows its step's first attempt.
        hidden: How many spans of other libraries are left out.
    """

    run: Run
    nodes: list[TreeNode]
    hidden: int


def tree(store: Store, run: str, *, all_spans: bool = False) -> Tree:
    """A run with all of its nodes.

    Args:
        store: Where it is.
        run: As `spandag.query.resolve_run` takes it.
        all_spans: Whether spans of other libraries (HTTP, SQL, the command of ``spandag run``) are
            nodes as well; otherwise what is below them moves up to their parent.

    Raises:
        QueryError: No run is meant, or several are.
    """
    with store.connection() as connection:
        run_id = resolve_run(connection, run)
        rows = load_run(connection, run_id)
    if rows is None:
        raise QueryError(f"run {run_id} was removed meanwhile")
    return tree_of_rows(rows, all_spans=all_spans)


def tree_of_rows(rows: RunRows, *, all_spans: bool = False) -> Tree:
    """As `tree`, of rows that are loaded."""
    spans = 0 if all_spans else sum(node.node_type == NodeType.SPAN for node in rows.nodes)
    # A trace of plain spans only has nothing else to show.
    lift = 0 < spans < len(rows.nodes)
    nodes = _in_order(rows, lift_spans=lift)
    sums = below([(node.id, node.parent_node_id) for node in nodes], rows.costs)
    for node in nodes:
        node.spent = sums[node.id]
    return Tree(summary(rows), nodes, spans if lift else 0)


def _in_order(rows: RunRows, *, lift_spans: bool) -> list[TreeNode]:
    by_id = {record.id: record for record in rows.nodes}
    branches = {branch.branch_node_id: branch for branch in rows.branches if branch.kind == REDO}
    children: dict[str | None, list[NodeRecord]] = {}
    orphans: list[NodeRecord] = []
    root = by_id.get(rows.run.root_node_id or "")
    for record in rows.nodes:
        if record.parent_node_id is None and _is_orphan(record, root, by_id):
            orphans.append(record)
        else:
            children.setdefault(record.parent_node_id, []).append(record)
    for siblings in children.values():
        siblings.sort(key=_place)
    if root is not None and orphans:
        children.setdefault(root.id, []).extend(sorted(orphans, key=_place))

    nodes: dict[str, TreeNode] = {}
    stack: list[tuple[NodeRecord, TreeNode | None]] = [(r, None) for r in reversed(children.get(None, ()))]
    while stack:
        record, parent = stack.pop()
        here = parent
        if not (lift_spans and record.node_type == NodeType.SPAN):
            here = nodes[record.id] = _node(record, parent, branches.get(record.id))
            if parent is not None:
                parent.children.append(here.id)
        stack.extend((child, here) for child in reversed(children.get(record.id, ())))
    return list(nodes.values())


def _is_orphan(record: NodeRecord, root: NodeRecord | None, by_id: dict[str, NodeRecord]) -> bool:
    """Whether a node lost its parent, so that it is shown below the run.

    What shares the run's own, remote parent stands beside it.
    """
    return (
        root is not None
        and root.node_type == NodeType.RUN
        and record.parent_span_id is not None
        and record.parent_span_id not in by_id
        and record.parent_span_id != root.parent_span_id
        # Otherwise the run would be shown below itself.
        and record.id != root.id
        and root.parent_node_id is None
    )


def _place(record: NodeRecord) -> tuple[int, int, int, str]:
    return record.order_index or 0, record.attempt or 0, record.started_at, record.id


def _node(record: NodeRecord, parent: TreeNode | None, branch: BranchRecord | None) -> TreeNode:
    return TreeNode(
        id=record.id,
        parent_node_id=None if parent is None else parent.id,
        depth=0 if parent is None else parent.depth + 1,
        node_type=record.node_type,
        name=decoded(record.name),
        agent=decoded(record.agent),
        status=record.status,
        step_node_id=record.step_node_id,
        branch_id=record.branch_id,
        disposition=record.disposition,
        step_number=record.step_number,
        attempt=record.attempt,
        outcome=record.outcome,
        started_at=record.started_at,
        ended_at=record.ended_at,
        model=decoded(record.model),
        provider=decoded(record.provider),
        error_type=decoded(record.error_type),
        error_message=decoded(record.error_message),
        branch_name=decoded(branch.branch_name) if branch else None,
        hypothesis=decoded(branch.hypothesis) if branch else None,
        requested_by=decoded(branch.requested_by) if branch else None,
        spent=Spent(),
    )
