"""Others see the same runs of smolagents: alone each is understood, and beside ours nothing counts twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInferenceOpenAI
from openinference.instrumentation.smolagents import SmolagentsInstrumentor as OpenInferenceSmolagents
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor as OfficialOpenAI
from opentelemetry.instrumentation.genai.smolagents import SmolagentsInstrumentor as OfficialSmolagents
from smolagents import OpenAIServerModel, ToolCallingAgent, tool

from spandag.instrumentation.smolagents import SmolagentsInstrumentor
from spandag.testing import ModelServer, Reply, ToolCall, Usage

USAGE = Usage(prompt=100, completion=20, cached=40, reasoning=5)

OTHERS: dict[str, tuple[Any, ...]] = {
    "official": (OfficialSmolagents, OfficialOpenAI),
    "openinference": (OpenInferenceSmolagents,),
    "openinference for both": (OpenInferenceSmolagents, OpenInferenceOpenAI),
    "openinference for the client": (OpenInferenceOpenAI,),
    "all": (OfficialSmolagents, OpenInferenceSmolagents, OfficialOpenAI, OpenInferenceOpenAI),
}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


def model(server: ModelServer, actor: str) -> OpenAIServerModel:
    return OpenAIServerModel(
        "gpt-4o-mini", api_base=server.url_for(actor), api_key="any", client_kwargs={"max_retries": 0}
    )


@pytest.fixture
def run(serve: Callable[..., ModelServer]) -> Callable[..., ModelServer]:
    """A manager that asks a colleague, who uses a tool; gives the server that they asked."""

    def start(*, stream: bool = False) -> ModelServer:
        server = serve(
            manager=[
                Reply(tool_calls=[ToolCall("helper", {"task": "1 + 2?"})], usage=USAGE),
                Reply(tool_calls=[ToolCall("final_answer", {"answer": "3"})], usage=USAGE),
            ],
            helper=[
                Reply("I add.", tool_calls=[ToolCall("add", {"a": 1, "b": 2})], usage=USAGE),
                Reply(tool_calls=[ToolCall("final_answer", {"answer": 3})], usage=USAGE),
            ],
        )
        helper = ToolCallingAgent(
            tools=[add],
            model=model(server, "helper"),
            name="helper",
            description="Adds.",
            verbosity_level=0,
            stream_outputs=stream,
        )
        ToolCallingAgent(
            tools=[],
            model=model(server, "manager"),
            name="manager",
            managed_agents=[helper],
            verbosity_level=0,
            stream_outputs=stream,
        ).run("What is 1 + 2?")
        return server

    return start


TREES = {
    "official": [
        "agent manager",
        "  llm gpt-4o-mini",
        "  agent helper",
        "    llm gpt-4o-mini",
        "    llm gpt-4o-mini",
        "  llm gpt-4o-mini",
    ],
    "openinference": [
        "agent manager",
        "  iteration Step 1",
        "    llm gpt-4o-mini",
        "    agent helper",
        "      iteration Step 1",
        "        llm gpt-4o-mini",
        "        tool add",
        "      iteration Step 2",
        "        llm gpt-4o-mini",
        "        tool final_answer",
        "  iteration Step 2",
        "    llm gpt-4o-mini",
        "    tool final_answer",
    ],
    "openinference for both": [
        "agent manager",
        "  iteration Step 1",
        "    llm gpt-4o-mini",
        "      llm gpt-4o-mini (not counted)",
        "    agent helper",
        "      iteration Step 1",
        "        llm gpt-4o-mini",
        "          llm gpt-4o-mini (not counted)",
        "        tool add",
        "      iteration Step 2",
        "        llm gpt-4o-mini",
        "          llm gpt-4o-mini (not counted)",
        "        tool final_answer",
        "  iteration Step 2",
        "    llm gpt-4o-mini",
        "      llm gpt-4o-mini (not counted)",
        "    tool final_answer",
    ],
}


@pytest.mark.parametrize("others", TREES)
def test_their_spans_become_the_nodes_of_the_run(others, instrument, run, stored):
    instrument(*(instrumentor() for instrumentor in OTHERS[others]))

    run()

    assert stored().tree() == TREES[others]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("others", OTHERS)
def test_alone_they_count_what_the_server_counts(others, stream, instrument, run, stored, served):
    instrument(*(instrumentor() for instrumentor in OTHERS[others]))

    server = run(stream=stream)

    assert stored().spent() == served(server.counted())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("ours_first", [True, False], ids=["ours first", "ours last"])
@pytest.mark.parametrize("others", OTHERS)
def test_beside_ours_no_call_counts_twice(others, ours_first, stream, instrument, run, stored, served):
    ours, theirs = [SmolagentsInstrumentor()], [instrumentor() for instrumentor in OTHERS[others]]
    instrument(*(ours + theirs if ours_first else theirs + ours))

    server = run(stream=stream)

    store = stored()
    assert store.spent() == served(server.counted())
    assert store.rows("SELECT count(*) FROM workflow_runs") == [(1,)]
    names = store.rows(
        "SELECT name FROM dag_nodes WHERE scope = 'spandag.smolagents' AND node_type = 'sub_agent'"
    )
    assert names == [("helper",)]


def test_the_finer_counts_and_the_price_are_understood(instrument, run, stored):
    instrument(OfficialOpenAI(), OpenInferenceSmolagents())

    run()

    rows = stored().rows(
        "SELECT DISTINCT n.scope, c.model, c.provider, c.cache_read_tokens, c.reasoning_tokens, c.price_source"
        " FROM cost_records AS c JOIN dag_nodes AS n ON n.run_id = c.run_id AND n.id = c.node_id ORDER BY 1"
    )
    assert rows == [
        ("openinference.instrumentation.smolagents", "gpt-4o-mini", "openai", None, None, "genai-prices"),
        ("opentelemetry.instrumentation.genai.openai", "gpt-4o-mini", "openai", 40, 5, "genai-prices"),
    ]


def test_roles_are_those_of_the_conventions(capture_content, instrument, run, stored):
    # smolagents hands enumerations to the client, which the official instrumentation writes down as they are.
    instrument(OfficialOpenAI())

    run()

    roles = {role for (role,) in stored().rows("SELECT DISTINCT role FROM messages WHERE role IS NOT NULL")}
    assert roles == {"system", "user", "assistant"}


def test_what_openinference_says_of_a_call_is_read_in_the_names_of_the_conventions(instrument, run, stored):
    instrument(OpenInferenceOpenAI())

    run()

    call = stored().details("llm")[1]
    assert (call.node.model, call.node.provider) == ("gpt-4o-mini", "openai")
    assert [(message.direction, message.role) for message in call.messages] == [
        ("tools", None),
        ("input", "system"),
        ("input", "user"),
        ("output", "assistant"),
    ]
    assert call.messages[-1].content == {
        "role": "assistant",
        "parts": [
            {"type": "text", "content": "I add."},
            {"type": "tool_call", "name": "add", "arguments": {"a": 1, "b": 2}, "id": "call_helper_1_0"},
        ],
    }
    assert call.output_preview == 'I add.\nadd({"a":1,"b":2})'
    # Content is not repeated among the attributes; the rest is there under the names that it had.
    assert set(call.attributes) == {
        "input.mime_type",
        "llm.finish_reason",
        "llm.invocation_parameters",
        "llm.model_name",
        "llm.system",
        "llm.token_count.completion",
        "llm.token_count.completion_details.audio",
        "llm.token_count.completion_details.reasoning",
        "llm.token_count.prompt",
        "llm.token_count.prompt_details.audio",
        "llm.token_count.prompt_details.cache_read",
        "llm.token_count.total",
        "openinference.span.kind",
        "output.mime_type",
    }


def test_the_usage_of_an_agent_stays_an_attribute(instrument, run, stored):
    instrument(OpenInferenceSmolagents())

    run()

    [manager, _] = stored().details("agent")
    assert manager.attributes["llm.token_count.prompt"] == 200
    assert manager.cost is None
    assert (manager.node.spent.calls, manager.node.spent.input_tokens) == (4, 400)
    assert manager.output_preview == "3"
