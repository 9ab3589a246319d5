from __future__ import annotations

import json
import re

import pytest

import spandag
from spandag import query
from spandag.query import Message, NodeDetail, SpanLink, render

from .conftest import Recording, kepler
from .test_render import GOLDEN, normal


def steady(text: str) -> str:
    """Text without ids, times and places in files."""
    text = re.sub(r"\b[0-9a-f]{16,32}\b", lambda m: "0" * len(m[0]), normal(text))
    return re.sub(r'File ".*", line \d+', 'File "x.py", line 1', text)


def only(recording: Recording, node_type: str, **fields: object) -> NodeDetail:
    """The only node of a type with these fields."""
    tree = query.tree(recording.store, "last")
    [node] = [
        n
        for n in tree.nodes
        if n.node_type == node_type and all(getattr(n, k) == v for k, v in fields.items())
    ]
    return query.node(recording.store, node.id)


@pytest.mark.usefixtures("capture_content")
def test_a_model_call_has_its_messages_tokens_and_price(recording: Recording) -> None:
    with spandag.run("r"), spandag.agent("a"), spandag.chat("m", provider="p", input="what is it?") as chat:
        chat.set_usage(10, 4, cache_read_tokens=5, reasoning_tokens=2, cost=0.5)
        chat.set_output("a planet")

    detail = only(recording, "llm")

    assert detail.messages == [
        Message(
            "input",
            "user",
            "message",
            {"role": "user", "parts": [{"type": "text", "content": "what is it?"}]},
            None,
            None,
        ),
        Message(
            "output",
            "assistant",
            "message",
            {"role": "assistant", "parts": [{"type": "text", "content": "a planet"}]},
            None,
            None,
        ),
    ]
    assert (detail.input_preview, detail.output_preview) == ("what is it?", "a planet")
    cost = detail.cost
    assert cost is not None
    assert (cost.input_tokens, cost.output_tokens, cost.cache_read_tokens, cost.reasoning_tokens) == (
        10,
        4,
        5,
        2,
    )
    assert (cost.cost_usd, cost.agent_name, cost.counted) == (0.5, "a", True)
    assert [above.name for above in detail.path] == ["r", "a"]
    assert detail.children == []

    without = query.node(recording.store, detail.node.id, content=False)
    assert (without.messages, without.input_preview) == ([], "what is it?")
    assert detail.run.name == "r"
    assert not any("messages" in name for name in detail.attributes)


@pytest.mark.usefixtures("capture_content")
def test_a_node_is_drawn_as_in_the_golden_file(recording: Recording) -> None:
    with spandag.run("r"), spandag.agent("a"):
        with spandag.chat("m", provider="p", input="what is it?") as chat:
            chat.set_usage(10, 4, cache_read_tokens=5, reasoning_tokens=2, cost=0.5)
            chat.set_output("a planet")
            chat.add_event("handoff", {"from": "a", "to": "b"})
        with pytest.raises(LookupError), spandag.tool("look", arguments={"at": "the sky"}):
            raise LookupError("clouds")

    drawn = [
        render.to_text(render.render_node(only(recording, node_type), render.Page(80)))
        for node_type in ("llm", "tool")
    ]

    assert steady("\n".join(drawn)) == (GOLDEN / "node.txt").read_text(encoding="utf-8")


def test_without_content_a_node_has_no_messages_and_says_so(recording: Recording) -> None:
    kepler()

    detail = only(recording, "llm", model="own-model")

    assert detail.messages == []
    assert detail.input_preview is None
    assert "\nno content was recorded\n" in render.to_text(render.render_node(detail, render.Page(80)))


def test_a_failure_has_its_exception_as_event(recording: Recording) -> None:
    kepler()

    detail = only(recording, "tool")

    assert (detail.node.error_type, detail.node.error_message) == (
        "FileNotFoundError",
        "no such table: planets",
    )
    [event] = detail.events
    assert (event.event_type, event.event_subtype, event.origin) == ("error", "FileNotFoundError", "recorded")
    assert event.meta is not None
    assert set(event.meta) == {"exception.type", "exception.message", "exception.stacktrace"}


def test_a_redo_has_the_link_to_the_attempt_before(recording: Recording) -> None:
    run_id = kepler()

    detail = only(recording, "step", attempt=2)

    first = only(recording, "step", name="fit", attempt=1)
    assert detail.links == [
        SpanLink(run_id, first.node.id, "redo_of", {"spandag.link.type": "redo_of"}),
    ]
    assert [child.name for child in detail.children] == ["analyst"]


def test_a_branch_point_is_a_node_of_its_own(recording: Recording) -> None:
    kepler()

    detail = only(recording, "branch_point")

    assert (detail.node.branch_name, detail.node.hypothesis) == ("redo_1", "fit in log space")
    assert [child.attempt for child in detail.children] == [2]
    assert detail.meta["branch_name"] == "redo_1"


def test_spans_of_other_libraries_are_nodes_too(recording: Recording) -> None:
    with spandag.run("r"), recording.tracer.start_as_current_span("GET") as span:
        span.set_attribute("http.request.method", "GET")

    detail = query.node(recording.store, format(span.get_span_context().span_id, "016x"))

    assert (detail.node.node_type, detail.attributes) == ("span", {"http.request.method": "GET"})
    assert detail.scope == "other"


@pytest.mark.usefixtures("capture_content")
@pytest.mark.parametrize("depth", [600, 30_000])
def test_a_message_is_shown_however_deep_it_is(recording: Recording, depth: int) -> None:
    nested = "[" * depth + '"core"' + "]" * depth
    message = f'[{{"role":"user","parts":[{{"type":"tool_call","name":"t","arguments":{nested}}}]}}]'
    with recording.tracer.start_as_current_span(
        "chat m", attributes={"gen_ai.operation.name": "chat", "gen_ai.input.messages": message}
    ) as span:
        pass
    detail = query.node(recording.store, format(span.get_span_context().span_id, "016x"))
    [shown] = detail.messages
    assert "core" in str(shown.content)
    assert "core" in json.dumps(query.as_json(detail))
    assert any("core" in str(line) for line in render.render_node(detail, render.Page()))
