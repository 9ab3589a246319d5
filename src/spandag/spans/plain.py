"""Any value as plain JSON types: without secrets, without cycles, and of a bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

from spandag.scrub import REDACTED, is_secret, redacted_bytes, scrub_text

MAX_VALUES = 100_000
"""How many values of one attribute are recorded, those in lists and dicts included."""
MAX_CHARACTERS = 1_000_000
"""How many characters their texts have together."""
MAX_DEPTH = 20
"""How deep they may be in one another."""

CYCLE = "<cycle>"
TRUNCATED = "… truncated"

# A text is cut after it was scrubbed, as half a secret is not recognised; the longest ones are keys.
_LONGEST_SECRET = 4096

T = TypeVar("T")

_shown_as: dict[type, Callable[[], object]] = {}


def show_as(cls: type, show: Callable[[], object]) -> None:
    """Let something stand for the values of a class, whose own text must not be taken.

    Args:
        cls: The class; its subclasses are shown alike.
        show: Gives what stands for a value.
    """
    _shown_as[cls] = show


def stand_in(value: object) -> object | None:
    """What stands for a value by `show_as`; None where it speaks for itself."""
    if _shown_as:
        for cls in type(value).__mro__:
            if (show := _shown_as.get(cls)) is not None:
                return show()
    return None


def plain(value: object) -> object:
    """A value that `json.dumps` takes; what is too much of it, too deep or strange is said in its place."""
    return _Walk().plain(value, 0)


def as_text(value: object) -> str:
    """A value as one text, as `str` has it."""
    if isinstance(value, str):
        # A str subclass may show itself as anything (smolagents' AgentText does).
        return str.__str__(value)
    if isinstance(value, dict | list | tuple | set | frozenset):
        value = plain(value)
    if stand_in(value) is not None:
        return f"<{type(value).__name__}>"
    return _text(value)


class _Walk:
    """One value on its way to an attribute, and how much more of it there may be."""

    def __init__(self) -> None:
        self._values = MAX_VALUES
        self._characters = MAX_CHARACTERS
        # Those that we are within. Each is held by whoever walks through it, so that its id stays its own.
        self._path: set[int] = set()

    def plain(self, value: object, depth: int) -> object:
        self._values -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._cut(str.__str__(value))
        if isinstance(value, int):
            # Python refuses to write larger ones in decimal.
            return value if value.bit_length() < 4096 else self._cut(hex(value))
        if isinstance(value, float):
            return value if value == value and abs(value) != float("inf") else str(value)
        if isinstance(value, bytes | bytearray):
            return self._cut(str(redacted_bytes(bytes(value[: self._characters + _LONGEST_SECRET]))))
        if (shown := stand_in(value)) is not None:
            return shown
        is_dict, is_list = isinstance(value, dict), isinstance(value, list | tuple | set | frozenset)
        if is_dict or is_list or hasattr(value, "model_dump"):
            if id(value) in self._path:
                return CYCLE
            if depth >= MAX_DEPTH:
                return TRUNCATED
            self._path.add(id(value))
            try:
                if isinstance(value, dict):
                    return self._dict(value, depth + 1)
                if isinstance(value, list | tuple | set | frozenset):
                    return self._list(value, depth + 1)
                if (dumped := _dumped(value)) is not None:
                    return self.plain(dumped, depth + 1)
            finally:
                self._path.discard(id(value))
        return self._cut(_text(value))

    def _list(self, values: Iterable[object], depth: int) -> list[object]:
        result: list[object] = []
        for item in self._some(values):
            if self._spent():
                result.append(TRUNCATED)
                break
            result.append(self.plain(item, depth))
        return result

    def _dict(self, values: dict[object, object], depth: int) -> dict[str, object]:
        result: dict[str, object] = {}
        for key, item in self._some(values.items()):
            if self._spent():
                result["…"] = "truncated"
                break
            name = self._cut(_text(key))
            result[name] = REDACTED if is_secret(name, item) else self.plain(item, depth)
        return result

    def _some(self, values: Iterable[T]) -> list[T]:
        """As many as may be recorded and one that says that there are more, as they are now: others may add some."""
        return list(islice(values, max(self._values, 0) + 1))

    def _spent(self) -> bool:
        return self._values <= 0 or self._characters <= 0

    def _cut(self, text: str) -> str:
        allowed = max(self._characters, 0)
        self._characters -= len(text)
        scrubbed = scrub_text(text[: allowed + _LONGEST_SECRET])
        return scrubbed if len(text) <= allowed else scrubbed[:allowed] + TRUNCATED


def _dumped(value: Any) -> object | None:
    """What a model of pydantic has; None where it is no such model, or does not say."""
    try:
        dumped: object = value.model_dump(mode="json")
        return dumped
    except Exception:
        return None


def _text(value: object) -> str:
    """A value's text, whatever its ``__str__`` does."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"
