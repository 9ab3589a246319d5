"""Every attribute of every kind of span; a span that has another one fails."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from unittest.mock import ANY

import pytest
from ag2 import Agent, ToolResult, tool
from ag2.middleware.builtin import approval_required
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import BaseModel

from spandag.testing import Reply, Request, ToolCall, Usage

MODEL = "test-model"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def calculator(request: Request) -> Reply:
    if request.last("tool"):
        return Reply(f"It is {request.last('tool')}.", usage=Usage(200, 20, 150, 0))
    return Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2}, "call-1")], usage=Usage(100, 30, 40, 10))


AGENT = {
    "spandag.node.type": "agent",
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.agent.name": "calculator",
    "gen_ai.request.model": MODEL,
    "gen_ai.conversation.id": ANY,
    "spandag.total.input_tokens": 300,
    "spandag.total.output_tokens": 50,
    "spandag.total.cost": pytest.approx(0.000_460 + 0.000_450),
    "spandag.total.unpriced_calls": 0,
}
FIRST_CHAT = {
    "spandag.node.type": "llm",
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": MODEL,
    "gen_ai.agent.name": "calculator",
    "server.address": "127.0.0.1",
    "server.port": ANY,
    "gen_ai.response.model": MODEL,
    "gen_ai.response.finish_reasons": ("tool_calls",),
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 30,
    "gen_ai.usage.cache_read.input_tokens": 40,
    "gen_ai.usage.reasoning.output_tokens": 10,
    # 60 at 2, 40 at 1 and 30 at 10 USD per million
    "gen_ai.usage.cost": pytest.approx(0.000_460),
    "operation.cost": pytest.approx(0.000_460),
    "spandag.price.source": "user",
}
LAST_CHAT = {
    **FIRST_CHAT,
    "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.usage.input_tokens": 200,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 150,
    "gen_ai.usage.reasoning.output_tokens": 0,
    "gen_ai.usage.cost": pytest.approx(0.000_450),
    "operation.cost": pytest.approx(0.000_450),
}
TOOL = {
    "spandag.node.type": "tool",
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "add",
    "gen_ai.tool.type": "function",
    "gen_ai.tool.description": "Add two numbers.",
    "gen_ai.tool.call.id": "call-1",
    "gen_ai.agent.name": "calculator",
}


def attributes(span: Any) -> dict[str, Any]:
    """A span's attributes; the response's id apart, which the first 1.x versions of AG2 do not hand on."""
    result = dict(span.attributes)
    result.pop("gen_ai.response.id", None)
    return result


def content(text: str) -> Any:
    """An attribute that is this JSON."""

    class Matcher:
        def __eq__(self, other: object) -> bool:
            return json.loads(str(other)) == json.loads(text)

        def __repr__(self) -> str:
            return text

    return Matcher()


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_without_content_spans_have_these_attributes_and_no_others(
    api: str, serve: Any, config: Any, recorder: Any
) -> None:
    server = serve(calculator=calculator)
    agent = Agent("calculator", "Use the tool.", config=config(server, "calculator", api=api), tools=[add])

    reply = asyncio.run(agent.ask("What is 1 + 2?"))

    assert reply.body == "It is 3."
    turn, first, call, last = recorder.spans
    assert [span.kind for span in recorder.spans] == [
        SpanKind.INTERNAL,
        SpanKind.CLIENT,
        SpanKind.INTERNAL,
        SpanKind.CLIENT,
    ]
    assert attributes(turn) == AGENT
    assert attributes(first) == FIRST_CHAT
    assert attributes(call) == TOOL
    assert attributes(last) == LAST_CHAT
    assert {span.status.status_code for span in recorder.spans} == {StatusCode.UNSET}
    assert {span.instrumentation_scope.name for span in recorder.spans} == {"spandag.ag2"}
    assert not any(span.events or span.links for span in recorder.spans)


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_with_content_spans_have_the_messages_besides(
    api: str, serve: Any, config: Any, recorder: Any, capture_content: None
) -> None:
    server = serve(calculator=calculator)
    agent = Agent("calculator", "Use the tool.", config=config(server, "calculator", api=api), tools=[add])

    asyncio.run(agent.ask("What is 1 + 2?"))

    turn, first, call, last = recorder.spans
    system = '[{"type": "text", "content": "Use the tool."}]'
    question = '{"role": "user", "parts": [{"type": "text", "content": "What is 1 + 2?"}]}'
    tool_call = '{"type": "tool_call", "name": "add", "arguments": {"a": 1, "b": 2}, "id": "call-1"}'
    asked = f'{{"role": "assistant", "parts": [{tool_call}]}}'
    answer = '{"role": "assistant", "parts": [{"type": "text", "content": "It is 3."}]}'
    result = '{"role": "tool", "parts": [{"type": "tool_call_response", "response": 3, "id": "call-1"}]}'
    tools = (
        '[{"type": "function", "name": "add", "description": "Add two numbers.", "parameters": {"type": "object",'
        ' "properties": {"a": {"title": "A", "type": "integer"}, "b": {"title": "B", "type": "integer"}},'
        ' "required": ["a", "b"]}}]'
    )
    assert attributes(turn) == {
        **AGENT,
        "gen_ai.system_instructions": content(system),
        "gen_ai.input.messages": content(f"[{question}]"),
        "gen_ai.output.messages": content(f"[{answer}]"),
    }
    assert attributes(first) == {
        **FIRST_CHAT,
        "gen_ai.system_instructions": content(system),
        "gen_ai.input.messages": content(f"[{question}]"),
        "gen_ai.output.messages": content(f'[{asked[:-1]}, "finish_reason": "tool_calls"}}]'),
        "gen_ai.tool.definitions": content(tools),
    }
    assert attributes(call) == {
        **TOOL,
        "gen_ai.tool.call.arguments": content('{"a": 1, "b": 2}'),
        "gen_ai.tool.call.result": content("3"),
    }
    assert attributes(last) == {
        **LAST_CHAT,
        "gen_ai.system_instructions": content(system),
        "gen_ai.input.messages": content(f"[{question}, {asked}, {result}]"),
        "gen_ai.output.messages": content(f'[{answer[:-1]}, "finish_reason": "stop"}}]'),
        "gen_ai.tool.definitions": content(tools),
    }


def test_the_response_id_is_recorded_where_ag2_hands_it_on(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(one=["hello"])

    reply = asyncio.run(Agent("one", config=config(server, "one")).ask("Hi"))

    known = getattr(reply.response, "response_id", None)
    assert recorder.named(f"chat {MODEL}").attributes.get("gen_ai.response.id") == known


def test_request_options_are_recorded(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(one=["hello"])
    options = {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 99,
        "seed": 7,
        "stop": "END",
        "n": 2,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "streaming": True,
    }

    asyncio.run(Agent("one", config=config(server, "one", **options)).ask("Hi"))

    chat = recorder.named(f"chat {MODEL}")
    assert {k: v for k, v in chat.attributes.items() if k.startswith("gen_ai.request.")} == {
        "gen_ai.request.model": MODEL,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.max_tokens": 99,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.frequency_penalty": 0.1,
        "gen_ai.request.presence_penalty": 0.2,
        "gen_ai.request.stream": True,
    }


def test_structured_output_is_recorded_as_json(
    serve: Any, config: Any, recorder: Any, capture_content: None
) -> None:
    class Verdict(BaseModel):
        accepted: bool

    server = serve(judge=['{"accepted": true}'])
    agent = Agent("judge", config=config(server, "judge"), response_schema=Verdict)

    async def verdict() -> Verdict | None:
        return await (await agent.ask("Good?")).content()

    assert asyncio.run(verdict()) == Verdict(accepted=True)
    assert recorder.named(f"chat {MODEL}").attributes["gen_ai.output.type"] == "json"
    assert json.loads(recorder.named("invoke_agent judge").attributes["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": '{"accepted": true}'}]}
    ]


def test_a_question_to_a_person_is_a_span_within_the_tool_that_waits_for_it(
    serve: Any, config: Any, recorder: Any, capture_content: None
) -> None:
    asked = tool(add.model.call, name="add", middleware=[approval_required()])
    server = serve(calculator=calculator)
    agent = Agent(
        "calculator", config=config(server, "calculator"), tools=[asked], hitl_hook=lambda event: "y"
    )

    assert asyncio.run(agent.ask("1 + 2?")).body == "It is 3."

    assert recorder.tree() == [
        "invoke_agent calculator",
        f"  chat {MODEL}",
        "  execute_tool add",
        "    human_input calculator",
        f"  chat {MODEL}",
    ]
    assert dict(recorder.named("human_input calculator").attributes) == {
        "spandag.node.type": "approval",
        "gen_ai.operation.name": "human_input",
        "gen_ai.agent.name": "calculator",
        "spandag.input": ANY,
        "spandag.output": '"y"',
    }


def test_results_of_several_parts_are_recorded_as_they_are(
    serve: Any, config: Any, recorder: Any, capture_content: None
) -> None:
    @tool
    def look() -> ToolResult:
        """Look."""
        return ToolResult("two parts", {"mass": 5.97})

    server = serve(eye=[Reply(tool_calls=[ToolCall("look")]), "seen"])

    asyncio.run(Agent("eye", config=config(server, "eye"), tools=[look]).ask("Look"))

    result = recorder.named("execute_tool look").attributes["gen_ai.tool.call.result"]
    assert json.loads(result) == ["two parts", {"mass": 5.97}]
