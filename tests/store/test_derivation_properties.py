"""What follows from the facts of whatever runs, held against the same rules said in another way.

`spandag.store.derive` walks the tree once; here each rule looks at everything that it needs by itself.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from spandag_test_runs import histories

from spandag import semconv
from spandag.export.project import project
from spandag.semconv import LinkType, NodeType
from spandag.store.derive import Derived, apply, derive
from spandag.store.records import CostRecord, EventRecord, NodeRecord, RedoRecord, RunRecord, RunRows
from spandag.store.rows import BRANCH_POINT_PREFIX, DERIVED

# No database takes part.
many = settings(max_examples=3 * settings.default.max_examples)

NO_RUN = RunRecord._make([None] * len(RunRecord._fields))
ATTEMPTS = (NodeType.STEP, NodeType.BRANCH_POINT)
AGENTS = (NodeType.AGENT, NodeType.SUB_AGENT)
WORSE = ("active", "abandoned", "superseded")
GIVEN_UP = ("rejected", "failed", "cancelled")


class Settled:
    """A run with what was derived from it, and the questions that the rules are made of."""

    def __init__(self, rows: RunRows) -> None:
        self.rows = rows
        self.nodes = {node.id: node for node in rows.nodes}
        self.costs = {cost.node_id: cost for cost in rows.costs}

    def above(self, node: NodeRecord) -> list[NodeRecord]:
        """What a node is below, from its parent to the top."""
        found: list[NodeRecord] = []
        while node.parent_node_id is not None:
            node = self.nodes[node.parent_node_id]
            found.append(node)
            assert len(found) <= len(self.nodes), "a circle"
        return found

    def attempt(self, node: NodeRecord) -> tuple[str | None, int]:
        """Which attempt of which step a node is: a link leads to the attempt before, and from there on."""
        if node.step_id is None:
            return (None if is_branch_point(node) else node.id), node.attempt or 1
        named = [node.step_id]
        while (before := self.nodes.get(named[-1])) is not None and before.node_type == NodeType.STEP:
            if before.step_id is None or before.step_id in (*named, node.span_id):
                break
            named.append(before.step_id)
        return named[-1], (node.attempt or 1) + len(named) - 1

    def fate(self, node: NodeRecord) -> str:
        """What became of an attempt itself; a branch point shares that of its redo."""
        steps = [other for other in self.nodes.values() if other.node_type == NodeType.STEP]
        own = next((other for other in steps if other.span_id == node.span_id), None)
        if own is None:
            return "active"
        step, number = self.attempt(own)
        numbers = [self.attempt(other)[1] for other in steps if self.attempt(other)[0] == step]
        if max(numbers) > number:
            return "superseded"
        return "abandoned" if (own.outcome or own.status) in GIVEN_UP else "active"

    def left_behind_by(self, node: NodeRecord) -> str | None:
        """The step of the redone attempt that a node, or what it is below, lost its place in."""
        top = [node, *self.above(node)][-1]
        parent = recorded_parent(top, self)
        own = self.attempt(top)[0] if top.node_type in ATTEMPTS else None
        if parent is None or parent in self.nodes:
            return None
        steps = [
            step
            for other in self.nodes.values()
            if other.node_type in ATTEMPTS
            for step, number in [self.attempt(other)]
            if step is not None
            and ((step == parent and number > 1) or RedoRecord(other.id, parent) in self.rows.redos)
        ]
        # Attempt 1 is known by its step, which is the same for all of its redos.
        step = parent if parent in steps else next(iter(steps), None)
        return None if step == own else step

    def families(self) -> Iterator[list[NodeRecord]]:
        """All nodes that have the same parent, for each parent."""
        for parent in {node.parent_node_id for node in self.nodes.values()}:
            yield [node for node in self.nodes.values() if node.parent_node_id == parent]

    def places(self, family: Sequence[NodeRecord]) -> list[list[NodeRecord]]:
        """What has the same place among siblings, place by place: the step, then its redos."""
        return [
            sorted(
                (node for node in family if node.order_index == place),
                key=lambda node: (is_branch_point(node), self.attempt(node)[1], *start(node)),
            )
            for place in sorted({node.order_index or 0 for node in family})
        ]

    def edges(self, *kinds: str) -> set[tuple[str, str, str]]:
        return {edge[1:4] for edge in self.rows.edges if edge.dependency_type in kinds}


def is_branch_point(node: NodeRecord) -> bool:
    return node.node_type == NodeType.BRANCH_POINT


def start(node: NodeRecord) -> tuple[int, str]:
    return node.started_at, node.id


def facts(history: Sequence[ReadableSpan]) -> list[RunRows]:
    """The runs of a history as the store has them before anything is derived."""
    batch = project(history)

    def records(kind: Any, rows: Sequence[Any], run_id: str) -> list[Any]:
        empty = dict.fromkeys(kind._fields)
        return [
            kind(**{name: said.get(name) for name in empty})
            for row in rows
            if row.run_id == run_id
            for said in [row._asdict()]
        ]

    return [
        RunRows(
            run=NO_RUN._replace(id=run_id),
            nodes=records(NodeRecord, batch.dag_nodes, run_id),
            edges=[edge for edge in batch.dag_edges if edge.run_id == run_id],
            events=[
                event._replace(meta=json.loads(str(event.meta)))
                for event in records(EventRecord, batch.execution_events, run_id)
            ],
            costs=records(CostRecord, batch.cost_records, run_id),
            redos=[
                RedoRecord(link.node_id, link.linked_span_id)
                for link in batch.span_links
                if link.run_id == link.linked_run_id == run_id and link.link_type == LinkType.REDO_OF
            ],
        )
        for run_id in sorted(batch.run_ids)
    ]


settled = histories().map(lambda history: [Settled(apply(run, derive(run), None)) for run in facts(history)])
"""Runs with everything that follows from their facts."""


@many
@given(history=histories(), seed=st.integers(0, 9))
def test_the_order_of_facts_does_not_matter(history: list[ReadableSpan], seed: int) -> None:
    for rows in facts(history):
        in_order: Derived = derive(rows)
        for each in (rows.nodes, rows.edges, rows.events, rows.costs, rows.redos):
            random.Random(seed).shuffle(each)
        assert derive(rows) == in_order
        # Nor does what was derived before.
        assert derive(apply(rows, in_order, None)) == in_order


@many
@given(runs=settled)
def test_every_node_has_its_place_in_one_tree(runs: list[Settled]) -> None:
    for run in runs:
        for node in run.nodes.values():
            above = run.above(node)
            assert node.depth == len(above)
            assert node not in above


@many
@given(runs=settled)
def test_a_node_is_below_its_parent_and_a_redo_below_its_branch_point(runs: list[Settled]) -> None:
    for run in runs:
        said = {node.id: parent_said(node, run) for node in run.nodes.values()}
        for node in run.nodes.values():
            if node.parent_node_id == said[node.id]:
                continue
            # Only a circle is cut, and only where it began.
            assert node.parent_node_id is None
            circle = [node.id]
            while (parent := said[circle[-1]]) != node.id:
                assert parent is not None
                assert parent not in circle
                circle.append(parent)
            assert node == min((run.nodes[node_id] for node_id in circle), key=start)


def parent_said(node: NodeRecord, run: Settled) -> str | None:
    """The parent that the spans speak of, if it is there."""
    parent = recorded_parent(node, run)
    return parent if parent in run.nodes else None


def recorded_parent(node: NodeRecord, run: Settled) -> str | None:
    """The parent that the spans speak of, whether it is there or not."""
    branch_point = BRANCH_POINT_PREFIX + node.id
    if branch_point in run.nodes:
        return branch_point
    original = run.nodes.get(run.attempt(node)[0] or "") if is_branch_point(node) else None
    return (original or node).parent_span_id


@many
@given(runs=settled)
def test_siblings_stand_in_the_order_of_their_starts_and_redos_at_the_place_of_their_step(
    runs: list[Settled],
) -> None:
    for run in runs:
        for family in run.families():
            places = run.places(family)
            assert sorted({node.order_index for node in family}) == list(range(len(places)))
            heads = [place[0] for place in places]
            assert heads == sorted(heads, key=start)
            steps = [{step_at_its_place(node, run) for node in place} for place in places]
            for place, its_steps in zip(places, steps, strict=True):
                assert all(is_branch_point(node) for node in place[1:])
                assert len(its_steps) == 1
            # Nor has a step two places.
            assert len({step for its_steps in steps for step in its_steps}) == len(places)


def step_at_its_place(node: NodeRecord, run: Settled) -> str:
    """What a node shares its place with: a redo with its step, wherever that is; all else with nothing."""
    return (run.attempt(node)[0] or node.id) if is_branch_point(node) else node.id


@many
@given(runs=settled)
def test_what_became_of_a_node_is_the_worst_of_it_and_all_above_it(runs: list[Settled]) -> None:
    for run in runs:
        for node in run.nodes.values():
            fates = [*map(run.fate, [node, *run.above(node)])]
            if run.left_behind_by(node) is not None:
                fates.append("superseded")
            assert node.disposition == max(fates, key=WORSE.index)


@many
@given(runs=settled)
def test_a_node_belongs_to_the_nearest_step_and_branch(runs: list[Settled]) -> None:
    for run in runs:
        for node in run.nodes.values():
            parts_of = [n for n in (node, *run.above(node)) if n.node_type in ATTEMPTS]
            steps = [step for step, _ in map(run.attempt, parts_of) if step is not None]
            if (lost := run.left_behind_by(node)) is not None:
                steps.append(lost)
            branches = [n.id for n in run.above(node) if is_branch_point(n)]
            assert (node.step_node_id, node.branch_id) == (
                next(iter(steps), None),
                next(iter(branches), None),
            )


@many
@given(runs=settled)
def test_what_starts_once_all_before_it_has_ended_follows_and_the_rest_is_parallel(
    runs: list[Settled],
) -> None:
    for run in runs:
        expected: set[tuple[str, str, str]] = set()
        for family in run.families():
            places = [place for place in run.places(family) if place[0].node_type != NodeType.SPAN]
            ends = [max(math.inf if n.ended_at is None else n.ended_at for n in place) for place in places]
            begins = [
                i for i in range(len(places)) if places[i][0].started_at >= max(ends[:i], default=-math.inf)
            ]
            for i, place in enumerate(places):
                group = max((begin for begin in begins if begin <= i), default=0)
                if group < i:
                    expected.add((places[group][0].id, place[0].id, "parallel"))
                elif i > 0:
                    before = max(begin for begin in begins if begin < i)
                    last = max(range(before, i), key=lambda j: (ends[j], -j))
                    expected.add((goes_on_from(places[last], run), place[0].id, "sequential"))
        assert run.edges("sequential", "parallel") == expected


def goes_on_from(place: Sequence[NodeRecord], run: Settled) -> str:
    """The accepted attempt, the last one where none was."""
    attempts = [run.nodes.get(node.span_id, node) for node in place]
    return ([node for node in attempts if node.outcome == "accepted"] or attempts)[-1].id


@many
@given(runs=settled)
def test_every_redo_has_an_edge_from_the_step_that_it_names(runs: list[Settled]) -> None:
    for run in runs:
        named = {
            (str(node.step_id), node.id, "conditional"): node.ended_at is not None
            for node in run.nodes.values()
            if is_branch_point(node) and node.step_id is not None
        }
        # One that has only started may be told by its link alone, and may yet say more.
        assert {edge for edge, has_ended in named.items() if has_ended} <= run.edges("conditional")
        assert run.edges("conditional") <= named.keys()


@many
@given(runs=settled)
def test_usage_is_counted_where_no_call_above_has_any(runs: list[Settled]) -> None:
    def has_usage(node: NodeRecord, run: Settled) -> bool:
        cost = run.costs.get(node.id)
        return cost is not None and (cost.input_tokens, cost.output_tokens, cost.cost_usd) != (None,) * 3

    for run in runs:
        # A call that says nothing is told by those that it is made of.
        made_of_others = {
            node.id
            for cost in run.costs.values()
            for node in run.above(run.nodes[cost.node_id])
            if node.id in run.costs and not has_usage(node, run)
        }
        for cost in run.costs.values():
            above = run.above(run.nodes[cost.node_id])
            within = any(has_usage(node, run) for node in above)
            assert cost.counted is (not within and cost.node_id not in made_of_others)
            agents = [n.name if n.node_type in AGENTS else n.agent for n in (run.nodes[cost.node_id], *above)]
            assert cost.agent_name == next((name for name in agents if name), None)


@many
@given(runs=settled)
def test_a_handoff_leads_from_one_agent_to_another_around_the_time_of_the_decision(
    runs: list[Settled],
) -> None:
    for run in runs:
        handoffs = [event for event in run.rows.events if event.event_type == semconv.EVENT_HANDOFF]
        for source_id, target_id, _ in run.edges("handoff"):
            source, target = run.nodes[source_id], run.nodes[target_id]
            assert source != target
            assert source.node_type in AGENTS
            assert target.node_type in AGENTS
            assert any(
                (event.meta or {}).get(semconv.HANDOFF_FROM) == source.name
                and (event.meta or {}).get(semconv.HANDOFF_TO) == target.name
                and source.started_at <= (event.timestamp or 0) <= target.started_at
                for event in handoffs
            )
            assert conversation(source, run) == conversation(target, run)


def conversation(node: NodeRecord, run: Settled) -> str | None:
    return next((n.id for n in run.above(node) if n.node_type == NodeType.CONVERSATION), None)


@many
@given(runs=settled)
def test_models_are_selected_once_for_each_agent_and_switched_from_what_they_were(
    runs: list[Settled],
) -> None:
    for run in runs:
        derived = [event for event in run.rows.events if event.origin == DERIVED]
        assert {event.seq for event in derived} <= {-1}
        assert max(Counter(event.node_id for event in derived).values(), default=1) == 1
        for agent in {event.agent_name for event in derived}:
            changes = sorted(
                (event for event in derived if event.agent_name == agent),
                key=lambda event: (event.timestamp, event.node_id),
            )
            assert [event.event_type for event in changes] == [
                semconv.EVENT_MODEL_SELECTED,
                *[semconv.EVENT_MODEL_SWITCHED] * (len(changes) - 1),
            ]
            models = [(event.meta or {})["model"] for event in changes]
            assert [(event.meta or {}).get("previous_model") for event in changes] == [None, *models[:-1]]
            assert all(run.nodes[e.node_id].model == model for e, model in zip(changes, models, strict=True))


@many
@given(runs=settled)
def test_a_run_is_who_its_topmost_run_node_is_else_its_topmost_genai_node(runs: list[Settled]) -> None:
    for run in runs:
        own = [node for node in run.nodes.values() if node.node_type == NodeType.RUN]
        genai = [
            node
            for node in run.nodes.values()
            if node.node_type not in (NodeType.SPAN, NodeType.BRANCH_POINT)
        ]
        candidates = own or genai
        tops = [node for node in candidates if not any(above in candidates for above in run.above(node))]
        found = run.rows.run
        if not tops:
            assert found.root_node_id is None
            continue
        root = min(tops, key=start)
        assert (found.root_node_id, found.name, found.session_id, found.user_id, found.started_at) == (
            root.id,
            root.name,
            root.session_id,
            root.user_id,
            root.started_at,
        )
        parts = [root] if own else tops
        assert (found.ended_at is None) == any(node.ended_at is None for node in parts)
        assert (found.status == "running") == (found.ended_at is None)
