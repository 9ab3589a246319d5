"""autogen.opentelemetry: its types of spans, and the costs that it does not know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from autogen import ConversableAgent, GroupChat, GroupChatManager, register_function
from autogen.coding import LocalCommandLineCodeExecutor
from autogen.oai.client import OpenAIWrapper
from autogen.opentelemetry import instrument_agent, instrument_llm_wrapper
from autogen.opentelemetry.instrumentators.pattern import instrument_groupchat

from spandag.instrumentation.autogen import AG2ClassicInstrumentor
from spandag.testing import ModelServer, Reply, Request, ToolCall, Usage

MODEL = "gpt-4o-mini"


@pytest.fixture(autouse=True)
def model_calls(recorder: Any) -> Iterator[None]:
    """Its own instrumentation of model calls, which cannot be undone by itself."""
    original = OpenAIWrapper.create
    instrument_llm_wrapper(tracer_provider=recorder.provider, capture_messages=True)
    yield
    OpenAIWrapper.create = original


def calculator(request: Request) -> Reply:
    if request.messages[-1].role != "tool":
        return Reply(tool_calls=[ToolCall("add", {"a": 2, "b": 3})], usage=Usage(100, 10, cached=60))
    return Reply(f"It is {request.last('tool')}. TERMINATE", usage=Usage(200, 20, cached=80))


def llm(server: ModelServer, actor: str, model: str = MODEL) -> dict[str, Any]:
    config = {"model": model, "base_url": server.url_for(actor), "api_key": "any", "max_retries": 0}
    return {"config_list": [config], "cache_seed": None}


@pytest.fixture
def run(serve: Any, recorder: Any) -> Any:
    """A user with a tool and a helper whose model asks for it; gives the server that was asked."""

    def start(model: str = MODEL) -> ModelServer:
        server = serve(helper=calculator)
        helper = ConversableAgent("helper", llm_config=llm(server, "helper", model), human_input_mode="NEVER")
        user = ConversableAgent(
            "user",
            llm_config=False,
            human_input_mode="NEVER",
            is_termination_msg=lambda message: "TERMINATE" in (message.get("content") or ""),
        )

        def add(a: int, b: int) -> int:
            return a + b

        register_function(add, caller=helper, executor=user, name="add", description="Add two numbers.")
        for agent in (user, helper):
            instrument_agent(agent, tracer_provider=recorder.provider)
        user.initiate_chat(helper, message="2 + 3?")
        return server

    return start


def test_its_spans_become_the_nodes_of_the_run(run, stored):
    run()

    assert stored().tree() == [
        "conversation user",
        "  agent helper",
        "    llm gpt-4o-mini",
        "  agent user",
        "    tool add",
        "  agent helper",
        "    llm gpt-4o-mini",
        "  agent user",
    ]


def test_alone_it_counts_what_the_server_counts(run, stored, served):
    server = run()

    store = stored()
    assert store.spent() == served(server.counted())
    [conversation] = store.details("conversation")
    # What it says of the whole conversation stays what it says; it is not counted.
    assert conversation.attributes["gen_ai.usage.input_tokens"] == 300
    assert conversation.cost is None


def test_beside_ours_no_call_counts_twice(run, instrument, stored, served):
    instrument(AG2ClassicInstrumentor())

    server = run()

    store = stored()
    assert store.spent() == served(server.counted())
    assert store.rows("SELECT count(*) FROM workflow_runs") == [(1,)]


def test_the_cost_of_a_model_that_it_does_not_know_is_not_nothing(run, stored, tmp_path, monkeypatch):
    prices = tmp_path / "prices.json"
    prices.write_text('{"house-model": {"input": 2, "output": 10}}')
    monkeypatch.setenv("OTEL_EXPORTER_SPANDAG_PRICES", str(prices))

    run(model="house-model")

    store = stored()
    assert store.rows("SELECT cost_usd, price_source FROM cost_records ORDER BY cost_usd") == [
        (pytest.approx(0.0003), "user"),
        (pytest.approx(0.0006), "user"),
    ]
    assert [call.attributes["gen_ai.usage.cost"] for call in store.details("llm")] == [0, 0]


def test_a_group_whose_model_selects_the_speaker_with_code_and_a_person(
    serve, recorder, stored, tmp_path, served, monkeypatch
):
    monkeypatch.setattr("builtins.input", lambda prompt="": "")
    server = serve(chooser=["coder", "person"], coder=["```python\nprint(1 + 2)\n```"])
    coder = ConversableAgent("coder", llm_config=llm(server, "coder"), human_input_mode="NEVER")
    idle = ConversableAgent("idle", llm_config=False, human_input_mode="NEVER")
    person = ConversableAgent(
        "person",
        llm_config=False,
        human_input_mode="ALWAYS",
        code_execution_config={"executor": LocalCommandLineCodeExecutor(work_dir=tmp_path, timeout=60)},
    )
    group = GroupChat(
        [coder, person, idle],
        messages=[],
        max_round=3,
        select_speaker_auto_llm_config=llm(server, "chooser"),
    )
    manager = GroupChatManager(group, llm_config=llm(server, "chooser"), human_input_mode="NEVER")
    # The manager has a copy of the group of its own, of which `instrument_pattern` knows.
    for reply in manager._reply_func_list:
        if isinstance(reply["config"], GroupChat):
            instrument_groupchat(reply["config"], tracer_provider=recorder.provider)
    for agent in (coder, person, idle, manager):
        instrument_agent(agent, tracer_provider=recorder.provider)

    person.initiate_chat(manager, message="Go")

    store = stored()
    assert store.spent() == served(server.counted())
    types = {node_type for (node_type,) in store.rows("SELECT DISTINCT node_type FROM dag_nodes")}
    assert types == {"conversation", "agent", "llm", "handoff", "approval", "code"}
    [code] = store.details("code")
    assert code.output_preview == "3"
    [approval] = store.details("approval")
    assert str(approval.input_preview).startswith("Replying as person.")
    assert [selection.node.name for selection in store.details("handoff")] == ["speaker_selection"] * 2
