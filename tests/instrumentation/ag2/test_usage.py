"""Tokens: all of them, once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ag2 import Agent, KnowledgeConfig, TaskConfig, tool
from ag2.aggregate import AggregateTrigger, ConversationSummaryAggregate, WorkingMemoryAggregate
from ag2.compact import CompactTrigger, SummarizeCompact
from ag2.config import ModelProvider
from ag2.events import ModelMessage, ModelResponse
from ag2.events import Usage as AG2Usage
from ag2.knowledge import MemoryKnowledgeStore
from ag2.middleware.builtin import TelemetryMiddleware
from ag2.testing import TestConfig

from spandag.testing import ModelServer, Reply, Request, ToolCall, Usage, estimate_usage

CHAT = "chat test-model"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def chats(recorder: Any) -> list[Any]:
    """Our spans of model calls."""
    return [
        span
        for span in recorder.spans
        if span.instrumentation_scope.name == "spandag.ag2" and span.attributes["spandag.node.type"] == "llm"
    ]


def assert_counted_as_the_server_did(recorder: Any, server: ModelServer) -> None:
    def total(name: str) -> int:
        return sum(span.attributes.get(f"gen_ai.usage.{name}", 0) for span in chats(recorder))

    served = server.counted()
    assert len(chats(recorder)) == served.calls
    assert total("input_tokens") == served.input_tokens
    assert total("output_tokens") == served.output_tokens
    assert total("cache_read.input_tokens") == served.cached_tokens
    assert total("reasoning.output_tokens") == served.reasoning_tokens


def with_all_kinds(reply: Reply, request: Request) -> Reply:
    usage = estimate_usage(request, reply, cached=5, reasoning=7)
    return Reply(reply.text, reply.tool_calls, usage=usage)


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_delegation_is_counted_once(
    api: str, streaming: bool, serve: Any, config: Any, recorder: Any
) -> None:
    def boss(request: Request) -> Reply:
        if request.messages[-1].role == "tool":
            return with_all_kinds(Reply("done"), request)
        if "run_subtasks" not in request.tools:
            return with_all_kinds(Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), request)
        calls = [
            ToolCall("run_subtasks", {"tasks": ["one", "two"]}),
            ToolCall("task_worker", {"objective": "three"}),
        ]
        return with_all_kinds(Reply(tool_calls=calls), request)

    server = serve(boss=boss, worker=lambda request: with_all_kinds(Reply("worked"), request))
    options = {"api": api, "streaming": streaming}
    worker = Agent("worker", config=config(server, "worker", **options))
    agent = Agent(
        "boss",
        config=config(server, "boss", **options),
        tools=[add, worker.as_tool(description="Works.")],
        tasks=TaskConfig(exclude_tools=["task_worker"]),
    )

    asyncio.run(agent.ask("Go"))

    assert server.counted().calls == 7
    assert_counted_as_the_server_did(recorder, server)
    turn = recorder.named("invoke_agent boss")
    assert turn.attributes["spandag.total.input_tokens"] == server.counted().input_tokens
    assert turn.attributes["spandag.total.output_tokens"] == server.counted().output_tokens


def test_compaction_and_aggregation_are_model_calls(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(a=["one", "two"], keeper=["a summary", "a memory", "a compact history"] * 2)
    keeper = config(server, "keeper")
    knowledge = KnowledgeConfig(
        store=MemoryKnowledgeStore(),
        compact=SummarizeCompact(target=1, config=keeper),
        compact_trigger=CompactTrigger(max_events=3),
        aggregate=ConversationSummaryAggregate(keeper),
        aggregate_trigger=AggregateTrigger(on_end=True),
    )
    agent = Agent("a", config=config(server, "a"), knowledge=knowledge)

    async def talk() -> None:
        reply = await agent.ask("First")
        await reply.ask("Second")
        strategy = WorkingMemoryAggregate(keeper)
        await strategy.aggregate(list(await reply.history.get_events()), reply.context, knowledge.store)

    asyncio.run(talk())

    assert server.counted("keeper").calls == 4
    assert_counted_as_the_server_did(recorder, server)
    assert recorder.tree() == [
        "invoke_agent a",
        f"  {CHAT}",
        f"  {CHAT}",
        "invoke_agent a",
        f"  {CHAT}",
        f"  {CHAT}",
        f"  {CHAT}",
        CHAT,
    ]


def test_beside_ag2s_own_telemetry_each_call_is_one_span_of_ours(
    serve: Any, config: Any, recorder: Any
) -> None:
    def calc(request: Request) -> Reply:
        if request.messages[-1].role == "tool":
            return Reply("3")
        return Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})])

    server = serve(calc=calc)
    agent = Agent(
        "calc",
        config=config(server, "calc"),
        tools=[add],
        middleware=[TelemetryMiddleware(tracer_provider=recorder.provider, agent_name="calc")],
    )

    asyncio.run(agent.ask("1 + 2?"))

    assert_counted_as_the_server_did(recorder, server)
    assert len({span.context.trace_id for span in recorder.spans}) == 1
    by_id = {span.context.span_id: span for span in recorder.spans}
    for chat in chats(recorder):
        around = by_id[chat.parent.span_id]
        assert around.attributes["gen_ai.operation.name"] == "chat"
        assert around.instrumentation_scope.name != "spandag.ag2"


@pytest.mark.parametrize(
    ("provider", "usage", "expected"),
    [
        (
            "openai",
            AG2Usage(100, 30, 130, cache_read_input_tokens=40, thinking_tokens=10),
            {"input": 100, "output": 30, "cache_read.input": 40, "reasoning.output": 10},
        ),
        (
            "anthropic",  # input without what is cached; reasoning within the output
            AG2Usage(
                10.0,
                30.0,
                40.0,
                cache_read_input_tokens=60.0,
                cache_creation_input_tokens=20.0,
                thinking_tokens=5.0,
            ),
            {
                "input": 90,
                "output": 30,
                "cache_read.input": 60,
                "cache_write.input": 20,
                "reasoning.output": 5,
            },
        ),
        (
            "google",  # reasoning apart from the output
            AG2Usage(100.0, 30.0, 150.0, cache_read_input_tokens=40.0, thinking_tokens=20.0),
            {"input": 100, "output": 50, "cache_read.input": 40, "reasoning.output": 20},
        ),
        ("openai", AG2Usage(), {}),
    ],
    ids=["openai", "anthropic", "google", "nothing said"],
)
def test_providers_that_count_differently_are_counted_alike(
    provider: str, usage: AG2Usage, expected: dict[str, int], recorder: Any
) -> None:
    response = ModelResponse(ModelMessage("hi"), usage=usage, model="some-model", provider=provider)
    agent = Agent("a", config=TestConfig(response))

    asyncio.run(agent.ask("Hi"))

    [chat] = chats(recorder)
    assert {
        name: value
        for name, value in chat.attributes.items()
        if name.startswith("gen_ai.usage.") and name.endswith("_tokens")
    } == {f"gen_ai.usage.{kind}_tokens": count for kind, count in expected.items()}


def test_a_client_that_is_not_ag2s_own_is_traced_with_what_its_configuration_says(recorder: Any) -> None:
    named = TestConfig("hello", provider=ModelProvider.BEDROCK, model="titan")
    silent = TestConfig("hello")

    asyncio.run(Agent("named", config=named).ask("Hi"))
    asyncio.run(Agent("silent", config=silent).ask("Hi"))

    first, second = chats(recorder)
    assert first.name == "chat titan"
    assert first.attributes["gen_ai.provider.name"] == "aws.bedrock"
    assert first.attributes["gen_ai.request.model"] == "titan"
    assert dict(second.attributes) == {
        "spandag.node.type": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.agent.name": "silent",
    }


def test_usage_with_cached_tokens_is_priced_at_their_rate(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(a=[Reply("hi", usage=Usage(1_000_000, 100_000, 400_000, 0))])

    asyncio.run(Agent("a", config=config(server, "a")).ask("Hi"))

    cost = 0.6 * 2 + 0.4 * 1 + 0.1 * 10
    assert recorder.named(CHAT).attributes["gen_ai.usage.cost"] == pytest.approx(cost)
    assert recorder.named("invoke_agent a").attributes["spandag.total.cost"] == pytest.approx(cost)
