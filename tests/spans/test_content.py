"""Content is recorded where it is wanted, in the conventions' JSON, whatever the values are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry import trace

from spandag.spans.content import (
    capture_content,
    content_json,
    media_part,
    message,
    openai_message,
    reasoning_part,
    set_capture_content,
    text_part,
    tool_call_part,
    tool_response_part,
)
from spandag.spans.operations import set_tool_result, start_agent, start_tool

VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        (None, False),
        ("NO_CONTENT", False),
        ("EVENT_ONLY", False),
        ("SPAN_ONLY", True),
        ("span_and_event", True),
        ("nonsense", False),
    ],
)
def test_the_environment_says_whether_content_is_recorded(monkeypatch, value, recorded):
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)

    assert capture_content() is recorded
    assert (content_json(lambda: "x") is not None) is recorded


def test_code_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv(VARIABLE, "SPAN_ONLY")
    try:
        set_capture_content(False)
        assert not capture_content()
        set_capture_content(True)
        monkeypatch.delenv(VARIABLE)
        assert capture_content()
    finally:
        set_capture_content(None)
    assert not capture_content()


def test_nothing_is_built_where_it_is_not_wanted():
    def build() -> Any:
        raise AssertionError("built")

    assert content_json(build) is None


def test_arguments_and_results_are_json(recorder, capture_content):
    with start_tool(recorder.provider.get_tracer("t"), "t", arguments=lambda: {"a": [1, None, True]}) as node:
        set_tool_result(node, lambda: {"ok": 1.5})

    attributes = recorder.spans[0].attributes
    assert attributes["gen_ai.tool.call.arguments"] == '{"a":[1,null,true]}'
    assert attributes["gen_ai.tool.call.result"] == '{"ok":1.5}'


class Text(str):
    def __str__(self) -> str:
        raise AssertionError("shown")


class Model:
    def model_dump(self, mode: str) -> dict[str, Any]:
        return {"mode": mode}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        ({1: "x"}, {"1": "x"}),
        (Text("text"), "text"),
        (Model(), {"mode": "json"}),
        (b"bytes", "b'bytes'"),
        ({"api_key": "x", "max_tokens": 5}, {"api_key": "[redacted]", "max_tokens": 5}),
        ("use sk-" + "a" * 20, "use [redacted]"),
    ],
)
def test_every_value_becomes_json(capture_content, value, expected):
    assert json.loads(content_json(lambda: value) or "") == expected


def test_lone_surrogates_and_depth_do_not_break(recorder, capture_content):
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]

    assert content_json(lambda: deep)
    with start_tool(recorder.provider.get_tracer("t"), "t", arguments=lambda: "\ud800\x00"):
        pass
    assert "gen_ai.tool.call.arguments" in recorder.spans[0].attributes


class Tree:
    """A tree of dicts that know their parents."""

    def __init__(self, width: int, depth: int) -> None:
        self.root = self._grown({"name": "root"}, width, depth)

    def _grown(self, node: dict[str, Any], width: int, depth: int) -> dict[str, Any]:
        node["children"] = [
            self._grown({"name": f"{i}", "parent": node}, width, depth - 1)
            for i in range(width if depth else 0)
        ]
        return node


def test_a_value_that_leads_back_to_itself_is_cut_where_it_does(capture_content):
    assert json.loads(content_json(lambda: Tree(2, 1).root) or "") == {
        "name": "root",
        "children": [
            {"name": "0", "parent": "<cycle>", "children": []},
            {"name": "1", "parent": "<cycle>", "children": []},
        ],
    }
    twice = ["same"]
    assert json.loads(content_json(lambda: [twice, twice]) or "") == [["same"], ["same"]]


def test_a_web_of_values_is_cut_at_a_number_of_them(capture_content):
    web: list[Any] = [[] for _ in range(60)]
    for item in web:
        item.extend(web)

    # There are more ways through it than there is time.
    recorded = content_json(lambda: web) or ""

    assert 90_000 < recorded.count(",") <= 100_000
    assert '"… truncated"' in recorded


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x" * 1_000_001, "x" * 1_000_000 + "… truncated"),
        (["x" * 999_999, "ab", "c"], ["x" * 999_999, "a… truncated", "… truncated"]),
        ({"a": "x" * 1_000_000, "b": 1}, {"a": "x" * 999_999 + "… truncated", "…": "truncated"}),
        ("x" * 999_990 + " sk-" + "a" * 200, "x" * 999_990 + " [redacted… truncated"),
        ([0] * 100_001, [0] * 99_999 + ["… truncated"]),
        (10**5000, hex(10**5000)),
    ],
    ids=["text", "texts", "dict", "secret", "values", "number"],
)
def test_what_is_too_much_is_cut_and_that_is_said_where_it_is(capture_content, value, expected):
    assert json.loads(content_json(lambda: value) or "") == expected


def test_a_json_string_that_is_too_deep_is_a_string(capture_content):
    deep = "[" * 100_000

    assert tool_call_part("t", deep)["arguments"] == deep


def test_a_value_that_cannot_be_shown_leaves_the_others_alone(capture_content):
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("not shown")

    assert json.loads(content_json(lambda: {"a": 1, "b": Broken(), "c": b"key\nsk-" + b"a" * 20}) or "") == {
        "a": 1,
        "b": "<Broken>",
        "c": "b'key\\n[redacted]'",
    }


def test_an_answer_is_text_and_bounded_too(recorder, capture_content):
    with start_agent(recorder.provider.get_tracer("t"), "a") as node:
        node.set_output(Tree(2, 1).root["children"][0])

    [message] = json.loads(recorder.spans[0].attributes["gen_ai.output.messages"])
    [part] = message["parts"]
    assert part["content"].startswith("{'name': '0', 'parent': {'name': 'root', 'children': ['<cycle>', ")


def test_messages_have_the_conventions_parts():
    built = message(
        "assistant",
        [
            text_part("a"),
            reasoning_part("b"),
            tool_call_part("t", '{"x": 1}', "7"),
            tool_response_part("r"),
            media_part("image", "image/png"),
        ],
        name="n",
        finish_reason="stop",
    )

    assert built == {
        "role": "assistant",
        "parts": [
            {"type": "text", "content": "a"},
            {"type": "reasoning", "content": "b"},
            {"type": "tool_call", "name": "t", "arguments": {"x": 1}, "id": "7"},
            {"type": "tool_call_response", "response": "r"},
            {"type": "blob", "modality": "image", "content": "", "mime_type": "image/png"},
        ],
        "name": "n",
        "finish_reason": "stop",
    }


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"role": "user", "content": "x"}, {"role": "user", "parts": [{"type": "text", "content": "x"}]}),
        (
            {"role": "developer", "content": "x"},
            {"role": "system", "parts": [{"type": "text", "content": "x"}]},
        ),
        (
            {"role": "tool", "content": [{"type": "text", "text": "x"}], "tool_call_id": "7"},
            {"role": "tool", "parts": [{"type": "tool_call_response", "response": "x", "id": "7"}]},
        ),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "7", "function": {"name": "t", "arguments": "not json"}}],
            },
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "name": "t", "arguments": "not json", "id": "7"}],
            },
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:..."}}]},
            {"role": "user", "parts": [{"type": "blob", "modality": "image", "content": ""}]},
        ),
    ],
)
def test_openai_messages_are_translated(raw, expected):
    assert openai_message(raw) == expected


def test_a_tracer_that_does_not_record_is_asked_for_nothing(capture_content):
    with start_tool(trace.NoOpTracer(), "t", arguments=lambda: {"a": 1}):
        pass
