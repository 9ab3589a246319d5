from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from sqlalchemy import text

import spandag
from spandag import query, semconv
from spandag.query.as_json import as_json
from spandag.query.render import NO_FOLDS, Page, render_timeline, to_text

from .conftest import Recording, call, kepler
from .test_render import normal

GOLDEN = Path(__file__).parent / "golden"
MS = 1_000_000


def told(timeline: query.Timeline) -> list[str]:
    """What happened, indented."""
    return [
        f"{'  ' * event.depth}{event.event_type} {event.event_subtype or ''} {event.name}".rstrip()
        for event in timeline.events
    ]


def test_everything_is_told_in_order_of_time(recording: Recording) -> None:
    with spandag.run("r"), spandag.agent("a") as agent:
        with spandag.chat("m"):
            pass
        agent.add_event("approval", {"by": "ann"})
        with pytest.raises(ValueError), spandag.tool("t"):
            raise ValueError("broken")
        for attempt in spandag.step("s").attempts():
            with attempt:
                if attempt.number == 1:
                    attempt.reject("try harder", requested_by="bob")

    timeline = query.timeline(recording.store, "last")

    assert told(timeline) == [
        "run start r",
        "  agent_call start a",
        "    llm_call start m",
        "    model_selected  m",
        "    llm_call complete m",
        "  approval  a",
        "    tool_call start t",
        "    error ValueError t",
        "    tool_call error t",
        "    step start s",
        "    rejected  s",
        "    step complete s",
        "    redo  redo_1",
        "      step start s",
        "      step complete s",
        "  agent_call complete a",
        "run complete r",
    ]
    redo = timeline.events[12]
    assert redo.meta == {"branch_name": "redo_1", "hypothesis": "try harder", "requested_by": "bob"}
    times = [event.timestamp or 0 for event in timeline.events]
    assert times == sorted(times)


def test_the_function_and_the_view_agree(recording: Recording) -> None:
    kepler()
    timeline = query.timeline(recording.store, "last")

    with recording.store.connection() as connection:
        rows = [dict(row) for row in connection.execute(text("SELECT * FROM v_events")).mappings()]
    for row in rows:
        if isinstance(row["meta"], str):
            row["meta"] = json.loads(row["meta"])
    of_view = ("agent_call", "llm_call", "tool_call", "code_exec", "approval")
    events = [e for e in as_json(timeline.events) if e["origin"] != "span" or e["event_type"] in of_view]
    names = [name for name in events[0] if name != "depth"]

    def keyed(those: list[dict[str, Any]]) -> list[str]:
        return sorted(json.dumps({name: each[name] for name in names}, sort_keys=True) for each in those)

    assert keyed(events) == keyed(rows)
    assert len({event["event_type"] for event in events}) >= 6


def test_json_tells_it_without_the_tree(recording: Recording) -> None:
    kepler()

    answer = as_json(query.timeline(recording.store, "last"))

    assert list(answer) == ["run", "events", "hidden"]
    assert list(answer["events"][0]) == [
        "run_id",
        "node_id",
        "node_type",
        "name",
        "depth",
        "event_type",
        "event_subtype",
        "agent_name",
        "timestamp",
        "seq",
        "duration_ms",
        "error_type",
        "error_message",
        "disposition",
        "origin",
        "meta",
    ]


def test_spans_of_other_libraries_are_left_out_but_not_what_happened_in_them(recording: Recording) -> None:
    with spandag.run("r"), recording.tracer.start_as_current_span("GET") as span:
        span.add_event("retried", {"attempt": 2})

    assert told(query.timeline(recording.store, "last")) == [
        "run start r",
        "  retried  GET",
        "run complete r",
    ]
    assert told(query.timeline(recording.store, "last", all_spans=True)) == [
        "run start r",
        "  span start GET",
        "  retried  GET",
        "  span complete GET",
        "run complete r",
    ]


def test_what_goes_on_has_no_end_yet(recording: Recording) -> None:
    with spandag.run("r"), spandag.agent("a"):
        call()
        timeline = query.timeline(recording.store, "last")
        assert "llm_call complete gpt-5-mini" in [line.strip() for line in told(timeline)]
        assert not [line for line in told(timeline) if line.startswith("run complete")]
        # Drawn as well, whatever is known of it.
        assert "gpt-5-mini" in to_text(render_timeline(timeline, Page(80), now=2**62))


def recorded(recording: Recording, told: list[tuple[str, str, int, int]]) -> None:
    """A run with nodes of these types, names, starts and ends (milliseconds), all below the first."""
    tracer = recording.provider.get_tracer("spandag.tests")
    base = 1_700_000_000 * 1000 * MS
    first = None
    for kind, name, start, end in told:
        context = trace.set_span_in_context(first) if first is not None else None
        attributes = {semconv.SPANDAG_NODE_TYPE: kind, semconv.GEN_AI_TOOL_NAME: name}
        span = tracer.start_span(name, context=context, attributes=attributes, start_time=base + start * MS)
        if first is None:
            first, last = span, end
        else:
            span.end(base + end * MS)
    assert first is not None
    first.end(base + last * MS)


def test_bars_are_as_long_as_what_they_stand_for_in_any_width(recording: Recording) -> None:
    recorded(recording, [("run", "r", 0, 1000), ("tool", "a", 0, 500), ("tool", "b", 500, 1000)])
    timeline = query.timeline(recording.store, "last")

    def bars(width: int) -> list[tuple[int, int]]:
        lines = to_text(render_timeline(timeline, Page(width))).splitlines()[3:]
        assert all(len(line) <= width for line in lines)
        found = [re.search("━+", line) for line in lines]
        return [(bar.start() - found[0].start(), len(bar[0])) for bar in found if bar and found[0]]

    assert bars(80) == [(0, 20), (0, 11), (10, 10)]
    assert bars(160) == [(0, 40), (0, 21), (20, 20)]
    assert bars(40)[0] == (0, 10)


def test_many_like_nodes_in_a_row_are_one_bar_and_what_is_rare_among_them_is_told(
    recording: Recording,
) -> None:
    with spandag.run("r"):
        for i in range(30):
            with spandag.tool("t") as tool:
                tool.add_event("read")
                if i == 15:
                    tool.add_event("approval", {"by": "ann"})

    timeline = query.timeline(recording.store, "last")
    drawn = to_text(render_timeline(timeline, Page()))

    assert drawn.count("tool t") == 4
    assert drawn.count("… 27 more tool t") == 1
    assert drawn.count("read") == 3
    assert drawn.count("approval  by ann") == 1
    assert to_text(render_timeline(timeline, Page(), folded=NO_FOLDS)).count("read") == 30


def test_a_timeline_is_drawn_as_in_the_golden_file(recording: Recording) -> None:
    kepler()

    drawn = normal(to_text(render_timeline(query.timeline(recording.store, "last"), Page(140))))
    # Where the bars are differs from run to run.
    drawn = re.sub(r"(?m)^ *\+ *1ms +([━◆])+ +", r"+1ms \1 ", drawn)

    assert drawn == (GOLDEN / "timeline.txt").read_text("utf-8")


def test_numbers_of_events_are_shown_without_digits_that_say_nothing(recording: Recording) -> None:
    with spandag.run("r"), spandag.tool("t") as tool:
        tool.add_event(
            "approval", {"spandag.approval.choice": "redo", "spandag.approval.waited": 0.00021374999982981535}
        )
        tool.add_event("approval", {"spandag.approval.choice": "continue", "spandag.approval.waited": 125.4})
        tool.add_event("approval", {"spandag.approval.waited": 1e300})
        tool.add_event("scored", {"score": 0.1 + 0.2, "limit": float("inf")})

    drawn = to_text(render_timeline(query.timeline(recording.store, "last"), Page(200)))

    assert "choice redo, waited 0ms\n" in drawn
    assert "choice continue, waited 2m 05s\n" in drawn
    assert "waited 1e+300\n" in drawn
    assert "score 0.3" in drawn
    assert "limit inf" in drawn
