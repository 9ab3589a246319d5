"""Numbers, times and texts as people read them, safe for a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from rich.cells import cell_len, set_cell_size

from spandag.query.spent import Spent
from spandag.query.text import UNSAFE

Line = list[tuple[str, str]]
"""A line as pieces of text, each with a style such as ``"bold"``, ``"dim red"`` or ``""``."""

DIM = "dim"

_UNSAFE = re.compile(f"[\x00-\x1f{UNSAFE}]")
_UNSAFE_IN_LINES = re.compile(f"[\x00-\x09\x0b-\x1f{UNSAFE}]")
_SPACE = re.compile(r"\s+")

_NS = 1_000_000_000
# Of a text that goes on in the lines below.
_MOST_LINES = 5


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters that drawings are made of."""

    tee: str
    corner: str
    bar: str
    blank: str
    done: str
    failed: str
    running: str
    stopped: str
    interrupted: str
    open: str
    redo: str
    dot: str
    times: str
    ellipsis: str
    at_least: str
    quotes: tuple[str, str]


UNICODE = Glyphs(
    "├─ ", "└─ ", "│  ", "   ", "✓", "✗", "●", "■", "⊘", "○", "↻", "·", "×", "…", "≥ ", ("“", "”")
)
ASCII = Glyphs(
    "|- ", "`- ", "|  ", "   ", "+", "x", "*", "!", "~", "o", "@", "-", "x", "...", ">= ", ('"', '"')
)


ENDLESS = 1_000
"""The width of what is no page: a file, or another program that reads on."""


@dataclass(frozen=True, slots=True)
class Page:
    """Where text goes: how wide it is and which characters it can show.

    Attributes:
        width: In columns.
        encoding: Of the output.
    """

    width: int = 100
    encoding: str = "utf-8"

    @property
    def glyphs(self) -> Glyphs:
        """The richest characters that the encoding has."""
        drawn = "".join(
            str(getattr(UNICODE, name)) for name in ("tee", "corner", "bar", "done", "redo", "at_least")
        )
        try:
            (drawn + UNICODE.ellipsis + UNICODE.failed + UNICODE.running + UNICODE.interrupted).encode(
                self.encoding
            )
        except (UnicodeEncodeError, LookupError):
            return ASCII
        return UNICODE

    def line(self, text: str | None, most: int = 1000) -> str:
        """Text of others on one line: nothing in it can control a terminal, white space is single.

        Args:
            text: Anything.
            most: How many characters are looked at; texts can have many megabytes.
        """
        if not text:
            return ""
        if len(text) > most:
            text = text[:most] + self.glyphs.ellipsis
        text = _SPACE.sub(" ", text).strip()
        return self._encodable(_UNSAFE.sub(_escaped, text))

    def lines(self, text: str) -> list[str]:
        """Text of others with its line breaks, otherwise as `line` makes it."""
        text = text.replace("\r\n", "\n").expandtabs(4)
        return self._encodable(_UNSAFE_IN_LINES.sub(_escaped, text)).split("\n")

    def fit(self, text: str, width: int) -> str:
        """Text cut to a width, with an ellipsis where something is missing."""
        if len(text) <= width and text.isascii():
            return text
        if cell_len(text) <= width:
            return text
        mark = self.glyphs.ellipsis
        if width <= len(mark):
            return mark[: max(width, 0)]
        return set_cell_size(text, width - len(mark)).rstrip() + mark

    def cut(self, line: Line) -> Line:
        """A line cut to the width of the page."""
        room = self.width
        result: Line = []
        for text, style in line:
            shown = self.fit(text, room)
            result.append((shown, style))
            room -= cell_len(shown)
            if shown != text or room <= 0:
                break
        return result

    def wrapped(self, line: Line, indent: str = "") -> list[Line]:
        """A line whose last piece goes on in lines below where the page is too narrow; broken at spaces.

        Args:
            line: Pieces that stay as they are, and a text behind them.
            indent: What stands before the text in the lines below.
        """
        if sum(width_of(text) for text, _ in line) <= self.width:
            return [line]
        *before, (text, style) = line
        room = self.width - sum(width_of(piece) for piece, _ in before)
        least = self.width - width_of(indent)
        parts: list[str] = []
        words = text.strip().split(" ")
        start = text[: len(text) - len(text.lstrip())]
        shown = start + words[0]
        for word in words[1:]:
            if width_of(shown) + 1 + width_of(word) > (least if parts else room):
                parts.append(shown)
                shown = word
            else:
                shown = f"{shown} {word}"
        parts.append(shown)
        if width_of(parts[0]) > room and before and room < least // 2:
            # Not even its first word has room beside what stands before it.
            parts.insert(0, "")
        if len(parts) > _MOST_LINES:
            parts[_MOST_LINES - 1 :] = [" ".join(parts[_MOST_LINES - 1 :])]
        return [
            self.cut([*before, (parts[0], style)] if i == 0 else [(indent, DIM), (part.lstrip(), style)])
            for i, part in enumerate(parts)
        ]

    def _encodable(self, text: str) -> str:
        if text.isascii():
            return text
        try:
            return text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        except LookupError:
            return text.encode("ascii", "backslashreplace").decode("ascii")


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def width_of(text: str) -> int:
    """How many columns a text takes."""
    return len(text) if text.isascii() else cell_len(text)


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Text filled with spaces to a width."""
    fill = " " * (width - width_of(text))
    return fill + text if right else text + fill


def to_text(lines: Sequence[Line]) -> str:
    """Lines without their styles."""
    return "".join("".join(text for text, _ in line).rstrip() + "\n" for line in lines)


def duration(started_at: int | None, ended_at: int | None) -> str:
    """From start to end, as in ``340ms``, ``1.2s``, ``2m 05s``; empty where it has not ended."""
    if started_at is None or ended_at is None:
        return ""
    seconds = max(ended_at - started_at, 0) / _NS
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m"


def moment(time: int | None) -> str:
    """A time in the machine's own zone, to the second."""
    local = _local(time)
    return "" if local is None else local.strftime("%Y-%m-%d %H:%M:%S")


def short_moment(time: int | None) -> str:
    """A time in the machine's own zone, to the minute; the year only where it is another."""
    local = _local(time)
    if local is None:
        return ""
    return local.strftime("%b %d %H:%M" if local.year == datetime.now().year else "%Y-%m-%d")


def _local(time: int | None) -> datetime | None:
    if time is None:
        return None
    try:
        return datetime.fromtimestamp(time / _NS)
    except (OverflowError, ValueError, OSError):
        # A span with an absurd clock.
        return None


def tokens(spent: Spent) -> str:
    """As in ``1.2k tokens``; empty where no model was called, or none said its tokens."""
    return f"{count(spent.tokens)} tokens" if spent.has_tokens else ""


def count(number: int) -> str:
    """A number in at most four digits, as in ``950``, ``1.2k``, ``31k``, ``4.5M``."""
    if number < 1000:
        return str(number)
    value, unit = float(number), ""
    for larger in ("k", "M", "G"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"


def cost(spent: Spent, glyphs: Glyphs) -> str:
    """As in ``$0.0012``; ``?`` where no price is known, ``≥`` before it where not all are, empty without calls."""
    if not spent.calls:
        return ""
    if spent.cost_usd is None:
        return "?"
    return (glyphs.at_least if spent.unpriced_calls else "") + usd(spent.cost_usd)


def usd(amount: float) -> str:
    """An amount with four decimals, or two digits that count where it is smaller."""
    if amount >= 100:
        return f"${amount:,.2f}"
    if amount == 0 or amount >= 0.001:
        return f"${amount:.4f}"
    return f"${Decimal(f'{amount:.1e}'):f}"
