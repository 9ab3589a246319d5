"""Two texts side by side: their lines, and in lines that changed the words that did."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from os.path import commonprefix
from typing import NamedTuple

from spandag.query.align import common
from spandag.query.render.formats import Page

Pieces = list[tuple[str, bool]]
"""A line as pieces of text, each with whether it differs."""

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
# A line may have many megabytes; what is the same at its ends is cut off before its words are compared.
_LONG_LINE = 2_000
_KEPT_OF_LONG_LINE = 80
# Equal words around those that differ, in characters.
_AROUND = 30
_CUT_FROM = 120
# Of two lines that have less in common it is easier to read them whole.
_LEAST_IN_COMMON = 0.4


class TextRow(NamedTuple):
    """A line on both sides.

    Attributes:
        a: In the first text; None where only the second has it.
        b: In the second text; None where only the first has it.
        left_out: Instead of them: how many lines that are the same are left out.
    """

    a: Pieces | None
    b: Pieces | None
    left_out: int = 0

    @property
    def is_same(self) -> bool:
        """Whether both sides have the same line here."""
        return self.a == self.b


def text_rows(a: str, b: str, page: Page, *, context: int = 1) -> list[TextRow]:
    """The lines of two texts; of those that are the same only a few around those that are not.

    Args:
        a: The first text.
        b: The second text.
        page: Where to; what is safe to show there.
        context: How many lines that are the same are shown before and after others.
    """
    lines_a, lines_b = (page.lines(text) if text else [] for text in (a, b))
    rows: list[TextRow] = []
    before_a = before_b = 0
    same = common(lines_a, lines_b)
    for i, j in [*same, (len(lines_a), len(lines_b))]:
        rows += _changed(lines_a[before_a:i], lines_b[before_b:j], page)
        if i < len(lines_a) and j < len(lines_b):
            line: Pieces = [(_shortened(lines_a[i], page), False)]
            rows.append(TextRow(line, line))
        before_a, before_b = i + 1, j + 1
    return _with_context(rows, context)


def alike_note(a: str, b: str) -> str:
    """What to say of two texts that differ and look the same, with the first characters that differ; else nothing.

    Args:
        a: The first text.
        b: The second text.
    """
    if a == b or (a.isascii() and b.isascii()) or _look(a) != _look(b):
        return ""
    start = _common_start(a, b)
    if start and (_is_mark(a[start : start + 1]) or _is_mark(b[start : start + 1])):
        # The letter that it belongs to.
        start -= 1
    return f"differs only in characters that look alike: {_codes(a, start)} / {_codes(b, start)}"


def _look(text: str) -> str:
    """A text as one sees it: letters with their accents, nothing invisible, any space a space."""
    return _SPACES.sub(" ", _INVISIBLE.sub("", unicodedata.normalize("NFC", text)))


def _is_mark(character: str) -> bool:
    """Whether a character is seen on the one before it, or not at all."""
    return bool(character) and bool(unicodedata.combining(character) or _INVISIBLE.match(character))


def _codes(text: str, start: int) -> str:
    """A character and what belongs to it."""
    end = start + 1
    while end < len(text) and _is_mark(text[end]):
        end += 1
    return " ".join(f"U+{ord(each):04X}" for each in text[start:end]) or "nothing"


def _with_context(rows: Sequence[TextRow], context: int) -> list[TextRow]:
    result: list[TextRow] = []
    equal: list[TextRow] = []
    for row in [*rows, None]:
        if row is not None and row.is_same:
            equal.append(row)
            continue
        before = context if result else 0
        after = context if row is not None else 0
        if len(equal) > before + after + 1:
            left_out = len(equal) - before - after
            result += [*equal[:before], TextRow(None, None, left_out), *equal[len(equal) - after :]]
        else:
            result += equal
        equal = []
        if row is not None:
            result.append(row)
    return result


def _changed(a: Sequence[str], b: Sequence[str], page: Page) -> list[TextRow]:
    both = min(len(a), len(b))
    rows = [TextRow(*_words(a[i], b[i], page)) for i in range(both)]
    rows += [TextRow([(_shortened(line, page), True)], None) for line in a[both:]]
    rows += [TextRow(None, [(_shortened(line, page), True)]) for line in b[both:]]
    return rows


def _shortened(line: str, page: Page) -> str:
    return line if len(line) <= _LONG_LINE else line[:_LONG_LINE] + page.glyphs.ellipsis


def _common_start(a: str, b: str) -> int:
    return len(commonprefix((a, b)))  # noqa: RUF071 - characters are what is wanted


def _words(a: str, b: str, page: Page) -> tuple[Pieces, Pieces]:
    """Two lines with the words that differ."""
    mark = page.glyphs.ellipsis
    head = tail = ""
    if max(len(a), len(b)) > _LONG_LINE:
        start = max(_common_start(a, b) - _KEPT_OF_LONG_LINE, 0)
        a, b, head = a[start:], b[start:], mark if start else ""
        end = max(_common_start(a[::-1], b[::-1]) - _KEPT_OF_LONG_LINE, 0)
        if end:
            a, b, tail = a[: len(a) - end], b[: len(b) - end], mark
        a, b = _shortened(a, page), _shortened(b, page)
    words_a, words_b = _WORDS.findall(a), _WORDS.findall(b)
    same = common(words_a, words_b)
    in_common = sum(len(words_a[i]) for i, _ in same if not words_a[i].isspace())
    whole = max(len(a), len(b)) or 1
    if in_common < _LEAST_IN_COMMON * whole:
        same = []
    return (
        _pieces(words_a, {i for i, _ in same}, head, tail, mark),
        _pieces(words_b, {j for _, j in same}, head, tail, mark),
    )


def _pieces(words: Sequence[str], same: set[int], head: str, tail: str, mark: str) -> Pieces:
    pieces: list[list[object]] = []
    for place, word in enumerate(words):
        differs = place not in same
        # A space between two words that differ belongs to them.
        if word.isspace() and pieces and pieces[-1][1] and place + 1 not in same:
            differs = True
        if pieces and pieces[-1][1] == differs:
            pieces[-1][0] = f"{pieces[-1][0]}{word}"
        else:
            pieces.append([word, differs])
    result: Pieces = [(str(text), bool(differs)) for text, differs in pieces]
    if sum(len(text) for text, _ in result) > _CUT_FROM:
        last = len(result) - 1
        result = [
            (text if differs else _cut(text, mark, first=i == 0, last=i == last), differs)
            for i, (text, differs) in enumerate(result)
        ]
    if head:
        result.insert(0, (head, False))
    if tail:
        result.append((tail, False))
    return result


def _cut(text: str, mark: str, *, first: bool, last: bool) -> str:
    """What is the same, only as far as it stands around what is not."""
    if first and last:
        return text
    if len(text) <= 2 * _AROUND + len(mark):
        return text
    if first:
        return mark + text[-_AROUND:]
    if last:
        return text[:_AROUND] + mark
    return text[:_AROUND] + mark + text[-_AROUND:]
