"""What happened in a run, as a tree?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from spandag.query.errors import QueryError
from spandag.query.liveness import load_tree
from spandag.query.resolve import resolve_run
from spandag.query.runs import REDO, Run, summary
from spandag.query.spent import Spent, own_spending
from spandag.query.text import Decoded
from spandag.query.undisturbed import undisturbed
from spandag.semconv import NodeType
from spandag.store import Store, TreeRows
from spandag.store.facts import TREE_COLUMNS


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
        status: ``pending``, ``completed``, ``failed``, ``cancelled`` or ``skipped``; of one that has started
            and not ended ``running``, ``interrupted`` where the process that held it open is gone, ``open``
            where nobody said who holds it open.
        step_node_id: Attempt 1 of the step that it is part of.
        branch_id: The branch point of the redo that it is part of.
        disposition: ``active``, ``abandoned`` or ``superseded``: the worst of its own and its ancestors'.
        step_number: Of a step within its phase, of an iteration within its agent.
        attempt: Of a step and its branch point, from 1.
        outcome: Of an attempt: ``accepted``, ``rejected``, ``failed`` or ``cancelled``.
        started_at: Unix nanoseconds.
        ended_at: Unix nanoseconds; None where it has not ended.
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
    children: Sequence[str] = ()


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
        with undisturbed():
            rows = load_tree(connection, run_id)
            if rows is None:
                raise QueryError(f"run {run_id} was removed meanwhile")
            return tree_of_rows(rows, all_spans=all_spans)


def tree_of_rows(rows: TreeRows, *, all_spans: bool = False) -> Tree:
    """As `tree`, of rows that are loaded with what is known of what has not ended."""
    run = summary(rows)
    spans = 0 if all_spans else Counter(map(itemgetter(_NODE_TYPE), rows.nodes))[NodeType.SPAN]
    # A trace of plain spans only has nothing else to show.
    lift = 0 < spans < len(rows.nodes)
    return Tree(run, _in_order(rows, lift_spans=lift), spans if lift else 0)


_ID, _PARENT, _NODE_TYPE, _ATTEMPT, _STARTED_AT, _ORDER_INDEX, _PARENT_SPAN = map(
    TREE_COLUMNS.index,
    ("id", "parent_node_id", "node_type", "attempt", "started_at", "order_index", "parent_span_id"),
)


def _in_order(rows: TreeRows, *, lift_spans: bool) -> list[TreeNode]:
    """The nodes of the tree in order.

    A run can have 100,000 of them, so nothing is made for a node that it can do without.
    """
    below = siblings_in_order(rows)
    branches = {branch.branch_node_id: branch for branch in rows.branches if branch.kind == REDO}
    own = own_spending(rows.costs)
    texts = Decoded()
    nodes: list[TreeNode] = []
    parents: list[TreeNode | None] = []
    # Backwards, as they come off the end; each with the node of the tree that it stands below.
    stack: list[tuple[tuple[Any, ...], TreeNode | None]] = [(row, None) for row in below.get(None, ())[::-1]]
    while stack:
        row, parent = stack.pop()
        node_id, node_type = row[_ID], row[_NODE_TYPE]
        if lift_spans and node_type == NodeType.SPAN:
            here = parent
        else:
            here = _node(row, parent, texts)
            nodes.append(here)
            parents.append(parent)
            if lift_spans and parent is not None:
                if parent.children:
                    parent.children.append(node_id)  # type: ignore[attr-defined]
                else:
                    parent.children = [node_id]
            if node_type == NodeType.LLM:
                here.spent = own.get(node_id, _NOTHING)
            elif node_type == NodeType.BRANCH_POINT and (branch := branches.get(node_id)) is not None:
                here.branch_name = texts[branch.branch_name]
                here.hypothesis = texts[branch.hypothesis]
                here.requested_by = texts[branch.requested_by]
        children = below.get(node_id)
        if children is not None:
            if not lift_spans and here is not None:
                here.children = [child[_ID] for child in children]
            stack += [(child, here) for child in children[::-1]]
    for node, parent in zip(reversed(nodes), reversed(parents), strict=True):
        spent = node.spent
        if spent is _NOTHING:
            # Each has its own; it can be added to.
            node.spent = Spent()
        elif parent is not None:
            if parent.spent is _NOTHING:
                parent.spent = Spent()
            parent.spent.add(spent)
    return nodes


def siblings_in_order(rows: TreeRows) -> dict[str | None, list[tuple[Any, ...]]]:
    """The tree as by parent its children, in order; what lost its parent is below the run."""
    below: dict[str | None, list[tuple[Any, ...]]] = {}
    redone: set[str | None] = set()
    for row in rows.nodes:
        parent_id = row[_PARENT]
        if row[_NODE_TYPE] == NodeType.BRANCH_POINT:
            redone.add(parent_id)
        if parent_id in below:
            below[parent_id].append(row)
        else:
            below[parent_id] = [row]
    index = itemgetter(_ORDER_INDEX)
    for parent_id, siblings in below.items():
        if len(siblings) > 1:
            # A redo has the place of its step.
            siblings.sort(key=_place if parent_id in redone else index)
    tops = below.get(None, ())
    if len(tops) > 1:
        _adopt_orphans(rows, below)
    return below


def _adopt_orphans(rows: TreeRows, below: dict[str | None, list[tuple[Any, ...]]]) -> None:
    """Put nodes at the top that lost their parents below the run; what shares its remote parent stays beside it."""
    by_id = {row[_ID]: row for row in rows.nodes}
    root = by_id.get(rows.run.root_node_id)
    if root is None or root[_NODE_TYPE] != NodeType.RUN:
        return
    above = root
    while above[_PARENT] is not None:
        above = by_id[above[_PARENT]]
    orphans: list[tuple[Any, ...]] = []
    tops: list[tuple[Any, ...]] = []
    for row in below[None]:
        lost = row[_PARENT_SPAN]
        is_orphan = lost is not None and lost not in by_id and lost != root[_PARENT_SPAN]
        # Otherwise the run would be shown below itself.
        (orphans if is_orphan and row is not above else tops).append(row)
    if orphans:
        below[None] = tops
        below[root[_ID]] = _by_start(below.get(root[_ID], []), orphans)


def _by_start(children: list[tuple[Any, ...]], orphans: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Orphans among children by their start; no redo is torn from its step."""
    merged: list[tuple[Any, ...]] = []
    waiting = sorted(orphans, key=itemgetter(_STARTED_AT, _ID), reverse=True)
    for child in children:
        if child[_NODE_TYPE] != NodeType.BRANCH_POINT:
            while waiting and waiting[-1][_STARTED_AT] < child[_STARTED_AT]:
                merged.append(waiting.pop())
        merged.append(child)
    return merged + waiting[::-1]


def _place(row: tuple[Any, ...]) -> tuple[int, int, int, str]:
    return row[_ORDER_INDEX], row[_ATTEMPT] or 0, row[_STARTED_AT], row[_ID]


_NOTHING = Spent()


def _node(row: tuple[Any, ...], parent: TreeNode | None, texts: Decoded) -> TreeNode:
    (
        node_id,
        _,
        node_type,
        name,
        agent,
        status,
        step_node_id,
        branch_id,
        disposition,
        step_number,
        attempt,
        outcome,
        started_at,
        ended_at,
        model,
        provider,
        error_type,
        error_message,
        _,
        _,
    ) = row
    return TreeNode(
        node_id,
        None if parent is None else parent.id,
        0 if parent is None else parent.depth + 1,
        node_type,
        texts[name],
        texts[agent],
        status,
        step_node_id,
        branch_id,
        disposition,
        step_number,
        attempt,
        outcome,
        started_at,
        ended_at,
        texts[model],
        texts[provider],
        texts[error_type],
        texts[error_message],
        None,
        None,
        None,
        _NOTHING,
    )
