"""Messages, arguments and results in the JSON of the GenAI conventions.

Content is recorded only where `capture_content` says so. Instrumentors hand it
over as functions, so that nothing is built when it is not wanted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from spandag._guard import guard
from spandag.config import Settings
from spandag.spans.plain import as_text, plain

Message = dict[str, Any]
"""One message: ``{"role": ..., "parts": [...]}``, output messages with ``finish_reason``."""

_override: bool | None = None


def set_capture_content(on: bool | None) -> None:
    """Decide in code whether content is recorded; None goes back to the environment."""
    global _override
    _override = on


def capture_content() -> bool:
    """Whether content is recorded on spans (`Settings.capture_content`)."""
    if _override is not None:
        return _override
    return Settings.capture_content_in_environment()


# --- parts, as in the conventions' message schemas -----------------------------


def text_part(text: str) -> Message:
    """A part of plain text."""
    return {"type": "text", "content": text}


def reasoning_part(text: str) -> Message:
    """A part with the model's reasoning."""
    return {"type": "reasoning", "content": text}


def tool_call_part(name: str, arguments: object, call_id: str | None = None) -> Message:
    """A part by which the model asks for a tool."""
    part: Message = {"type": "tool_call", "name": name, "arguments": parsed(arguments)}
    return {**part, "id": call_id} if call_id else part


def tool_response_part(response: object, call_id: str | None = None) -> Message:
    """A part with a tool's result."""
    part: Message = {"type": "tool_call_response", "response": response}
    return {**part, "id": call_id} if call_id else part


def media_part(kind: str, mime_type: str | None = None) -> Message:
    """A part that stands for an image, audio or file; its bytes are not recorded."""
    part: Message = {"type": "blob", "modality": kind, "content": ""}
    return {**part, "mime_type": mime_type} if mime_type else part


def message(
    role: str, parts: Iterable[Message], *, name: str | None = None, finish_reason: str | None = None
) -> Message:
    """One message of a conversation.

    Args:
        role: ``system``, ``user``, ``assistant`` or ``tool``.
        parts: Its parts.
        name: Who says it, where several share a role.
        finish_reason: Why the model stopped; output messages only.
    """
    result: Message = {"role": role, "parts": list(parts)}
    if name:
        result["name"] = name
    if finish_reason:
        result["finish_reason"] = finish_reason
    return result


def openai_message(raw: dict[str, Any]) -> Message:
    """A message of the OpenAI chat format, which AG2 Classic and smolagents use, in ours."""
    role = str(raw.get("role", "user"))
    parts: list[Message] = []
    content = raw.get("content")
    if role in ("tool", "function"):
        response = _flat_text(content)
        return message("tool", [tool_response_part(response, raw.get("tool_call_id"))], name=raw.get("name"))
    if isinstance(content, str) and content:
        parts.append(text_part(content))
    elif isinstance(content, list):
        parts.extend(_openai_part(item) for item in content)
    elif content is not None and content != "":
        parts.append(text_part(as_text(content)))
    for call in raw.get("tool_calls") or ():
        function = call.get("function") or {}
        parts.append(tool_call_part(str(function.get("name")), function.get("arguments"), call.get("id")))
    if call := raw.get("function_call"):
        parts.append(tool_call_part(str(call.get("name")), call.get("arguments")))
    return message("system" if role == "developer" else role, parts, name=raw.get("name"))


def _openai_part(item: Any) -> Message:
    if not isinstance(item, dict):
        return text_part(as_text(item))
    kind = str(item.get("type", "text"))
    if kind == "text":
        return text_part(as_text(item.get("text", "")))
    for modality in ("image", "audio", "video", "file"):
        if modality in kind:
            return media_part(modality)
    return {"type": kind}


def _flat_text(content: Any) -> Any:
    if isinstance(content, list):
        texts = [item.get("text", "") if isinstance(item, dict) else item for item in content]
        return "\n".join(map(as_text, texts))
    return content


def parsed(arguments: object) -> object:
    """Arguments as an object where they are a JSON string of one."""
    if isinstance(arguments, str):
        try:
            return json.loads(arguments)
        except (ValueError, RecursionError):
            return arguments
    return arguments


# --- to an attribute -------------------------------------------------------------


def content_json(content: Callable[[], object] | None) -> str | None:
    """The JSON string for a content attribute, scrubbed; None where content is off or there is none."""
    if content is None or not capture_content():
        return None
    with guard("record content"):
        value = content()
        if value is None:
            return None
        return json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))
    return None
