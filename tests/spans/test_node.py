"""A node is an open span that knows its place, its totals and what failed in it."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from spandag.pricing import Usage
from spandag.spans.chat import ChatResponse, start_chat
from spandag.spans.node import Node, current, start_node
from spandag.spans.operations import (
    add_handoff,
    start_agent,
    start_conversation,
    start_human_input,
    start_iteration,
    start_phase,
    start_planning,
    start_run,
    start_speaker_selection,
    start_tool,
)


@pytest.fixture
def tracer(recorder: Any) -> trace.Tracer:
    return recorder.provider.get_tracer("tests")


def call(tracer: trace.Tracer, model: str, tokens_in: int, tokens_out: int) -> None:
    with start_chat(tracer, model) as chat:
        chat.respond(ChatResponse(usage=Usage(tokens_in, tokens_out)))


def test_nodes_nest_and_know_their_parents(recorder, tracer):
    with start_run(tracer, "story", node_class=Node) as run, start_agent(tracer, "writer") as agent:
        with start_tool(tracer, "look up") as tool:
            assert current() is tool
            assert list(tool.ancestors()) == [agent, run]
            assert current("agent") is agent
            assert current("run") is run
            assert current("phase") is None
        assert current() is agent
    assert current() is None

    assert recorder.tree() == ["invoke_workflow story", "  invoke_agent writer", "    execute_tool look up"]


@pytest.mark.parametrize(
    ("start", "name", "expected"),
    [
        (
            lambda t: start_run(t, "r", task="do", session="s", user="u", node_class=Node),
            "invoke_workflow r",
            {
                "spandag.node.type": "run",
                "gen_ai.operation.name": "invoke_workflow",
                "gen_ai.workflow.name": "r",
                "spandag.run.task": "do",
                "session.id": "s",
                "gen_ai.conversation.id": "s",
                "user.id": "u",
            },
        ),
        (
            lambda t: start_phase(t, "p", node_class=Node),
            "run_step p",
            {"spandag.node.type": "phase", "gen_ai.operation.name": "run_step", "gen_ai.step.name": "p"},
        ),
        (
            lambda t: start_iteration(t, "a", 2),
            "run_step a",
            {
                "spandag.node.type": "iteration",
                "gen_ai.operation.name": "run_step",
                "gen_ai.step.name": "a 2",
                "gen_ai.agent.name": "a",
                "spandag.iteration.number": 2,
            },
        ),
        (
            lambda t: start_planning(t, "a"),
            "plan a",
            {"spandag.node.type": "planning", "gen_ai.operation.name": "plan", "gen_ai.agent.name": "a"},
        ),
        (
            lambda t: start_conversation(t, "c", conversation_id="7"),
            "invoke_workflow c",
            {
                "spandag.node.type": "conversation",
                "gen_ai.operation.name": "invoke_workflow",
                "gen_ai.workflow.name": "c",
                "gen_ai.conversation.id": "7",
            },
        ),
        (
            lambda t: start_speaker_selection(t, "c", ["a", "b"]),
            "select_speaker c",
            {
                "spandag.node.type": "handoff",
                "gen_ai.operation.name": "select_speaker",
                "ag2.speaker_selection.candidates": ("a", "b"),
            },
        ),
        (
            lambda t: start_human_input(t, "a"),
            "human_input a",
            {
                "spandag.node.type": "approval",
                "gen_ai.operation.name": "human_input",
                "gen_ai.agent.name": "a",
            },
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_operation_has_its_name_and_attributes_from_its_start(recorder, tracer, start, name, expected):
    node = start(tracer)

    assert dict(node.span.attributes) == expected
    node.end()

    [span] = recorder.spans
    assert span.name == name
    assert span.kind is SpanKind.INTERNAL
    assert dict(span.attributes) == expected


def test_an_agent_below_an_agent_is_a_sub_agent(recorder, tracer):
    with (
        start_agent(tracer, "boss"),
        start_iteration(tracer, "boss", 1),
        start_tool(tracer, "delegate"),
        start_agent(tracer, "helper"),
    ):
        pass

    types = [span.attributes["spandag.node.type"] for span in recorder.spans]
    assert types == ["agent", "iteration", "tool", "sub_agent"]


def test_what_is_below_a_node_is_spent_by_every_node_above(recorder, tracer):
    with start_run(tracer, "r", node_class=Node):
        with start_agent(tracer, "a"):
            call(tracer, "gpt-4o-mini", 1000, 100)
            with start_tool(tracer, "t"):
                call(tracer, "unheard-of", 10, 1)
        with start_agent(tracer, "b"):
            pass

    def totals(name: str) -> dict[str, Any]:
        attributes = recorder.named(name).attributes
        return {k.removeprefix("spandag.total."): v for k, v in attributes.items() if "total" in k}

    cost = pytest.approx((1000 * 0.15 + 100 * 0.60) / 1_000_000)
    spent = {"input_tokens": 1010, "output_tokens": 101, "unpriced_calls": 1, "cost": cost}
    assert totals("invoke_workflow r") == spent
    assert totals("invoke_agent a") == spent
    # No call below has a price, so there is no sum, not a sum of 0.
    assert totals("execute_tool t") == {"input_tokens": 10, "output_tokens": 1, "unpriced_calls": 1}
    assert totals("invoke_agent b") == {}
    assert totals("chat gpt-4o-mini") == {}


def test_totals_add_up_across_threads(recorder, tracer):
    with start_run(tracer, "r", node_class=Node) as run:
        context = otel_context.get_current()

        def work() -> None:
            token = otel_context.attach(context)
            for _ in range(50):
                call(tracer, "unheard-of", 3, 1)
            otel_context.detach(token)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert (run.totals.calls, run.totals.input_tokens, run.totals.output_tokens) == (200, 600, 200)


def test_an_exception_is_recorded_once_and_goes_on_unchanged(recorder, tracer):
    error = ValueError("no good")

    with (
        pytest.raises(ValueError) as caught,
        start_run(tracer, "r", node_class=Node),
        start_agent(tracer, "a"),
        start_tool(tracer, "t"),
    ):
        raise error

    assert caught.value is error
    for span in recorder.spans:
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description == "no good"
        assert span.attributes["error.type"] == "ValueError"
    assert [(span.name, len(span.events)) for span in recorder.spans] == [
        ("invoke_workflow r", 0),
        ("invoke_agent a", 0),
        ("execute_tool t", 1),
    ]
    [event] = recorder.named("execute_tool t").events
    assert event.name == "exception"
    assert set(event.attributes) == {"exception.type", "exception.message", "exception.stacktrace"}
    assert "no good" in event.attributes["exception.stacktrace"]


def test_another_exception_further_up_is_recorded_there(recorder, tracer):
    with pytest.raises(RuntimeError), start_agent(tracer, "a"):
        try:
            with start_tool(tracer, "t"):
                raise ValueError("first")
        except ValueError as error:
            raise RuntimeError("second") from error

    assert [len(span.events) for span in recorder.spans] == [1, 1]
    assert recorder.named("invoke_agent a").attributes["error.type"] == "RuntimeError"


def test_the_error_type_is_a_qualified_name(recorder, tracer):
    with pytest.raises(LocalError), start_tool(tracer, "t"):
        raise LocalError

    assert recorder.spans[0].attributes["error.type"] == f"{__name__}.LocalError"


class LocalError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("an exception that cannot be shown")


class Failing(SystemExit):
    """As of `sys.exit("sorry")`."""

    def __init__(self) -> None:
        super().__init__("sorry")


@pytest.mark.parametrize("error", [KeyboardInterrupt, Failing, GeneratorExit, asyncio.CancelledError])
def test_a_span_ends_whatever_ends_it(recorder, tracer, error):
    with pytest.raises(error), start_tool(tracer, "t"):
        raise error

    assert recorder.spans[0].attributes["error.type"].endswith(error.__name__)


@pytest.mark.parametrize("code", [None, 0])
def test_a_program_that_is_done_has_not_failed(recorder, tracer, code):
    with pytest.raises(SystemExit), start_run(tracer, "r", node_class=Node), start_tool(tracer, "t"):
        sys.exit(code)

    assert [span.status.status_code for span in recorder.spans] == [StatusCode.UNSET] * 2
    assert [span.events for span in recorder.spans] == [(), ()]


class Hindered(Node):
    """A node whose own work at the end goes wrong."""

    def _finish(self) -> None:
        raise RuntimeError("ours")


def test_what_goes_wrong_with_us_does_not_hide_what_went_wrong_with_the_user(recorder, tracer, monkeypatch):
    monkeypatch.delenv("SPANDAG_STRICT")

    with pytest.raises(ValueError), start_run(tracer, "r", node_class=Hindered):
        raise ValueError("theirs")

    [span] = recorder.spans
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "ValueError")


class Silent:
    def __str__(self) -> str:
        raise RuntimeError("not shown")


def test_an_attribute_that_cannot_be_shown_does_not_take_the_others_along(recorder, tracer, monkeypatch):
    monkeypatch.delenv("SPANDAG_STRICT")

    with start_run(tracer, "r", attributes={"a": 1, "b": Silent(), "c": 3}, node_class=Node) as node:
        node.set_attributes({"d": Silent(), "e": 5})
        node.add_event("model_selected", {"f": Silent(), "g": 7})

    [span] = recorder.spans
    assert {k: v for k, v in span.attributes.items() if len(k) == 1} == {"a": 1, "c": 3, "e": 5}
    assert span.attributes["gen_ai.workflow.name"] == "r"
    [event] = span.events
    assert dict(event.attributes) == {"g": 7}


def test_a_name_is_scrubbed_and_can_be_encoded(recorder, tracer):
    with start_tool(tracer, "use sk-" + "a" * 20 + " \ud800"):
        pass

    [span] = recorder.spans
    assert span.name == "execute_tool use [redacted] ?"
    assert span.attributes["gen_ai.tool.name"] == "use [redacted] ?"


def test_a_node_that_is_over_goes_with_its_last_reference(tracer):
    class Answer:
        pass

    gc.disable()
    try:
        answer = Answer()
        gone = weakref.ref(answer)
        with start_tool(tracer, "t") as node:
            node.context = otel_context.set_value("host", answer, node.context)
        del answer, node
        assert gone() is None
    finally:
        gc.enable()


class Broken(trace.NonRecordingSpan):
    """A span of a tracer that has gone wrong."""

    def get_span_context(self) -> Any:
        raise RuntimeError("broken")

    is_recording = set_attribute = set_status = add_event = end = get_span_context


class BrokenTracer(trace.Tracer):
    def start_span(self, *args: Any, **kwargs: Any) -> Any:
        return Broken(trace.INVALID_SPAN_CONTEXT)

    start_as_current_span = start_span  # type: ignore[assignment]


def test_a_tracer_that_is_broken_breaks_nothing_else(monkeypatch):
    monkeypatch.delenv("SPANDAG_STRICT")
    tracer = BrokenTracer()

    with start_run(tracer, "r", node_class=Node), start_tool(tracer, "t") as node:
        node.set_attribute("a", 1)
        assert current() is None
        done = True

    assert done


def test_secrets_never_reach_a_span(recorder, tracer):
    key = "sk-" + "a" * 30

    with pytest.raises(ValueError), start_run(tracer, "r", task=f"use {key}", node_class=Node) as run:
        run.set_attribute("api_key", "whatever")
        run.set_attribute("note", [f"it is {key}"])
        run.add_event("said", {"what": key})
        raise ValueError(f"bad {key}")

    assert key not in recorder.spans[0].to_json()
    assert recorder.spans[0].attributes["api_key"] == "[redacted]"


def test_only_the_first_end_counts(recorder, tracer):
    node = start_tool(tracer, "t")

    node.end()
    node.end(ValueError("late"))

    [span] = recorder.spans
    assert span.status.status_code is StatusCode.UNSET


def test_a_node_is_current_for_stretches_of_work(tracer):
    node = start_tool(tracer, "t")

    with node.activate():
        assert current() is node
    assert current() is None
    assert not node.ended
    with node.activate():
        assert trace.get_current_span() is node.span
    node.end()


def test_async_blocks_nest_as_sync_ones_do(recorder, tracer):
    async def branch(name: str) -> None:
        async with start_agent(tracer, name):
            await asyncio.sleep(0)
            async with start_tool(tracer, f"{name}'s tool"):
                await asyncio.sleep(0)

    async def main() -> None:
        async with start_run(tracer, "r", node_class=Node):
            await asyncio.gather(branch("a"), branch("b"))

    asyncio.run(main())

    assert sorted(recorder.tree()) == sorted(
        [
            "invoke_workflow r",
            "  invoke_agent a",
            "    execute_tool a's tool",
            "  invoke_agent b",
            "    execute_tool b's tool",
        ]
    )


def test_below_another_trace_there_is_no_current_node(tracer):
    with start_run(tracer, "r", node_class=Node):
        remote = trace.SpanContext(trace_id=1, span_id=1, is_remote=True)
        context = trace.set_span_in_context(trace.NonRecordingSpan(remote))
        token = otel_context.attach(trace.set_span_in_context(trace.NonRecordingSpan(remote)))
        assert current() is None
        otel_context.detach(token)

        node = start_node(tracer, "x", "tool", "x", context=context, node_class=Node)
        assert node.parent is None
        node.end()


def test_a_handoff_is_an_event_of_who_decides(recorder, tracer):
    with start_speaker_selection(tracer, "c", ["a", "b"]) as node:
        add_handoff(node, "a", "b", "its turn")

    [event] = recorder.spans[0].events
    assert event.name == "handoff"
    assert dict(event.attributes) == {
        "spandag.handoff.from": "a",
        "spandag.handoff.to": "b",
        "spandag.handoff.reason": "its turn",
    }


def test_without_an_sdk_everything_still_runs():
    tracer = trace.NoOpTracerProvider().get_tracer("none")

    with start_run(tracer, "r", node_class=Node) as run:
        run.set_attribute("a", 1)
        call(tracer, "gpt-4o-mini", 1, 1)
        assert current() is run
