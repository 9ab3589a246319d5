"""Runs and phases, and where a run starts."""

from __future__ import annotations

import asyncio
import logging

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

import spandag
from spandag import _guard


def test_a_run_names_itself_its_task_its_session_and_its_user(recorder):
    with spandag.run("report", task="write it", session="alice", user="u1", attributes={"tenant": "t"}):
        pass
    [span] = recorder.spans
    assert span.name == "invoke_workflow report"
    assert dict(span.attributes) == {
        "spandag.node.type": "run",
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "report",
        "spandag.run.task": "write it",
        "session.id": "alice",
        "gen_ai.conversation.id": "alice",
        "user.id": "u1",
        "tenant": "t",
    }


def test_a_phase_nests_below_its_run(recorder):
    with spandag.run("report"), spandag.phase("planning"):
        pass
    assert recorder.tree() == ["invoke_workflow report", "  run_step planning"]
    assert dict(recorder.named("run_step planning").attributes) == {
        "spandag.node.type": "phase",
        "gen_ai.operation.name": "run_step",
        "gen_ai.step.name": "planning",
    }


def test_runs_and_phases_decorate_functions_and_record_their_calls(recorder, capture_content):
    @spandag.run("report")
    @spandag.phase("planning")
    def plan(task, *, depth=1):
        return {"plan": task}

    assert plan("go", depth=2) == {"plan": "go"}
    assert recorder.tree() == ["invoke_workflow report", "  run_step planning"]
    phase = recorder.named("run_step planning").attributes
    assert phase["spandag.input"] == '{"task":"go","depth":2}'
    assert phase["spandag.output"] == '{"plan":"go"}'


def test_content_is_not_recorded_unless_asked_for(recorder):
    @spandag.phase("planning")
    def plan(task):
        return task

    plan("secret")
    [span] = recorder.spans
    assert not [name for name in span.attributes if "input" in name or "output" in name]


def test_async_functions_and_blocks_nest_and_stay_apart_when_they_run_together(recorder):
    @spandag.phase("work")
    async def work(name):
        await asyncio.sleep(0.01)
        with spandag.tool(name):
            await asyncio.sleep(0.01)

    async def main():
        async with spandag.run("report"):
            await asyncio.gather(work("a"), work("b"))

    asyncio.run(main())
    assert sorted(recorder.tree()) == sorted(
        ["invoke_workflow report", *["  run_step work"] * 2, "    execute_tool a", "    execute_tool b"]
    )
    parents = {span.name: span.parent.span_id for span in recorder.spans if "execute_tool" in span.name}
    assert len(set(parents.values())) == 2


def test_a_plain_function_that_gives_something_to_await_has_it_awaited_within(recorder, capture_content):
    async def ask(question):
        with spandag.tool("search"):
            await asyncio.sleep(0)
        return question.upper()

    @spandag.agent("writer")
    def plain(question):
        return ask(question)

    async def main():
        task = asyncio.create_task(plain("why"))  # a coroutine, as its own would be
        assert spandag.current().type == "span"
        return await task

    assert asyncio.run(main()) == "WHY"
    assert recorder.tree() == ["invoke_agent writer", "  execute_tool search"]
    assert '"WHY"' in recorder.named("invoke_agent writer").attributes["gen_ai.output.messages"]


def test_a_provider_that_is_broken_breaks_nothing_else(monkeypatch):
    class Provider(trace.TracerProvider):
        def get_tracer(self, *args, **kwargs):
            raise RuntimeError("broken")

    monkeypatch.delenv("SPANDAG_STRICT")
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", Provider())
    with spandag.run("report"), spandag.phase("control"), spandag.step("fit") as attempt:
        attempt.set_output(1)
    assert attempt.outcome == "accepted"


def test_one_scope_can_be_entered_by_tasks_at_the_same_time(recorder):
    phase = spandag.phase("shared")

    async def work(pause):
        with phase:
            await asyncio.sleep(pause)
            with spandag.tool(str(pause)):
                pass

    async def main():
        await asyncio.gather(work(0.02), work(0.01))

    asyncio.run(main())
    assert recorder.tree() == [
        "run_step shared",
        "  execute_tool 0.02",
        "run_step shared",
        "  execute_tool 0.01",
    ]


def test_a_nested_run_joins_the_run_around_it(recorder):
    with spandag.run("outer"), spandag.run("inner"):
        pass
    assert recorder.tree() == ["invoke_workflow outer", "  invoke_workflow inner"]


def test_below_a_span_of_another_library_a_run_starts_a_linked_trace_of_its_own(recorder):
    with trace.get_tracer("web").start_as_current_span("GET /report") as request, spandag.run("report"):
        pass
    run = recorder.named("invoke_workflow report")
    assert run.parent is None
    assert run.context.trace_id != request.get_span_context().trace_id
    [link] = run.links
    assert link.context == request.get_span_context()
    assert dict(link.attributes) == {"spandag.link.type": "started_by"}


def test_new_trace_false_joins_any_span(recorder):
    with trace.get_tracer("web").start_as_current_span("GET /report"), spandag.run("report", new_trace=False):
        pass
    assert recorder.tree() == ["GET /report", "  invoke_workflow report"]


def test_new_trace_true_leaves_even_a_run(recorder):
    with spandag.run("outer") as outer, spandag.run("inner", new_trace=True) as inner:
        assert inner.parent is None
    run = recorder.named("invoke_workflow inner")
    assert run.parent is None
    assert [link.context for link in run.links] == [outer.span.get_span_context()]


def test_a_genai_span_of_another_instrumentation_is_joined(recorder):
    with (
        trace.get_tracer("other").start_as_current_span(
            "invoke_agent x", attributes={"gen_ai.operation.name": "invoke_agent"}
        ),
        spandag.run("report"),
    ):
        pass
    assert recorder.tree() == ["invoke_agent x", "  invoke_workflow report"]


def test_a_remote_parent_is_joined(recorder):
    remote = SpanContext(trace_id=7, span_id=8, is_remote=True, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(remote)), spandag.run("report"):
        pass
    [span] = recorder.spans
    assert (span.context.trace_id, span.parent.span_id) == (7, 8)


def test_an_exception_is_recorded_once_and_raised_unchanged(recorder):
    error = ValueError("boom")
    with (
        pytest.raises(ValueError) as caught,
        spandag.run("report"),
        spandag.phase("control"),
        spandag.tool("t"),
    ):
        raise error
    assert caught.value is error
    assert [[event.name for event in span.events] for span in recorder.spans] == [[], [], ["exception"]]
    assert {span.status.status_code.name for span in recorder.spans} == {"ERROR"}
    assert {span.attributes["error.type"] for span in recorder.spans} == {"ValueError"}


def test_an_unsampled_run_changes_nothing_and_is_said_once(monkeypatch, caplog):
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", TracerProvider(sampler=ALWAYS_OFF))
    monkeypatch.setattr(_guard, "_said", set())
    with caplog.at_level(logging.WARNING, "spandag"):
        for _ in range(2):
            with spandag.run("report") as run:
                assert (run.run_id, run.id) == (None, None)
                for attempt in spandag.step("fit").attempts():
                    with attempt:
                        if attempt.number == 1:
                            attempt.reject("again")
        assert attempt.number == 2
    assert [record.message for record in caplog.records] == [
        "spandag: run 'report' is not sampled and will not be recorded (this is said once); "
        "see OTEL_TRACES_SAMPLER"
    ]


@pytest.mark.parametrize(
    "misuse", [lambda: spandag.run(lambda: None), lambda: spandag.phase(""), lambda: spandag.step(None)]
)
def test_a_missing_name_is_refused_with_an_example(misuse):
    with pytest.raises(TypeError, match="needs a name, as in"):
        misuse()
