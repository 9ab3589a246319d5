"""What happened in a run, as a tree?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from operator import itemgetter

from sqlalchemy import Connection

from spandag.query.asked import as_text
from spandag.query.choices import choices
from spandag.query.errors import QueryError
from spandag.query.liveness import load_tree
from spandag.query.resolve import is_run_id, resolve_run
from spandag.query.runs import REDO, Run, node_types, summary
from spandag.query.spent import NOTHING, own_spending
from spandag.query.tree_node import Row, TreeNode, sum_up
from spandag.query.undisturbed import undisturbed
from spandag.semconv import NodeType
from spandag.store import Store, TreeRows
from spandag.store.derive import ACTIVE
from spandag.store.records import TREE_COLUMNS


@dataclass(frozen=True, slots=True)
class Tree:
    """A run and its nodes.

    Attributes:
        run: The run.
        nodes: Every node after its parent, siblings by their start; a redo follows its step's first attempt.
        hidden: How many spans of other libraries are left out.
        choices: By approval what was chosen, of those that were answered.
    """

    run: Run
    nodes: list[TreeNode]
    hidden: int
    choices: dict[str, str] = field(default_factory=dict)


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
        return whole_tree(connection, rows_of(connection, run), all_spans=all_spans)


def whole_tree(connection: Connection, rows: TreeRows, *, all_spans: bool = False) -> Tree:
    """As `tree`, of rows that are loaded with what is known of what has not ended.

    Args:
        connection: Of the store, in the snapshot that the rows are from.
        rows: As `rows_of` gives them.
        all_spans: As of `tree`.
    """
    return replace(tree_of_rows(rows, all_spans=all_spans), choices=choices(connection, rows))


def rows_of(connection: Connection, run: str) -> TreeRows:
    """The rows of a run with what is known of what has not ended.

    Args:
        connection: Of the store.
        run: As `spandag.query.resolve_run` takes it.

    Raises:
        QueryError: No run is meant, or several are.
    """
    # A whole id names a run by itself; only where there is none it has to be found out what is meant.
    rows = load_tree(connection, run) if is_run_id(as_text(run, "a run")) else None
    if rows is None:
        run_id = resolve_run(connection, run)
        rows = load_tree(connection, run_id)
    if rows is None:
        raise QueryError(f"run {run_id} was removed meanwhile")
    return rows


def tree_of_rows(rows: TreeRows, *, all_spans: bool = False) -> Tree:
    """As `whole_tree`, without what people chose."""
    types = node_types(rows)
    spans = 0 if all_spans else types[NodeType.SPAN]
    # A trace of plain spans only has nothing else to show.
    lift = 0 < spans < len(rows.nodes)
    lifted = _SPANS if lift else _NONE
    return Tree(summary(rows, types), _in_order(rows, lifted), spans if lift else 0)


def path_of_rows(rows: TreeRows, *, all_spans: bool = False) -> Tree:
    """Of rows as `tree_of_rows` takes them, only what counted in the end.

    What stands for a redo is left out, and what is below it moves up to its parent; what was spent
    is summed over the nodes that are left.
    """
    kept = Counter(row[_NODE_TYPE] for row in rows.nodes if row[_DISPOSITION] == ACTIVE)
    spans = 0 if all_spans else kept[NodeType.SPAN]
    lift = 0 < spans < kept.total()
    lifted = _BRANCH_POINTS | (_SPANS if lift else _NONE)
    return Tree(summary(rows), _in_order(rows, lifted, only_active=True), spans if lift else 0)


(
    _ID,
    _PARENT,
    _NODE_TYPE,
    _DISPOSITION,
    _ATTEMPT,
    _STARTED_AT,
    _ORDER_INDEX,
    _PARENT_SPAN,
) = map(
    TREE_COLUMNS.index,
    (
        "id",
        "parent_node_id",
        "node_type",
        "disposition",
        "attempt",
        "started_at",
        "order_index",
        "parent_span_id",
    ),
)

_NONE: frozenset[str] = frozenset()
_SPANS = frozenset({NodeType.SPAN})
_BRANCH_POINTS = frozenset({NodeType.BRANCH_POINT})


# One for all that nothing is below; stays empty.
_NOTHING_BELOW: list[Row] = []


def _in_order(rows: TreeRows, lifted: frozenset[str], *, only_active: bool = False) -> list[TreeNode]:
    """The nodes of the tree in order.

    Args:
        rows: Of the run.
        lifted: Types of nodes that are left out; what is below them moves up.
        only_active: Whether what is superseded or abandoned is left out with all that is below it.

    A run can have 100,000 of them, so nothing is made for a node that it can do without, and no more
    is done for one that nothing is below than has to be.
    """
    llm, branch_point = NodeType.LLM, NodeType.BRANCH_POINT
    below = siblings_in_order(rows)
    own = own_spending(rows.costs)
    branches = {branch.branch_node_id: branch for branch in rows.branches if branch.kind == REDO}
    nodes: list[TreeNode] = []
    above: TreeNode | None = None
    # Of each node on the way down what is still to come below it, and the node of the tree above that.
    to_come = iter(below.get(None, ()))
    way_down: list[tuple[Iterator[Row], TreeNode | None]] = []
    while True:
        for row in to_come:
            if only_active and row[_DISPOSITION] != ACTIVE:
                continue
            children = below.get(row[_ID], _NOTHING_BELOW)
            node_type = row[_NODE_TYPE]
            here = above
            if node_type not in lifted:
                here = TreeNode(
                    row,
                    above,
                    branches.get(row[_ID]) if node_type == branch_point else None,
                    own.get(row[_ID], NOTHING) if node_type == llm else NOTHING,
                    [] if lifted else children,
                )
                nodes.append(here)
                if lifted and above is not None:
                    above.adopt(row)
            if children:
                way_down.append((to_come, above))
                to_come, above = iter(children), here
                break
        else:
            if not way_down:
                break
            to_come, above = way_down.pop()
    sum_up(nodes)
    return nodes


def siblings_in_order(rows: TreeRows) -> dict[str | None, list[Row]]:
    """The tree as by parent its children, in order; what lost its parent is below the run."""
    branch_point = NodeType.BRANCH_POINT
    below: defaultdict[str | None, list[Row]] = defaultdict(list)
    redone: set[str | None] = set()
    for row in rows.nodes:
        below[row[_PARENT]].append(row)
        if row[_NODE_TYPE] == branch_point:
            redone.add(row[_PARENT])
    index = itemgetter(_ORDER_INDEX)
    for parent_id, siblings in below.items():
        if len(siblings) > 1:
            # A redo has the place of its step.
            siblings.sort(key=_place if parent_id in redone else index)
    # Whoever looks for what is not there must not make it.
    below.default_factory = None
    tops = below.get(None, ())
    if len(tops) > 1:
        _adopt_orphans(rows, below)
    return below


def _adopt_orphans(rows: TreeRows, below: dict[str | None, list[Row]]) -> None:
    """Put nodes at the top that lost their parents below the run; what shares its remote parent stays beside it."""
    by_id = {row[_ID]: row for row in rows.nodes}
    root = by_id.get(rows.run.root_node_id)
    if root is None or root[_NODE_TYPE] != NodeType.RUN:
        return
    above = root
    while above[_PARENT] is not None:
        above = by_id[above[_PARENT]]
    orphans: list[Row] = []
    tops: list[Row] = []
    for row in below[None]:
        lost = row[_PARENT_SPAN]
        is_orphan = lost is not None and lost not in by_id and lost != root[_PARENT_SPAN]
        # Otherwise the run would be shown below itself.
        (orphans if is_orphan and row is not above else tops).append(row)
    if orphans:
        below[None] = tops
        below[root[_ID]] = _by_start(below.get(root[_ID], []), orphans)


def _by_start(children: list[Row], orphans: list[Row]) -> list[Row]:
    """Orphans among children by their start; no redo is torn from its step."""
    merged: list[Row] = []
    waiting = sorted(orphans, key=itemgetter(_STARTED_AT, _ID), reverse=True)
    for child in children:
        if child[_NODE_TYPE] != NodeType.BRANCH_POINT:
            while waiting and waiting[-1][_STARTED_AT] < child[_STARTED_AT]:
                merged.append(waiting.pop())
        merged.append(child)
    return merged + waiting[::-1]


def _place(row: Row) -> tuple[int, int, int, str]:
    return row[_ORDER_INDEX], row[_ATTEMPT] or 0, row[_STARTED_AT], row[_ID]
