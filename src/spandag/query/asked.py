"""Whether a question makes sense, before a database is asked that takes it otherwise."""

from __future__ import annotations

from collections.abc import Collection

from spandag.query.errors import QueryError


def one_of(what: str, value: object, known: Collection[str]) -> None:
    """Check that a word is one of those that there are.

    Args:
        what: What it names.
        value: The word.
        known: Those that there are.

    Raises:
        QueryError: It is another.
    """
    if value not in known:
        raise QueryError(f"there is no {what} {_shown(value)}; known are {', '.join(known)}")


def at_least(least: int, value: object, what: str) -> None:
    """Check that a number is large enough; None, for all, always is.

    Args:
        least: The smallest that makes sense.
        value: The number.
        what: What it is a number of.

    Raises:
        QueryError: It is smaller, or no whole number.
    """
    if value is not None and (not isinstance(value, int) or value < least):
        raise QueryError(f"{what} is {_shown(value)}; give a whole number from {least} on")


def as_text(value: object, what: str) -> str:
    """What was named, which has to be a text.

    Args:
        value: The name, or the beginning of an id.
        what: What it names.

    Raises:
        QueryError: It is no text.
    """
    if not isinstance(value, str):
        raise QueryError(f"{what} is named by a text, not by {_shown(value)}")
    return value


def _shown(value: object) -> str:
    return repr(value[:60] if isinstance(value, str) else value)[:80]
