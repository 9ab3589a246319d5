"""What a span says of messages, arguments and results, for the tables of messages and for previews."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from spandag import semconv
from spandag.export.values import shown, text
from spandag.scrub import redacted_value
from spandag.store.messages import hash_of
from spandag.store.rows import MESSAGE, TEXT
from spandag.store.text import storable, to_json, unquoted

_FINISH_REASON = "finish_reason"
_LISTS_OF_MESSAGES = frozenset(
    {
        semconv.GEN_AI_INPUT_MESSAGES,
        semconv.GEN_AI_OUTPUT_MESSAGES,
        semconv.GEN_AI_SYSTEM_INSTRUCTIONS,
    }
)


class Entry(NamedTuple):
    """One message as it is stored.

    Attributes:
        hash: Of format and content.
        role: Of a message that has one.
        format: `MESSAGE` (JSON of the GenAI conventions, keys sorted) or `TEXT` (as recorded).
        content: The whole.
    """

    hash: bytes
    role: str | None
    format: str
    content: str


class Content(NamedTuple):
    """What a span says.

    Attributes:
        entries: By direction (``system``, ``input``, ``output``, ``tools``), in order.
        input_preview: The last message that went in.
        output_preview: The last message that came out.
    """

    entries: dict[str, list[Entry]]
    input_preview: str | None
    output_preview: str | None


def content_of(values: Mapping[str, Any], *, scrub: bool) -> Content:
    """Read the attributes that carry content.

    Broken JSON, for example cut by an attribute limit, is kept as one text.

    Args:
        values: By name, as recorded; all of `semconv.CONTENT_ATTRIBUTES`.
        scrub: Whether secrets may be in them.
    """
    entries: dict[str, list[Entry]] = {}
    previews: dict[str, str | None] = {}
    for name, direction in semconv.CONTENT_ATTRIBUTES.items():
        value = values.get(name)
        if value is None:
            continue
        messages = _messages(value) if name in _LISTS_OF_MESSAGES else None
        target = entries.setdefault(direction, [])
        if messages is None:
            raw = shown(redacted_value(value) if scrub else value)
            target.append(_entry(TEXT, None, storable(raw)))
            previews[direction] = text(unquoted(raw))
        else:
            if scrub:
                messages = redacted_value(messages)
            target.extend(map(_message_entry, messages))
            if messages:
                previews[direction] = text(_shown(messages[-1]))
    return Content(entries, previews.get("input"), previews.get("output"))


def _messages(value: object) -> Sequence[Any] | None:
    """The messages of a list, or of the JSON of one; None where it is neither."""
    if isinstance(value, list | tuple):
        return value
    if not isinstance(value, str):
        return None
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, list) else None


def _message_entry(message: Any) -> Entry:
    if isinstance(message, str):
        return _entry(TEXT, None, storable(message))
    role = None
    if isinstance(message, dict):
        # An answer is the same message when it comes back in the history of the next call; why
        # the model stopped is said by the span.
        message = {key: value for key, value in message.items() if key != _FINISH_REASON}
        role = message.get("role")
        if isinstance(role, str) and "." in role:
            # "MessageRole.USER": an enumeration that somebody wrote down as it shows itself.
            role = message["role"] = role.rpartition(".")[2].lower()
    return _entry(
        MESSAGE, storable(role) if isinstance(role, str) else None, to_json(message, canonical=True)
    )


def _entry(kind: str, role: str | None, content: str) -> Entry:
    return Entry(hash_of(kind, content), role, kind, content)


def _shown(message: Any) -> str:
    """A message as text: what is said, else what is called or answered, else the model's reasoning."""
    if isinstance(message, str):
        return message
    if not isinstance(message, dict):
        return to_json(message)
    parts = message.get("parts")
    if not isinstance(parts, list):
        # A part by itself (system instructions), or a message as providers write it.
        parts = [message]
    shown = [_part(part) for part in parts if not _is_reasoning(part)]
    return "\n".join(shown or [_part(part) for part in parts])


def _is_reasoning(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "reasoning"


def _part(part: Any) -> str:
    if not isinstance(part, dict):
        return shown(part)
    kind = part.get("type")
    if kind == "tool_call":
        arguments = part.get("arguments")
        return f"{part.get('name')}({'' if arguments is None else shown(arguments)})"
    if kind == "tool_call_response":
        return shown(part.get("response", part.get("result")))
    content = part.get("content")
    if content:
        return shown(content)
    calls = part.get("tool_calls")
    if isinstance(calls, list) and calls:
        # As providers write it.
        return "\n".join(_call(call) for call in calls)
    return f"[{part.get('modality') or kind or 'empty'}]"


def _call(call: Any) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return shown(call)
    return f"{function.get('name')}({shown(function.get('arguments') or '')})"
