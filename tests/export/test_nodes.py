"""One span becomes one node: its type, name, columns and attributes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from spandag import semconv
from spandag.export.project import project
from spandag.semconv import NodeType
from spandag.store.rows import Batch

Project = Callable[..., Batch]


@pytest.mark.parametrize(
    ("attributes", "span_name", "node_type", "name"),
    [
        (
            {"spandag.node.type": "run", "gen_ai.workflow.name": "report"},
            "invoke_workflow report",
            "run",
            "report",
        ),
        ({"spandag.node.type": "phase", "gen_ai.step.name": "plan"}, "run_step plan", "phase", "plan"),
        ({"spandag.node.type": "step", "gen_ai.step.name": "fit"}, "run_step fit", "step", "fit"),
        (
            {"spandag.node.type": "iteration", "gen_ai.step.name": "a 1", "gen_ai.agent.name": "a"},
            "run_step a",
            "iteration",
            "a 1",
        ),
        ({"spandag.node.type": "planning", "gen_ai.agent.name": "a"}, "plan a", "planning", "a"),
        ({"spandag.node.type": "sub_agent", "gen_ai.agent.name": "b"}, "invoke_agent b", "sub_agent", "b"),
        (
            {"spandag.node.type": "code", "gen_ai.tool.name": "python"},
            "execute_tool python",
            "code",
            "python",
        ),
        (
            {"spandag.node.type": "handoff", "gen_ai.operation.name": "select_speaker"},
            "select_speaker team",
            "handoff",
            "team",
        ),
        (
            {"spandag.node.type": "approval", "gen_ai.agent.name": "user"},
            "human_input user",
            "approval",
            "user",
        ),
        ({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}, "chat m", "llm", "m"),
        ({"gen_ai.operation.name": "text_completion", "gen_ai.response.model": "m"}, "x", "llm", "m"),
        ({"gen_ai.operation.name": "generate_content"}, "generate_content m", "llm", "m"),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}, "invoke_agent a", "agent", "a"),
        ({"gen_ai.operation.name": "create_agent", "gen_ai.agent.name": "a"}, "create_agent a", "agent", "a"),
        ({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t"}, "execute_tool t", "tool", "t"),
        ({"gen_ai.operation.name": "invoke_workflow"}, "invoke_workflow crew", "conversation", "crew"),
        ({"gen_ai.operation.name": "run_step"}, "run_step research", "iteration", "research"),
        ({"gen_ai.operation.name": "plan", "gen_ai.agent.name": "a"}, "plan a", "planning", "a"),
        ({"gen_ai.operation.name": "embeddings"}, "embeddings m", "llm", "m"),
        ({"gen_ai.operation.name": "retrieval"}, "retrieval papers", "tool", "papers"),
        ({"gen_ai.operation.name": "create_memory"}, "create_memory", "span", "create_memory"),
        ({"spandag.node.type": "nonsense", "gen_ai.operation.name": "chat"}, "chat m", "llm", "m"),
        ({"http.method": "GET"}, "GET /", "span", "GET /"),
    ],
)
def test_type_and_name(
    projected: Project, attributes: dict[str, Any], span_name: str, node_type: str, name: str
) -> None:
    [node] = projected(attributes, name=span_name).dag_nodes
    assert (node.node_type, node.name, node.span_name) == (node_type, name, span_name)


def test_every_column_of_a_model_call(projected: Project) -> None:
    batch = projected(
        {
            "spandag.node.type": "llm",
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "openai/gpt-x",
            "gen_ai.response.model": "gpt-x-2026",
            "gen_ai.provider.name": "openai",
            "gen_ai.agent.name": "engineer",
            "session.id": "alice",
            "gen_ai.conversation.id": "c1",
            "user.id": "u1",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"hello"}]}]',
        },
        name="chat openai/gpt-x",
        scope="spandag.smolagents",
        kind=SpanKind.CLIENT,
        start_time=1,
    )
    [node] = batch.dag_nodes
    row = node._asdict()
    assert row.pop("ended_at") > 1
    [run_id] = batch.run_ids
    assert row.pop("run_id") == run_id
    assert row.pop("id") == row.pop("span_id")
    assert json.loads(row.pop("attributes")) == {
        "spandag.node.type": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "openai/gpt-x",
        "gen_ai.response.model": "gpt-x-2026",
        "gen_ai.provider.name": "openai",
        "gen_ai.agent.name": "engineer",
        "session.id": "alice",
        "gen_ai.conversation.id": "c1",
        "user.id": "u1",
        "gen_ai.response.finish_reasons": ["stop"],
    }
    meta = json.loads(row.pop("meta"))
    assert meta.pop("flags") & 1
    assert meta == {
        "kind": "client",
        "service": "tests",
        "scope_version": "1.2",
    }
    assert row == {
        "parent_span_id": None,
        "node_type": "llm",
        "name": "openai/gpt-x",
        "span_name": "chat openai/gpt-x",
        "agent": "engineer",
        "status": "completed",
        "step_id": None,
        "step_number": None,
        "attempt": None,
        "outcome": None,
        "started_at": 1,
        "model": "openai/gpt-x",
        "provider": "openai",
        "session_id": "alice",
        "user_id": "u1",
        "error_type": None,
        "error_message": None,
        "input_preview": "hello",
        "output_preview": None,
        "scope": "spandag.smolagents",
        "writer_id": None,
    }
    assert batch.ended_runs == {run_id}


def test_a_failure_keeps_the_exceptions_message_without_secrets(projected: Project) -> None:
    def fail(span: Span) -> None:
        span.record_exception(ValueError("bad\x00 key sk-abcdefghijklmnopqrstuvwx"))
        span.set_status(Status(StatusCode.ERROR, "shorter"))
        span.set_attribute("error.type", "ValueError")

    batch = projected({"spandag.node.type": "tool"}, scope="spandag.x", fill=fail)
    [node] = batch.dag_nodes
    assert (node.status, node.error_type, node.error_message) == (
        "failed",
        "ValueError",
        "bad␛0000 key [redacted]",
    )
    [event] = batch.execution_events
    assert (event.seq, event.event_type, event.event_subtype, event.origin) == (
        0,
        "error",
        "ValueError",
        "recorded",
    )
    assert "sk-abc" not in str(event.meta)


def test_an_error_without_an_exception_keeps_the_status_description(projected: Project) -> None:
    [node] = projected({}, fill=lambda s: s.set_status(Status(StatusCode.ERROR, "no luck"))).dag_nodes
    assert (node.status, node.error_type, node.error_message) == ("failed", None, "no luck")


@pytest.mark.parametrize(
    "error_type", ["KeyboardInterrupt", "asyncio.exceptions.CancelledError", "GeneratorExit"]
)
def test_work_that_was_called_off_is_cancelled(projected: Project, error_type: str) -> None:
    [node] = projected(
        {"error.type": error_type}, fill=lambda s: s.set_status(Status(StatusCode.ERROR))
    ).dag_nodes
    assert node.status == "cancelled"


def test_an_open_span_is_running_and_leaves_the_rest_to_its_end(recorder: Any) -> None:
    span = recorder.provider.get_tracer("spandag.x").start_span(
        "chat m",
        attributes={"spandag.node.type": "llm", "gen_ai.usage.input_tokens": 1, "spandag.input": "hi"},
    )
    span.add_event("e")
    batch = project([span])
    [node] = batch.dag_nodes
    assert (node.status, node.ended_at, node.input_preview) == ("running", None, "hi")
    assert (batch.execution_events, batch.cost_records, batch.node_messages, batch.ended_runs) == (
        [],
        [],
        [],
        set(),
    )
    span.end()


def test_a_remote_parent_and_trace_state_are_kept(projected: Project) -> None:
    remote = SpanContext(
        1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("v", "1")])
    )
    context = trace.set_span_in_context(trace.NonRecordingSpan(remote))
    batch = projected({}, context=context)
    [node] = batch.dag_nodes
    assert (node.run_id, node.parent_span_id) == (f"{1:032x}", f"{2:016x}")
    meta = json.loads(str(node.meta))
    assert (meta["remote_parent"], meta["trace_state"]) == (True, "v=1")
    assert batch.ended_runs == {node.run_id}


def test_links_are_kept_as_recorded(projected: Project) -> None:
    target = SpanContext(0xAA, 0xBB, is_remote=False)
    link = Link(target, {"spandag.link.type": "fork_of", "n": 1})
    batch = projected({}, links=[link, Link(target)])
    [node] = batch.dag_nodes
    assert [tuple(row) for row in batch.span_links] == [
        (
            node.run_id,
            node.id,
            0,
            f"{0xAA:032x}",
            f"{0xBB:016x}",
            "fork_of",
            '{"spandag.link.type":"fork_of","n":1}',
        ),
        (node.run_id, node.id, 1, f"{0xAA:032x}", f"{0xBB:016x}", None, "{}"),
    ]


def test_events_keep_their_place_type_and_agent(projected: Project) -> None:
    def add(span: Span) -> None:
        span.add_event("policy_decision", {"decision": "deny"}, timestamp=5)
        span.add_event("handoff", {"spandag.handoff.from": "a", "spandag.handoff.to": "b"}, timestamp=6)

    batch = projected({"gen_ai.agent.name": "me"}, fill=add)
    [node] = batch.dag_nodes
    assert [tuple(row)[1:] for row in batch.execution_events] == [
        (node.id, 0, "policy_decision", None, "me", 5, "recorded", '{"decision":"deny"}'),
        (
            node.id,
            1,
            "handoff",
            "transfer",
            "a",
            6,
            "recorded",
            '{"spandag.handoff.from":"a","spandag.handoff.to":"b"}',
        ),
    ]


def test_secrets_of_foreign_spans_are_scrubbed(projected: Project) -> None:
    batch = projected(
        {
            "http.request.header.authorization": "Basic abc",
            "url": "https://me:hunter22@example.org/",
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"hf_abcdefghijklmnopqrstuvwxyz"}]}]',
        },
        links=[Link(SpanContext(1, 2, is_remote=False), {"api_key": "x"})],
    )
    [node] = batch.dag_nodes
    assert json.loads(str(node.attributes)) == {
        "http.request.header.authorization": "[redacted]",
        "url": "https://[redacted]@example.org/",
        "gen_ai.usage.input_tokens": 3,
    }
    assert node.input_preview == "[redacted]"
    assert batch.span_links[0].attributes == '{"api_key":"[redacted]"}'


def test_secrets_in_the_names_of_foreign_spans_are_scrubbed(projected: Project) -> None:
    [node] = projected(
        {
            semconv.GEN_AI_OPERATION_NAME: "invoke_agent",
            semconv.GEN_AI_AGENT_NAME: "hf_abcdefghijklmnopqrstuvwxyz",
        },
        name="GET https://me:hunter22@example.org/",
    ).dag_nodes
    assert (node.name, node.agent, node.span_name) == (
        "[redacted]",
        "[redacted]",
        "GET https://[redacted]@example.org/",
    )


def test_secrets_that_others_put_on_our_spans_are_scrubbed(projected: Project) -> None:
    """By ``trace.get_current_span().set_attribute``, which knows nothing of secrets."""
    [node] = projected(
        {semconv.SPANDAG_NODE_TYPE: NodeType.TOOL, semconv.GEN_AI_TOOL_NAME: "t", "my.api_key": "x", "n": 1},
        scope="spandag.smolagents",
    ).dag_nodes
    said = json.loads(str(node.attributes))
    assert (said["my.api_key"], said["n"]) == ("[redacted]", 1)


# --- redos ---------------------------------------------------------------------


def redo(projected: Project, *, links: tuple[Link, ...] = (), **attributes: Any) -> Batch:
    return projected(
        {
            semconv.SPANDAG_NODE_TYPE: NodeType.STEP,
            semconv.GEN_AI_STEP_NAME: "fit",
            **{f"spandag.{name.replace('__', '.')}": value for name, value in attributes.items()},
        },
        scope="spandag.workflow",
        links=links,
    )


@pytest.mark.parametrize(
    ("outcome", "exhausted", "status"),
    [
        ("accepted", None, "accepted"),
        ("accepted", True, "exhausted"),
        ("rejected", None, "rejected"),
        ("rejected", True, "exhausted"),
        ("failed", None, "failed"),
        ("cancelled", None, "abandoned"),
        (None, None, "accepted"),
    ],
)
def test_a_redo_brings_its_branch_point_edge_and_branch(
    projected: Project, outcome: str | None, exhausted: bool | None, status: str
) -> None:
    more = {k: v for k, v in (("attempt__outcome", outcome), ("redo__exhausted", exhausted)) if v is not None}
    batch = redo(
        projected,
        step__id="00000000000000aa",
        step__attempt=3,
        step__number=2,
        redo__hypothesis="in log space",
        redo__requested_by="human",
        **more,
    )
    node, point = batch.dag_nodes
    assert (node.node_type, node.attempt, node.step_number, node.step_id) == (
        "step",
        3,
        2,
        "00000000000000aa",
    )
    assert point.id == f"bp:{node.id}"
    assert (point.span_id, point.node_type, point.name, point.step_id, point.attempt) == (
        node.id,
        "branch_point",
        "redo_2",
        "00000000000000aa",
        3,
    )
    assert (point.started_at, point.ended_at, point.status) == (node.started_at, node.ended_at, node.status)
    assert json.loads(str(point.meta)) == {
        "branch_name": "redo_2",
        "hypothesis": "in log space",
        "source_node_id": "00000000000000aa",
    }
    assert [tuple(edge) for edge in batch.dag_edges] == [
        (node.run_id, "00000000000000aa", point.id, "conditional", "branch_redo_2")
    ]
    assert [branch._asdict() for branch in batch.branches] == [
        {
            "run_id": node.run_id,
            "branch_node_id": point.id,
            "kind": "redo",
            "source_node_id": "00000000000000aa",
            "child_run_id": None,
            "number": 2,
            "branch_name": "redo_2",
            "hypothesis": "in log space",
            "requested_by": "human",
            "status": status,
            "group_id": None,
            "score": None,
            "won": None,
            "started_at": node.started_at,
            "ended_at": node.ended_at,
        }
    ]


def test_a_link_alone_makes_a_redo(projected: Project) -> None:
    link = Link(SpanContext(1, 0xCC, is_remote=False), {"spandag.link.type": "redo_of"})
    batch = redo(projected, links=(link,))
    assert (batch.branches[0].number, batch.branches[0].source_node_id) == (1, f"{0xCC:016x}")


def test_a_first_attempt_has_no_branch(projected: Project) -> None:
    batch = redo(projected, step__attempt=1)
    assert (len(batch.dag_nodes), batch.dag_edges, batch.branches) == (1, [], [])


def test_a_redo_that_does_not_know_its_step_has_a_branch_without_source(projected: Project) -> None:
    batch = redo(projected, step__attempt=2)
    assert (batch.branches[0].source_node_id, batch.dag_edges) == (None, [])


def test_spans_without_identity_are_left_out() -> None:
    assert project([ReadableSpan("nobody")]).dag_nodes == []
