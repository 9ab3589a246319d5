"""What became of something, as a mark and a word."""

from __future__ import annotations

from spandag.query.render.formats import DIM, Glyphs
from spandag.semconv import Outcome


def mark_of(status: str | None, glyphs: Glyphs) -> tuple[str, str]:
    """The mark of a status, outcome or branch's status, and its style."""
    match status:
        case "completed" | Outcome.ACCEPTED:
            return glyphs.done, "green"
        case "failed":
            return glyphs.failed, "red"
        case Outcome.REJECTED | "exhausted":
            return glyphs.failed, "yellow"
        case "running" | "active":
            return glyphs.running, "cyan"
        case "interrupted":
            return glyphs.interrupted, "red"
        case "open":
            return glyphs.running, "dim cyan"
        case Outcome.CANCELLED | "abandoned":
            return glyphs.stopped, "yellow"
    return glyphs.open, DIM


def status_cell(status: str | None, glyphs: Glyphs, *, mark_only_if_done: bool = False) -> tuple[str, str]:
    """Mark and word, and their style.

    Args:
        status: A status or outcome.
        glyphs: The characters to use.
        mark_only_if_done: Whether the mark says enough where all went well.
    """
    mark, style = mark_of(status, glyphs)
    if mark_only_if_done and mark == glyphs.done:
        return mark, style
    return f"{mark} {status or 'unknown'}", style
