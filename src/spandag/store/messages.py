"""What messages are known by, and what they mean: some mean the same, though they are not written the same.

Ids of tool calls are made up anew by each model, and the keys of JSON come in any order; a whole number
may be written with a point, and JSON as a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any

import orjson

from spandag.store.rows import HASH_SIZE, MESSAGE
from spandag.store.text import to_json

# Each takes about 200 bytes.
_MOST_REMEMBERED = 4_096
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


class Meanings:
    """What messages mean; that of the last ones is remembered, as each call of a model repeats the history."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}

    def of_list(self, messages: Iterable[tuple[bytes, str, str]]) -> bytes:
        """What a list of messages means: `meaning_of_list`.

        Args:
            messages: Hash, format and content of each, as the store keeps them.
        """
        known = self._known
        if len(known) > _MOST_REMEMBERED:
            known.clear()
        found = []
        for digest, kind, content in messages:
            meaning = known.get(digest)
            if meaning is None:
                meaning = known[digest] = meaning_of(digest, kind, content)
            found.append(meaning)
        return meaning_of_list(found)


def hash_of(kind: str, content: str) -> bytes:
    """What a message is known by in its run.

    Args:
        kind: Its format, which is part of it: a text may look like a message.
        content: As the store keeps it.
    """
    return blake2b(content.encode(), digest_size=HASH_SIZE, person=kind.encode()).digest()


def meaning_of(digest: bytes, kind: str, content: str) -> bytes:
    """What a message means: the same bytes for all that mean the same.

    Args:
        digest: Its `hash_of`, which is its meaning too where it is written as all that mean the same are.
        kind: Its format.
        content: As the store keeps it.
    """
    meant = _canonical(kind, _without_call_ids(content))
    return digest if meant == content else hash_of(kind, meant)


def meaning_of_list(meanings: Sequence[bytes]) -> bytes:
    """What some messages mean in their order: nothing, what the only one of them means, or a hash."""
    if len(meanings) == 1:
        return meanings[0]
    if not meanings:
        return b""
    return blake2b(b"".join(meanings), digest_size=HASH_SIZE, person=b"list").digest()


def _without_call_ids(content: str) -> str:
    if "toolu_" in content or "chatcmpl-tool-" in content:
        return _CALL_ID.sub("", content)
    return _OPENAI_ID.sub("", content) if "call_" in content else content


def _canonical(kind: str, content: str) -> str:
    """A message, as all that mean the same are written; ids that are told by themselves are taken out already."""
    # What else makes no difference is told by where it stands, which takes longer to find out.
    if kind == MESSAGE:
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
