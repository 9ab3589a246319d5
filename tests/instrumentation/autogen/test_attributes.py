"""Every attribute of every kind of span, by name: a test fails on any that it does not expect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from autogen import GroupChat, GroupChatManager
from autogen.coding import LocalCommandLineCodeExecutor


def test_a_conversation(recorder: Any, pair: Any, look: Any) -> None:
    user, helper, _ = pair()
    user.initiate_chat(helper, message="2 + 3?")
    span = recorder.named("invoke_workflow user and helper")
    assert span.kind.name == "INTERNAL"
    assert look.attributes(span) == {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "user and helper",
        "spandag.node.type": "conversation",
        "spandag.message.sender": "user",
        "spandag.message.recipient": "helper",
        "spandag.total.input_tokens": 300,
        "spandag.total.output_tokens": 30,
        "spandag.total.cost": pytest.approx((160 * 2 + 140 * 1 + 30 * 10) / 1e6),
        "spandag.total.unpriced_calls": 0,
    }
    assert look.events(span) == []


def test_a_turn_with_a_model(recorder: Any, pair: Any, look: Any) -> None:
    user, helper, _ = pair()
    user.initiate_chat(helper, message="2 + 3?")
    span = next(span for span in recorder.spans if span.name == "invoke_agent helper")
    assert span.kind.name == "INTERNAL"
    assert look.attributes(span) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "helper",
        "gen_ai.request.model": "test-model",
        "spandag.node.type": "agent",
        "spandag.message.sender": "user",
        "spandag.message.recipient": "helper",
        "spandag.total.input_tokens": 100,
        "spandag.total.output_tokens": 10,
        "spandag.total.cost": pytest.approx(0.00024),
        "spandag.total.unpriced_calls": 0,
    }


def test_a_turn_of_an_agent_with_a_description_and_without_a_model(
    recorder: Any, agent: Any, look: Any
) -> None:
    silent = agent("silent", description="Says nothing.")
    agent("user").initiate_chat(silent, message="Hello", max_turns=1)
    assert look.attributes(recorder.named("invoke_agent silent")) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "silent",
        "gen_ai.agent.description": "Says nothing.",
        "spandag.node.type": "agent",
        "spandag.message.sender": "user",
        "spandag.message.recipient": "silent",
    }


def test_a_model_call(recorder: Any, pair: Any, look: Any) -> None:
    user, helper, server = pair()
    user.initiate_chat(helper, message="2 + 3?")
    span = [span for span in recorder.spans if span.name == "chat test-model"][1]
    assert span.kind.name == "CLIENT"
    assert look.attributes(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.agent.name": "helper",
        "gen_ai.request.model": "test-model",
        "gen_ai.response.model": "test-model",
        "gen_ai.response.id": "chatcmpl-helper-2",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 200,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 80,
        "gen_ai.usage.reasoning.output_tokens": 7,
        "gen_ai.usage.cost": pytest.approx(0.00052),
        "operation.cost": pytest.approx(0.00052),
        "server.address": "127.0.0.1",
        "server.port": urlsplit(server.url_for("helper")).port,
        "spandag.node.type": "llm",
        "spandag.price.source": "user",
    }
    assert look.events(span) == []


def test_the_settings_of_a_request(recorder: Any, serve: Any, agent: Any, config: Any, look: Any) -> None:
    server = serve(helper=["Fine."])
    options = {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 50,
        "seed": 7,
        "stop": ["END"],
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
    }
    helper = agent("helper", server, config(server, "helper", **options))
    helper.generate_reply([{"role": "user", "content": "Go"}])
    found = look.attributes(recorder.named("chat test-model"))
    assert {name: value for name, value in found.items() if name.startswith("gen_ai.request.")} == {
        "gen_ai.request.model": "test-model",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.frequency_penalty": 0.1,
        "gen_ai.request.presence_penalty": 0.2,
    }


def test_a_tool_call(recorder: Any, pair: Any, look: Any) -> None:
    user, helper, _ = pair()
    user.initiate_chat(helper, message="2 + 3?")
    span = recorder.named("execute_tool add")
    assert span.kind.name == "INTERNAL"
    assert look.attributes(span) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "add",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "call_helper_1_0",
        "gen_ai.agent.name": "user",
        "spandag.node.type": "tool",
    }
    assert look.events(span) == []
    assert span.status.status_code.name == "UNSET"


def test_a_speaker_selection(recorder: Any, agent: Any, look: Any) -> None:
    user, other = agent("user"), agent("other")
    chat = GroupChat([user, other], [], max_round=2, speaker_selection_method="round_robin")
    user.initiate_chat(GroupChatManager(chat, name="table"), message="Hello")
    span = recorder.named("select_speaker table")
    assert span.kind.name == "INTERNAL"
    assert look.attributes(span) == {
        "gen_ai.operation.name": "select_speaker",
        "ag2.speaker_selection.candidates": ("user", "other"),
        "ag2.speaker_selection.selected": "other",
        "spandag.node.type": "handoff",
    }
    assert look.events(span) == [
        (
            "handoff",
            {
                "spandag.handoff.from": "user",
                "spandag.handoff.to": "other",
                "spandag.handoff.reason": "round_robin",
            },
        )
    ]


def test_code(recorder: Any, agent: Any, look: Any, tmp_path: Path) -> None:
    runner = agent(
        "runner", code_execution_config={"executor": LocalCommandLineCodeExecutor(work_dir=tmp_path)}
    )
    agent("user").initiate_chat(runner, message="```python\nprint(6 * 7)\n```", max_turns=1)
    span = recorder.named("execute_tool python")
    assert look.attributes(span) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "python",
        "gen_ai.tool.type": "function",
        "gen_ai.agent.name": "runner",
        "process.exit.code": 0,
        "spandag.node.type": "code",
    }
    assert span.status.status_code.name == "UNSET"


def test_human_input(recorder: Any, agent: Any, look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "exit")
    person = agent("person", human_input_mode="ALWAYS")
    agent("user").initiate_chat(person, message="Is it right?", max_turns=1)
    span = recorder.named("human_input person")
    assert span.kind.name == "INTERNAL"
    assert look.attributes(span) == {
        "gen_ai.operation.name": "human_input",
        "gen_ai.agent.name": "person",
        "spandag.node.type": "approval",
    }


# --- content: only when it is asked for ------------------------------------------------


def content_of(look: Any, span: Any) -> dict[str, Any]:
    names = (
        "messages",
        "instructions",
        "arguments",
        "result",
        "definitions",
        "spandag.input",
        "spandag.output",
    )
    return {name: json.loads(value) for name, value in look.attributes(span).items() if name.endswith(names)}


def text(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}], **more}


@pytest.mark.usefixtures("capture_content")
def test_the_content_of_a_chat(recorder: Any, pair: Any, look: Any) -> None:
    user, helper, _ = pair()
    user.initiate_chat(helper, message="2 + 3?")
    conversation, turn, call, user_turn, tool, _, last_call = recorder.spans
    request_of_tool = {
        "type": "tool_call",
        "name": "add",
        "arguments": {"a": 2, "b": 3},
        "id": "call_helper_1_0",
    }
    assert content_of(look, conversation) == {
        "gen_ai.input.messages": [text("user", "2 + 3?")],
        "gen_ai.output.messages": [text("assistant", "It is 5. TERMINATE", name="helper")],
    }
    assert content_of(look, turn) == {
        "gen_ai.input.messages": [text("user", "2 + 3?", name="user")],
        "gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}],
        "gen_ai.output.messages": [{"role": "assistant", "parts": [request_of_tool]}],
    }
    found = content_of(look, call)
    definitions = found.pop("gen_ai.tool.definitions")
    assert [tool["function"]["name"] for tool in definitions] == ["add"]
    assert found == {
        "gen_ai.input.messages": [text("system", "Be brief."), text("user", "2 + 3?", name="user")],
        "gen_ai.output.messages": [
            {"role": "assistant", "parts": [request_of_tool], "finish_reason": "tool_calls"}
        ],
    }
    assert content_of(look, tool) == {
        "gen_ai.tool.call.arguments": {"a": 2, "b": 3},
        "gen_ai.tool.call.result": "5",
    }
    response = {"type": "tool_call_response", "response": "5", "id": "call_helper_1_0"}
    assert content_of(look, last_call)["gen_ai.input.messages"][-1] == {"role": "tool", "parts": [response]}
    assert content_of(look, user_turn)["gen_ai.input.messages"] == [
        {"role": "assistant", "parts": [request_of_tool]}
    ]


@pytest.mark.usefixtures("capture_content")
def test_the_content_of_code_and_of_human_input(
    recorder: Any, agent: Any, look: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "")
    runner = agent(
        "runner",
        human_input_mode="ALWAYS",
        code_execution_config={"executor": LocalCommandLineCodeExecutor(work_dir=tmp_path)},
    )
    agent("user").initiate_chat(runner, message="```python\nprint(6 * 7)\n```", max_turns=1)
    assert content_of(look, recorder.named("execute_tool python")) == {
        "gen_ai.tool.call.arguments": [{"language": "python", "code": "print(6 * 7)"}],
        "gen_ai.tool.call.result": "42\n",
    }
    asked = content_of(look, recorder.named("human_input runner"))
    assert asked.pop("spandag.input").startswith("Replying as runner.")
    assert asked == {"spandag.output": ""}


def test_no_content_is_recorded_unless_asked_for(recorder: Any, pair: Any, look: Any) -> None:
    user, helper, _ = pair()
    user.initiate_chat(helper, message="2 + 3?")
    assert [content_of(look, span) for span in recorder.spans] == [{}] * 7
