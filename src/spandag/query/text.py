"""What was recorded, from what the store keeps of it."""

from __future__ import annotations

from typing import Any, overload

from spandag.store.text import decode


@overload
def decoded(value: str) -> str: ...
@overload
def decoded(value: None) -> None: ...
@overload
def decoded(value: str | None) -> str | None: ...
def decoded(value: str | None) -> str | None:
    """Text as it was recorded."""
    return None if value is None else decode(value)


def decoded_json(value: Any) -> Any:
    """JSON with all of its text as it was recorded; the store keeps it at most 20 deep."""
    if isinstance(value, str):
        return decode(value)
    if isinstance(value, dict):
        return {decode(key): decoded_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decoded_json(item) for item in value]
    return value
