"""Streamed runs and streamed answers: the same spans, ended whatever the consumer does."""

from __future__ import annotations

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from smolagents import CodeAgent, ToolCallingAgent
from smolagents.memory import ActionStep, FinalAnswerStep

from spandag.testing import Reply, ToolCall, Usage

DONE = Reply("Ready", tool_calls=[ToolCall("final_answer", {"answer": "done"})], usage=Usage(10, 2))
TREE = [
    "invoke_agent thinker",
    "  run_step thinker",
    "    chat gpt-4o-mini",
    "    execute_tool final_answer",
]


def agent_of(model, server, kind=ToolCallingAgent, **kwargs):
    return kind(tools=[], model=model(server, "actor"), name="thinker", verbosity_level=0, **kwargs)


def test_a_streamed_run_has_the_same_tree(instrumented, serve, model, outline):
    agent = agent_of(model, serve(actor=[DONE]))

    steps = list(agent.run("Go", stream=True))

    assert steps[-1].output == "done"
    assert outline(instrumented) == TREE


def test_nothing_begins_before_the_stream_is_read(instrumented, serve, model):
    agent = agent_of(model, serve(actor=[DONE]))

    agent.run("Go", stream=True)

    assert instrumented.spans == []


def test_between_the_steps_the_consumer_is_in_its_own_context(instrumented, serve, model):
    agent = agent_of(model, serve(actor=[DONE]))
    tracer = instrumented.provider.get_tracer("user")

    with tracer.start_as_current_span("request") as request:
        before = otel_context.get_current()
        for _ in agent.run("Go", stream=True):
            assert otel_context.get_current() == before
            assert trace.get_current_span() is request

    assert instrumented.tree() == ["request", *(f"  {line}" for line in TREE)]


@pytest.mark.parametrize("kind", [ToolCallingAgent, CodeAgent])
def test_a_streamed_answer_is_one_chat_with_its_tokens(
    instrumented, serve, model, outline, address, capture_content, kind
):
    code = Reply("<code>\nfinal_answer('done')\n</code>", usage=Usage(10, 2))
    server = serve(actor=[DONE if kind is ToolCallingAgent else code])
    agent = agent_of(model, server, kind, stream_outputs=True)

    assert agent.run("Go") == "done"

    assert outline(instrumented)[:3] == TREE[:3]
    attributes = dict(instrumented.named("chat gpt-4o-mini").attributes)
    assert attributes.pop("gen_ai.input.messages")
    assert attributes.pop("gen_ai.tool.definitions" if kind is ToolCallingAgent else "gen_ai.usage.cost")
    attributes.pop("gen_ai.usage.cost", None)
    assert ("final_answer" in attributes.pop("gen_ai.output.messages")) is True
    assert "Observation:" in attributes.pop("gen_ai.request.stop_sequences")
    assert attributes == {
        "spandag.node.type": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.agent.name": "thinker",
        **address(server, "actor"),
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.stream": True,
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 2,
        "operation.cost": pytest.approx((10 * 0.15 + 2 * 0.6) / 1_000_000),
        "spandag.price.source": "genai-prices",
    }


def test_a_streamed_plan_is_planning(instrumented, serve, model, outline, capture_content):
    agent = agent_of(model, serve(actor=["1. Answer.", DONE]), stream_outputs=True, planning_interval=2)

    agent.run("Go")

    assert outline(instrumented)[:3] == [TREE[0], "  plan thinker", TREE[2]]
    assert "1. Answer." in instrumented.named("plan thinker").attributes["spandag.output"]


def test_closing_between_steps_ends_everything(instrumented, serve, model, tools, outline):
    server = serve(actor=[Reply(tool_calls=[ToolCall("unheard_of", {"x": 1})]), DONE])
    stream = agent_of(model, server).run("Go", stream=True)

    for step in stream:
        if isinstance(step, ActionStep):
            break
    stream.close()

    assert outline(instrumented) == [
        "invoke_agent thinker !GeneratorExit",
        "  run_step thinker !AgentToolExecutionError",
        "    chat gpt-4o-mini",
        "    execute_tool unheard_of !AgentToolExecutionError",
    ]


def test_closing_within_a_step_fails_as_it_does_without_us(instrumented, serve, model, outline):
    stream = agent_of(model, serve(actor=[DONE])).run("Go", stream=True)
    next(stream)

    # The framework yields in a `finally`, which Python does not allow when a generator is closed.
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        stream.close()

    assert outline(instrumented) == [
        "invoke_agent thinker !RuntimeError",
        "  run_step thinker !GeneratorExit",
        "    chat gpt-4o-mini",
    ]


def test_closing_within_a_streamed_answer_ends_the_chat(instrumented, serve, model, outline):
    stream = agent_of(model, serve(actor=[DONE]), stream_outputs=True).run("Go", stream=True)
    next(stream)

    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        stream.close()

    assert [line.split(" !")[0] for line in outline(instrumented)] == TREE[:3]


def test_an_exception_thrown_into_the_stream_is_the_runs(instrumented, serve, model, outline):
    stream = agent_of(model, serve(actor=[DONE])).run("Go", stream=True)
    next(stream)
    error = LookupError("mine")

    # The framework yields the step from its `finally` and goes on failing afterwards.
    assert isinstance(stream.throw(error), ActionStep)
    with pytest.raises(LookupError) as caught:
        next(stream)

    assert caught.value is error
    assert outline(instrumented) == [
        "invoke_agent thinker !LookupError",
        "  run_step thinker !LookupError",
        "    chat gpt-4o-mini",
    ]


def test_two_streams_can_be_read_in_turns(instrumented, serve, model):
    servers = serve(actor=lambda request: DONE)
    streams = [agent_of(model, servers).run("Go", stream=True) for _ in range(2)]
    answers = []

    while streams:
        for stream in list(streams):
            item = next(stream, None)
            if item is None:
                streams.remove(stream)
            elif isinstance(item, FinalAnswerStep):
                answers.append(item.output)

    assert answers == ["done", "done"]
    by_trace: dict[int, list[str]] = {}
    for span in instrumented.spans:
        by_trace.setdefault(span.context.trace_id, []).append(span.name)
    assert [sorted(names) for names in by_trace.values()] == [sorted(line.strip() for line in TREE)] * 2
