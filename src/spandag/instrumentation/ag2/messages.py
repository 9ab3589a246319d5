"""AG2's events as messages of the GenAI conventions; called only where content is recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ag2.compact import CompactionSummary
from ag2.events import (
    BaseEvent,
    BinaryInput,
    BuiltinToolCallEvent,
    DataInput,
    FileIdInput,
    Input,
    ModelRequest,
    ModelResponse,
    TextInput,
    ToolResultEvent,
    ToolResultsEvent,
    UrlInput,
)
from ag2.tools.final import FunctionToolSchema
from ag2.tools.schemas import ToolSchema

from spandag.spans.content import (
    Message,
    media_part,
    message,
    text_part,
    tool_call_part,
    tool_response_part,
)
from spandag.spans.plain import plain


def input_messages(events: Iterable[BaseEvent]) -> list[Message]:
    """The conversation that a model or an agent is given."""
    events = list(events)
    # A tool's result is in the history twice, alone and in the batch that goes to the model.
    batched = {r.parent_id for e in events if isinstance(e, ToolResultsEvent) for r in e.results}
    result: list[Message] = []
    for event in events:
        if isinstance(event, ModelRequest):
            result.append(message("user", [_part(part) for part in event.parts]))
        elif isinstance(event, ModelResponse):
            result.append(output_message(event))
        elif isinstance(event, BuiltinToolCallEvent):
            result.append(message("assistant", [tool_call_part(event.name, event.arguments, event.id)]))
        elif isinstance(event, ToolResultsEvent):
            result.extend(_tool_message(item) for item in event.results)
        elif isinstance(event, ToolResultEvent) and event.parent_id not in batched:
            result.append(_tool_message(event))
        elif isinstance(event, CompactionSummary):
            result.append(message("user", [text_part(event.summary)]))
    return result


def output_message(response: ModelResponse, finish_reason: str | None = None) -> Message:
    """What the model answered."""
    parts = [text_part(response.content)] if response.content else []
    parts += [tool_call_part(c.name, c.arguments, c.id) for c in response.tool_calls.calls]
    parts += [media_part("image") for _ in response.files]
    return message("assistant", parts, finish_reason=finish_reason)


def system_instructions(prompt: Sequence[str]) -> list[Message] | None:
    """The system prompt, or None if there is none."""
    return [text_part(text) for text in prompt] or None


def tool_definitions(tools: Iterable[ToolSchema]) -> list[dict[str, Any]]:
    """The tools offered to the model."""
    return [_definition(tool) for tool in tools]


def tool_result(event: ToolResultEvent) -> object:
    """What a tool returned, as the model gets it."""
    parts = [_plain(part) for part in event.result.parts]
    return parts[0] if len(parts) == 1 else parts


def _definition(tool: ToolSchema) -> dict[str, Any]:
    if not isinstance(tool, FunctionToolSchema):
        return {"type": tool.type, "name": tool.type}  # the provider's own tool
    function = tool.function
    return {
        "type": "function",
        "name": function.name,
        "description": function.description,
        "parameters": function.parameters,
    }


def _tool_message(event: ToolResultEvent) -> Message:
    return message("tool", [tool_response_part(tool_result(event), event.parent_id)])


def _plain(part: Input) -> object:
    if isinstance(part, TextInput):
        return part.content
    if isinstance(part, DataInput):
        return part.data
    return _part(part)


def _part(part: Input) -> Message:
    if isinstance(part, TextInput):
        return text_part(part.content)
    if isinstance(part, DataInput):
        return text_part(json.dumps(plain(part.data), ensure_ascii=False))
    if isinstance(part, BinaryInput):
        return media_part(_kind(part), str(part.media_type))
    if isinstance(part, UrlInput):
        return {"type": "uri", "modality": _kind(part), "uri": part.url}
    if isinstance(part, FileIdInput):
        return {"type": "file", "file_id": part.file_id}
    return {"type": type(part).__name__}


def _kind(part: Any) -> str:
    # An enum, or its bare value where the event comes from an old log.
    return str(getattr(part.kind, "value", part.kind))
