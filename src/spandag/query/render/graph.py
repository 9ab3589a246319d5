"""What the drawings of a run as a graph have in common: what nodes and edges say, and how they look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from spandag.query.graph import Graph, GraphNode
from spandag.query.render.formats import Page, cost, duration, tokens
from spandag.query.render.marks import mark_of
from spandag.semconv import NodeType

_PAGE = Page()
# What is shown of a name, and of a hypothesis.
_MOST = 60
_MOST_OF_HYPOTHESIS = 160

SUPERSEDED = "superseded"
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Opened:
    """A lane begins: what follows belongs to a redo, up to its `Closed`.

    Attributes:
        number: From 1, in the order of the drawing.
        title: What the redo is called, who asked for it, and why.
        is_superseded: Whether another attempt took its place.
    """

    number: int
    title: str
    is_superseded: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """A lane ends."""


@dataclass(frozen=True, slots=True)
class Box:
    """A node.

    Attributes:
        number: From 1.
        lines: What it says.
        node_type: As in the store.
        look: `SUPERSEDED`, `FAILED` or nothing.
    """

    number: int
    lines: list[str]
    node_type: str
    look: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge.

    Attributes:
        source: Number of a box.
        target: Number of a box.
        label: Of a redo, which one it is; of others nothing.
    """

    source: int
    target: int
    label: str


def pieces(graph: Graph) -> Iterator[Opened | Closed | Box]:
    """The nodes in order, those of a redo within its lane."""
    open_lanes: list[GraphNode] = []
    lanes = boxes = 0
    for drawn in graph.nodes:
        while open_lanes and open_lanes[-1] is not drawn.lane:
            open_lanes.pop()
            yield Closed()
        if drawn.is_lane:
            lanes += 1
            open_lanes.append(drawn)
            yield Opened(lanes, _title(drawn), drawn.node.disposition == SUPERSEDED)
        else:
            boxes += 1
            yield Box(boxes, _lines(drawn), drawn.node.node_type, _look(drawn))
    for _ in open_lanes:
        yield Closed()


def arrows(graph: Graph) -> Iterator[Arrow]:
    """The edges: to what is below, and from a step to its redos."""
    numbers: dict[str, int] = {}
    for drawn in graph.nodes:
        if not drawn.is_lane:
            numbers[drawn.node.id] = len(numbers) + 1
    for drawn in graph.nodes:
        if drawn.is_lane or drawn.parent is None:
            continue
        parent = drawn.parent
        target = numbers[drawn.node.id]
        if not parent.is_lane:
            yield Arrow(numbers[parent.node.id], target, "")
            continue
        above = parent.parent
        while above is not None and above.is_lane:
            above = above.parent
        # From attempt 1 of the step; where that is missing, from whatever is above.
        source = numbers.get(parent.node.step_node_id or "")
        if source is None and above is not None:
            source = numbers[above.node.id]
        if source is not None:
            yield Arrow(source, target, _PAGE.line(parent.node.branch_name, _MOST) or "redo")


def heading(graph: Graph) -> str:
    """What run it is."""
    run = graph.tree.run
    return f"run {run.id} {_PAGE.line(run.name, _MOST)}".rstrip()


def _title(drawn: GraphNode) -> str:
    node, glyphs = drawn.node, _PAGE.glyphs
    title = f"{glyphs.redo} {_PAGE.line(node.branch_name, _MOST) or 'redo'}"
    if node.requested_by:
        title += f" asked by {_PAGE.line(node.requested_by, _MOST)}"
    if node.hypothesis:
        opening, closing = glyphs.quotes
        title += f": {opening}{_PAGE.line(node.hypothesis, _MOST_OF_HYPOTHESIS)}{closing}"
    return title


def _lines(drawn: GraphNode) -> list[str]:
    node, glyphs = drawn.node, _PAGE.glyphs
    kind = node.node_type
    if kind in (NodeType.STEP, NodeType.ITERATION) and node.step_number is not None:
        kind = f"{kind} {node.step_number}"
    # An iteration is named after its agent, which is above it.
    name = "" if node.node_type == NodeType.ITERATION else _PAGE.line(node.name, _MOST)
    label = f"{kind} {name}".rstrip()
    if node.node_type == NodeType.STEP and (node.attempt or 1) > 1:
        label += f" {glyphs.dot} attempt {node.attempt}"
    if drawn.times > 1:
        label += f" ×{drawn.times:,}"
    facts = [
        f"{mark_of(node.outcome or node.status, glyphs)[0]} {node.outcome or node.status}",
        duration(node.started_at, node.ended_at) if drawn.times == 1 else "",
        tokens(drawn.spent),
        cost(drawn.spent, glyphs),
    ]
    lines = [label, f" {glyphs.dot} ".join(fact for fact in facts if fact)]
    if drawn.more:
        lines.append(f"{glyphs.ellipsis} {drawn.more:,} below")
    return lines


def _look(drawn: GraphNode) -> str:
    node = drawn.node
    if node.disposition == SUPERSEDED:
        return SUPERSEDED
    return FAILED if FAILED in (node.status, node.outcome) else ""
