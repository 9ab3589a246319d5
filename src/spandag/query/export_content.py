"""What went into and came out of a node, as the attributes that a span says it by."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from spandag import semconv
from spandag.query.text import decoded, json_text, parsed
from spandag.semconv import NodeType
from spandag.store.rows import MESSAGE

_TOOLS = frozenset({NodeType.TOOL, NodeType.CODE})
# By direction: where a list of messages stands, where a text does, and where that of a tool.
_ATTRIBUTES = {
    "system": (semconv.GEN_AI_SYSTEM_INSTRUCTIONS, semconv.GEN_AI_SYSTEM_INSTRUCTIONS, None),
    "input": (semconv.GEN_AI_INPUT_MESSAGES, semconv.SPANDAG_INPUT, semconv.GEN_AI_TOOL_CALL_ARGUMENTS),
    "output": (semconv.GEN_AI_OUTPUT_MESSAGES, semconv.SPANDAG_OUTPUT, semconv.GEN_AI_TOOL_CALL_RESULT),
    "tools": (None, semconv.GEN_AI_TOOL_DEFINITIONS, None),
}


class Said(NamedTuple):
    """A message as it is stored."""

    format: str
    content: str


def content_attributes(
    node_type: str, said: Mapping[str, Sequence[Said]], previews: Mapping[str, str | None]
) -> dict[str, str]:
    """The attributes from which the projection makes these messages and previews again.

    Args:
        node_type: Of the node.
        said: By direction the messages in order; a direction without any says an empty list.
        previews: By direction ``input`` and ``output`` the preview, where it is of such a message.
    """
    result: dict[str, str] = {}
    for direction, messages in said.items():
        if direction in _ATTRIBUTES:
            result.update(_attributes(node_type, direction, messages, previews.get(direction)))
    for direction, preview in previews.items():
        if preview is not None and direction not in said:
            # Of a span that has not ended there is nothing else yet.
            result.update(_attributes(node_type, direction, [Said("text", preview)], preview))
    return result


def _attributes(
    node_type: str, direction: str, messages: Sequence[Said], preview: str | None
) -> dict[str, str]:
    in_list, as_text, of_tools = _ATTRIBUTES[direction]
    if node_type in _TOOLS and of_tools is not None:
        as_text = of_tools
    if direction == "tools":
        return {as_text: decoded(messages[-1].content)} if messages else {}
    last = messages[-1] if messages else None
    if (
        last is None
        or last.format == MESSAGE
        or not _stands_alone(last, messages, in_list == as_text, preview)
    ):
        return {str(in_list): _list(messages)}
    before = messages[:-1]
    alone = {as_text: decoded(last.content)}
    return {str(in_list): _list(before), **alone} if before else alone


def _stands_alone(last: Said, messages: Sequence[Said], shared: bool, preview: str | None) -> bool:
    """Whether a text was an attribute by itself, rather than an item of a list.

    Args:
        last: The text.
        messages: All of the direction.
        shared: Whether lists stand in the same attribute.
        preview: As it was made then.
    """
    if shared:
        # Of a text that is a list in JSON there would be several.
        return len(messages) == 1 and not _is_list(decoded(last.content))
    # An item of a list is shown with its quotes, an attribute by itself without.
    return not (last.content.startswith('"') and preview is not None and preview.startswith('"'))


def _is_list(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        return False


def _list(messages: Sequence[Said]) -> str:
    return json_text(
        [
            parsed(message.content) if message.format == MESSAGE else decoded(message.content)
            for message in messages
        ]
    )
