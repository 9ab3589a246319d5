"""The values that smolagents passes around, as content."""

from __future__ import annotations

from typing import Any

from smolagents.agent_types import AgentAudio, AgentImage

from spandag.instrumentation._reading import field
from spandag.spans.content import Message, media_part, openai_message, text_part
from spandag.spans.plain import as_text, show_as, stand_in

# The framework sends these roles under the names that providers know.
_ROLES = {"tool-call": "assistant", "tool-response": "user"}

# Their own text would write them to a file.
show_as(AgentImage, lambda: media_part("image"))
show_as(AgentAudio, lambda: media_part("audio"))


def answer_part(answer: object) -> Message:
    """An agent's final answer as a part of a message."""
    media = stand_in(answer)
    return media if isinstance(media, dict) else text_part(as_text(answer))


def chat_message(raw: Any) -> Message:
    """A message of smolagents, an object or a dict, in the conventions' form."""
    role = field(raw, "role")
    role = str(getattr(role, "value", role))
    calls = [
        {
            "id": field(call, "id"),
            "function": {
                "name": field(field(call, "function"), "name"),
                "arguments": field(field(call, "function"), "arguments"),
            },
        }
        for call in field(raw, "tool_calls") or ()
    ]
    return openai_message(
        {"role": _ROLES.get(role, role), "content": field(raw, "content"), "tool_calls": calls}
    )
