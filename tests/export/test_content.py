"""Messages are kept once a run; nodes say which went in and came out; previews show the last one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from spandag.export import project as project_module
from spandag.export.project import project
from spandag.store.rows import Batch

Project = Callable[..., Batch]


def text(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def contents(batch: Batch, direction: str) -> list[str]:
    """What the manifest of a direction leads to, in order."""
    [row] = [row for row in batch.node_messages if row.direction == direction]
    hashes = [row.hashes[i : i + 16] for i in range(0, len(row.hashes), 16)]
    return [batch.messages[row.run_id, digest].content for digest in hashes]


def test_a_history_that_grows_is_kept_once_and_listed_in_order(recorder: Any) -> None:
    tracer = recorder.provider.get_tracer("spandag.x")
    history = [text("system", "be brief"), text("user", "one")]
    with tracer.start_as_current_span("run"):
        for word in ("two", "three"):
            with tracer.start_as_current_span("chat") as span:
                span.set_attribute("gen_ai.input.messages", json.dumps(history))
            # A framework may write the same message with its keys in another order.
            history = [dict(reversed(message.items())) for message in history] + [text("user", word)]
    batch = project(recorder.spans)
    assert len(batch.messages) == 3
    assert {row.role for row in batch.messages.values()} == {"system", "user"}
    [first, second] = batch.node_messages
    assert (len(first.hashes), len(second.hashes)) == (32, 48)
    assert second.hashes.startswith(first.hashes)


@pytest.mark.parametrize("calls", [True, 7, "calls", {"a": 1}, [], [None, 7], None])
def test_calls_that_are_none_cost_no_span(projected: Project, calls: object) -> None:
    message = {"role": "assistant", "tool_calls": calls}
    batch = projected({"gen_ai.operation.name": "chat", "gen_ai.input.messages": json.dumps([message])})
    assert len(batch.dag_nodes) == 1
    assert [json.loads(content) for content in contents(batch, "input")] == [message]


def test_what_cannot_be_read_of_what_a_span_says_costs_no_span(
    projected: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> Any:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.delenv("SPANDAG_STRICT", raising=False)
    monkeypatch.setattr(project_module, "content_of", fails)
    batch = projected({"gen_ai.operation.name": "chat", "gen_ai.input.messages": "[]"})
    assert [node.node_type for node in batch.dag_nodes] == ["llm"]


def test_each_direction_has_its_own_list(projected: Project) -> None:
    batch = projected(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system_instructions": '[{"type":"text","content":"be brief"}]',
            "gen_ai.input.messages": json.dumps([text("user", "hi")]),
            "gen_ai.output.messages": json.dumps([text("assistant", "hello")]),
            "gen_ai.tool.definitions": '[{"name":"t"}]',
        }
    )
    assert {row.direction: len(row.hashes) for row in batch.node_messages} == {
        "system": 16,
        "input": 16,
        "output": 16,
        "tools": 16,
    }
    assert contents(batch, "tools") == ['[{"name":"t"}]']
    [node] = batch.dag_nodes
    assert (node.input_preview, node.output_preview) == ("hi", "hello")
    assert node.attributes == '{"gen_ai.operation.name":"chat"}'


def test_the_same_message_in_two_runs_is_kept_in_each(recorder: Any) -> None:
    tracer = recorder.provider.get_tracer("spandag.x")
    for _ in range(2):
        tracer.start_span(
            "chat", attributes={"gen_ai.input.messages": json.dumps([text("user", "hi")])}
        ).end()
    assert len(project(recorder.spans).messages) == 2


@pytest.mark.parametrize(
    "broken", ['[{"role":"user","par', "not json", "42", '{"role":"user"}', "[" * 100_000]
)
def test_what_is_no_list_of_messages_is_kept_as_it_was(projected: Project, broken: str) -> None:
    batch = projected({"gen_ai.input.messages": broken})
    [message] = batch.messages.values()
    assert (message.format, message.role, message.content) == ("text", None, broken)
    assert batch.dag_nodes[0].input_preview == broken[:4096] if len(broken) <= 4096 else True


def test_arguments_and_results_are_kept_as_they_were(projected: Project) -> None:
    batch = projected(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.call.arguments": '{"x": 1.500}',
            "gen_ai.tool.call.result": '"1.500"',
        }
    )
    assert (contents(batch, "input"), contents(batch, "output")) == (['{"x": 1.500}'], ['"1.500"'])
    [node] = batch.dag_nodes
    assert (node.input_preview, node.output_preview) == ('{"x": 1.500}', "1.500")


def test_structured_attributes_are_understood_like_json(projected: Project) -> None:
    batch = projected({"gen_ai.input.messages": [text("user", "hi")]})
    [message] = batch.messages.values()
    assert (message.format, json.loads(message.content)) == ("message", text("user", "hi"))


@pytest.mark.parametrize(
    ("message", "preview"),
    [
        (text("user", "hi"), "hi"),
        (
            {"role": "user", "parts": [{"type": "text", "content": "a"}, {"type": "text", "content": "b"}]},
            "a\nb",
        ),
        (
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "hm"},
                    {"type": "tool_call", "name": "add", "arguments": {"a": 1}},
                ],
            },
            'add({"a":1})',
        ),
        ({"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}]}, "hm"),
        ({"role": "tool", "parts": [{"type": "tool_call_response", "response": "3"}]}, "3"),
        ({"role": "user", "parts": [{"type": "blob", "modality": "image", "content": ""}]}, "[image]"),
        ({"role": "user", "content": "as providers write it"}, "as providers write it"),
        ("just text", "just text"),
        (7, "7"),
    ],
)
def test_the_preview_is_the_last_message_as_a_person_reads_it(
    projected: Project, message: object, preview: str
) -> None:
    batch = projected({"gen_ai.input.messages": json.dumps([text("user", "earlier"), message])})
    assert batch.dag_nodes[0].input_preview == preview


def test_previews_end_after_4096_characters(projected: Project) -> None:
    batch = projected({"spandag.output": "x" * 5000})
    preview = batch.dag_nodes[0].output_preview
    assert preview == "x" * 4095 + "…"
    assert contents(batch, "output") == ["x" * 5000]


def test_the_task_of_a_run_is_its_input_preview(projected: Project) -> None:
    batch = projected({"spandag.node.type": "run", "spandag.run.task": "find the law"})
    assert batch.dag_nodes[0].input_preview == "find the law"
