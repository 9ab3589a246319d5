"""Text and JSON that every database takes, whatever a program put into its spans.

SQLite cuts text at NUL in many functions, PostgreSQL refuses it; neither takes
lone surrogates. Both are written as ``␛`` and four hexadecimal digits
(``␛0000``, ``␛d83d``), and ``␛`` itself as ``␛241b``, so that `decode` gives
back exactly what was recorded. The same holds within JSON.

Numbers that JSON does not know (NaN, Infinity) become strings, bytes become
base64 as in OTLP JSON. PostgreSQL keeps numbers as decimals: what is written
with an exponent would come back as a whole number, and minus zero as zero, so
``1e+300`` is written out and minus zero has no sign.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence, Set
from decimal import Decimal
from typing import Any, cast

import orjson

_MARK = "␛"
_STRANGE = re.compile(f"[\x00\ud800-\udfff{_MARK}]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ESCAPED = re.compile(f"{_MARK}([0-9a-f]{{4}})")
_ESCAPED_NUL = "\\u0000"

_STRING_OR_STRANGE_NUMBER = re.compile(r'"(?:[^"\\]++|\\.)*+"|-0\.0(?![0-9])|-?[0-9.]++e\+[0-9]++')

# What both encoders write alike, whatever the value.
_ALIKE = frozenset({str, int, bool})

_MAX_DEPTH = 20
# Python refuses to write integers of more digits than this as decimals.
_MAX_INT_BITS = 4096


def _encoder(*, sort_keys: bool) -> Callable[[object], str]:
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return json.JSONEncoder(
            ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys
        ).encode
    # What `JSONEncoder.encode` makes anew for each value, which takes as long as the encoding.
    chunks = make(None, _refused, json.encoder.encode_basestring, None, ":", ",", sort_keys, False, False)
    return lambda value: "".join(chunks(value, 0))


def _refused(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is no JSON")


_encode_json = _encoder(sort_keys=False)
_encode_canonical = _encoder(sort_keys=True)


def storable(text: str) -> str:
    """The text as the store keeps it."""
    if text.isascii():
        return text if "\x00" not in text else _STRANGE.sub(_escape, text)
    return _STRANGE.sub(_escape, text)


def decode(text: str) -> str:
    """The text as it was recorded, from what the store keeps."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text) if _MARK in text else text


def to_json(value: object, *, canonical: bool = False) -> str:
    """The value as JSON that every database takes.

    Args:
        value: Anything; what JSON does not know becomes a string.
        canonical: Sort the keys, so that equal values give equal text.
    """
    encode = _encode_canonical if canonical else _encode_json
    try:
        text = encode(value)
    except (TypeError, ValueError, RecursionError):
        text = encode(_plain(value, 0))
    else:
        # The encoder itself writes NUL as an escape, which PostgreSQL's JSON refuses. To look for one
        # character first is ten times as fast.
        if ("\\" in text and _ESCAPED_NUL in text) or not (text.isascii() or not _STRANGE.search(text)):
            text = encode(_plain(value, 0))
    return _with_plain_numbers(text)


def restored_json(value: object, *, canonical: bool = False) -> str:
    """JSON that the store has kept before, in the form in which it keeps it.

    Args:
        value: What was parsed of it; its text is escaped already, and stays so.
        canonical: Sort the keys, so that equal values give equal text.

    Raises:
        ValueError: No store keeps that: NUL, lone surrogates, NaN, infinity, or what is nested too deeply.
    """
    try:
        text = (_encode_canonical if canonical else _encode_json)(value)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if _ESCAPED_NUL in text or not (text.isascii() or not _UNSTORABLE.search(text)):
        raise ValueError("it has characters that no store keeps as they are")
    return _with_plain_numbers(text)


def is_stored_form(text: str) -> bool:
    """Whether a text is as a store keeps it: without NUL and lone surrogates."""
    return (text.isascii() and "\x00" not in text) or not _UNSTORABLE.search(text)


def flat_to_json(values: Mapping[str, object]) -> str:
    """The same as `to_json` of a mapping, a third of its time where the values are as those of most spans."""
    for value in values.values():
        kind = type(value)
        if kind is str or kind is int or kind is bool:
            continue
        if kind is float:
            # Others are written with an exponent, or are no numbers in JSON.
            if 1e-4 <= cast(float, value) < 1e16:
                continue
        elif kind is tuple and set(map(type, cast(tuple[object, ...], value))) <= _ALIKE:
            continue
        return to_json(values)
    try:
        text = orjson.dumps(values).decode()
    except TypeError:
        return to_json(values)
    if ("\\" in text and _ESCAPED_NUL in text) or not (text.isascii() or not _STRANGE.search(text)):
        return to_json(values)
    return text


def _with_plain_numbers(text: str) -> str:
    if ("+" in text and "e+" in text) or ("-" in text and "-0.0" in text):
        return _STRING_OR_STRANGE_NUMBER.sub(_written_out, text)
    return text


def _written_out(match: re.Match[str]) -> str:
    token = match[0]
    if token.startswith('"'):
        return token
    return "0.0" if token == "-0.0" else f"{Decimal(token):f}.0"


def _escape(match: re.Match[str]) -> str:
    return f"{_MARK}{ord(match[0]):04x}"


def _plain(value: object, depth: int) -> object:
    """The value in JSON's own types and in storable text; the slow way, for strange values."""
    if isinstance(value, str):
        return storable(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _MAX_INT_BITS else hex(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode("ascii")
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {storable(_shown(key)): _plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, Sequence | Set):
            return [_plain(item, depth + 1) for item in value]
    return storable(_shown(value))


def _shown(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        # A value whose own __str__ fails must not take the span with it.
        return f"<{type(value).__name__}>"


def unquoted(raw: str) -> str:
    """A single string as a person reads it."""
    if raw[:1] == '"':
        try:
            value = json.loads(raw)
        except ValueError:
            return raw
        return value if isinstance(value, str) else raw
    return raw
