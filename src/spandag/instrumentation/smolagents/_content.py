"""The values that smolagents passes around, as content."""

from __future__ import annotations

from typing import Any

from smolagents.agent_types import AgentAudio, AgentImage

from spandag.spans.content import Message, media_part, openai_message

# The framework sends these roles under the names that providers know.
_ROLES = {"tool-call": "assistant", "tool-response": "user"}
_DEPTH = 20


def plain(value: Any, depth: int = 0) -> Any:
    """A value whose text may be taken: that of an image or a sound would write it to a file."""
    if isinstance(value, AgentImage):
        return media_part("image")
    if isinstance(value, AgentAudio):
        return media_part("audio")
    # Deeper than this nothing is recorded either; a value may contain itself.
    if isinstance(value, dict) and depth < _DEPTH:
        return {name: plain(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple) and depth < _DEPTH:
        return [plain(item, depth + 1) for item in value]
    return value


def chat_message(raw: Any) -> Message:
    """A message of smolagents, an object or a dict, in the conventions' form."""
    role = _field(raw, "role")
    role = str(getattr(role, "value", role))
    calls = [
        {
            "id": _field(call, "id"),
            "function": {
                "name": _field(_field(call, "function"), "name"),
                "arguments": _field(_field(call, "function"), "arguments"),
            },
        }
        for call in _field(raw, "tool_calls") or ()
    ]
    return openai_message(
        {"role": _ROLES.get(role, role), "content": _field(raw, "content"), "tool_calls": calls}
    )


def _field(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)
