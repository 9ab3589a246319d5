"""A run as a graph for drawing: repeated work shown once, redos as lanes, no deeper than asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from spandag.query.spent import NOTHING, Spent
from spandag.query.tree import Tree
from spandag.query.tree_node import TreeNode
from spandag.semconv import NodeType

_REPEATED = 4
"""From how many alike siblings on one stands for all of them."""


@dataclass(slots=True, eq=False)
class GraphNode:
    """A node of the drawing.

    Attributes:
        node: What it shows; of several alike the first.
        parent: The node above it in the drawing, None at the top. A redo is below its branch point.
        lane: The redo that it is part of, the innermost.
        times: How many siblings that are alike it stands for.
        spent: What all of them spent.
        more: How many nodes below it are left out, as they are too deep.
    """

    node: TreeNode
    parent: GraphNode | None
    lane: GraphNode | None = None
    times: int = 1
    spent: Spent = NOTHING
    more: int = 0

    @property
    def is_lane(self) -> bool:
        """Whether it stands for a redo rather than for a span."""
        return self.node.node_type == NodeType.BRANCH_POINT


@dataclass(slots=True)
class Graph:
    """What is drawn of a run.

    Attributes:
        tree: The run.
        nodes: Every node after its parent.
        repeated: How many nodes are left out as a sibling before them is alike.
        deeper: How many are left out as they are too deep.
    """

    tree: Tree
    nodes: list[GraphNode] = field(default_factory=list)
    repeated: int = 0
    deeper: int = 0


def graph_of_tree(tree: Tree, *, depth: int | None = None, whole: bool = False) -> Graph:
    """What to draw of a run.

    Args:
        tree: The run and its nodes.
        depth: How deep; 0 for the run alone, None for all.
        whole: Whether siblings that are alike are all shown.
    """
    graph = Graph(tree)
    by_id = {node.id: node for node in tree.nodes}
    sizes = _sizes(tree)
    shapes = {} if whole else _shapes(tree)
    tops = [node for node in tree.nodes if node.parent_node_id is None]
    # In reverse, as the last is taken first.
    stack: list[tuple[TreeNode, GraphNode | None, int, Spent, int]] = []

    def put(siblings: Sequence[TreeNode], parent: GraphNode | None, level: int) -> None:
        groups = [[node] for node in siblings] if whole else _alike(siblings, shapes)
        for group in groups:
            graph.repeated += sum(sizes[node.id] for node in group[1:])
        for group in reversed(groups):
            spent = group[0].spent
            for node in group[1:]:
                spent = spent.plus(node.spent)
            stack.append((group[0], parent, len(group), spent, level))

    put(tops, None, 0)
    while stack:
        node, parent, times, spent, level = stack.pop()
        lane = None if parent is None else parent if parent.is_lane else parent.lane
        drawn = GraphNode(node, parent, lane, times, spent)
        graph.nodes.append(drawn)
        children = [by_id[child] for child in node.children]
        # A redo is as deep as the step that it is of.
        below = level if drawn.is_lane else level + 1
        if depth is not None and below > depth and children:
            drawn.more = sizes[node.id] - 1
            graph.deeper += drawn.more
            continue
        put(children, drawn, below)
    return graph


def _sizes(tree: Tree) -> dict[str, int]:
    """How many nodes there are at and below each."""
    sizes = dict.fromkeys((node.id for node in tree.nodes), 1)
    for node in reversed(tree.nodes):
        if node.parent_node_id is not None:
            sizes[node.parent_node_id] += sizes[node.id]
    return sizes


def _shapes(tree: Tree) -> dict[str, int]:
    """By node a number that is the same for those that look the same, with all that is below them."""
    numbers: dict[object, int] = {}
    shapes: dict[str, int] = {}
    for node in reversed(tree.nodes):
        below = tuple(shapes[child] for child in node.children)
        look = (node.node_type, node.name, node.status, node.outcome, node.disposition, below)
        shapes[node.id] = numbers.setdefault(look, len(numbers))
    return shapes


def _alike(siblings: Sequence[TreeNode], shapes: dict[str, int]) -> list[list[TreeNode]]:
    """Siblings in groups that are shown as one node."""
    groups: list[list[TreeNode]] = []
    # Not only of neighbours: an agent that thinks and acts by turns repeats itself as well.
    by_shape: dict[int, list[TreeNode]] = {}
    for node in siblings:
        # Steps and redos are what one looks for.
        if node.node_type in (NodeType.STEP, NodeType.BRANCH_POINT):
            groups.append([node])
        elif (alike := by_shape.get(shapes[node.id])) is not None:
            alike.append(node)
        else:
            by_shape[shapes[node.id]] = [node]
            groups.append(by_shape[shapes[node.id]])
    # Few are shown each in its own place.
    first_of = {group[0].id: group for group in groups if len(group) >= _REPEATED}
    alone = {node.id for group in groups if len(group) < _REPEATED for node in group}
    result: list[list[TreeNode]] = []
    for node in siblings:
        if node.id in alone:
            result.append([node])
        elif node.id in first_of:
            result.append(first_of[node.id])
    return result
