"""What was recorded, from what the store keeps of it."""

from __future__ import annotations

import json
import re
from typing import Any, overload

from spandag.semconv import NodeType
from spandag.store.text import decode, to_json

UNSAFE = "\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f"
"""Beside those below a space, the characters that control a terminal, turn the direction of writing, are not
seen, or cannot be encoded; as within the brackets of a regular expression."""

_UNSAFE = re.compile(f"[{UNSAFE}]")
_DELETE = "\x7f"

# Enough for any message; what shows it may recurse.
_MAX_DEPTH = 100


@overload
def decoded(value: str) -> str: ...
@overload
def decoded(value: None) -> None: ...
@overload
def decoded(value: str | None) -> str | None: ...
def decoded(value: str | None) -> str | None:
    """Text as it was recorded."""
    return None if value is None else decode(value)


def named(node_type: str, name: str, step_number: int | None) -> str:
    """What a node is called where it stands for itself: its name, of an iteration which one it is.

    An iteration is named after its agent, which is above it.

    Args:
        node_type: One of `spandag.semconv.NodeType`.
        name: As the store keeps it.
        step_number: Of an iteration within its agent.
    """
    is_iteration = node_type == NodeType.ITERATION and step_number is not None
    return f"{node_type} {step_number}" if is_iteration else decoded(name)


def decoded_json(value: Any, depth: int = 0) -> Any:
    """JSON with all of its text as it was recorded; what is too deep to be shown is JSON in a text.

    Args:
        value: As the store keeps it.
        depth: How deep in another value it is.
    """
    if isinstance(value, str):
        return decode(value)
    if not isinstance(value, dict | list):
        return value
    if depth >= _MAX_DEPTH:
        return decode(to_json(value))
    if isinstance(value, dict):
        return {decode(key): decoded_json(item, depth + 1) for key, item in value.items()}
    return [decoded_json(item, depth + 1) for item in value]


def parsed(stored: str) -> Any:
    """The JSON that a text column holds, as it was recorded."""
    try:
        value = json.loads(stored)
    except RecursionError:
        # Written by a program that allows itself more.
        return decode(stored)
    return decoded_json(value)


def json_text(value: Any) -> str:
    """JSON on one line without spaces, for a file or a terminal: as `safe_json` has it."""
    return safe_json(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def safe_json(text: str) -> str:
    """The same JSON with `UNSAFE` characters as escapes; they stand in its strings, and nowhere else."""
    if text.isascii() and _DELETE not in text:
        return text
    return _UNSAFE.sub(_as_escape, text)


def _as_escape(match: re.Match[str]) -> str:
    # Which JSON need not escape.
    return "\\u007f" if match[0] == _DELETE else json.dumps(match[0])[1:-1]
