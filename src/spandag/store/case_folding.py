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

ANY = "\0"
"""Stands for any character in a form; no stored text has it."""

_MOST_TRIGRAMS = 48

# By the folded character one that no other case of it leads to.
_THIRD = {"å": "\u212b", "θ": "ϴ", "ω": "\u2126", "ß": "ẞ", "ı": "İ", "σ": "ς"}


def folded(text: str) -> str:
    """The text in lower case, character by character, so that places in it are those of the text."""
    if text.isascii():
        return text.lower()
    # What becomes two characters, and what depends on its neighbours.
    return text.replace("İ", "ı").replace("Σ", "σ").replace("ς", "σ").lower()


def forms(text: str) -> list[str]:
    r"""How a text stands in the store: as it is, and within JSON.

    Within JSON also as a string of JSON, and both with everything but ASCII as ``\u00fc``, as many programs write
    it. There `ANY` stands for each digit that is another one in the other case.
    """
    stored = storable(text)
    spelt = [json.dumps(stored, ensure_ascii=False)[1:-1], "".join(map(_in_ascii, text))]
    # What was escaped once has nothing else to be escaped.
    again = [form.replace("\\", "\\\\").replace('"', '\\"') for form in spelt]
    return list(dict.fromkeys([stored, *spelt, *again]))


def like(form: str) -> str:
    r"""A pattern of LIKE, with ``\`` to escape, that whatever holds the form matches; others may."""
    return "%" + "".join(map(_piece, form)) + "%"


def trigrams(form: str) -> set[str]:
    """Every three characters in a row of a form, folded; empty where nothing is known of three in a row."""
    text = folded(form)
    found = {text[i : i + 3] for i in range(len(text) - 2)}
    return {each for each in found if ANY not in each} if ANY in text else found


def telling(form: str) -> list[str]:
    """As `trigrams`, in order, and of a long text some from all over it."""
    found = sorted(trigrams(form))
    return found[:: len(found) // _MOST_TRIGRAMS + 1]


def _in_ascii(character: str) -> str:
    if character.isascii():
        return json.dumps(character)[1:-1]
    of_cases = [json.dumps(each)[1:-1] for each in _cases(character)]
    return "".join(digits[0] if len(set(digits)) == 1 else ANY for digits in zip(*of_cases, strict=True))


def _cases(character: str) -> set[str]:
    """All characters that are the same when folded."""
    lower = folded(character)
    others = {character, lower, lower.upper(), lower.title(), _THIRD.get(lower, lower)}
    return {other for other in others if len(other) == 1 and folded(other) == lower}


def _piece(character: str) -> str:
    if character == ANY:
        return "_"
    if character in "%_\\":
        return "\\" + character
    if character.isascii():
        # The sign of the kelvin is a K as well.
        return "_" if character in "kK" else character
    return "_" if character.lower() != character or character.upper() != character else character
