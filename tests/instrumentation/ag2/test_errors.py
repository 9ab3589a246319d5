"""What fails is an error on its span, and reaches the program as it would without us."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
from ag2 import Agent, tool
from ag2.exceptions import ConfigNotProvidedError
from ag2.middleware import BaseMiddleware, Middleware
from ag2.middleware.builtin import RetryMiddleware
from opentelemetry.trace import StatusCode

import spandag
from spandag.testing import Failure, Reply, ToolCall, Usage
from spandag.workflow.scope import use_tracer_provider

CHAT = "chat test-model"


def exceptions(span: Any) -> list[str]:
    return [e.attributes["exception.type"] for e in span.events if e.name == "exception"]


def errors(recorder: Any) -> dict[str, str]:
    return {
        span.name: span.attributes["error.type"]
        for span in recorder.spans
        if span.status.status_code is StatusCode.ERROR
    }


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_failing_model_call_names_its_model_and_error(
    api: str, serve: Any, config: Any, recorder: Any
) -> None:
    server = serve(a=[Failure(500, "no luck")])

    with pytest.raises(openai.InternalServerError, match="no luck"):
        asyncio.run(Agent("a", config=config(server, "a", api=api)).ask("Go"))

    turn, chat = recorder.spans
    assert dict(chat.attributes) == {
        "spandag.node.type": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "test-model",
        "gen_ai.agent.name": "a",
        "server.address": "127.0.0.1",
        "server.port": chat.attributes["server.port"],
        "error.type": "openai.InternalServerError",
    }
    assert chat.status.status_code is turn.status.status_code is StatusCode.ERROR
    assert "no luck" in chat.status.description
    assert turn.attributes["error.type"] == "openai.InternalServerError"
    assert (exceptions(chat), exceptions(turn)) == (["openai.InternalServerError"], [])


def test_what_the_client_library_repeats_is_one_call(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(a=[Failure(503, retry_after=0.001), Reply("hello", usage=Usage(10, 2))])

    asyncio.run(Agent("a", config=config(server, "a", max_retries=1)).ask("Go"))

    assert recorder.tree() == ["invoke_agent a", f"  {CHAT}"]
    assert not errors(recorder)
    assert recorder.named("invoke_agent a").attributes["spandag.total.input_tokens"] == 10


def test_what_a_retry_middleware_repeats_is_another_call(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(a=[Failure(500), "hello"])
    agent = Agent("a", config=config(server, "a"), middleware=[RetryMiddleware(max_retries=1)])

    assert asyncio.run(agent.ask("Go")).body == "hello"

    turn, failed, repeated = recorder.spans
    assert recorder.tree() == ["invoke_agent a", f"  {CHAT}", f"  {CHAT}"]
    assert failed.attributes["error.type"] == "openai.InternalServerError"
    assert repeated.status.status_code is turn.status.status_code is StatusCode.UNSET


def test_a_call_that_a_middleware_answers_itself_is_no_model_call(
    serve: Any, config: Any, recorder: Any
) -> None:
    from ag2.events import ModelMessage, ModelResponse

    class Canned(BaseMiddleware):
        async def on_llm_call(self, call_next: Any, events: Any, context: Any) -> ModelResponse:
            return ModelResponse(ModelMessage("canned"))

    server = serve(a=["never"])
    agent = Agent("a", config=config(server, "a"))

    assert asyncio.run(agent.ask("Go", middleware=[Middleware(Canned)])).body == "canned"
    assert recorder.tree() == ["invoke_agent a"]


def test_a_tool_error_that_the_framework_hands_to_the_model_is_an_error(
    serve: Any, config: Any, recorder: Any
) -> None:
    @tool
    def broken() -> str:
        """Break."""
        raise LookupError("no such planet")

    server = serve(a=[Reply(tool_calls=[ToolCall("broken")]), "I am sorry"])

    reply = asyncio.run(Agent("a", config=config(server, "a"), tools=[broken]).ask("Go"))

    assert reply.body == "I am sorry"
    assert recorder.tree() == ["invoke_agent a", f"  {CHAT}", "  execute_tool broken", f"  {CHAT}"]
    assert errors(recorder) == {"execute_tool broken": "LookupError"}
    span = recorder.named("execute_tool broken")
    assert span.status.description == "no such planet"
    assert exceptions(span) == ["LookupError"]


def test_so_is_a_rejection_in_a_tool_as_no_step_hears_it(serve: Any, config: Any, recorder: Any) -> None:
    @tool
    def check() -> str:
        """Check."""
        raise spandag.Rejected("do better")

    server = serve(a=[Reply(tool_calls=[ToolCall("check")]), "I am sorry"])
    use_tracer_provider(recorder.provider)
    try:
        with spandag.step("think") as attempt:
            asyncio.run(Agent("a", config=config(server, "a"), tools=[check]).ask("Go"))
    finally:
        use_tracer_provider(None)

    assert attempt.outcome == "accepted"
    assert errors(recorder) == {"execute_tool check": "spandag.Rejected"}
    assert exceptions(recorder.named("execute_tool check")) == ["spandag.Rejected"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (ToolCall("add", {"a": "one"}), "pydantic_core._pydantic_core.ValidationError"),
        (ToolCall("missing", {}), "ag2.exceptions.ToolNotFoundError"),
    ],
    ids=["arguments of the wrong type", "a tool that does not exist"],
)
def test_calls_that_reach_no_tool_are_errors(
    call: ToolCall, error: str, serve: Any, config: Any, recorder: Any
) -> None:
    @tool
    def add(a: int) -> int:
        """Add."""
        return a

    server = serve(a=[Reply(tool_calls=[call]), "sorry"])

    reply = asyncio.run(Agent("a", config=config(server, "a"), tools=[add]).ask("Go"))

    assert reply.body == "sorry"
    assert errors(recorder) == {f"execute_tool {call.name}": error}


def test_arguments_that_are_not_json_fail_the_tool_and_then_the_call_that_would_repeat_them(
    serve: Any, config: Any, recorder: Any, capture_content: None
) -> None:
    @tool
    def add(a: int) -> int:
        """Add."""
        return a

    server = serve(a=[Reply(tool_calls=[ToolCall("add", "{not json", "call-1")]), "never"])

    # AG2 parses the arguments again when it sends the history.
    with pytest.raises(json.JSONDecodeError):
        asyncio.run(Agent("a", config=config(server, "a"), tools=[add]).ask("Go"))

    call = recorder.named("execute_tool add")
    assert call.attributes["gen_ai.tool.call.arguments"] == '"{not json"'
    assert set(errors(recorder)) == {"execute_tool add", CHAT, "invoke_agent a"}
    assert set(errors(recorder).values()) == {"json.decoder.JSONDecodeError"}


def test_an_error_in_the_middleware_of_a_tool_is_an_error_of_the_tool(
    serve: Any, config: Any, recorder: Any
) -> None:
    async def refuse(call_next: Any, event: Any, context: Any) -> Any:
        raise PermissionError("not today")

    @tool(middleware=[refuse])
    def guarded() -> str:
        """Guarded."""
        return "never"

    server = serve(a=[Reply(tool_calls=[ToolCall("guarded")]), "refused"])

    asyncio.run(Agent("a", config=config(server, "a"), tools=[guarded]).ask("Go"))

    assert errors(recorder) == {"execute_tool guarded": "PermissionError"}


def test_a_sub_agent_that_fails_is_an_error_though_the_tool_reports_it_as_text(
    serve: Any, config: Any, recorder: Any
) -> None:
    server = serve(
        boss=[Reply(tool_calls=[ToolCall("task_worker", {"objective": "x"})]), "a pity"],
        worker=[Failure(500)],
    )
    worker = Agent("worker", config=config(server, "worker"))
    boss = Agent("boss", config=config(server, "boss"), tools=[worker.as_tool(description="Works.")])

    assert asyncio.run(boss.ask("Go")).body == "a pity"
    assert errors(recorder)["invoke_agent worker"] == "openai.InternalServerError"
    assert recorder.named("invoke_agent boss").status.status_code is StatusCode.UNSET


def test_a_turn_that_cannot_begin_is_a_failed_turn(recorder: Any) -> None:
    with pytest.raises(ConfigNotProvidedError):
        asyncio.run(Agent("a").ask("Go"))

    assert errors(recorder) in (
        {"invoke_agent a": "ag2.exceptions.ConfigNotProvidedError"},
        {},  # the first 1.x versions look for a model before they open the turn
    )


def test_a_cancelled_turn_ends_all_its_spans(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(a=[Reply(tool_calls=[ToolCall("wait")])])

    async def cancel() -> None:
        waiting = asyncio.Event()

        @tool
        async def wait() -> str:
            """Wait."""
            waiting.set()
            await asyncio.sleep(30)
            return "never"

        turn = asyncio.ensure_future(Agent("a", config=config(server, "a"), tools=[wait]).ask("Go"))
        await waiting.wait()
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn

    asyncio.run(cancel())

    assert recorder.tree() == ["invoke_agent a", f"  {CHAT}", "  execute_tool wait"]
    assert errors(recorder) == {
        "invoke_agent a": "asyncio.exceptions.CancelledError",
        "execute_tool wait": "asyncio.exceptions.CancelledError",
    }


def test_a_background_run_that_is_left_ends_its_spans(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(a=[Reply("late", delay=0.5)])

    async def leave() -> None:
        async with Agent("a", config=config(server, "a")).run("Go") as run:
            run.start()
            await asyncio.sleep(0.1)

    asyncio.run(leave())

    assert errors(recorder)["invoke_agent a"] == "asyncio.exceptions.CancelledError"


def test_the_programs_own_exception_in_an_observed_run_is_none_of_the_turn(
    serve: Any, config: Any, recorder: Any
) -> None:
    server = serve(a=["fine"])

    async def fail() -> None:
        async with Agent("a", config=config(server, "a")).run("Go") as run:
            await run.result()
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(fail())

    assert recorder.tree() == ["invoke_agent a", f"  {CHAT}"]
    assert not errors(recorder)
