"""Messages that mean the same, though they are not written the same.

Ids of tool calls are made up anew by each model, and the keys of JSON come in any order; a whole number
may be written with a point, and JSON as a text.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from typing import Any

import orjson

from spandag.store.text import to_json

HASH_BYTES = 16

_AS_MESSAGE = "message"
# From there on not every whole number is a float of its own.
_MOST_EXACT = 2**53
_JSON_IN_CALLS = frozenset({"arguments", "response", "result"})
# How JSON begins in which something can have another order, also where it is quoted once more.
_JSON_BEGINS = ("{", "[", '"{', '"[')
# As OpenAI, Anthropic and vLLM make them; smolagents writes them into texts as well.
_CALL_ID = re.compile(r"\b(?:call_|toolu_|chatcmpl-tool-)[A-Za-z0-9_-]{8,}")
# The first kind of them only. What begins with a word is found many times as fast.
_OPENAI_ID = re.compile(r"call_(?<!\wcall_)[A-Za-z0-9_-]{8,}")
_OTHER_ID = re.compile(r'id":(?!"")(?:(?<="id":)|(?<="tool_call_id":))')
# How any whole number begins that is not written as one.
_MAYBE_WHOLE = re.compile(r"\.0|[0-9][eE]")
# A message has its keys in order already, but for one that an id was taken out of; in the arguments and results
# of its calls there may be whole numbers with a point, JSON in a text, and what is escaped in the store.
_WHOLE_NUMBER = re.compile(r"\.0(?![0-9])")
_JSON_IN_TEXT = re.compile(r'":"(?:\\")?[{\[]')
_ESCAPE, _EMPTY_KEY = "␛", '"":'
# What orjson reads or writes otherwise than `to_json`, with whatever else looks like it: numbers that are not
# whole and small, escapes.
_NOT_SIMPLE = re.compile(r"[0-9](?:\.[0-9]|[eE][-+0-9]|[0-9]{15})|-0|\\")
# Characters.
_LONG = 1_000

SQL_IS_JSON = (
    f"format <> '{_AS_MESSAGE}'"
    " AND (substr(content, 1, 1) IN ('{', '[') OR substr(content, 1, 2) IN ('\"{', '\"['))"
)
"""Of which texts `is_json` may be true; those of messages are in order already but in the texts of their calls."""

SQL_MAY_BE_ALIKE = {
    # Twice as fast as LIKE.
    "sqlite": f"content GLOB '*call*' OR content GLOB '*toolu*' OR ({SQL_IS_JSON})",
    "postgresql": f"strpos(content, 'call') > 0 OR strpos(content, 'toolu') > 0 OR ({SQL_IS_JSON})",
}
"""By database what is true of messages in which there may be something that makes no difference."""


def is_json(kind: str, content: str) -> bool:
    """Whether a message is JSON whose keys can have another order.

    Args:
        kind: Its format.
        content: As the store keeps it.
    """
    return kind != _AS_MESSAGE and content.startswith(_JSON_BEGINS)


def meanings(messages: Iterable[tuple[bytes, str, str]]) -> dict[bytes, bytes]:
    """What messages mean, by their hashes: the same bytes for all that mean the same.

    Args:
        messages: Hash, format and content of each, as the store keeps them.
    """
    found: dict[bytes, bytes] = {}
    # What two runs are told and what tools answer them is the same most of the time. Of what is long the
    # hash is kept, since it may take a lot of memory.
    known: defaultdict[str, dict[str | bytes, bytes]] = defaultdict(dict)
    for digest, kind, content in messages:
        plain = _without_call_ids(content)
        of_kind, key = known[kind], plain if len(plain) < _LONG else _hash(plain)
        meaning = of_kind.get(key)
        if meaning is None:
            meaning = of_kind[key] = _hash(_canonical(kind, plain))
        found[digest] = meaning
    return found


def _hash(content: str) -> bytes:
    return blake2b(content.encode(), digest_size=HASH_BYTES, person=b"without ids").digest()


def _without_call_ids(content: str) -> str:
    if "toolu_" in content or "chatcmpl-tool-" in content:
        return _CALL_ID.sub("", content)
    return _OPENAI_ID.sub("", content) if "call_" in content else content


def _canonical(kind: str, content: str) -> str:
    """A message, as all that mean the same are written; ids that are told by themselves are taken out already."""
    # What else makes no difference is told by where it stands, which takes longer to find out.
    if kind == _AS_MESSAGE:
        if _OTHER_ID.search(content) or ('"arguments":' in content and _may_be_otherwise(content)):
            with suppress(ValueError, RecursionError):
                return to_json(_without_ids(json.loads(content)), canonical=True)
    elif content.startswith(_JSON_BEGINS):
        if content[0] != '"' and content.isascii() and not _NOT_SIMPLE.search(content):
            with suppress(ValueError, TypeError):
                return orjson.dumps(orjson.loads(content), option=orjson.OPT_SORT_KEYS).decode()
        return to_json(_value(content), canonical=True)
    return content


def _may_be_otherwise(content: str) -> bool:
    """Whether a message without ids is possibly not written as it would be by `to_json`, values and all."""
    return (
        _WHOLE_NUMBER.search(content) is not None
        or _JSON_IN_TEXT.search(content) is not None
        or _ESCAPE in content
        or _EMPTY_KEY in content
    )


def _without_ids(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    parts = message.get("parts")
    if isinstance(parts, list):
        return {**message, "parts": [_part_without_id(part) for part in parts]}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        # As providers write it.
        message = {**message, "tool_calls": [_call_without_id(call) for call in calls]}
    return _blanked(_part_without_id(message), "tool_call_id")


def _call_without_id(call: Any) -> Any:
    call = _blanked(call, "id")
    function = call.get("function") if isinstance(call, dict) else None
    return {**call, "function": _with_values(function)} if isinstance(function, dict) else call


def _part_without_id(part: Any) -> Any:
    if isinstance(part, dict) and part.get("type") in ("tool_call", "tool_call_response"):
        return _with_values(_blanked(part, "id"))
    return part


def _with_values(called: dict[str, Any]) -> dict[str, Any]:
    """A call with its arguments, or its result, as what they mean."""
    return {name: _value(given) if name in _JSON_IN_CALLS else given for name, given in called.items()}


def _value(given: Any) -> Any:
    """What JSON means, or a text that is JSON; any other text is itself, and 1.0 is 1."""
    with suppress(ValueError, RecursionError):
        if not isinstance(given, str):
            return _with_whole_numbers(given)
        if given.startswith(_JSON_BEGINS):
            value = json.loads(given)
            return _value(value) if isinstance(value, str) or _MAYBE_WHOLE.search(given) else value
    return given


def _with_whole_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_whole_numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(each) for each in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MOST_EXACT:
        return int(value)
    return value


def _blanked(value: Any, key: str) -> Any:
    return {**value, key: ""} if isinstance(value, dict) and key in value else value
