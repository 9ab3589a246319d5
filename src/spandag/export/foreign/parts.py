"""Messages in the JSON of the GenAI conventions, from the pieces that dialects have.

The same words give the same message in every dialect, so that the store keeps it once.
"""

from __future__ import annotations

import json
from typing import Any


def text(content: object) -> dict[str, Any]:
    """A part of plain text."""
    return {"type": "text", "content": content}


def tool_call(name: object, arguments: object, call_id: object) -> dict[str, Any]:
    """A part by which the model asks for a tool."""
    part = {"type": "tool_call", "name": name, "arguments": _parsed(arguments)}
    return part if call_id is None else {**part, "id": call_id}


def tool_response(response: object, call_id: object) -> dict[str, Any]:
    """A part with a tool's result."""
    part = {"type": "tool_call_response", "response": response}
    return part if call_id is None else {**part, "id": call_id}


def message(role: object, parts: list[dict[str, Any]], name: object = None) -> dict[str, Any]:
    """One message."""
    result = {"role": role, "parts": parts}
    return result if name is None else {**result, "name": name}


def _parsed(arguments: object) -> object:
    """Arguments as an object where they are JSON."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
