"""Runs played back, on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.trace import set_span_in_context
from spandag_test_live import Process, run_id

import spandag
from spandag import query, semconv
from spandag.query import Replay, Rhythm, Spent
from spandag.query.as_json import as_json
from spandag.query.render import Page, render_changes, to_text
from spandag.semconv import NodeType
from spandag.store import Store, open_store

from .conftest import Recording, kepler
from .test_render import GOLDEN, normal

S = 10**9


@pytest.fixture
def process(store_url: str) -> Iterator[Process]:
    process = Process(store_url)
    yield process
    process.close()


@pytest.fixture
def store(process: Process) -> Iterator[Store]:
    with open_store(process.url) as store:
        yield store


def told(replay: Replay) -> list[str]:
    return [
        f"{event.change} {event.node.node_type} {event.node.name}"
        for event in replay.events
        if event.node.node_type != NodeType.BRANCH_POINT
    ]


def drawn(tree: query.Tree) -> list[str]:
    return [f"{node.node_type} {node.name} {node.status} {node.disposition}" for node in tree.nodes]


def test_everything_starts_and_ends_in_the_order_in_which_it_did(recording: Recording) -> None:
    kepler()

    replay = query.replay(recording.store, "last")

    assert told(replay)[:6] == [
        "started run kepler",
        "started phase planning",
        "started agent planner",
        "started llm gpt-5-mini",
        "ended llm gpt-5-mini",
        "ended agent planner",
    ]
    assert told(replay)[-1] == "ended run kepler"
    assert len(replay.events) == 2 * len(replay.tree.nodes) == 32
    offsets = [event.offset for event in replay.events]
    assert offsets == sorted(offsets)
    assert offsets[0] == 0
    assert replay.events[-1].timestamp == replay.started_at + replay.duration
    assert replay.tree == query.tree(recording.store, "last")


def test_a_replay_is_drawn_as_in_the_golden_file(recording: Recording) -> None:
    kepler()

    replay = query.replay(recording.store, "last")
    changes = [event.as_change() for event in replay.events]

    drawn = normal(to_text(render_changes(changes, Page(100))))
    assert drawn == (GOLDEN / "replay.txt").read_text(encoding="utf-8")


def test_what_has_started_is_as_it_was_then(recording: Recording) -> None:
    kepler()

    replay = query.replay(recording.store, "last")

    started = [event.node for event in replay.events if event.change == "started"]
    assert {(n.status, n.outcome, n.ended_at, n.error_type, n.disposition) for n in started} == {
        ("running", None, None, None, "active")
    }
    assert {n.spent for n in started} == {Spent()}
    assert [e.node for e in replay.events if e.change == "ended" and e.node.node_type == "run"] == [
        replay.tree.nodes[0]
    ]


def test_a_run_is_shown_as_it_was_at_any_moment(process: Process, store: Store) -> None:
    run = process.start(NodeType.RUN, "r")
    first = process.step("fit", run)
    process.end(process.start(NodeType.LLM, "m", first), **{"gen_ai.usage.input_tokens": 7})
    process.end(first, **{semconv.SPANDAG_ATTEMPT_OUTCOME: "rejected"})
    second = process.step("fit", run, first=first)
    process.end(second, run)

    replay = query.replay(store, run_id(run))
    moments = {f"{e.change} {e.node.name} {e.node.attempt}": e.offset for e in replay.events}

    call = replay.at(moments["started m None"])
    assert drawn(call) == ["run r running active", "step fit running active", "llm m running active"]
    assert (call.run.status, call.run.ended_at, call.run.spent, call.run.redos) == (
        "running",
        None,
        Spent(),
        0,
    )
    # A result that is rejected is of use until somebody sets out for a better one.
    rejected = replay.at(moments["ended fit 1"])
    assert drawn(rejected)[1:] == ["step fit completed active", "llm m completed active"]
    assert (rejected.nodes[1].outcome, rejected.run.spent.input_tokens) == ("rejected", 7)
    redone = replay.at(moments["started fit 2"])
    assert drawn(redone)[1:] == [
        "step fit completed superseded",
        "llm m completed superseded",
        "branch_point redo_1 running active",
        "step fit running active",
    ]
    assert redone.run.redos == 1
    assert drawn(replay.at(replay.duration)) == drawn(replay.tree) == drawn(query.tree(store, "last"))
    assert drawn(replay.at(-1)) == []


def test_of_a_run_that_goes_on_what_is_there_is_played(process: Process, store: Store) -> None:
    run = process.start(NodeType.RUN, "r")
    process.end(process.start(NodeType.TOOL, "t", run))
    process.start(NodeType.AGENT, "a", run)

    replay = query.replay(store, "last")

    assert told(replay) == ["started run r", "started tool t", "ended tool t", "started agent a"]
    assert replay.tree.run.status == "running"


def test_what_was_interrupted_is_so_in_the_end(process: Process, store: Store) -> None:
    run = process.start(NodeType.RUN, "r")
    process.start(NodeType.AGENT, "a", run)
    process.end(process.start(NodeType.TOOL, "t", run))
    process.fall_silent()

    replay = query.replay(store, "last")

    assert told(replay)[-3:] == ["ended tool t", "interrupted agent a", "interrupted run r"]
    assert [(event.timestamp, event.offset) for event in replay.events[-2:]] == [(None, replay.duration)] * 2
    assert {node.status for node in replay.at(0).nodes} == {"running"}


def test_spans_of_other_libraries_are_played_on_demand(process: Process, store: Store) -> None:
    run = process.start(NodeType.RUN, "r")
    request = process.start(None, "GET /", run)
    process.end(process.start(NodeType.TOOL, "t", request), request, run)

    assert told(query.replay(store, "last")) == [
        "started run r",
        "started tool t",
        "ended tool t",
        "ended run r",
    ]
    assert len(query.replay(store, "last", all_spans=True).events) == 6


def test_what_starts_before_what_it_is_part_of_is_shown_with_it(recording: Recording) -> None:
    """The clocks of two machines differ."""
    with spandag.run("r") as run:
        pass
    start = run.span.start_time  # type: ignore[attr-defined]
    early = recording.provider.get_tracer("spandag.x").start_span(
        "invoke_agent a",
        context=set_span_in_context(run.span),
        start_time=start - 5_000,
        attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"},
    )
    early.end(end_time=start + 1)

    replay = query.replay(recording.store, "last")

    assert told(replay)[:2] == ["started agent a", "started run r"]
    assert drawn(replay.at(0)) == ["run r running active", "agent a running active"]


def test_json_says_what_happened_and_when(recording: Recording) -> None:
    kepler()

    event = as_json(query.replay(recording.store, "last").events[0])

    assert set(event) == {"run_id", "change", "offset", "timestamp", "choice", "node"}
    assert (event["change"], event["offset"], event["node"]["node_type"]) == ("started", 0, "run")


# --- the rhythm ----------------------------------------------------------------------

OFFSETS = [0, 10 * S, 10 * S, 130 * S, 140 * S]


def test_the_rhythm_is_that_of_the_run_divided_by_the_speed() -> None:
    rhythm = Rhythm(OFFSETS, speed=10, max_pause=None)

    assert rhythm.due == [0.0, 1.0, 1.0, 13.0, 14.0]
    assert rhythm.seconds == 14.0
    assert [rhythm.offset_at(s) for s in (0, 0.5, 1.0, 7.0, 13.999, 14.0, 99.0)] == [
        0,
        5 * S,
        10 * S,
        70 * S,
        139_990_000_000,
        140 * S,
        140 * S,
    ]


def test_long_pauses_are_cut_and_pass_faster() -> None:
    rhythm = Rhythm(OFFSETS, speed=10, max_pause=3.0)

    assert rhythm.due == [0.0, 1.0, 1.0, 4.0, 5.0]
    assert rhythm.offset_at(2.5) == 70 * S
    assert rhythm.offset_at(3.9999999999) < 130 * S


def test_without_a_speed_all_is_there_at_once() -> None:
    assert Rhythm(OFFSETS, speed=0, max_pause=None).due == [0.0] * 5
    assert Rhythm(OFFSETS, speed=0, max_pause=None).offset_at(0.0) == 140 * S
    assert (Rhythm([], speed=1, max_pause=None).due, Rhythm([], speed=1, max_pause=None).seconds) == ([], 0.0)
