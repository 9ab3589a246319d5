"""ag2's own TelemetryMiddleware: its usage spans are no calls, and its names are understood."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ag2 import Agent, tool
from ag2.config import OpenAIConfig
from ag2.middleware.builtin import TelemetryMiddleware

from spandag.instrumentation.ag2 import AG2Instrumentor
from spandag.testing import ModelServer, Reply, ToolCall, Usage

USAGE = Usage(prompt=100, completion=20, cached=40, reasoning=5)


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def run(serve: Any, recorder: Any) -> Any:
    """A parent that delegates to a worker, who uses a tool; gives the server that they asked."""

    def start() -> ModelServer:
        server = serve(
            parent=[
                Reply(tool_calls=[ToolCall("task_worker", {"objective": "1 + 2?"})], usage=USAGE),
                Reply("It is 3.", usage=USAGE),
            ],
            worker=[
                Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2}, id="c1")], usage=USAGE),
                Reply("3", usage=USAGE),
            ],
        )

        def agent(name: str, **options: Any) -> Agent:
            return Agent(
                name,
                config=OpenAIConfig(
                    model="gpt-4o-mini", api_key="any", base_url=server.url_for(name), max_retries=0
                ),
                middleware=[TelemetryMiddleware(tracer_provider=recorder.provider, agent_name=name)],
                **options,
            )

        worker = agent("worker", tools=[add])
        parent = agent("parent", tools=[worker.as_tool(description="Adds.")])
        asyncio.run(parent.ask("What is 1 + 2?"))
        return server

    return start


def test_its_spans_become_the_nodes_of_the_run(run, stored):
    run()

    assert stored().tree() == [
        "agent parent",
        "  llm gpt-4o-mini",
        "  span record_usage model_call",
        "  tool task_worker",
        "    agent worker",
        "      llm gpt-4o-mini",
        "      span record_usage model_call",
        "      tool add",
        "      llm gpt-4o-mini",
        "      span record_usage model_call",
        "  span record_usage subtask",
        "  llm gpt-4o-mini",
        "  span record_usage model_call",
    ]


def test_alone_it_counts_what_the_server_counts(run, stored, served):
    server = run()

    store = stored()
    assert store.spent() == served(server.counted())
    assert store.rows(
        "SELECT DISTINCT model, provider, cache_read_tokens, reasoning_tokens FROM cost_records"
    ) == [("gpt-4o-mini", "openai", 40, 5)]


def test_beside_ours_no_call_counts_twice(run, instrument, stored, served):
    instrument(AG2Instrumentor())

    server = run()

    store = stored()
    assert store.spent() == served(server.counted())
    assert store.rows("SELECT count(*) FROM workflow_runs") == [(1,)]


def test_its_content_is_that_of_the_nodes(run, stored):
    run()

    store = stored()
    first = store.details("llm")[1]
    assert [(message.direction, message.role) for message in first.messages] == [
        ("input", "user"),
        ("output", "assistant"),
    ]
    assert first.output_preview == 'add({"a": 1, "b": 2})'
    [_, add_node] = store.details("tool")
    assert (add_node.input_preview, add_node.output_preview) == ('{"a": 1, "b": 2}', "3")
    asked, answered = store.hashes("input"), store.hashes("output")
    assert asked[2][: len(asked[1]) + 1] == [*asked[1], *answered[1]]
