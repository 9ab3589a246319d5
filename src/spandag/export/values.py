"""Values of attributes as columns take them, whatever a program recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from spandag._secrets import Secrets, own_secrets
from spandag.scrub import redacted, redacted_value
from spandag.store.text import decode, flat_to_json, storable, to_json

MAX_TEXT = 4_096
"""Characters of a text column, such as a name, an error message or a preview."""

MAX_KEY = 512
"""Characters of a text that is part of an index: of whatever bytes, PostgreSQL takes no more than 2,700."""

MAX_VALUE = 16_384
"""Characters of one value among a node's, event's or link's attributes; the rest is cut and said to be."""

CUT_MARK = "… [cut]"
"""Ends a value that was longer."""

_MAX_INT = 2**63 - 1

# Characters of a text that is likely to come again.
_MAX_NAME = 200


def copied(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """One copy of a span's, event's or link's attributes that is ours to take apart."""
    if not attributes:
        return {}
    result = attributes.copy() if hasattr(attributes, "copy") else dict(attributes)
    return result if type(result) is dict else dict(result)


def text(value: object, limit: int = MAX_TEXT) -> str | None:
    """A text column's value; None where there is nothing to say."""
    if value is None or value == "":
        return None
    if type(value) is str and len(value) <= limit and value.isascii() and "\x00" not in value:
        return value
    result = shown(value)
    if len(result) > limit:
        result = result[: limit - 1] + "…"
    return storable(result)


def text_without_secrets(value: object, limit: int = MAX_TEXT) -> str | None:
    """As `text`, of what another program recorded."""
    if value is None or value == "":
        return None
    said = shown(value)[: 2 * limit]
    without = _redacted_name(said, own_secrets()) if len(said) <= _MAX_NAME else redacted(said)
    return text(without, limit)


@lru_cache(maxsize=4096)
def _redacted_name(name: str, secrets: Secrets) -> str:
    """Names come again and again; what counts as a secret can be changed meanwhile."""
    return redacted(name)


def shown(value: object) -> str:
    """A value as text, not yet in the form that the store keeps."""
    return value if isinstance(value, str) else decode(to_json(value))


def integer(value: object) -> int | None:
    """A whole number that fits into 64 bits; None for anything else."""
    if value is None:
        return None
    if type(value) is int:
        return value if -_MAX_INT <= value <= _MAX_INT else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -_MAX_INT <= value <= _MAX_INT:
        return value
    return None


def count(value: object) -> int | None:
    """A number of tokens; None where it is not one."""
    if value is None:
        return None
    if type(value) is int and 0 <= value <= _MAX_INT:
        return value
    number = integer(value)
    return number if number is not None and number >= 0 else None


def amount(value: object) -> float | None:
    """An amount of money; None where it is not one."""
    if value is None:
        return None
    if type(value) is float and 0 <= value < math.inf:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def time_ns(value: object) -> int | None:
    """A time in Unix nanoseconds that fits into 64 bits."""
    if type(value) is int and 0 <= value <= _MAX_INT:
        return value
    return min(max(value, 0), _MAX_INT) if isinstance(value, int) else None


def attributes_json(attributes: Mapping[str, Any], *, scrub: bool) -> str:
    """Attributes as a JSON object; values longer than `MAX_VALUE` are cut.

    Args:
        attributes: As recorded.
        scrub: Whether secrets may be in them; our own spans were scrubbed when they were recorded.
    """
    if scrub:
        attributes = {key: _scrubbed(key, value) for key, value in attributes.items()}
    result = flat_to_json(attributes)
    if len(result) <= MAX_VALUE:
        return result
    return to_json({_cut(key): _bounded(value) for key, value in attributes.items()})


def _scrubbed(key: str, value: object) -> object:
    if isinstance(value, str):
        # The rest will be cut off anyway; a secret that is cut in two here is beyond what is kept.
        value = value[: 2 * MAX_VALUE]
    return redacted_value(value, key)


def _bounded(value: object) -> object:
    if isinstance(value, bool | float) or value is None:
        return value
    if isinstance(value, str):
        return _cut(value)
    shown = to_json(value)
    return value if len(shown) <= MAX_VALUE else _cut(shown)


def _cut(value: str) -> str:
    return value if len(value) <= MAX_VALUE else value[:MAX_VALUE] + CUT_MARK
