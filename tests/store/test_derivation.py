"""What follows from the facts of a run."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import Span
from opentelemetry.trace import Link, SpanContext
from sqlalchemy import select

from spandag import semconv
from spandag.semconv import LinkType, NodeType, Operation
from spandag.store import Writer, load_run, open_store
from spandag.store.derive import derive
from spandag.store.records import NodeRecord, RunRecord, RunRows
from spandag.store.schema import sessions

RUN = RunRecord("r", *[None] * (len(RunRecord._fields) - 1))  # type: ignore[arg-type]


def id_of(span: Span) -> str:
    return trace.format_span_id(span.get_span_context().span_id)


def bp(span: Span) -> str:
    return f"bp:{id_of(span)}"


@pytest.fixture
def derived(story: Any, writer: Writer, store_url: str) -> Any:
    """Call it to have what was told so far written, and read it as derived."""

    def read() -> RunRows:
        batch = story.batch()
        writer.write(batch)
        [run_id] = batch.run_ids
        with open_store(store_url) as store, store.connection() as connection:
            rows = load_run(connection, run_id)
        assert rows is not None
        return rows

    return read


def nodes(rows: RunRows) -> dict[str, NodeRecord]:
    return {node.id: node for node in rows.nodes}


def edges(rows: RunRows, kind: str) -> set[tuple[str, str]]:
    return {(e.from_node_id, e.to_node_id) for e in rows.edges if e.dependency_type == kind}


def test_order_is_by_start_and_depth_by_parents(story: Any, derived: Any) -> None:
    run = story.span(NodeType.RUN, "r", 0, 9)
    late = story.span(NodeType.AGENT, "late", 5, 6, parent=run)
    early = story.span(NodeType.AGENT, "early", 1, 2, parent=run)
    tool = story.span(NodeType.TOOL, "t", 1, 2, parent=early)
    found = nodes(derived())
    assert [(found[id_of(s)].depth, found[id_of(s)].order_index) for s in (run, early, late, tool)] == [
        (0, 0),
        (1, 0),
        (1, 1),
        (2, 0),
    ]


def test_a_branch_point_stands_beside_attempt_1_and_the_redo_below_it(story: Any, derived: Any) -> None:
    run = story.span(NodeType.RUN, "r", 0, 99)
    before = story.step("before", 1, 2, parent=run)
    first = story.step("fit", 3, 4, parent=run, outcome="rejected")
    # Started elsewhere: below a tool rather than where the step was.
    elsewhere = story.span(NodeType.TOOL, "t", 5, 20, parent=run)
    redo = story.step("fit", 6, 7, parent=elsewhere, first=first, attempt=2)
    inside = story.span(NodeType.AGENT, "a", 6, 7, parent=redo)
    found = nodes(derived())
    point = found[bp(redo)]
    assert (point.parent_node_id, point.depth, point.order_index) == (id_of(run), 1, 1)
    assert found[id_of(first)].order_index == 1
    assert found[id_of(before)].order_index == 0
    assert found[id_of(elsewhere)].order_index == 2
    assert (found[id_of(redo)].parent_node_id, found[id_of(redo)].depth) == (bp(redo), 2)
    assert [found[i].step_node_id for i in (bp(redo), id_of(redo), id_of(inside), id_of(run))] == [
        id_of(first),
        id_of(first),
        id_of(first),
        None,
    ]
    assert [found[i].branch_id for i in (bp(redo), id_of(redo), id_of(inside), id_of(first))] == [
        None,
        bp(redo),
        bp(redo),
        None,
    ]


def test_redos_told_by_links_alone_are_attempts_of_the_first(story: Any, derived: Any) -> None:
    """Each links to the attempt before, and knows nothing else."""

    def redo_of(before: Span) -> tuple[Link, ...]:
        return (Link(before.get_span_context(), {semconv.SPANDAG_LINK_TYPE: LinkType.REDO_OF}),)

    run = story.span(NodeType.RUN, "r", 0, 99)
    first = story.span(NodeType.STEP, "fit", 1, 2, parent=run)
    second = story.span(NodeType.STEP, "fit", 3, 4, parent=run, links=redo_of(first))
    third = story.span(NodeType.STEP, "fit", 5, 6, parent=run, links=redo_of(second))
    after = story.span(NodeType.STEP, "after", 7, 8, parent=run)
    rows = derived()
    found = nodes(rows)
    attempts = [first, second, third]
    assert [found[id_of(span)].step_node_id for span in attempts] == [id_of(first)] * 3
    assert [found[id_of(span)].disposition for span in attempts] == ["superseded", "superseded", "active"]
    assert [found[i].order_index for i in (id_of(first), bp(second), bp(third), id_of(after))] == [0, 0, 0, 1]
    assert found[bp(third)].parent_node_id == id_of(run)
    assert edges(rows, "sequential") == {(id_of(third), id_of(after))}


def test_attempts_that_are_told_partly_by_links_keep_their_order(story: Any, derived: Any) -> None:
    def redo_of(before: Span) -> tuple[Link, ...]:
        return (Link(before.get_span_context(), {semconv.SPANDAG_LINK_TYPE: LinkType.REDO_OF}),)

    run = story.span(NodeType.RUN, "r", 0, 99)
    first = story.step("fit", 1, 2, parent=run)
    second = story.span(NodeType.STEP, "fit", 3, 4, parent=run, links=redo_of(first))
    third = story.span(
        NodeType.STEP,
        "fit",
        5,
        6,
        parent=run,
        links=redo_of(second),
        attributes={semconv.SPANDAG_STEP_ATTEMPT: 3},
    )
    fourth = story.step("fit", 7, 8, parent=run, first=first, attempt=4)
    found = nodes(derived())
    assert [found[id_of(span)].disposition for span in (first, second, third, fourth)] == [
        "superseded",
        "superseded",
        "superseded",
        "active",
    ]


def test_redos_that_link_in_a_circle_stop_nothing(story: Any, derived: Any) -> None:
    run = story.span(NodeType.RUN, "r", 0, 99)
    ids = [0xF1, 0xF2]
    for mine, other in (ids, ids[::-1]):
        story.span(
            NodeType.STEP,
            f"step {mine}",
            mine,
            mine + 1,
            parent=run,
            attributes={semconv.SPANDAG_STEP_ID: f"{other:016x}", semconv.SPANDAG_STEP_ATTEMPT: 2},
        )
    assert {node.depth for node in nodes(derived()).values()} == {0, 1, 2}


def test_redos_that_do_not_know_their_step_have_places_of_their_own(story: Any, derived: Any) -> None:
    run = story.span(NodeType.RUN, "r", 0, 99)
    redos = [
        story.span(NodeType.STEP, name, at, at + 1, parent=run, attributes={semconv.SPANDAG_STEP_ATTEMPT: 2})
        for name, at in (("fit", 1), ("plot", 3))
    ]
    found = nodes(derived())
    assert [found[bp(redo)].order_index for redo in redos] == [0, 1]


def test_redos_whose_first_attempt_never_arrived_share_one_place(story: Any, derived: Any) -> None:
    run = story.span(NodeType.RUN, "r", 0, 99)
    missing = story.start(NodeType.STEP, "fit", 1, parent=run)
    after = story.step("after", 20, 21, parent=run)
    one = story.step("fit", 3, 4, parent=run, first=missing, attempt=2, outcome="rejected")
    two = story.step("fit", 5, 6, parent=run, first=missing, attempt=3)
    rows = derived()
    found = nodes(rows)
    assert [found[i].order_index for i in (bp(one), bp(two), id_of(after))] == [0, 0, 1]
    assert found[id_of(one)].step_node_id == id_of(missing)
    assert edges(rows, "conditional") == {(id_of(missing), bp(one)), (id_of(missing), bp(two))}
    assert edges(rows, "sequential") == {(id_of(two), id_of(after))}


@pytest.mark.parametrize("lost", [1, 2])
def test_what_a_lost_attempt_left_behind_is_superseded_as_that_was(
    story: Any, derived: Any, lost: int
) -> None:
    run = story.span(NodeType.RUN, "r", 0, 99)

    def attempt(number: int, **redo: Any) -> Span:
        values = {semconv.SPANDAG_STEP_ATTEMPT: number, semconv.SPANDAG_ATTEMPT_OUTCOME: "rejected"}
        span: Span = story.start(
            NodeType.STEP, "fit", 10 * number, parent=run, attributes=values | redo.pop("said", {}), **redo
        )
        if number != lost:
            story.end(span, 10 * number + 9)
        return span

    def redo_of(before: Span, number: int) -> Span:
        link = Link(before.get_span_context(), {semconv.SPANDAG_LINK_TYPE: LinkType.REDO_OF})
        return attempt(number, said={semconv.SPANDAG_STEP_ID: id_of(one)}, links=(link,))

    one = attempt(1)
    two = redo_of(one, 2)
    three = redo_of(two, 3)
    orphan = story.span(NodeType.AGENT, "engineer", 11, 12, parent=(one, two)[lost - 1])
    call = story.chat(11, 12, parent=orphan)
    inner = story.step("inner", 13, 14, parent=(one, two)[lost - 1])
    gone = story.start(NodeType.AGENT, "gone", 40, parent=run)
    stranger = story.span(NodeType.AGENT, "writer", 50, 51, parent=gone)

    found = nodes(derived())

    assert [found[id_of(span)].disposition for span in (orphan, call, inner, three, stranger)] == [
        *["superseded"] * 3,
        "abandoned",
        "active",
    ]
    assert {found[id_of(span)].step_node_id for span in (orphan, call)} == {id_of(one)}
    assert found[id_of(inner)].step_node_id == id_of(inner)
    assert found[id_of(stranger)].step_node_id is None


def test_a_redo_that_was_started_within_its_lost_original_is_not_part_of_it(story: Any, derived: Any) -> None:
    run = story.span(NodeType.RUN, "r", 0, 99)
    missing = story.start(NodeType.STEP, "fit", 1, parent=run)
    redo = story.step("fit", 3, 4, parent=missing, first=missing, attempt=2)

    assert nodes(derived())[id_of(redo)].disposition == "active"


def test_disposition_is_the_worst_of_a_node_and_what_is_above_it(story: Any, derived: Any) -> None:
    run = story.span(NodeType.RUN, "r", 0, 99)
    first = story.step("outer", 1, 9, parent=run, outcome="rejected")
    inner = story.step("inner", 2, 3, parent=first)
    given_up = story.step("given up", 4, 5, parent=first, outcome="failed")
    redo = story.step("outer", 10, 30, parent=run, first=first, attempt=2)
    rejected = story.step("plain", 11, 12, parent=redo, outcome="rejected")
    below = story.span(NodeType.AGENT, "a", 11, 12, parent=rejected)
    fine = story.step("fine", 13, 14, parent=redo)
    cancelled = story.step("called off", 40, 41, parent=run, outcome="cancelled")
    found = nodes(derived())
    expected = {
        run: "active",
        first: "superseded",
        inner: "superseded",
        given_up: "superseded",
        redo: "active",
        rejected: "abandoned",
        below: "abandoned",
        fine: "active",
        cancelled: "abandoned",
    }
    assert {s.name: found[id_of(s)].disposition for s in expected} == {s.name: d for s, d in expected.items()}
    assert found[bp(redo)].disposition == "active"


def test_sequence_leaves_the_accepted_attempt(story: Any, derived: Any) -> None:
    run = story.span(NodeType.RUN, "r", 0, 99)
    first = story.step("fit", 1, 2, parent=run, outcome="rejected")
    second = story.step("fit", 3, 4, parent=run, first=first, attempt=2)
    third = story.step("fit", 5, 6, parent=run, first=first, attempt=3, outcome="failed")
    after = story.step("after", 7, 8, parent=run)
    rows = derived()
    assert edges(rows, "sequential") == {(id_of(second), id_of(after))}
    assert edges(rows, "conditional") == {(id_of(first), bp(second)), (id_of(first), bp(third))}


def test_overlapping_siblings_are_joined_through_first_and_last(story: Any, derived: Any) -> None:
    run = story.span(NodeType.RUN, "r", 0, 99)
    before = story.span(NodeType.AGENT, "before", 1, 2, parent=run)
    a = story.span(NodeType.TOOL, "a", 2, 9, parent=run)
    b = story.span(NodeType.TOOL, "b", 3, 4, parent=run)
    c = story.span(NodeType.TOOL, "c", 5, 8, parent=run)
    story.span(None, "GET", 9.5, 9.6, parent=run, scope="httpx")
    after = story.span(NodeType.AGENT, "after", 10, 11, parent=run)
    rows = derived()
    assert edges(rows, "parallel") == {(id_of(a), id_of(b)), (id_of(a), id_of(c))}
    assert edges(rows, "sequential") == {(id_of(before), id_of(a)), (id_of(a), id_of(after))}


def test_handoff_leads_from_the_last_turn_of_one_agent_to_the_next_of_the_other(
    story: Any, derived: Any
) -> None:
    chat = story.span(NodeType.CONVERSATION, "team", 0, 99)
    turns = {
        name: story.span(NodeType.AGENT, name[0], start, start + 1, parent=chat)
        for name, start in (("a1", 1), ("b1", 3), ("a2", 5), ("b2", 8))
    }
    decision = story.start(NodeType.HANDOFF, "team", 6, parent=chat)
    decision.add_event(
        semconv.EVENT_HANDOFF,
        {semconv.HANDOFF_FROM: "a", semconv.HANDOFF_TO: "b"},
        timestamp=7 * 1_000_000_000,
    )
    decision.add_event(semconv.EVENT_HANDOFF, {semconv.HANDOFF_FROM: "a", semconv.HANDOFF_TO: "nobody"})
    story.end(decision, 7)
    rows = derived()
    assert edges(rows, "handoff") == {(id_of(turns["a2"]), id_of(turns["b2"]))}
    assert [(e.event_type, e.event_subtype, e.agent_name) for e in rows.events] == [
        ("handoff", "transfer", "a"),
        ("handoff", "transfer", "a"),
    ]


def test_usage_below_a_call_with_usage_is_not_counted(story: Any, derived: Any) -> None:
    agent = story.span(NodeType.AGENT, "a", 0, 99)
    outer = story.chat(1, 9, parent=agent)
    inner = story.chat(2, 8, parent=outer, model="inner")
    bare = story.span(NodeType.LLM, "router", 10, 20, parent=agent)
    below_bare = story.chat(11, 19, parent=bare)
    rows = derived()
    assert {cost.node_id: (cost.agent_name, cost.counted) for cost in rows.costs} == {
        id_of(outer): ("a", True),
        id_of(inner): ("a", False),
        # Of unknown usage, and made of the call below it, which stands for it.
        id_of(bare): ("a", False),
        id_of(below_bare): ("a", True),
    }


def test_models_selected_and_switched_follow_from_the_calls_of_each_agent(story: Any, derived: Any) -> None:
    run = story.span(NodeType.RUN, "r", 0, 99)
    a = story.span(NodeType.AGENT, "a", 1, 50, parent=run)
    calls = [story.chat(t, t + 1, parent=a, model=m) for t, m in ((2, "m1"), (4, "m1"), (6, "m2"))]
    b = story.span(NodeType.SUB_AGENT, "b", 10, 20, parent=a)
    other = story.chat(11, 12, parent=b, model="m1")
    said = story.start(NodeType.AGENT, "c", 60, parent=run)
    said.add_event(semconv.EVENT_MODEL_SELECTED, {"model": "m9"})
    story.end(said, 70)
    story.chat(61, 62, parent=said, model="m9")
    events = [(e.node_id, e.seq, e.event_type, e.agent_name, e.origin, e.meta) for e in derived().events]
    assert sorted(events) == sorted(
        [
            (id_of(calls[0]), -1, "model_selected", "a", "derived", {"model": "m1"}),
            (
                id_of(calls[2]),
                -1,
                "model_switched",
                "a",
                "derived",
                {"model": "m2", "previous_model": "m1"},
            ),
            (id_of(other), -1, "model_selected", "b", "derived", {"model": "m1"}),
            (id_of(said), 0, "model_selected", "c", "recorded", {"model": "m9"}),
        ]
    )


def test_the_topmost_run_node_says_who_the_run_is(story: Any, derived: Any) -> None:
    web = story.span(None, "GET /", 0, 100, scope="fastapi")
    outer = story.span(
        NodeType.RUN,
        "outer",
        1,
        90,
        parent=web,
        attributes={
            semconv.SESSION_ID: "alice",
            semconv.USER_ID: "u1",
            semconv.SPANDAG_RUN_TASK: "do it",
        },
    )
    story.span(NodeType.RUN, "inner", 2, 80, parent=outer, attributes={semconv.SESSION_ID: "bob"})
    run = derived().run
    assert run._replace(facts_version=0, derived_version=0)._asdict() == {
        "id": f"{0xA:032x}",
        "root_node_id": id_of(outer),
        "name": "outer",
        "task": "do it",
        "status": "completed",
        "started_at": 1_000_000_000,
        "ended_at": 90_000_000_000,
        "session_id": "alice",
        "user_id": "u1",
        "branch_parent_id": None,
        "is_branch": False,
        "branch_depth": 0,
        "root_run_id": f"{0xA:032x}",
        "facts_version": 0,
        "derived_version": 0,
        "meta": None,
    }


def test_a_fork_knows_the_run_that_it_goes_on_from(story: Any, derived: Any) -> None:
    original = SpanContext(0xF0, 0xF1, is_remote=True)
    link = Link(original, {semconv.SPANDAG_LINK_TYPE: LinkType.FORK_OF})
    run = story.span(
        NodeType.RUN,
        "report",
        0,
        9,
        links=(link,),
        attributes={
            semconv.SPANDAG_FORK_ROOT_RUN_ID: f"{0xE0:032x}",
            semconv.SPANDAG_FORK_DEPTH: 2,
            semconv.SPANDAG_REDO_HYPOTHESIS: "a colder start",
        },
    )
    # A part of a run is no fork of its own, whatever it links to.
    story.span(NodeType.RUN, "nested", 1, 2, parent=run, links=(link,))
    rows = derived()
    assert (rows.run.branch_parent_id, rows.run.is_branch, rows.run.branch_depth, rows.run.root_run_id) == (
        f"{0xF0:032x}",
        True,
        2,
        f"{0xE0:032x}",
    )
    [fork] = rows.branches
    assert (fork.kind, fork.branch_node_id, fork.source_node_id, fork.child_run_id) == (
        "fork",
        id_of(run),
        f"{0xF1:016x}",
        rows.run.id,
    )
    assert (fork.branch_name, fork.hypothesis, fork.status, fork.number) == (
        "report",
        "a colder start",
        "accepted",
        None,
    )


@pytest.mark.parametrize("depth", ["2", 0, -1, 2**40, True, 1.5, None])
def test_a_fork_that_says_nothing_of_use_is_one_of_its_parent(story: Any, derived: Any, depth: Any) -> None:
    original = SpanContext(0xF0, 0xF1, is_remote=True)
    story.span(
        NodeType.RUN,
        "report",
        0,
        9,
        links=(Link(original, {semconv.SPANDAG_LINK_TYPE: LinkType.FORK_OF}),),
        attributes={} if depth is None else {semconv.SPANDAG_FORK_DEPTH: depth},
    )
    run = derived().run
    assert (run.branch_parent_id, run.is_branch, run.branch_depth, run.root_run_id) == (
        f"{0xF0:032x}",
        True,
        1,
        f"{0xF0:032x}",
    )


def test_without_a_run_node_the_topmost_genai_node_does(story: Any, derived: Any) -> None:
    web = story.span(None, "GET /", 0, 100, scope="fastapi")
    genai = {
        semconv.GEN_AI_OPERATION_NAME: Operation.INVOKE_AGENT,
        semconv.GEN_AI_AGENT_NAME: "helper",
        semconv.GEN_AI_CONVERSATION_ID: "c1",
    }
    agent = story.span(None, "invoke_agent helper", 1, 5, parent=web, attributes=genai, scope="other")
    story.chat(6, 9, parent=web)
    run = derived().run
    assert (run.root_node_id, run.name, run.session_id) == (id_of(agent), "helper", "c1")
    assert (run.started_at, run.ended_at) == (1_000_000_000, 9_000_000_000)


def test_a_trace_without_genai_is_stored_and_not_listed(story: Any, derived: Any) -> None:
    story.span(None, "GET /", 0, 1, scope="fastapi")
    rows = derived()
    assert len(rows.nodes) == 1
    assert rows.run.root_node_id is None


def test_a_run_whose_parent_is_remote_or_missing_is_a_root(story: Any, derived: Any) -> None:
    remote = trace.NonRecordingSpan(
        trace.SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=trace.TraceFlags(1))
    )
    run = story.span(NodeType.RUN, "r", 0, 9, parent=remote)
    lost = story.start(NodeType.AGENT, "never ends", 1, parent=run)
    orphan = story.span(NodeType.TOOL, "t", 2, 3, parent=lost)
    rows = derived()
    found = nodes(rows)
    assert rows.run.derived_version == rows.run.facts_version > 0
    assert rows.run.root_node_id == id_of(run)
    assert (found[id_of(run)].parent_span_id, found[id_of(run)].parent_node_id) == (f"{0xDEF:016x}", None)
    assert (found[id_of(orphan)].parent_node_id, found[id_of(orphan)].depth) == (None, 0)


def test_spans_that_name_each_other_as_parents_are_cut_at_the_earliest() -> None:
    def node(node_id: str, parent: str | None, start: int) -> NodeRecord:
        fields = dict.fromkeys(NodeRecord._fields)
        fields |= {
            "id": node_id,
            "span_id": node_id,
            "parent_span_id": parent,
            "node_type": NodeType.AGENT,
            "name": node_id,
            "status": "completed",
            "started_at": start,
            "ended_at": start + 1,
        }
        return NodeRecord(**fields)

    circle = [node("b", "a", 2), node("a", "c", 1), node("c", "b", 3), node("own", "own", 5)]
    hanging = [node("child", "c", 4)]
    places = derive(RunRows(RUN, circle + hanging)).places
    assert {i: (p.parent_node_id, p.depth) for i, p in places.items()} == {
        "a": (None, 0),
        "b": ("a", 1),
        "c": ("b", 2),
        "child": ("c", 3),
        "own": (None, 0),
    }


def test_a_chain_of_ten_thousand_does_not_recurse() -> None:
    fields = dict.fromkeys(NodeRecord._fields) | {
        "node_type": NodeType.AGENT,
        "name": "n",
        "status": "completed",
        "started_at": 1,
        "ended_at": 2,
    }
    chain = [
        NodeRecord(**(fields | {"id": str(i), "span_id": str(i), "parent_span_id": str(i - 1)}))
        for i in range(10_000)
    ]
    assert derive(RunRows(RUN, chain[::-1])).places["9999"].depth == 9_999


def test_a_session_is_what_its_runs_say(story: Any, writer: Writer, store_url: str) -> None:
    for name, start in (("second", 20), ("first", 10)):
        story.span(
            NodeType.RUN,
            name,
            start,
            start + 5,
            attributes={
                semconv.SESSION_ID: "alice",
                semconv.SPANDAG_RUN_TASK: f"task of {name}",
                **({semconv.USER_ID: "u1"} if name == "second" else {}),
            },
        )
    writer.write(story.batch())
    with open_store(store_url) as store, store.connection() as connection:
        [row] = connection.execute(select(sessions)).mappings()
    assert dict(row) == {
        "id": "alice",
        "name": "first",
        "task": "task of first",
        "user_id": "u1",
        "started_at": 10_000_000_000,
        "last_active_at": 25_000_000_000,
        "status": "idle",
        "meta": None,
    }
