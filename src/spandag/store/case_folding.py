"""Text without regard to upper and lower case, the same on every database.

SQLite's LIKE knows only the letters of ASCII, PostgreSQL's ILIKE what the database's locale knows. So a
database is asked for what *may* match, with a pattern that leaves open what has two cases, and whoever
reads compares what is `folded`.
"""

from __future__ import annotations

import json

from spandag.store.text import storable

LONGEST = 1_000
"""Characters that can be searched for at once."""

_MOST_TRIGRAMS = 48


def folded(text: str) -> str:
    """The text in lower case, character by character, so that places in it are those of the text."""
    if text.isascii():
        return text.lower()
    # What becomes two characters, and what depends on its neighbours.
    return text.replace("İ", "ı").replace("Σ", "σ").replace("ς", "σ").lower()


def forms(text: str) -> list[str]:
    """How a text stands in the store: as it is, within JSON, and within JSON that is a string of JSON."""
    stored = storable(text)
    in_json = _in_json(stored)
    return list(dict.fromkeys((stored, in_json, _in_json(in_json))))


def like(form: str) -> str:
    r"""A pattern of LIKE, with ``\`` to escape, that whatever holds the form matches; others may."""
    return "%" + "".join(map(_piece, form)) + "%"


def trigrams(form: str) -> set[str]:
    """Every three characters in a row of a form, folded; empty where it is shorter."""
    text = folded(form)
    return {text[i : i + 3] for i in range(len(text) - 2)}


def telling(form: str) -> list[str]:
    """As `trigrams`, in order, and of a long text some from all over it."""
    found = sorted(trigrams(form))
    return found[:: len(found) // _MOST_TRIGRAMS + 1]


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _piece(character: str) -> str:
    if character in "%_\\":
        return "\\" + character
    if character.isascii():
        # The sign of the kelvin is a K as well.
        return "_" if character in "kK" else character
    return "_" if character.lower() != character or character.upper() != character else character
