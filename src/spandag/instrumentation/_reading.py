"""Reads what client libraries hand on, as objects or as dicts, and only what is of the right type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def field(holder: Any, name: str) -> Any:
    """The field of a dict or an object; None where it has none."""
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def text(value: Any) -> str | None:
    """A text that is not empty."""
    return value if isinstance(value, str) and value else None


def count(value: Any) -> int | None:
    """A whole number, which some libraries keep as a float."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None
