"""Whatever goes wrong is on the span where it went wrong, once, and reaches the user as it was."""

from __future__ import annotations

import gc
import weakref

import pytest
from opentelemetry.trace import StatusCode
from smolagents import ToolCallingAgent, tool
from smolagents.utils import AgentError, AgentGenerationError

import spandag
from spandag.testing import Failure, Reply, ToolCall
from spandag.workflow.scope import use_tracer_provider

DONE = Reply(tool_calls=[ToolCall("final_answer", {"answer": "done"})])


def exceptions(recorder) -> list[tuple[str, str]]:
    return [
        (span.name, event.attributes["exception.type"].rpartition(".")[2])
        for span in recorder.spans
        for event in span.events
    ]


def test_a_server_error_ends_the_run(instrumented, serve, model, outline):
    server = serve(actor=[Failure(500)])
    agent = ToolCallingAgent(tools=[], model=model(server, "actor"), name="thinker", verbosity_level=0)

    with pytest.raises(AgentGenerationError):
        agent.run("Go")

    assert outline(instrumented) == [
        "invoke_agent thinker !AgentGenerationError",
        "  run_step thinker !AgentGenerationError",
        "    chat gpt-4o-mini !InternalServerError",
    ]
    # On its way up the same exception is recorded where it appears, not on every span that it passes.
    assert exceptions(instrumented) == [
        ("run_step thinker", "AgentGenerationError"),
        ("chat gpt-4o-mini", "InternalServerError"),
    ]


def test_an_answer_without_a_call_is_a_parse_error(instrumented, serve, model, outline):
    server = serve(actor=["just words", DONE])

    ToolCallingAgent(tools=[], model=model(server, "actor"), name="thinker", verbosity_level=0).run("Go")

    assert outline(instrumented)[:4] == [
        "invoke_agent thinker",
        "  run_step thinker !AgentParsingError",
        "    chat gpt-4o-mini",
        "  run_step thinker",
    ]


def test_spent_steps_are_one_more_step_that_failed(instrumented, serve, model, tools, outline):
    server = serve(actor=[Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), "forced"])
    agent = ToolCallingAgent(
        tools=[tools.add], model=model(server, "actor"), name="thinker", max_steps=1, verbosity_level=0
    )

    assert agent.run("Go") == "forced"

    assert outline(instrumented) == [
        "invoke_agent thinker",
        "  run_step thinker",
        "    chat gpt-4o-mini",
        "    execute_tool add",
        "  run_step thinker !AgentMaxStepsError",
        "    chat gpt-4o-mini",
    ]
    attributes = instrumented.named("invoke_agent thinker").attributes
    assert attributes["gen_ai.response.finish_reasons"] == ("max_steps",)


def test_an_answer_that_fails_its_check_is_an_error_of_the_step(instrumented, serve, model, outline):
    def is_long(answer, memory, agent=None) -> bool:
        return len(answer) > 4

    server = serve(actor=[DONE, Reply(tool_calls=[ToolCall("final_answer", {"answer": "done at last"})])])
    agent = ToolCallingAgent(
        tools=[],
        model=model(server, "actor"),
        name="thinker",
        final_answer_checks=[is_long],
        verbosity_level=0,
    )

    assert agent.run("Go") == "done at last"

    assert [line for line in outline(instrumented) if "run_step" in line] == [
        "  run_step thinker !AgentError",
        "  run_step thinker",
    ]


def test_an_interrupted_run_failed(instrumented, serve, model, outline):
    server = serve(actor=[Reply(tool_calls=[ToolCall("unheard_of", {"x": 1})])])
    agent = ToolCallingAgent(
        tools=[],
        model=model(server, "actor"),
        name="thinker",
        step_callbacks=[lambda step, agent: agent.interrupt()],
        verbosity_level=0,
    )

    with pytest.raises(AgentError, match="interrupted"):
        agent.run("Go")

    assert outline(instrumented)[:2] == [
        "invoke_agent thinker !AgentError",
        "  run_step thinker !AgentToolExecutionError",
    ]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()], ids=repr)
def test_what_a_callback_raises_reaches_the_user_unchanged(instrumented, serve, model, outline, error):
    def fail(step, agent) -> None:
        raise error

    server = serve(actor=[DONE])
    agent = ToolCallingAgent(
        tools=[], model=model(server, "actor"), name="thinker", step_callbacks=[fail], verbosity_level=0
    )

    with pytest.raises(type(error)) as caught:
        agent.run("Go")

    assert caught.value is error
    kind = type(error).__name__
    assert [line.strip() for line in outline(instrumented)] == [
        f"invoke_agent thinker !{kind}",
        f"run_step thinker !{kind}",
        "chat gpt-4o-mini",
        "execute_tool final_answer",
    ]
    assert exceptions(instrumented) == [("run_step thinker", kind)]


def test_a_callback_that_rejects_the_attempt_around_it_fails_nothing(instrumented, serve, model):
    def review(step, agent) -> None:
        if spandag.current("step").feedback is None:
            raise spandag.Rejected("do better")

    use_tracer_provider(instrumented.provider)
    server = serve(actor=[DONE, DONE])
    agent = ToolCallingAgent(
        tools=[], model=model(server, "actor"), name="thinker", step_callbacks=[review], verbosity_level=0
    )

    try:
        for attempt in spandag.step("think").attempts():
            with attempt:
                agent.run("Go")
    finally:
        use_tracer_provider(None)

    assert attempt.number == 2
    assert [event.name for span in instrumented.spans for event in span.events] == ["rejected"]
    assert {span.status.status_code for span in instrumented.spans} == {StatusCode.UNSET}


def test_a_tool_that_rejects_has_failed_as_the_framework_tells_the_model_and_nobody_else(
    instrumented, serve, model, outline
):
    @tool
    def check() -> str:
        """Check."""
        raise spandag.Rejected("do better")

    use_tracer_provider(instrumented.provider)
    server = serve(actor=[Reply(tool_calls=[ToolCall("check", {})]), DONE])
    agent = ToolCallingAgent(tools=[check], model=model(server, "actor"), name="thinker", verbosity_level=0)

    try:
        with spandag.step("think") as attempt:
            agent.run("Go")
    finally:
        use_tracer_provider(None)

    assert attempt.outcome == "accepted"
    assert "execute_tool check !Rejected" in [line.strip() for line in outline(instrumented)]


def test_a_plan_that_cannot_be_made_ends_the_run(instrumented, serve, model, outline):
    server = serve(actor=[Failure(500)])
    agent = ToolCallingAgent(
        tools=[], model=model(server, "actor"), name="thinker", planning_interval=2, verbosity_level=0
    )

    with pytest.raises(Exception, match="500"):
        agent.run("Go")

    assert outline(instrumented) == [
        "invoke_agent thinker !InternalServerError",
        "  plan thinker !InternalServerError",
        "    chat gpt-4o-mini !InternalServerError",
    ]


def test_a_run_in_an_exception_handler_is_not_taken_for_failed(instrumented, serve, model, outline):
    server = serve(actor=[DONE])
    agent = ToolCallingAgent(tools=[], model=model(server, "actor"), verbosity_level=0)

    try:
        raise ValueError("handled")
    except ValueError:
        agent.run("Go")

    assert {span.status.status_code for span in instrumented.spans} == {StatusCode.UNSET}


def test_a_failed_run_keeps_nothing_alive(instrumented, serve, model):
    class Kept:
        pass

    def fail(step, agent) -> None:
        kept = Kept()
        alive.append(weakref.ref(kept))
        raise ValueError("mine")

    alive: list[weakref.ref[Kept]] = []
    server = serve(actor=[DONE])
    agent = ToolCallingAgent(tools=[], model=model(server, "actor"), step_callbacks=[fail], verbosity_level=0)

    gc.disable()
    try:
        with pytest.raises(ValueError):
            agent.run("Go")
        assert alive[0]() is None
    finally:
        gc.enable()
