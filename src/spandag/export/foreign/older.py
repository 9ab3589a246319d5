"""The GenAI conventions as they were: names of tokens and provider, and content in attributes of its own."""

from __future__ import annotations

from typing import Any

from spandag import semconv
from spandag.export.foreign import parts
from spandag.export.foreign.flattened import first, take_lists
from spandag.semconv import GEN_AI_COMPLETION, GEN_AI_PROMPT, OLDER_NAMES

_FUNCTIONS = "llm.request.functions"

MARKS = tuple(name for names in OLDER_NAMES.values() for name in names)
"""Attributes of which an older span has at least one."""


def read(attributes: dict[str, Any], span_name: str, top: bool) -> dict[str, Any]:
    """What a span says; see `spandag.export.foreign`."""
    said = {name: first(attributes, *names) for name, names in OLDER_NAMES.items()}
    lists = take_lists(attributes, (GEN_AI_PROMPT, GEN_AI_COMPLETION, _FUNCTIONS))
    for content, name in (
        (semconv.GEN_AI_INPUT_MESSAGES, GEN_AI_PROMPT),
        (semconv.GEN_AI_OUTPUT_MESSAGES, GEN_AI_COMPLETION),
    ):
        whole = attributes.pop(name, None)
        said[content] = [_message(item) for item in lists[name]] if name in lists else whole
    said[semconv.GEN_AI_TOOL_DEFINITIONS] = lists.get(_FUNCTIONS)
    return {name: value for name, value in said.items() if value is not None}


def _message(item: dict[str, Any]) -> dict[str, Any]:
    content, call_id = item.get("content"), item.get("tool_call_id")
    said: list[dict[str, Any]] = []
    if call_id is not None:
        said.append(parts.tool_response(content, call_id))
    elif content is not None and content != "":
        said.append(parts.text(content))
    for call in take_lists(item, ("tool_calls",)).get("tool_calls", ()):
        said.append(parts.tool_call(call.get("name"), call.get("arguments"), call.get("id")))
    return parts.message(item.get("role", "assistant"), said)
