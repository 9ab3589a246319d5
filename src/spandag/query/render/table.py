"""Columns of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spandag.query.render.formats import DIM, Line, Page, padded, width_of

Cell = tuple[str, str]
"""Text and its style."""

_GAP = "  "
_LEAST = 8


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        title: Its heading.
        right: Whether it is aligned to the right.
        gives_way: Whether it is cut where the page is too narrow.
        goes: How soon it is left out where the page is too narrow even so: the highest first, those of 0 last.
    """

    title: str
    right: bool = False
    gives_way: bool = False
    goes: int = 0


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], page: Page) -> list[Line]:
    """Lay out rows below their headings; columns without any text are left out.

    A number is shown whole or not at all: a part of it would be read as another.

    Args:
        columns: The columns.
        rows: A cell for each column.
        page: Where to.
    """
    kept = [i for i in range(len(columns)) if any(row[i][0] for row in rows)]
    widths = {i: max(width_of(columns[i].title), *(width_of(row[i][0]) for row in rows)) for i in kept}
    least = {i: min(widths[i], _LEAST) if columns[i].gives_way else widths[i] for i in kept}
    while len(kept) > 2 and _together(least, kept) > page.width:
        kept.remove(max(kept[1:], key=lambda i: (columns[i].goes, columns[i].right, i)))
    too_wide = _together(widths, kept) - page.width
    for i in sorted((i for i in kept if columns[i].gives_way), key=lambda i: -widths[i]):
        narrower = max(widths[i] - max(too_wide, 0), least[i])
        too_wide -= widths[i] - narrower
        widths[i] = narrower

    def laid_out(cells: Sequence[Cell]) -> Line:
        line: Line = []
        for i in kept:
            text, style = cells[i]
            if line:
                line.append((_GAP, ""))
            line.append((padded(page.fit(text, widths[i]), widths[i], right=columns[i].right), style))
        return page.cut(line)

    return [laid_out([(column.title, DIM) for column in columns]), *map(laid_out, rows)]


def _together(widths: Mapping[int, int], kept: Sequence[int]) -> int:
    return sum(widths[i] for i in kept) + len(_GAP) * (len(kept) - 1)
