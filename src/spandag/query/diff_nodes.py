"""The nodes of two trees side by side: which belong together, and in what they differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence, Set
from functools import partial
from itertools import compress, count, repeat
from operator import itemgetter, ne
from typing import Any, NamedTuple

from spandag.query.align import align
from spandag.query.diff_content import (
    INPUT,
    OUTPUT,
    PROMPT,
    TOOL_CALL,
    ContentChange,
    Said,
    what_of,
)
from spandag.query.diff_sides import LoadedSide
from spandag.query.tree_node import Row, TreeNode
from spandag.semconv import NodeType
from spandag.store.records import TREE_COLUMNS

STRUCTURE = "structure"

DIVERGES: tuple[tuple[str, ...], tuple[str, ...]] = (
    (STRUCTURE, "node_type", "name", "model", "hypothesis", INPUT, PROMPT, TOOL_CALL),
    (OUTPUT, "error", "status", "outcome"),
)
"""What two paths part by: when something starts, and when it ends."""


class NodePair(NamedTuple):
    """What stands at one place of both sides.

    Attributes:
        a: The node of the first side; None where only the second one has it.
        b: The node of the second side; None where only the first one has it.
        depth: 0 at the top of what is compared.
        above: The place in `spandag.query.Diff.pairs` of the pair above it; None at the top.
        differs: What is not the same: ``structure`` where one of them is missing, ``node_type``, ``name``,
            ``model``, ``hypothesis``, ``input``, ``prompt``, ``tool_call``, ``output``, ``error``, ``status``,
            ``outcome``, and of model calls ``tokens`` and ``cost``. Empty where all is the same but time.
        content: The messages that are not the same, with whole texts; None where they were not loaded.
    """

    # A tuple, since a comparison can have 100,000.

    a: TreeNode | None
    b: TreeNode | None
    depth: int
    above: int | None
    differs: tuple[str, ...]
    content: list[ContentChange] | None = None

    @property
    def node(self) -> TreeNode:
        """The node of the second side, or of the first one where only that has it."""
        node = self.b or self.a
        assert node is not None
        return node


_ID, _NODE_TYPE, _NAME, _STEP_NUMBER, _ATTEMPT = map(
    TREE_COLUMNS.index, ("id", "node_type", "name", "step_number", "attempt")
)
_ID_OF, _TYPE_OF, _TYPE_AND_NAME = itemgetter(_ID), itemgetter(_NODE_TYPE), itemgetter(_NODE_TYPE, _NAME)
_OF_NODE = itemgetter(
    *map(
        TREE_COLUMNS.index,
        ("status", "outcome", "model", "provider", "error_type", "error_message"),
    )
)


_Number = Callable[[Hashable], int]
"""A number for all that is equal: what is compared again and again is compared at once."""


class _Nodes:
    """The nodes of one side, and what one sees of them when one looks for their like.

    A run can have 100,000 nodes: what is done for each of them is done by what Python has built in.

    Attributes:
        nodes: Every node after its parent.
        rows: Their rows.
        said: What they said.
        hypotheses: Of branch points, by place.
        depths: How far each is below those at the top.
        tops: Places of those at the top.
        parents: By place the place of the node above it; -1 at the top.
        below: By place the places of the nodes directly below it.
        ends: By place the place after the last node below it.
        keys: Type and name, or what else nodes have to have in common to belong together.
        types: Their types.
        shapes: The keys of a node and of all below it, in their places.
        seen: All that is compared of a node but hypotheses, tokens and cost.
        whole: All that is compared of a node.
    """

    def __init__(self, side: LoadedSide, said: Said, directions: Sequence[str], number: _Number) -> None:
        self.nodes = side.nodes
        self.rows = side.node_rows
        self.said = said
        self._number = number
        top = self.nodes[0].depth if self.nodes else 0
        self.depths = [node.depth - top for node in self.nodes]
        self._put_in_place()
        self.types = list(map(_TYPE_OF, self.rows))
        self.keys = list(map(number, map(_TYPE_AND_NAME, self.rows)))
        self.hypotheses: dict[int, str | None] = {}
        if not _BY_KEY.isdisjoint(self.types):
            self._look_closer()
        ids = list(map(_ID_OF, self.rows))
        of_nodes = [map(said.get(direction, _SILENT).get, ids) for direction in directions]
        self.seen = list(map(number, zip(self.keys, map(_OF_NODE, self.rows), *of_nodes, strict=True)))
        self.whole = self._with_more()
        self.shapes = self._with_below(self.keys.copy(), frozenset())
        self._looks: tuple[list[int], ...] | None = None

    def _put_in_place(self) -> None:
        depths = self.depths
        parents = self.parents = [-1] * len(depths)
        below = self.below = [_NOTHING_BELOW] * len(depths)
        self.tops: list[int] = []
        inner: list[int] = []
        way = [-1] * (max(depths, default=0) + 1)
        for place, depth in enumerate(depths):
            way[depth] = place
            if not depth:
                self.tops.append(place)
                continue
            parent = parents[place] = way[depth - 1]
            if siblings := below[parent]:
                siblings.append(place)
            else:
                below[parent] = [place]
                inner.append(parent)
        # Whatever something is below, each before the one that it is below itself.
        self._inner = sorted(inner, reverse=True)
        self.ends = list(range(1, len(depths) + 1))
        for place in self._inner:
            self.ends[place] = self.ends[below[place][-1]]

    def _look_closer(self) -> None:
        """Nodes that are known by their number or attempt."""
        for place, node_type in enumerate(self.types):
            if node_type not in _BY_KEY:
                continue
            row = self.rows[place]
            if node_type == NodeType.BRANCH_POINT:
                self.hypotheses[place] = self.nodes[place].hypothesis
                self.keys[place] = self._number((node_type, row[_NAME], row[_ATTEMPT]))
            elif row[_STEP_NUMBER] is not None:
                self.keys[place] = self._number((node_type, row[_STEP_NUMBER]))

    def _with_more(self) -> list[int]:
        """What one sees of the nodes, with the tokens and cost of model calls, and hypotheses."""
        number, seen, nodes, llm = self._number, self.seen, self.nodes, NodeType.LLM
        whole = seen.copy()
        for place, node_type in enumerate(self.types):
            if node_type == llm:
                whole[place] = number((seen[place], nodes[place].spent[1:4]))
        for place, hypothesis in self.hypotheses.items():
            whole[place] = number((seen[place], hypothesis))
        return whole

    def _with_below(self, each: list[int], but: Set[str]) -> list[int]:
        """The same with all that is below, but for nodes of some types."""
        number, below, types = self._number, self.below, self.types
        for place in self._inner:
            if types[place] not in but:
                all_below = tuple([each[child] for child in below[place]])
                each[place] = number((each[place], all_below))
        return each

    def looks(self, places: list[int]) -> list[list[int]]:
        """What one sees of some of the nodes, the closest look first."""
        if self._looks is None:
            self._looks = self._all_looks()
        return [[look[place] for place in places] for look in self._looks]

    def _all_looks(self) -> tuple[list[int], ...]:
        """The same in all that is below; the same by itself; of the same name; model calls of whatever model."""
        keys = self.keys
        llm, any_model = NodeType.LLM, self._number(NodeType.LLM)
        kinds = [
            any_model if node_type == llm else key for node_type, key in zip(self.types, keys, strict=True)
        ]
        # By what they are called for, whatever they do: the third iteration belongs to the third one.
        by_itself = [
            key if node_type in _BY_KEY else seen
            for node_type, key, seen in zip(self.types, keys, self.seen, strict=True)
        ]
        return self._with_below(by_itself.copy(), _BY_KEY), by_itself, keys, keys, kinds


_NOTHING_BELOW: list[int] = []
_SILENT: dict[str, bytes] = {}
_BY_KEY = frozenset({NodeType.ITERATION, NodeType.BRANCH_POINT})
_SAME: tuple[str, ...] = ()
_ONE_MISSING: tuple[str, ...] = (STRUCTURE,)

_make_pair = partial(tuple.__new__, NodePair)


def compared(side_a: LoadedSide, side_b: LoadedSide, said: tuple[Said, Said]) -> list[NodePair]:
    """The nodes of both sides in pairs, every pair after the one above it.

    Args:
        side_a: The first side.
        side_b: The second side.
        said: What they said.
    """
    numbers: defaultdict[Hashable, int] = defaultdict(count().__next__)
    directions = sorted(said[0].keys() | said[1].keys())
    a, b = (
        _Nodes(side, of_side, directions, numbers.__getitem__)
        for side, of_side in zip((side_a, side_b), said, strict=True)
    )
    result: list[NodePair] = []
    # What is still to come, the next one last.
    to_come: list[tuple[int | None, int | None, int, int | None]] = []

    def come(tops_a: list[int], tops_b: list[int], depth: int, above: int | None) -> None:
        if len(tops_a) == len(tops_b) == 1 and (above is None or a.keys[tops_a[0]] == b.keys[tops_b[0]]):
            to_come.append((tops_a[0], tops_b[0], depth, above))
            return
        if [a.keys[i] for i in tops_a] == [b.keys[j] for j in tops_b]:
            both = zip(reversed(tops_a), reversed(tops_b), strict=True)
            to_come.extend([(i, j, depth, above) for i, j in both])
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
        if in_a is not None and in_b is not None and a.shapes[in_a] == b.shapes[in_b]:
            result += _of_one_shape(a, in_a, b, in_b, place, above)
            continue
        node_a = None if in_a is None else a.nodes[in_a]
        node_b = None if in_b is None else b.nodes[in_b]
        differs = _ONE_MISSING if in_a is None or in_b is None else _differs(a, in_a, b, in_b)
        result.append(NodePair(node_a, node_b, depth, above, differs))
        below_a = [] if in_a is None else a.below[in_a]
        below_b = [] if in_b is None else b.below[in_b]
        if below_a or below_b:
            come(below_a, below_b, depth + 1, place)
    return result


def _of_one_shape(
    a: _Nodes, in_a: int, b: _Nodes, in_b: int, place: int, above: int | None
) -> Iterator[NodePair]:
    """The pairs of two nodes and of all below them, of which each belongs to that in the same place."""
    end_a, end_b = a.ends[in_a], b.ends[in_b]
    differs = [_SAME] * (end_a - in_a)
    different = map(ne, a.whole[in_a:end_a], b.whole[in_b:end_b])
    for offset in compress(range(end_a - in_a), different):
        differs[offset] = _differs(a, in_a + offset, b, in_b + offset)
    further = place - in_a
    aboves = [above, *[parent + further for parent in a.parents[in_a + 1 : end_a]]]
    rows = zip(a.nodes[in_a:end_a], b.nodes[in_b:end_b], a.depths[in_a:end_a], aboves, differs, repeat(None))
    return map(_make_pair, rows)


def _differs(a: _Nodes, in_a: int, b: _Nodes, in_b: int) -> tuple[str, ...]:
    if a.whole[in_a] == b.whole[in_b]:
        return _SAME
    row_a, row_b = a.rows[in_a], b.rows[in_b]
    node_type = row_a[_NODE_TYPE]
    is_llm = node_type == row_b[_NODE_TYPE] == NodeType.LLM
    found: list[str] = []
    if a.seen[in_a] != b.seen[in_b]:
        found += _of_nodes(row_a, row_b, is_llm=is_llm)
        id_a, id_b = row_a[_ID], row_b[_ID]
        for direction in a.said.keys() | b.said.keys():
            if a.said.get(direction, _SILENT).get(id_a) != b.said.get(direction, _SILENT).get(id_b):
                what = what_of(node_type, direction)
                if what not in found:
                    found.append(what)
    if node_type == NodeType.BRANCH_POINT and a.hypotheses[in_a] != b.hypotheses.get(in_b):
        found.append("hypothesis")
    if is_llm:
        spent_a, spent_b = a.nodes[in_a].spent, b.nodes[in_b].spent
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
    # A model call is named after its model, an iteration after its agent, which says so itself.
    is_iteration = row_a[_NODE_TYPE] == row_b[_NODE_TYPE] == NodeType.ITERATION
    if row_a[_NAME] != row_b[_NAME] and not is_llm and not is_iteration:
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
