"""Beside the official instrumentation of the OpenAI client, a call is one span and its tokens are counted once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from smolagents import CodeAgent, ToolCallingAgent

from spandag.testing import Failure, Reply, ToolCall, Usage

USAGE = Usage(prompt=100, completion=20, cached=40, reasoning=5)


@pytest.fixture
def both(instrumented: Any) -> Iterator[Any]:
    module = pytest.importorskip("opentelemetry.instrumentation.genai.openai")
    official = module.OpenAIInstrumentor()
    official.instrument(tracer_provider=instrumented.provider)
    yield instrumented
    official.uninstrument()


def chats(recorder: Any) -> list[Any]:
    return [span for span in recorder.spans if span.attributes.get("gen_ai.operation.name") == "chat"]


def test_a_call_is_one_span_of_ours(both, serve, model, outline):
    server = serve(actor=[Reply(tool_calls=[ToolCall("final_answer", {"answer": "done"})], usage=USAGE)])

    ToolCallingAgent(tools=[], model=model(server, "actor"), name="thinker", verbosity_level=0).run("Go")

    assert outline(both) == [
        "invoke_agent thinker",
        "  run_step thinker",
        "    chat gpt-4o-mini",
        "    execute_tool final_answer",
    ]
    [span] = chats(both)
    assert span.attributes["spandag.node.type"] == "llm"
    assert span.attributes["gen_ai.usage.input_tokens"] == 100
    assert span.attributes["gen_ai.usage.cache_read.input_tokens"] == 40


def test_a_streamed_call_gets_from_it_what_the_framework_drops(both, serve, model):
    server = serve(actor=[Reply("<code>\nfinal_answer(1)\n</code>", usage=USAGE)])

    CodeAgent(tools=[], model=model(server, "actor"), stream_outputs=True, verbosity_level=0).run("Go")

    [span] = chats(both)
    assert span.attributes["gen_ai.usage.input_tokens"] == 100
    assert span.attributes["gen_ai.usage.cache_read.input_tokens"] == 40
    assert span.attributes["gen_ai.usage.reasoning.output_tokens"] == 5
    assert span.attributes["gen_ai.response.id"] == "chatcmpl-actor-1"
    assert span.attributes["gen_ai.usage.cost"] == pytest.approx(
        (60 * 0.15 + 40 * 0.075 + 20 * 0.6) / 1_000_000
    )


def test_a_failed_call_is_one_failed_span(both, serve, model, outline):
    agent = ToolCallingAgent(
        tools=[], model=model(serve(actor=[Failure(500)]), "actor"), name="thinker", verbosity_level=0
    )

    with pytest.raises(Exception, match="500"):
        agent.run("Go")

    assert outline(both)[-1] == "    chat gpt-4o-mini !InternalServerError"


def test_a_call_outside_of_the_framework_is_theirs(both, serve, model):
    server = serve(actor=["Done"])

    model(server, "actor").client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Go"}]
    )

    [span] = chats(both)
    assert "spandag.node.type" not in span.attributes
