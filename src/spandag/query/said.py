"""What is said in content, text by text: of messages without what only holds them together, of JSON without its escapes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from spandag.query.text import decoded, parsed
from spandag.store.text import decode, to_json, unquoted

# Of the JSON of messages: what every one has, which nobody has said.
_KEYS = frozenset(
    {
        "role",
        "parts",
        "type",
        "content",
        "name",
        "arguments",
        "id",
        "response",
        "result",
        "tool_calls",
        "function",
    }
)
_KINDS = frozenset({"role", "type", "finish_reason", "modality", "mime_type"})
# What is below them is whatever a tool takes and gives, and its keys are as well.
_OWN = frozenset({"arguments", "response", "result", "args", "input"})

# An object or a list, also as a call is shown: ``add({"left": 1})``.
_JSON = re.compile(r"\s*(?:[\w.:/-]{1,200}\(\s*)?[{\[]")
# With an escape in it; the last one may have been cut, in the middle of an escape as well.
_STRING = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)(?:(")|\\?\Z)', re.DOTALL)
_CUT_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*+)\\(?:u[0-9a-fA-F]{0,3})?(?=…?\Z)")


def texts_of(kind: str, stored: str) -> Iterator[str]:
    """What a message says.

    Args:
        kind: Its format, ``message`` or ``text``.
        stored: Its content, as the store keeps it.
    """
    if kind == "message":
        yield from _said(parsed(stored))
        return
    raw = decoded(stored)
    said = unquoted(raw)
    yield from spelt(said)
    if said != raw:
        # Its quotes were said by nobody.
        yield raw.strip()[1:-1]


def spelt(text: str) -> Iterator[str]:
    r"""A text as it was recorded; where it is JSON, then what its strings say, without ``\"`` and ``\n``.

    What JSON writes without an escape is in the text itself. A text that is only the beginning of JSON is read
    as far as it goes.
    """
    yield text
    if "\\" not in text or not _JSON.match(text):
        return
    for found in _STRING.finditer(text):
        inner, is_whole = found.groups()
        if "\\" not in inner:
            continue
        if not is_whole:
            inner = _CUT_ESCAPE.sub(r"\1", inner)
        try:
            said = json.loads(f'"{inner}"', strict=False)
        except ValueError:
            continue
        yield from spelt(said)


def _said(value: Any) -> Iterator[str]:
    """What a message says, a part of it, or a list of them."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in _KEYS and key not in _KINDS:
                yield key
            if key in _OWN or (key == "content" and isinstance(item, dict)):
                yield from _given(item)
            elif key not in _KINDS or not isinstance(item, str):
                yield from _said(item)
    elif isinstance(value, list):
        for item in value:
            yield from _said(item)
    else:
        yield from _leaf(value)


def _given(value: Any) -> Iterator[str]:
    """What a tool was given or has given: all of it, and how it is spelt as JSON."""
    yield from _everything(value)
    if isinstance(value, dict | list):
        yield decode(to_json(value))


def _everything(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _everything(item)
    elif isinstance(value, list):
        for item in value:
            yield from _everything(item)
    else:
        yield from _leaf(value)


def _leaf(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from spelt(value)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
