"""Text of others in JSON and on a page: nothing in it controls a terminal, and none of it is lost."""

from __future__ import annotations

import json

import pytest

from spandag.query.render.formats import Page
from spandag.query.text import json_text, safe_json

UNSAFE = [
    *map(chr, range(0x7F, 0xA0)),
    *"\u00ad\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202e\u2060\u2066\u2069\ufeff\ud800\udfff",
    *map(chr, range(0xE0000, 0xE0080)),
]


@pytest.mark.parametrize("character", UNSAFE, ids=lambda character: f"{ord(character):04X}")
def test_what_controls_a_terminal_or_is_not_seen_is_an_escape(character: str) -> None:
    value = {f"key {character}": [f"before {character} behind", character, 7]}

    text = json_text(value)
    indented = safe_json(json.dumps(value, ensure_ascii=False, indent=2))

    assert json.loads(text) == json.loads(indented) == value
    assert character not in text + indented
    assert (text + indented).isascii()
    on_a_page = Page().line(f"before {character}{character} behind")
    assert character not in on_a_page
    # White space of whatever kind is a space there.
    assert on_a_page.count(f"{ord(character):x}") == (0 if character.isspace() else 2)


@pytest.mark.parametrize("text", ["é ✓ 😀", "👩\u200d🔬", "می\u200cخواهم", "\\u009b", "a\nb"])
def test_what_is_read_stays_as_it_is(text: str) -> None:
    assert json_text(text) == json.dumps(text, ensure_ascii=False)


def test_halves_of_a_character_do_not_become_others() -> None:
    value = "\ud83d\U000e0041\ude00"

    assert json.loads(json_text(value)) == value
