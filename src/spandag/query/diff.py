"""What is different between two attempts, forks or runs, and where does it begin?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from spandag.query.asked import at_least
from spandag.query.diff_content import Contents
from spandag.query.diff_nodes import DIVERGES, NodePair, compared
from spandag.query.diff_sides import LoadedSide, sides
from spandag.query.runs import REDO, UNCOUNTED_TYPES, Run
from spandag.query.spent import Spent
from spandag.query.tree_node import TreeNode
from spandag.query.undisturbed import undisturbed
from spandag.semconv import NodeType
from spandag.store import Store
from spandag.store.records import TREE_COLUMNS

__all__ = ["Diff", "DiffSide", "Difference", "Divergence", "NodePair", "diff"]


_ID, _NODE_TYPE, _STATUS = map(TREE_COLUMNS.index, ("id", "node_type", "status"))
_TYPE_OF = itemgetter(_NODE_TYPE)


@dataclass(frozen=True, slots=True)
class DiffSide:
    """One side of a comparison: a run, or a node with all that is below it.

    Attributes:
        run: The run.
        node: The node; None where the whole run is compared.
        status: Of the node or run.
        outcome: Of an attempt.
        hypothesis: Why an attempt that is a redo should do better.
        requested_by: Who asked for it.
        has_content: Whether messages, arguments and results of the run were recorded.
        started_at: Unix nanoseconds.
        ended_at: Unix nanoseconds; None where it has not ended.
        nodes: How many nodes are compared, without branch points and spans of other libraries.
        tool_calls: How many of them are tools or code.
        failed: How many of them failed.
        redos: How many redos there are.
        spent: Tokens, cost and model calls.
    """

    run: Run
    node: TreeNode | None
    status: str | None
    outcome: str | None
    hypothesis: str | None
    requested_by: str | None
    has_content: bool
    started_at: int | None
    ended_at: int | None
    nodes: int
    tool_calls: int
    failed: int
    redos: int
    spent: Spent

    @property
    def duration_ns(self) -> int | None:
        """How long it took, in nanoseconds; None where it has not ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max(self.ended_at - self.started_at, 0)


@dataclass(frozen=True, slots=True)
class Difference:
    """The second side's totals less those of the first.

    Attributes:
        duration_ns: Nanoseconds; None where a side has not ended.
        nodes: Nodes.
        tool_calls: Tool calls and code.
        failed: Nodes that failed.
        redos: Redos.
        calls: Model calls that said their tokens or price.
        input_tokens: Tokens in.
        output_tokens: Tokens out.
        cost_usd: USD; None where a side has calls whose price is not known.
    """

    duration_ns: int | None
    nodes: int
    tool_calls: int
    failed: int
    redos: int
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where two sides begin to differ in more than time.

    Attributes:
        what: What differs there first, as in `NodePair.differs`.
        place: The place of the pair in `Diff.pairs`.
        pair: The pair.
    """

    what: str
    place: int
    pair: NodePair


@dataclass(frozen=True, slots=True)
class Diff:
    """Two sides compared.

    Attributes:
        a: The first side.
        b: The second side.
        difference: The second side's totals less those of the first.
        has_content: Whether content was compared: both runs have some. Otherwise structure, status,
            errors, models and tokens were.
        same: How many pairs differ in nothing but time.
        changed: How many pairs differ.
        only_a: How many nodes only the first side has.
        only_b: How many nodes only the second side has.
        first_divergence: What differs first in the order of execution; None where nothing does.
        pairs: Every pair after the one that is above it.
    """

    a: DiffSide
    b: DiffSide
    difference: Difference
    has_content: bool
    same: int
    changed: int
    only_a: int
    only_b: int
    first_divergence: Divergence | None
    pairs: list[NodePair]


def diff(store: Store, a: str, b: str | None = None, *, limit: int | None = 20) -> Diff:
    """Two attempts, forks, or any two runs or nodes, aligned by structure.

    Nodes belong together that have the same type and name among their siblings, in order; iterations
    by their number; model calls whatever the model. Content is compared by what it
    means: ids of tool calls and the order of JSON's keys make no difference.

    Args:
        store: Where they are.
        a: A run (as `spandag.query.resolve_run` takes it, or ``last~1`` for the one before the last) or a
            node (as `spandag.query.resolve_node` takes it; a branch point means its redo).
        b: The same. None where `a` is in a step that was done again: its first and its last attempt are
            compared; or a fork, which is compared with the run that it goes on from.
        limit: Of how many pairs that differ the content is loaded, the first divergence apart; None for all.

    Raises:
        QueryError: No run or node is meant, or several are; there is nothing to compare with; or the
            limit makes no sense.
    """
    at_least(0, limit, "the limit")
    with store.connection() as connection, undisturbed():
        side_a, side_b = sides(connection, a, b)
        contents = Contents(
            connection,
            side_a.rows.run.id,
            side_b.rows.run.id,
            None if side_a.node is None else {row[_ID] for row in side_a.node_rows},
            None if side_b.node is None else {row[_ID] for row in side_b.node_rows},
        )
        pairs = compared(side_a, side_b, contents.said())
        place_and_what = _first_divergence(pairs, with_content=contents.has_a and contents.has_b)
        _load_content(pairs, contents, None if place_and_what is None else place_and_what[0], limit)
    differ = [pair for pair in pairs if pair.differs]
    only_a = sum(pair.b is None for pair in differ)
    only_b = sum(pair.a is None for pair in differ)
    first, second = _side(side_a, contents.has_a), _side(side_b, contents.has_b)
    return Diff(
        a=first,
        b=second,
        difference=_difference(first, second),
        has_content=contents.has_a and contents.has_b,
        same=len(pairs) - len(differ),
        changed=len(differ) - only_a - only_b,
        only_a=only_a,
        only_b=only_b,
        first_divergence=None
        if place_and_what is None
        else Divergence(place_and_what[1], place_and_what[0], pairs[place_and_what[0]]),
        pairs=pairs,
    )


def _load_content(pairs: list[NodePair], contents: Contents, first: int | None, limit: int | None) -> None:
    """Give the first pairs that differ, and the first divergence, their content."""
    if not (contents.has_a and contents.has_b):
        return
    both = [place for place, pair in enumerate(pairs) if pair.differs and pair.a is not None and pair.b]
    shown = both[:limit]
    if first is not None and first in both and first not in shown:
        shown.append(first)
    ids = [
        (a.node_type, a.id, b.id)
        for a, b, *_ in map(pairs.__getitem__, shown)
        if a is not None and b is not None
    ]
    for place, content in zip(shown, contents.changes(ids), strict=True):
        pairs[place] = pairs[place]._replace(content=content)


def _first_divergence(pairs: Sequence[NodePair], *, with_content: bool) -> tuple[int, str] | None:
    """The first pair that differs and in what: what goes in when it starts, what comes out when it ends."""
    before, after = DIVERGES
    if not with_content:
        # Tokens are then the only trace that a call leaves of what was said.
        after = ("tokens", *after)
    # The innermost pair so far that differs at its end: it ends before those that it is below.
    ending: tuple[int, str] | None = None
    depth = -1
    for place, pair in enumerate(pairs):
        if pair.depth <= depth:
            return ending
        if not pair.differs:
            continue
        if what := _first(pair.differs, before):
            return place, what
        if what := _first(pair.differs, after):
            ending, depth = (place, what), pair.depth
    return ending


def _first(differs: Sequence[str], wanted: Sequence[str]) -> str | None:
    return next((what for what in wanted if what in differs), None)


def _side(side: LoadedSide, has_content: bool) -> DiffSide:
    run, node = side.tree.run, side.node
    types = Counter(map(_TYPE_OF, side.node_rows))
    failed = Counter(row[_NODE_TYPE] for row in side.node_rows if row[_STATUS] == "failed")
    branch = None
    if node is not None and node.parent_node_id is not None:
        above = next((each for each in side.tree.nodes if each.id == node.parent_node_id), None)
        branch = above if above is not None and above.node_type == NodeType.BRANCH_POINT else None
    return DiffSide(
        run=run,
        node=node,
        status=run.status if node is None else node.status,
        outcome=None if node is None else node.outcome,
        hypothesis=branch.hypothesis if branch else None,
        requested_by=branch.requested_by if branch else None,
        has_content=has_content,
        started_at=run.started_at if node is None else node.started_at,
        ended_at=run.ended_at if node is None else node.ended_at,
        nodes=run.nodes
        if node is None
        else sum(types.values()) - sum(types[each] for each in UNCOUNTED_TYPES),
        tool_calls=types[NodeType.TOOL] + types[NodeType.CODE],
        failed=sum(failed.values()) - sum(failed[each] for each in UNCOUNTED_TYPES),
        redos=sum(branch.kind == REDO for branch in side.rows.branches)
        if node is None
        else types[NodeType.BRANCH_POINT],
        spent=run.spent if node is None else node.spent,
    )


def _difference(a: DiffSide, b: DiffSide) -> Difference:
    took_a, took_b = a.duration_ns, b.duration_ns
    known = not a.spent.unpriced_calls and not b.spent.unpriced_calls
    return Difference(
        duration_ns=None if took_a is None or took_b is None else took_b - took_a,
        nodes=b.nodes - a.nodes,
        tool_calls=b.tool_calls - a.tool_calls,
        failed=b.failed - a.failed,
        redos=b.redos - a.redos,
        calls=b.spent.calls - a.spent.calls,
        input_tokens=b.spent.input_tokens - a.spent.input_tokens,
        output_tokens=b.spent.output_tokens - a.spent.output_tokens,
        cost_usd=(b.spent.cost_usd or 0.0) - (a.spent.cost_usd or 0.0) if known else None,
    )
