"""What happened in a run, as a tree?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from spandag.query.errors import QueryError
from spandag.query.liveness import load_tree
from spandag.query.resolve import is_run_id, resolve_run
from spandag.query.runs import REDO, Run, node_types, summary
from spandag.query.spent import NOTHING, own_spending
from spandag.query.tree_node import TreeNode, sum_up
from spandag.query.undisturbed import undisturbed
from spandag.semconv import NodeType
from spandag.store import Store, TreeRows
from spandag.store.facts import TREE_COLUMNS


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
    with store.connection() as connection, undisturbed():
        # A whole id names a run by itself; only where there is none it has to be found out what is meant.
        rows = load_tree(connection, run) if is_run_id(run) else None
        if rows is None:
            run_id = resolve_run(connection, run)
            rows = load_tree(connection, run_id)
        if rows is None:
            raise QueryError(f"run {run_id} was removed meanwhile")
        return tree_of_rows(rows, all_spans=all_spans)


def tree_of_rows(rows: TreeRows, *, all_spans: bool = False) -> Tree:
    """As `tree`, of rows that are loaded with what is known of what has not ended."""
    types = node_types(rows)
    spans = 0 if all_spans else types[NodeType.SPAN]
    # A trace of plain spans only has nothing else to show.
    lift = 0 < spans < len(rows.nodes)
    return Tree(summary(rows, types), _in_order(rows, lift_spans=lift), spans if lift else 0)


_ID, _PARENT, _NODE_TYPE, _ATTEMPT, _STARTED_AT, _ORDER_INDEX, _PARENT_SPAN = map(
    TREE_COLUMNS.index,
    ("id", "parent_node_id", "node_type", "attempt", "started_at", "order_index", "parent_span_id"),
)


# One for all that nothing is below.
_NOTHING_BELOW: Sequence[str] = ()


def _in_order(rows: TreeRows, *, lift_spans: bool) -> list[TreeNode]:
    """The nodes of the tree in order.

    A run can have 100,000 of them, so nothing is made for a node that it can do without.
    """
    below = siblings_in_order(rows)
    own = own_spending(rows.costs)
    branches = {branch.branch_node_id: branch for branch in rows.branches if branch.kind == REDO}
    nodes: list[TreeNode] = []
    # Backwards, as they come off the end; and for each the node of the tree that it stands below.
    stack: list[tuple[Any, ...]] = below.get(None, [])[::-1]
    above_them: list[TreeNode | None] = [None] * len(stack)
    while stack:
        row, here = stack.pop(), above_them.pop()
        node_id, node_type = row[_ID], row[_NODE_TYPE]
        children = below.get(node_id, ())
        if not lift_spans or node_type != NodeType.SPAN:
            if lift_spans and here is not None:
                here.children.append(node_id)  # type: ignore[attr-defined]
            here = TreeNode(
                row,
                here,
                branches.get(node_id) if node_type == NodeType.BRANCH_POINT else None,
                own.get(node_id, NOTHING) if node_type == NodeType.LLM else NOTHING,
                [] if lift_spans else [child[_ID] for child in children] if children else _NOTHING_BELOW,
            )
            nodes.append(here)
        if children:
            stack += children[::-1]
            above_them += [here] * len(children)
    sum_up(nodes)
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
