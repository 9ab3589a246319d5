"""Where is a text within what a node says?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_

from spandag.query.said import spelt, texts_of
from spandag.store.case_folding import folded, forms, like

_BEFORE, _LONGEST = 40, 160


@dataclass(frozen=True, slots=True)
class Match:
    """A text in its surroundings.

    Attributes:
        found_in: ``name``, ``error``, ``hypothesis``, ``task``, ``input``, ``output``, ``agent``, ``model``, or of
            a whole message ``system``, ``tools``, ``input`` or ``output``.
        excerpt: What is around it, on one line, with ``…`` where something is left out.
        marks: Where the text is in the excerpt: pairs of start and end, in characters.
    """

    found_in: str
    excerpt: str
    marks: list[tuple[int, int]]


class Wanted:
    """A text that is searched for, without regard to upper and lower case.

    Args:
        text: Anything but nothing.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._folded = folded(text)

    def may_be_in(self, connection: Connection, *columns: ColumnElement[Any]) -> ColumnElement[bool]:
        """A condition that holds where it is in any of these columns, and now and then where it is not."""
        return _like(connection, columns, forms(self.text)[:1])

    def may_be_in_json(self, connection: Connection, *columns: ColumnElement[Any]) -> ColumnElement[bool]:
        """As `may_be_in`, of columns that can hold JSON."""
        return _like(connection, columns, forms(self.text))

    def is_in(self, text: str | None) -> bool:
        """Whether a text, as it was recorded, has it."""
        return text is not None and self._folded in folded(text)

    def match(self, found_in: str, text: str | None, mark: str = "…") -> Match | None:
        """Where it is in a text, as it was recorded; None where it is not."""
        if not text:
            return None
        at = folded(text).find(self._folded)
        if at < 0:
            return None
        start = max(0, at - _BEFORE)
        end = min(len(text), max(start + _LONGEST, at + len(self.text)))
        before, after = (mark if start else ""), (mark if end < len(text) else "")
        # One character for one, so that the places stay right.
        excerpt = "".join(" " if c.isspace() else c for c in text[start:end])
        inner = folded(text[start:end])
        marks = []
        at = inner.find(self._folded)
        while at >= 0:
            marks.append((len(before) + at, len(before) + at + len(self._folded)))
            at = inner.find(self._folded, at + len(self._folded))
        return Match(found_in, before + excerpt + after, marks)

    def match_in_json(self, found_in: str, text: str | None) -> Match | None:
        """As `match`; where the text is JSON, also in what it says."""
        return self._first(found_in, spelt(text)) if text else None

    def match_in_message(self, direction: str, kind: str, stored: str) -> Match | None:
        """As `match`, in a message as the store keeps it."""
        return self._first(direction, texts_of(kind, stored))

    def _first(self, found_in: str, texts: Iterable[str]) -> Match | None:
        return next(filter(None, (self.match(found_in, text) for text in texts)), None)


def _like(
    connection: Connection, columns: Sequence[ColumnElement[Any]], spelt: Sequence[str]
) -> ColumnElement[bool]:
    is_sqlite = connection.dialect.name == "sqlite"
    patterns = [like(form) for form in spelt]
    return or_(
        *(
            column.like(pattern, escape="\\") if is_sqlite else column.ilike(pattern, escape="\\")
            for column in columns
            for pattern in patterns
        )
    )
