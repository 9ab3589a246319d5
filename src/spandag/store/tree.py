"""The tree of a run: who stands below whom, and in which order.

Works on whatever has arrived: parents may be missing, and spans that name each
other as parents (a broken producer) must not stop anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spandag.semconv import NodeType
from spandag.store.records import NodeRecord
from spandag.store.rows import BRANCH_POINT_PREFIX

_ATTEMPTS = frozenset({NodeType.STEP, NodeType.BRANCH_POINT})

Item = list[NodeRecord]
"""What takes one place among siblings: a node, or a step with the branch points of its redos."""


class Attempt(NamedTuple):
    """Which attempt of which step a node is.

    Attributes:
        step: The id of attempt 1, stored or not; None where a redo does not say it.
        number: From 1, in the order in which attempts follow each other.
    """

    step: str | None
    number: int


@dataclass(frozen=True, slots=True)
class Tree:
    """The nodes of a run in their places.

    Attributes:
        nodes: By id.
        parents: The id of each node's parent; None at the top.
        lost: The recorded parent of each node whose parent is not stored.
        items: Below each parent what takes a place, in order.
        attempts: For each step and branch point which attempt of which step it is.
    """

    nodes: dict[str, NodeRecord]
    parents: dict[str, str | None]
    lost: dict[str, str]
    items: dict[str | None, list[Item]]
    attempts: dict[str, Attempt]

    def walk(self) -> Iterator[tuple[NodeRecord, int]]:
        """Every node after its parent, with its place among its siblings."""
        stack = [
            (node, index) for index, item in _reversed_places(self.items.get(None, ())) for node in item[::-1]
        ]
        while stack:
            node, index = stack.pop()
            yield node, index
            stack.extend(
                (child, place)
                for place, item in _reversed_places(self.items.get(node.id, ()))
                for child in item[::-1]
            )


def build(nodes: Sequence[NodeRecord]) -> Tree:
    """Put the nodes of a run in their places."""
    by_id = {node.id: node for node in nodes}
    attempts = {node.id: _attempt(node, by_id) for node in nodes if node.node_type in _ATTEMPTS}
    parents: dict[str, str | None] = {}
    lost: dict[str, str] = {}
    for node in nodes:
        parent = _parent(node, by_id, attempts)
        if parent is not None and parent not in by_id:
            lost[node.id] = parent
            parent = None
        parents[node.id] = parent
    for node_id in _cycle_breakers(by_id, parents):
        parents[node_id] = None
    children: dict[str | None, list[NodeRecord]] = {}
    for node in nodes:
        children.setdefault(parents[node.id], []).append(node)
    items = {parent: _places(siblings, attempts) for parent, siblings in children.items()}
    return Tree(by_id, parents, lost, items, attempts)


def _attempt(node: NodeRecord, by_id: dict[str, NodeRecord]) -> Attempt:
    number = node.attempt or 1
    if node.step_id is None:
        return Attempt(node.id if node.node_type == NodeType.STEP else None, number)
    hops = 0
    # A redo that knows nothing but its link names the attempt before as its step, which names the one before.
    step = node.step_id
    seen = {node.span_id, step}
    while (before := by_id.get(step)) is not None and before.step_id is not None:
        if before.node_type != NodeType.STEP or before.step_id in seen:
            break
        step = before.step_id
        seen.add(step)
        hops += 1
    # It comes after as many redos, whatever it says of itself.
    return Attempt(step, max(number, hops + 2) if hops else number)


def _parent(node: NodeRecord, by_id: dict[str, NodeRecord], attempts: dict[str, Attempt]) -> str | None:
    """The id of a node's parent, stored or not."""
    if node.node_type == NodeType.BRANCH_POINT:
        # Beside attempt 1, wherever the redo itself was started.
        return by_id.get(attempts[node.id].step or "", node).parent_span_id
    branch_point = BRANCH_POINT_PREFIX + node.id
    return branch_point if branch_point in by_id else node.parent_span_id


def _cycle_breakers(by_id: dict[str, NodeRecord], parents: dict[str, str | None]) -> list[str]:
    """In each circle of parents the node that started first, to be taken as a top."""
    breakers = []
    seen_in: dict[str, int] = {}
    for walk, start in enumerate(parents):
        path = []
        at: str | None = start
        while at is not None and at not in seen_in:
            seen_in[at] = walk
            path.append(at)
            at = parents[at]
        if at is not None and seen_in[at] == walk:
            circle = path[path.index(at) :]
            breakers.append(min(circle, key=lambda node_id: (by_id[node_id].started_at, node_id)))
    return breakers


def _places(siblings: list[NodeRecord], attempts: dict[str, Attempt]) -> list[Item]:
    """Siblings by start; the branch points of a step take the step's place, by attempt."""
    branch_points = [node for node in siblings if node.node_type == NodeType.BRANCH_POINT]
    if not branch_points:
        return [[node] for node in sorted(siblings, key=_by_start)]
    items: dict[str, Item] = {node.id: [node] for node in siblings if node.node_type != NodeType.BRANCH_POINT}
    # A step whose attempt 1 is missing is represented by its first redo.
    for node in sorted(branch_points, key=lambda node: (attempts[node.id].number, *_by_start(node))):
        items.setdefault(attempts[node.id].step or node.id, []).append(node)
    return sorted(items.values(), key=lambda item: _by_start(item[0]))


def _by_start(node: NodeRecord) -> tuple[int, str]:
    return node.started_at, node.id


def _reversed_places(items: Sequence[Item]) -> Iterator[tuple[int, Item]]:
    return ((index, items[index]) for index in range(len(items) - 1, -1, -1))
