"""What messages are known by, and what they mean: some mean the same, though they are not written the same.

Ids of tool calls are made up anew by each model, and the keys of JSON come in any order; a whole number
may be written with a point, and JSON as a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any, overload

import orjson

from spandag.store.rows import HASH_SIZE, MESSAGE
from spandag.store.text import restored_json, to_json

# Each takes about 200 bytes.
_MOST_REMEMBERED = 4_096
# That takes a millisecond or two, and twenty where its numbers are written oddly.
MOST_LOOKED_INTO = 32_768
"""Characters of a message that is looked into while a program runs."""
# How deep JSON may be that is looked into. How deep Python could go is a matter of the stack, and where a program has
# allowed itself more than there is, of life and death.
_DEEPEST = 100
# From there on not every whole number is a float of its own.
_MOST_EXACT = 2**53
# Of many hashes faster than to cut them out one by one.
_EACH_HASH = re.compile(rb".{1,16}", re.DOTALL)
_JSON_IN_CALLS = frozenset({"arguments", "response", "result"})
# How JSON begins in which something can have another order, also where it is quoted once more.
_JSON_BEGINS = ("{", "[", '"{', '"[')
# What ids are made of by OpenAI, Anthropic and LiteLLM: random, with a digit or a capital. Names, such as
# call_simulation_of_everything or call_20240101.wav, are shorter or have something between.
_RANDOM = "(?=[a-z]*[0-9A-Z])[0-9A-Za-z]{20,}+"
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def _form(prefix: str, rest: str) -> str:
    """An expression of ids. The prefix comes first, as what begins with a word is found many times as fast."""
    # What stands before it in JSON may be a line break.
    begin = rf"(?:(?<![\w/]{prefix})|(?<=\\[nrt]{prefix}))"
    return rf"{prefix}{begin}{rest}(?![\w-]|\.\w)"


# DeepSeek counts them, and LiteLLM appends what Gemini thought.
_OPENAI_FORM = _form("call_", rf"(?:[0-9]{{1,2}}_)?(?:{_UUID}|{_RANDOM})(?:__thought__[\w+/=-]++)?")
_OPENAI_ID = re.compile(_OPENAI_FORM)
_CALL_ID = re.compile(
    "|".join(
        [
            _OPENAI_FORM,
            # Amazon and Google say that they serve Anthropic's models.
            _form("toolu_", f"(?:bdrk_|vrtx_)?{_RANDOM}"),
            # Of vLLM.
            _form("chatcmpl-tool-", f"(?:{_UUID}|[0-9a-f]{{16,}}+)"),
        ]
    )
)
# smolagents writes calls into texts. There an id is told by its place, and has any form.
_CALL_IN_TEXT = "', 'type': 'function', 'function': {"
_ID_OF_CALL_IN_TEXT = re.compile(rf"(?<=\{{'id': ')[^'\\]++(?={re.escape(_CALL_IN_TEXT)})")
_ERROR_IN_TEXT = "Call id: "
_ID_OF_ERROR_IN_TEXT = re.compile(rf"(?<={_ERROR_IN_TEXT})[^\s\"\\]++(?=\\?[n\n])")
_OTHER_ID = re.compile(r'id":(?!"")(?:(?<="id":)|(?<="tool_call_id":))')
# How any whole number begins that is not written as one.
_MAYBE_WHOLE = re.compile(r"\.0|[0-9][eE]")
# A message has its keys in order already, but for one that an id was taken out of; in the arguments and results
# of its calls there may be whole numbers with a point, and JSON in a text.
_WHOLE_NUMBER = re.compile(r"\.0(?![0-9])")
_JSON_IN_TEXT = re.compile(r'":"(?:\\")?[{\[]')
_JSON_OF_CALL = re.compile(r'"(?:arguments|response|result)":')
_KEY_WAS_ID = re.compile(r'"(?:#[0-9]+)?":')
# A string may have no end, as of what was cut off.
_STRING_OR_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[{]+|[\]}]+', re.DOTALL)
# What orjson reads or writes otherwise than `to_json`, with whatever else looks like it: numbers that are not
# whole and small, escapes.
_NOT_SIMPLE = re.compile(r"[0-9](?:\.[0-9]|[eE][-+0-9]|[0-9]{15})|-0|\\")

_SQL_IS_JSON = (
    f"(format <> '{MESSAGE}' AND"
    " (substr(content, 1, 1) IN ('{', '[') OR substr(content, 1, 2) IN ('\"{', '\"[')))"
)
_IN_ANY_WITH_IDS = ("call", "toolu_", "chatcmpl-tool-", "''type'': ''function''", _ERROR_IN_TEXT)

SQL_MAY_BE_OTHERWISE = {
    # Twice as fast as LIKE.
    "sqlite": " OR ".join([*(f"content GLOB '*{word}*'" for word in _IN_ANY_WITH_IDS), _SQL_IS_JSON]),
    "postgresql": " OR ".join(
        [*(f"strpos(content, '{word}') > 0" for word in _IN_ANY_WITH_IDS), _SQL_IS_JSON]
    ),
}
"""By database what is true of all messages that do not mean what their hash says."""


class Meanings:
    """What messages mean; that of the last ones is remembered, as each call of a model repeats the history."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}

    def of_list(self, messages: Sequence[tuple[bytes, str, str]]) -> bytes | None:
        """What a list of messages means: `meaning_of_list`.

        Args:
            messages: Hash, format and content of each, as the store keeps them.

        Returns:
            None where it would take long to find out.
        """
        known = self._known
        # A history that is longer than that is repeated as well.
        if len(known) > _MOST_REMEMBERED + 2 * len(messages):
            known.clear()
        found = []
        for digest, kind, content in messages:
            meaning = known.get(digest)
            if meaning is None:
                meaning = meaning_of(digest, kind, content, most=MOST_LOOKED_INTO)
                if meaning is None:
                    return None
                known[digest] = meaning
            found.append(meaning)
        return meaning_of_list(found)


def hash_of(kind: str, content: str) -> bytes:
    """What a message is known by in its run.

    Args:
        kind: Its format, which is part of it: a text may look like a message.
        content: As the store keeps it.
    """
    return blake2b(content.encode(), digest_size=HASH_SIZE, person=kind.encode()).digest()


@overload
def meaning_of(digest: bytes, kind: str, content: str) -> bytes: ...


@overload
def meaning_of(digest: bytes, kind: str, content: str, *, most: int) -> bytes | None: ...


def meaning_of(digest: bytes, kind: str, content: str, *, most: int | None = None) -> bytes | None:
    """What a message means: the same bytes for all that mean the same.

    Args:
        digest: Its `hash_of`, which is its meaning too where it is written as all that mean the same are.
        kind: Its format.
        content: As the store keeps it.
        most: How many characters it may have, where it has to be looked into.

    Returns:
        None where it has more.
    """
    meant = _without_call_ids(content)
    if _may_be_otherwise(kind, meant):
        if most is not None and len(meant) > most:
            return None
        meant = _canonical(kind, meant)
    return digest if meant == content else hash_of(kind, meant)


def meaning_of_list(meanings: Sequence[bytes]) -> bytes:
    """What some messages mean in their order: nothing, what the only one of them means, or a hash."""
    if len(meanings) == 1:
        return meanings[0]
    if not meanings:
        return b""
    return blake2b(b"".join(meanings), digest_size=HASH_SIZE, person=b"list").digest()


def hashes_of(hashes: bytes) -> list[bytes]:
    """The hashes that a list of messages is kept as, in order."""
    return [hashes] if len(hashes) == HASH_SIZE else _EACH_HASH.findall(hashes)


def _without_call_ids(content: str) -> str:
    if _CALL_IN_TEXT in content:
        content = _ID_OF_CALL_IN_TEXT.sub("", content)
    if _ERROR_IN_TEXT in content:
        content = _ID_OF_ERROR_IN_TEXT.sub("", content)
    if "toolu_" in content or "chatcmpl-tool-" in content:
        return _renamed(_CALL_ID, content)
    return _renamed(_OPENAI_ID, content) if "call_" in content else content


def _renamed(ids: re.Pattern[str], content: str) -> str:
    """A message without ids that are told by themselves: nothing for the first, a number for each other one."""
    names: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        return names.setdefault(match[0], f"#{len(names) + 1}" if names else "")

    return ids.sub(name, content)


def _may_be_otherwise(kind: str, content: str) -> bool:
    """Whether a message without such ids is possibly not written as `_canonical` would."""
    if kind != MESSAGE:
        return content.startswith(_JSON_BEGINS)
    # What else makes no difference is told by where it stands, which takes longer to find out.
    return _OTHER_ID.search(content) is not None or (
        _JSON_OF_CALL.search(content) is not None
        and (
            _WHOLE_NUMBER.search(content) is not None
            or _JSON_IN_TEXT.search(content) is not None
            or _KEY_WAS_ID.search(content) is not None
        )
    )


def _canonical(kind: str, content: str) -> str:
    """A message, as all that mean the same are written; ids that are told by themselves are taken out already."""
    with suppress(ValueError, TypeError, RecursionError):
        if kind == MESSAGE:
            return restored_json(_without_ids(_parsed(content)), canonical=True)
        if (
            content[0] != '"'
            and content.isascii()
            and not _NOT_SIMPLE.search(content)
            and not _is_deep(content)
        ):
            return orjson.dumps(orjson.loads(content), option=orjson.OPT_SORT_KEYS).decode()
    return content if kind == MESSAGE else to_json(_value(content), canonical=True)


def _parsed(text: str) -> Any:
    """What JSON means.

    Raises:
        ValueError: It is none, or too deep.
    """
    if _is_deep(text):
        raise ValueError("it is too deep")
    return json.loads(text)


def _is_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= _DEEPEST:
        return False
    depth = 0
    for match in _STRING_OR_BRACKETS.finditer(text):
        if text[match.start()] in "[{":
            depth += len(match[0])
            if depth > _DEEPEST:
                return True
        elif text[match.start()] != '"':
            depth -= len(match[0])
    return False


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
            value = _parsed(given)
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
