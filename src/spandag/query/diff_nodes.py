"""The nodes of two trees side by side: which belong together, and in what they differ."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from operator import itemgetter
from typing import Any

from spandag.query.align import align
from spandag.query.diff_content import (
    INPUT,
    NOTHING_SAID,
    OUTPUT,
    PROMPT,
    TOOL_CALL,
    Said,
    what_of,
)
from spandag.query.diff_sides import LoadedSide
from spandag.query.tree_node import Row, TreeNode
from spandag.semconv import NodeType
from spandag.store.facts import TREE_COLUMNS

STRUCTURE = "structure"

DIVERGES: tuple[tuple[str, ...], tuple[str, ...]] = (
    (STRUCTURE, "node_type", "name", "model", "hypothesis", INPUT, PROMPT, TOOL_CALL),
    (OUTPUT, "error", "status", "outcome"),
)
"""What two paths part by: when something starts, and when it ends."""

Compared = tuple[TreeNode | None, TreeNode | None, int, int | None, tuple[str, ...]]
"""Both nodes, their depth, the place of the pair above and what differs, as in `spandag.query.NodePair`."""

_NODE_TYPE, _NAME, _STEP_NUMBER, _ATTEMPT, _STATUS, _OUTCOME = map(
    TREE_COLUMNS.index, ("node_type", "name", "step_number", "attempt", "status", "outcome")
)
_OF_NODE = itemgetter(
    *map(
        TREE_COLUMNS.index,
        ("status", "outcome", "model", "provider", "error_type", "error_message"),
    )
)


class _Nodes:
    """The nodes of one side, and what one sees of them when one looks for their like.

    Attributes:
        nodes: Every node after its parent.
        rows: Their rows.
        tops: Places of those at the top.
        below: By place the places of the nodes directly below it.
        keys: Type and name, or what else nodes have to have in common to belong together.
        own: Everything about the node itself but time, tokens and cost.
        whole: The same of it and all that is below it.
        kinds: As `keys`, but all model calls are alike.
    """

    def __init__(
        self,
        side: LoadedSide,
        said: Mapping[str, Said],
        numbers: dict[Hashable, int],
    ) -> None:
        self.nodes = side.nodes
        self.rows = [side.by_id[node.id] for node in side.nodes]
        self.said = [said.get(node.id, NOTHING_SAID) for node in side.nodes]
        self.hypotheses = {
            node.id: node.hypothesis for node in side.nodes if node.node_type == NodeType.BRANCH_POINT
        }
        self.tops: list[int] = []
        self.below: list[list[int]] = [[] for _ in side.nodes]
        self._place()

        def number(seen: Hashable) -> int:
            # Compared again and again, and a number is compared at once.
            return numbers.setdefault(seen, len(numbers))

        self.keys = [number(_key(row)) for row in self.rows]
        self.kinds = [
            number(NodeType.LLM) if row[_NODE_TYPE] == NodeType.LLM else key
            for row, key in zip(self.rows, self.keys, strict=True)
        ]
        self.own = [
            number((key, _OF_NODE(row), said, self.hypotheses.get(row[0])))
            for key, row, said in zip(self.keys, self.rows, self.said, strict=True)
        ]
        self.whole = self.own.copy()
        # By what they are called for, whatever they do: the third iteration is compared with the third one.
        self.first_look = self.own.copy()
        self.second_look = self.own.copy()
        for place in range(len(self.nodes) - 1, -1, -1):
            below = self.below[place]
            if below:
                self.whole[place] = number((self.own[place], tuple([self.whole[i] for i in below])))
            if self.rows[place][_NODE_TYPE] in _BY_KEY:
                self.first_look[place] = self.second_look[place] = self.keys[place]
            else:
                self.first_look[place] = self.whole[place]

    def _place(self) -> None:
        if not self.nodes:
            return
        top = self.nodes[0].depth
        way: list[int] = []
        for place, node in enumerate(self.nodes):
            del way[node.depth - top :]
            (self.below[way[-1]] if way else self.tops).append(place)
            way.append(place)

    def looks(self, places: list[int]) -> list[list[int]]:
        """What one sees of some of the nodes, the closest look first."""
        return [
            [look[place] for place in places]
            for look in (self.first_look, self.second_look, self.keys, self.keys, self.kinds)
        ]


_BY_KEY = frozenset({NodeType.ITERATION, NodeType.BRANCH_POINT})


def _key(row: Row) -> Hashable:
    node_type = row[_NODE_TYPE]
    if node_type == NodeType.ITERATION and row[_STEP_NUMBER] is not None:
        return node_type, row[_STEP_NUMBER]
    if node_type == NodeType.BRANCH_POINT:
        return node_type, row[_NAME], row[_ATTEMPT]
    return node_type, row[_NAME]


def compared(
    side_a: LoadedSide, side_b: LoadedSide, said: tuple[Mapping[str, Said], Mapping[str, Said]]
) -> list[Compared]:
    """The nodes of both sides in pairs, every pair after the one above it.

    Args:
        side_a: The first side.
        side_b: The second side.
        said: Of both sides by node what it said.
    """
    numbers: dict[Hashable, int] = {}
    a, b = _Nodes(side_a, said[0], numbers), _Nodes(side_b, said[1], numbers)
    result: list[Compared] = []
    # What is still to come, the next one last.
    to_come: list[tuple[int | None, int | None, int, int | None]] = []

    def come(tops_a: list[int], tops_b: list[int], depth: int, above: int | None) -> None:
        if len(tops_a) == len(tops_b) == 1 and (above is None or a.keys[tops_a[0]] == b.keys[tops_b[0]]):
            to_come.append((tops_a[0], tops_b[0], depth, above))
            return
        pairs = align(a.looks(tops_a), b.looks(tops_b)) if tops_a and tops_b else []
        rows: list[tuple[int | None, int | None, int, int | None]] = []
        before_a = before_b = 0
        for i, j in [*pairs, (len(tops_a), len(tops_b))]:
            rows += [(place, None, depth, above) for place in tops_a[before_a:i]]
            rows += [(None, place, depth, above) for place in tops_b[before_b:j]]
            if i < len(tops_a) and j < len(tops_b):
                rows.append((tops_a[i], tops_b[j], depth, above))
            before_a, before_b = i + 1, j + 1
        to_come.extend(reversed(rows))

    come(a.tops, b.tops, 0, None)
    while to_come:
        in_a, in_b, depth, above = to_come.pop()
        place = len(result)
        node_a = None if in_a is None else a.nodes[in_a]
        node_b = None if in_b is None else b.nodes[in_b]
        if in_a is None or in_b is None:
            result.append((node_a, node_b, depth, above, (STRUCTURE,)))
        else:
            result.append((node_a, node_b, depth, above, _differs(a, in_a, b, in_b)))
        below_a = [] if in_a is None else a.below[in_a]
        below_b = [] if in_b is None else b.below[in_b]
        if below_a or below_b:
            come(below_a, below_b, depth + 1, place)
    return result


def _differs(a: _Nodes, in_a: int, b: _Nodes, in_b: int) -> tuple[str, ...]:
    row_a, row_b = a.rows[in_a], b.rows[in_b]
    node_type = row_a[_NODE_TYPE]
    is_llm = node_type == row_b[_NODE_TYPE] == NodeType.LLM
    found: list[str] = []
    if a.own[in_a] != b.own[in_b]:
        found += _of_nodes(row_a, row_b, is_llm=is_llm)
        if a.hypotheses.get(row_a[0]) != b.hypotheses.get(row_b[0]):
            found.append("hypothesis")
        if a.said[in_a] != b.said[in_b]:
            said_a, said_b = dict(a.said[in_a]), dict(b.said[in_b])
            found += {
                what_of(node_type, direction)
                for direction in said_a.keys() | said_b.keys()
                if said_a.get(direction) != said_b.get(direction)
            }
    if is_llm:
        spent_a, spent_b = a.nodes[in_a].spent, b.nodes[in_b].spent
        if spent_a is not spent_b:
            if spent_a[1:3] != spent_b[1:3]:
                found.append("tokens")
            if spent_a.cost_usd != spent_b.cost_usd:
                found.append("cost")
    if len(found) > 1:
        found.sort(key=_ORDER.__getitem__)
    return tuple(found)


def _of_nodes(row_a: Row, row_b: Row, *, is_llm: bool) -> list[str]:
    found = []
    if row_a[_NODE_TYPE] != row_b[_NODE_TYPE]:
        found.append("node_type")
    # A model call is named after its model, an iteration after its agent.
    if row_a[_NAME] != row_b[_NAME] and not is_llm:
        found.append("name")
    of_a, of_b = _OF_NODE(row_a), _OF_NODE(row_b)
    if of_a != of_b:
        status_a, outcome_a, *model_a, error_a, message_a = of_a
        status_b, outcome_b, *model_b, error_b, message_b = of_b
        different: list[tuple[str, Any, Any]] = [
            ("model", model_a, model_b),
            ("error", (error_a, message_a), (error_b, message_b)),
            ("status", status_a, status_b),
            ("outcome", outcome_a, outcome_b),
        ]
        found += [what for what, of_one, of_other in different if of_one != of_other]
    return found


_ORDER = {what: place for place, what in enumerate((*DIVERGES[0], *DIVERGES[1], "tokens", "cost"))}
