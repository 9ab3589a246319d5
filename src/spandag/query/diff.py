"""What is different between two attempts, forks or runs, and where does it begin?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from spandag.query.diff_content import ContentChange, Contents
from spandag.query.diff_nodes import DIVERGES, Compared, compared
from spandag.query.diff_sides import LoadedSide, sides
from spandag.query.runs import REDO, UNCOUNTED_TYPES, Run, summary
from spandag.query.spent import Spent
from spandag.query.tree_node import TreeNode
from spandag.query.undisturbed import undisturbed
from spandag.semconv import NodeType
from spandag.store import Store

__all__ = ["Diff", "DiffSide", "Difference", "Divergence", "NodePair", "diff"]


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
class NodePair:
    """What stands at one place of both sides.

    Attributes:
        a: The node of the first side; None where only the second one has it.
        b: The node of the second side; None where only the first one has it.
        depth: 0 at the top of what is compared.
        above: The place in `Diff.pairs` of the pair above it; None at the top.
        differs: What is not the same: ``structure`` where one of them is missing, ``node_type``, ``name``,
            ``model``, ``hypothesis``, ``input``, ``prompt``, ``tool_call``, ``output``, ``error``, ``status``,
            ``outcome``, and of model calls ``tokens`` and ``cost``. Empty where all is the same but time.
        content: The messages that are not the same, with whole texts; None where they were not loaded.
    """

    a: TreeNode | None
    b: TreeNode | None
    depth: int
    above: int | None
    differs: tuple[str, ...]
    content: list[ContentChange] | None

    @property
    def node(self) -> TreeNode:
        """The node of the second side, or of the first one where only that has it."""
        node = self.b or self.a
        assert node is not None
        return node


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
    by their number; model calls whatever the model. Content is compared by its hashes.

    Args:
        store: Where they are.
        a: A run (as `spandag.query.resolve_run` takes it, or ``last~1`` for the one before the last) or a
            node (as `spandag.query.resolve_node` takes it; a branch point means its redo).
        b: The same. None where `a` is in a step that was done again: its first and its last attempt are
            compared; or a fork, which is compared with the run that it goes on from.
        limit: Of how many pairs that differ the content is loaded, the first divergence apart; None for all.

    Raises:
        QueryError: No run or node is meant, or several are; or there is nothing to compare with.
    """
    with store.connection() as connection, undisturbed():
        side_a, side_b = sides(connection, a, b)
        contents = Contents(
            connection,
            side_a.rows.run.id,
            side_b.rows.run.id,
            {node.id for node in side_a.nodes},
            {node.id for node in side_b.nodes},
        )
        found = compared(side_a, side_b, contents.said())
        place_and_what = _first_divergence(found, with_content=contents.has_a and contents.has_b)
        pairs = _pairs(found, contents, None if place_and_what is None else place_and_what[0], limit)
    one_sided = [pair for pair in pairs if pair.a is None or pair.b is None]
    changed = sum(bool(pair.differs) for pair in pairs) - len(one_sided)
    first, second = _side(side_a, contents.has_a), _side(side_b, contents.has_b)
    return Diff(
        a=first,
        b=second,
        difference=_difference(first, second),
        has_content=contents.has_a and contents.has_b,
        same=len(pairs) - changed - len(one_sided),
        changed=changed,
        only_a=sum(pair.b is None for pair in one_sided),
        only_b=sum(pair.a is None for pair in one_sided),
        first_divergence=None
        if place_and_what is None
        else Divergence(place_and_what[1], place_and_what[0], pairs[place_and_what[0]]),
        pairs=pairs,
    )


def _pairs(
    found: Sequence[Compared], contents: Contents, first: int | None, limit: int | None
) -> list[NodePair]:
    """The pairs, with the content of the first ones that differ and of the first divergence."""
    pairs = [NodePair(*each, None) for each in found]
    changed = [place for place, pair in enumerate(pairs) if pair.differs]
    shown = changed if limit is None else changed[:limit]
    if first is not None and first not in shown:
        shown = [*shown, first]
    both = [
        (place, (a.node_type, a.id, b.id))
        for place in shown
        if (a := pairs[place].a) is not None and (b := pairs[place].b) is not None
    ]
    if contents.has_a and contents.has_b:
        loaded = contents.changes([ids for _, ids in both])
        for (place, _), content in zip(both, loaded, strict=True):
            pairs[place] = replace(pairs[place], content=content)
    return pairs


def _first_divergence(found: Sequence[Compared], *, with_content: bool) -> tuple[int, str] | None:
    """The first pair that differs and in what: what goes in when it starts, what comes out when it ends."""
    before, after = DIVERGES
    if not with_content:
        # Tokens are then the only trace that a call leaves of what was said.
        after = ("tokens", *after)
    open_pairs: list[int] = []
    for place, (_, _, depth, _, differs) in enumerate(found):
        while len(open_pairs) > depth:
            ended = open_pairs.pop()
            if what := _first(found[ended][4], after):
                return ended, what
        if what := _first(differs, before):
            return place, what
        open_pairs.append(place)
    while open_pairs:
        ended = open_pairs.pop()
        if what := _first(found[ended][4], after):
            return ended, what
    return None


def _first(differs: Sequence[str], wanted: Sequence[str]) -> str | None:
    return next((what for what in wanted if what in differs), None) if differs else None


def _side(side: LoadedSide, has_content: bool) -> DiffSide:
    run, node = summary(side.rows), side.node
    counted = [each for each in side.nodes if each.node_type not in UNCOUNTED_TYPES]
    branch = None
    if node is not None and node.parent_node_id is not None:
        above = next((each for each in side.tree.nodes if each.id == node.parent_node_id), None)
        branch = above if above is not None and above.node_type == NodeType.BRANCH_POINT else None
    types = [each.node_type for each in counted]
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
        nodes=run.nodes if node is None else len(counted),
        tool_calls=types.count(NodeType.TOOL) + types.count(NodeType.CODE),
        failed=sum(each.status == "failed" for each in counted),
        redos=sum(branch.kind == REDO for branch in side.rows.branches)
        if node is None
        else sum(each.node_type == NodeType.BRANCH_POINT for each in side.nodes),
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
