"""Dialects of other instrumentations, span by span; tests/foreign has the instrumentations themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace

from spandag.export.project import project
from spandag.store.rows import Batch

Project = Callable[..., Batch]


def contents(batch: Batch, direction: str) -> list[Any]:
    """What went through a node in a direction, messages as objects."""
    rows = [row for row in batch.node_messages if row.direction == direction]
    assert len(rows) <= 1
    found = [
        batch.messages[row.run_id, row.hashes[i : i + 16]]
        for row in rows
        for i in range(0, len(row.hashes), 16)
    ]
    return [json.loads(m.content) if m.format == "message" else m.content for m in found]


def text(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


# --- what becomes of which span --------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "span_name", "node_type", "name"),
    [
        ({"openinference.span.kind": "LLM", "llm.model_name": "m"}, "ChatCompletion", "llm", "m"),
        ({"openinference.span.kind": "EMBEDDING", "embedding.model_name": "e"}, "Embed", "llm", "e"),
        ({"openinference.span.kind": "DECISION", "decision.model_name": "d"}, "Decide", "llm", "d"),
        ({"openinference.span.kind": "AGENT"}, "thinker.run", "agent", "thinker"),
        ({"openinference.span.kind": "AGENT", "agent.name": "a"}, "x", "agent", "a"),
        ({"openinference.span.kind": "TOOL", "tool.name": "t"}, "SimpleTool", "tool", "t"),
        ({"openinference.span.kind": "RETRIEVER"}, "VectorStore", "tool", "VectorStore"),
        ({"openinference.span.kind": "RERANKER", "reranker.model_name": "r"}, "Rerank", "tool", "Rerank"),
        ({"openinference.span.kind": "CHAIN"}, "pipeline", "conversation", "pipeline"),
        ({"openinference.span.kind": "GUARDRAIL"}, "check", "span", "check"),
        ({"openinference.span.kind": "EVALUATOR"}, "judge", "span", "judge"),
        ({"openinference.span.kind": "PROMPT"}, "prompt", "span", "prompt"),
        ({"openinference.span.kind": "something new"}, "x", "span", "x"),
        ({"ag2.span.type": "conversation", "gen_ai.operation.name": "conversation"}, "conversation user", "conversation", "user"),
        ({"ag2.span.type": "multi_conversation"}, "initiate_chats", "conversation", "initiate_chats"),
        ({"ag2.span.type": "speaker_selection"}, "speaker_selection", "handoff", "speaker_selection"),
        ({"ag2.span.type": "human_input", "gen_ai.agent.name": "u"}, "await_human_input u", "approval", "u"),
        ({"ag2.span.type": "code_execution", "gen_ai.operation.name": "execute_code"}, "execute_code u", "code", "u"),
        ({"ag2.span.type": "usage", "gen_ai.operation.name": "chat"}, "record_usage", "span", "record_usage"),
        ({"ag2.span.type": "task", "gen_ai.operation.name": "invoke_agent"}, "invoke_agent a", "agent", "a"),
        ({"traceloop.span.kind": "workflow", "traceloop.entity.name": "w"}, "w.workflow", "conversation", "w"),
        ({"traceloop.span.kind": "task", "traceloop.entity.name": "t"}, "t.task", "conversation", "t"),
        ({"traceloop.span.kind": "agent", "traceloop.entity.name": "a"}, "a.agent", "agent", "a"),
        ({"traceloop.span.kind": "tool", "traceloop.entity.name": "t"}, "t.tool", "tool", "t"),
        ({"llm.request.type": "chat", "gen_ai.request.model": "m"}, "openai.chat", "llm", "m"),
        ({"llm.request.type": "embedding", "gen_ai.request.model": "m"}, "openai.embeddings", "llm", "m"),
        ({"llm.request.type": "rerank"}, "cohere.rerank", "tool", "cohere.rerank"),
        ({"langfuse.observation.type": "generation", "langfuse.observation.model.name": "m"}, "x", "llm", "m"),
        ({"langfuse.observation.type": "agent"}, "a", "agent", "a"),
        ({"langfuse.observation.type": "retriever"}, "r", "tool", "r"),
        ({"langfuse.observation.type": "chain"}, "c", "conversation", "c"),
        ({"langfuse.observation.type": "span"}, "s", "span", "s"),
        ({"langfuse.observation.type": "span", "gen_ai.operation.name": "chat"}, "chat m", "llm", "m"),
        # What a span says in the names of the conventions, and of spandag, wins.
        ({"openinference.span.kind": "LLM", "llm.model_name": "m", "gen_ai.request.model": "n"}, "x", "llm", "n"),
        ({"openinference.span.kind": "CHAIN", "spandag.node.type": "phase"}, "x", "phase", "x"),
    ],
)  # fmt: skip
def test_type_and_name(
    projected: Project, attributes: dict[str, Any], span_name: str, node_type: str, name: str
) -> None:
    [node] = projected(attributes, name=span_name).dag_nodes
    assert (node.node_type, node.name, node.span_name) == (node_type, name, span_name)
    # Nothing of it was content, so all of it is there as it was recorded.
    assert json.loads(str(node.attributes)) == attributes


@pytest.mark.parametrize(
    "attributes",
    [
        {"openinference.span.kind": "CHAIN"},
        {"traceloop.span.kind": "task"},
        {"langfuse.observation.type": "chain"},
    ],
)
def test_a_chain_below_something_is_a_step_of_it(recorder: Any, attributes: dict[str, Any]) -> None:
    tracer = recorder.provider.get_tracer("foreign")
    with tracer.start_as_current_span("above"):
        tracer.start_span("Step 12", attributes=attributes).end()
    [node] = [node for node in project(recorder.spans).dag_nodes if node.name == "Step 12"]
    assert node.node_type == "iteration"
    assert node.step_number == (12 if "openinference.span.kind" in attributes else None)


# --- tokens and cost -------------------------------------------------------------

ALL_TOKENS = {
    "input_tokens": 1000,
    "output_tokens": 100,
    "cache_read_tokens": 400,
    "cache_write_tokens": 50,
    "reasoning_tokens": 60,
}


@pytest.mark.parametrize(
    "attributes",
    [
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "house",
            "gen_ai.request.model": "m",
            "gen_ai.usage.prompt_tokens": 1000,
            "gen_ai.usage.completion_tokens": 100,
            "gen_ai.usage.cache_read_input_tokens": 400,
            "gen_ai.usage.cache_creation_input_tokens": 50,
            "gen_ai.usage.reasoning_tokens": 60,
            "gen_ai.usage.cost": 0.25,
        },
        {
            "ag2.span.type": "llm",
            "gen_ai.provider.name": "house",
            "gen_ai.request.model": "m",
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 100,
            "gen_ai.usage.cache_read_input_tokens": 400,
            "gen_ai.usage.cache_creation_input_tokens": 50,
            "gen_ai.usage.thinking_tokens": 60,
            "gen_ai.usage.cost": 0.25,
        },
        {
            "openinference.span.kind": "LLM",
            "llm.provider": "house",
            "llm.system": "another",
            "llm.model_name": "m",
            "llm.token_count.prompt": 1000,
            "llm.token_count.completion": 100,
            "llm.token_count.total": 1100,
            "llm.token_count.prompt_details.cache_read": 400,
            "llm.token_count.prompt_details.cache_write": 50,
            "llm.token_count.completion_details.reasoning": 60,
            "llm.cost.prompt": 0.15,
            "llm.cost.completion": 0.1,
        },
        {
            "llm.request.type": "chat",
            "gen_ai.system": "house",
            "gen_ai.request.model": "m",
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 100,
            "gen_ai.usage.cache_read.input_tokens": 400,
            "gen_ai.usage.cache_creation.input_tokens": 50,
            "llm.usage.reasoning_tokens": 60,
            "gen_ai.usage.cost": 0.25,
        },
        {
            "langfuse.observation.type": "generation",
            "gen_ai.system": "house",
            "langfuse.observation.model.name": "m",
            "langfuse.observation.usage_details": json.dumps(
                {
                    "input": 1000,
                    "output": 100,
                    "cache_read_input_tokens": 400,
                    "cache_creation_input_tokens": 50,
                    "output_reasoning_tokens": 60,
                }
            ),
            "langfuse.observation.cost_details": '{"input": 0.15, "output": 0.1}',
        },
    ],
    ids=["older names", "ag2", "openinference", "traceloop", "langfuse"],
)
def test_tokens_model_provider_and_cost(projected: Project, attributes: dict[str, Any]) -> None:
    [cost] = projected(attributes).cost_records
    assert {name: getattr(cost, name) for name in ALL_TOKENS} == ALL_TOKENS
    assert (cost.model, cost.provider) == ("m", "house")
    assert (cost.cost_usd, cost.price_source) == (pytest.approx(0.25), "span")


@pytest.mark.parametrize(
    "attributes",
    [
        {"openinference.span.kind": "AGENT", "llm.token_count.prompt": 5, "llm.cost.total": 1},
        {"ag2.span.type": "usage", "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 5},
        {"ag2.span.type": "conversation", "gen_ai.usage.input_tokens": 5, "gen_ai.usage.cost": 0.5},
    ],
)
def test_what_is_no_call_is_not_counted(projected: Project, attributes: dict[str, Any]) -> None:
    assert projected(attributes).cost_records == []


@pytest.mark.parametrize("broken", ["[1]", "{", "7", "[" * 100_000])
def test_details_that_cannot_be_read_are_not_said(projected: Project, broken: str) -> None:
    details = {"langfuse.observation.usage_details": broken, "langfuse.observation.cost_details": broken}
    [cost] = projected({"langfuse.observation.type": "generation", **details}).cost_records
    assert (cost.input_tokens, cost.output_tokens, cost.cost_usd) == (None, None, None)


# --- content ---------------------------------------------------------------------


def test_flattened_messages_are_those_of_the_conventions(projected: Project) -> None:
    batch = projected(
        {
            "openinference.span.kind": "LLM",
            "input.value": "the same again",
            "output.value": "and again",
            "llm.input_messages.10.message.role": "user",
            "llm.input_messages.10.message.content": "last",
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.contents.0.message_content.type": "text",
            "llm.input_messages.0.message.contents.0.message_content.text": "be brief",
            "llm.input_messages.2.message.role": "user",
            "llm.input_messages.2.message.contents.0.message_content.type": "image",
            "llm.input_messages.2.message.contents.0.message_content.image.image.url": "https://x/y.png",
            "llm.input_messages.2.message.contents.1.message_content.type": "image",
            "llm.input_messages.2.message.contents.1.message_content.image.image.url": "data:image/png;base64,AA",
            "llm.input_messages.3.message.role": "assistant",
            "llm.input_messages.3.message.name": "ann",
            "llm.input_messages.3.message.tool_calls.0.tool_call.id": "c1",
            "llm.input_messages.3.message.tool_calls.0.tool_call.function.name": "add",
            "llm.input_messages.3.message.tool_calls.0.tool_call.function.arguments": '{"a": 1}',
            "llm.input_messages.3.message.tool_calls.1.tool_call.function.name": "broken",
            "llm.input_messages.3.message.tool_calls.1.tool_call.function.arguments": '{"a": ',
            "llm.input_messages.4.message.role": "tool",
            "llm.input_messages.4.message.tool_call_id": "c1",
            "llm.input_messages.4.message.content": "3",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.contents.0.message_content.type": "reasoning",
            "llm.output_messages.0.message.contents.0.message_content.text": "hm",
            "llm.output_messages.0.message.function_call_name": "old",
            "llm.output_messages.0.message.function_call_arguments_json": "{}",
            "llm.tools.0.tool.json_schema": '{"name": "add"}',
            # No lists, though they look like some.
            f"llm.input_messages.{'9' * 5000}.message.role": "user",
            "llm.input_messages.x": 1,
        }
    )
    assert contents(batch, "input") == [
        text("system", "be brief"),
        {
            "role": "user",
            "parts": [
                {"type": "uri", "modality": "image", "uri": "https://x/y.png"},
                {"type": "blob", "modality": "image", "content": ""},
            ],
        },
        {
            "role": "assistant",
            "name": "ann",
            "parts": [
                {"type": "tool_call", "name": "add", "arguments": {"a": 1}, "id": "c1"},
                {"type": "tool_call", "name": "broken", "arguments": '{"a": '},
            ],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "response": "3", "id": "c1"}]},
        text("user", "last"),
    ]
    assert contents(batch, "output") == [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "hm"},
                {"type": "tool_call", "name": "old", "arguments": {}},
            ],
        }
    ]
    assert contents(batch, "tools") == ['[{"name":"add"}]']
    [node] = batch.dag_nodes
    assert set(json.loads(str(node.attributes))) == {
        "openinference.span.kind",
        f"llm.input_messages.{'9' * 5000}.message.role",
        "llm.input_messages.x",
    }


@pytest.mark.parametrize(
    ("attributes", "went_in", "came_out"),
    [
        (
            {"openinference.span.kind": "TOOL", "input.value": '{"a": 1}', "output.value": "3"},
            ['{"a": 1}'],
            ["3"],
        ),
        (
            {
                "openinference.span.kind": "LLM",
                "llm.prompts.0.prompt.text": "once",
                "llm.choices.0.completion.text": "upon",
            },
            [text("user", "once")],
            [text("assistant", "upon")],
        ),
        (
            {
                "openinference.span.kind": "RETRIEVER",
                "input.value": "Kepler",
                "output.value": "repeats the documents",
                "retrieval.documents.0.document.content": "T² = a³",
                "retrieval.documents.0.document.score": 0.5,
            },
            ["Kepler"],
            ['[{"content":"T² = a³","score":0.5}]'],
        ),
        (
            {
                "openinference.span.kind": "RERANKER",
                "reranker.query": "Kepler",
                "reranker.input_documents.0.document.id": "a",
                "reranker.output_documents.0.document.id": "a",
            },
            ['{"query":"Kepler","documents":[{"id":"a"}]}'],
            ['[{"id":"a"}]'],
        ),
        (
            {
                "openinference.span.kind": "EMBEDDING",
                "embedding.embeddings.0.embedding.text": "Kepler",
                "embedding.embeddings.0.embedding.vector": [0.5, 1.5],
            },
            ['["Kepler"]'],
            ["[[0.5,1.5]]"],
        ),
        (
            {
                "gen_ai.system": "openai",
                "gen_ai.prompt.0.role": "user",
                "gen_ai.prompt.0.content": "hi",
                "gen_ai.prompt.1.role": "tool",
                "gen_ai.prompt.1.content": "3",
                "gen_ai.prompt.1.tool_call_id": "c1",
                "gen_ai.completion.0.role": "assistant",
                "gen_ai.completion.0.tool_calls.0.id": "c2",
                "gen_ai.completion.0.tool_calls.0.name": "add",
                "gen_ai.completion.0.tool_calls.0.arguments": '{"a": 1}',
            },
            [
                text("user", "hi"),
                {"role": "tool", "parts": [{"type": "tool_call_response", "response": "3", "id": "c1"}]},
            ],
            [
                {
                    "role": "assistant",
                    "parts": [{"type": "tool_call", "name": "add", "arguments": {"a": 1}, "id": "c2"}],
                }
            ],
        ),
        (
            {
                "gen_ai.system": "openai",
                "gen_ai.prompt": '[{"role":"user","content":"hi"}]',
                "gen_ai.completion": "not JSON",
            },
            [{"role": "user", "content": "hi"}],
            ["not JSON"],
        ),
        (
            {
                "ag2.span.type": "human_input",
                "ag2.human_input.prompt": "Go on?",
                "ag2.human_input.response": "y",
            },
            ["Go on?"],
            ["y"],
        ),
        (
            {
                "traceloop.span.kind": "tool",
                "traceloop.entity.input": '{"a":1}',
                "traceloop.entity.output": "3",
            },
            ['{"a":1}'],
            ["3"],
        ),
        (
            {
                "langfuse.observation.type": "generation",
                "langfuse.observation.input": '[{"role":"user","content":"hi"}]',
                "langfuse.observation.output": '"hello"',
            },
            [{"role": "user", "content": "hi"}],
            ['"hello"'],
        ),
        (
            # Said in the names of the conventions, and once more in a dialect.
            {
                "openinference.span.kind": "LLM",
                "gen_ai.input.messages": json.dumps([text("user", "hi")]),
                "llm.input_messages.0.message.role": "user",
                "llm.input_messages.0.message.content": "hi, once more",
                "output.value": "hello",
            },
            [text("user", "hi")],
            ["hello"],
        ),
    ],
)
def test_what_goes_in_and_comes_out(
    projected: Project, attributes: dict[str, Any], went_in: list[Any], came_out: list[Any]
) -> None:
    batch = projected(attributes)
    assert (contents(batch, "input"), contents(batch, "output")) == (went_in, came_out)
    kept = json.loads(str(batch.dag_nodes[0].attributes))
    assert set(kept) <= {
        "openinference.span.kind",
        "gen_ai.system",
        *(k for k in attributes if k.endswith((".type", ".kind"))),
    }


def test_secrets_in_flattened_messages_are_removed(projected: Project) -> None:
    key = "sk-" + "a" * 20
    batch = projected(
        {
            "openinference.span.kind": "LLM",
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": f"line\nkey {key}",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "login",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"password": "abc"}',
        }
    )
    assert contents(batch, "input") == [text("user", "line\nkey [redacted]")]
    [answer] = contents(batch, "output")
    assert answer["parts"][0]["arguments"] == {"password": "[redacted]"}
    assert batch.dag_nodes[0].output_preview == 'login({"password":"[redacted]"})'


# --- who speaks to whom ----------------------------------------------------------


def test_the_answer_goes_the_other_way(projected: Project) -> None:
    batch = projected(
        {
            "spandag.message.sender": "user",
            "spandag.message.recipient": "helper",
            "gen_ai.system_instructions": '[{"type":"text","content":"be brief"}]',
            "gen_ai.input.messages": json.dumps([text("user", "hi")]),
            "gen_ai.output.messages": json.dumps([text("assistant", "hello")]),
        }
    )
    assert {row.direction: (row.sender, row.recipient) for row in batch.node_messages} == {
        "system": (None, None),
        "input": ("user", "helper"),
        "output": ("helper", "user"),
    }


def test_why_a_model_stopped_makes_no_other_message(recorder: Any) -> None:
    tracer = recorder.provider.get_tracer("foreign")
    answer = text("assistant", "hello")
    with tracer.start_as_current_span("run"):
        span = trace.get_current_span()
        span.set_attribute("gen_ai.output.messages", json.dumps([{**answer, "finish_reason": "stop"}]))
        span.set_attribute("gen_ai.input.messages", json.dumps([text("user", "hi"), answer]))
    batch = project(recorder.spans)
    assert len(batch.messages) == 2
    assert contents(batch, "output") == [answer]
