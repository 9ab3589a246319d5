"""Lists that are flattened into attributes: ``llm.input_messages.0.message.role``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# Nobody has longer lists, and a number of thousands of digits is no index.
_MAX_DIGITS = 6


def take_lists(attributes: dict[str, Any], names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Take lists out of attributes.

    Args:
        attributes: What belongs to the lists is removed from them.
        names: Of the lists.

    Returns:
        By name, the items in order, each by what follows the index; lists that are not there are left out.
    """
    found: dict[str, dict[int, dict[str, Any]]] = {}
    prefixes = tuple(f"{name}." for name in names)
    for key in [key for key in attributes if key.startswith(prefixes)]:
        for name, prefix in zip(names, prefixes, strict=True):
            if key.startswith(prefix):
                index, _, rest = key[len(prefix) :].partition(".")
                if index.isdecimal() and len(index) <= _MAX_DIGITS:
                    found.setdefault(name, {}).setdefault(int(index), {})[rest] = attributes.pop(key)
                break
    return {name: [items[index] for index in sorted(items)] for name, items in found.items()}


def first(attributes: dict[str, Any], *names: str) -> Any:
    """The value of the first of some attributes that there is."""
    for name in names:
        value = attributes.get(name)
        if value is not None:
            return value
    return None
