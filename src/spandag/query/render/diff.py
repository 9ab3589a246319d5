"""A comparison for a terminal: texts side by side where it is wide, below each other where it is not."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, chop_cells

from spandag.query.diff import Diff, DiffSide, NodePair
from spandag.query.render.changed_text import Pieces, TextRow
from spandag.query.render.diff_facts import (
    SIDES,
    Text,
    divergence_line,
    entries,
    facts,
    notes,
    pair_title,
    rows_left_out,
    side_title,
    summary_line,
    texts,
    texts_that_differ,
    title_of,
    totals,
)
from spandag.query.render.formats import DIM, ENDLESS, Line, Page, duration, padded
from spandag.query.render.marks import mark_of
from spandag.query.render.table import Column, table

WIDE = 120
"""From how many columns on texts stand side by side."""

_INDENT = "  "
_DEEPEST = 8
_STYLES = {"a": "red", "b": "green"}
_GUTTER = " │ "
_ASCII_GUTTER = " | "


def render_diff(diff: Diff, page: Page, *, limit: int | None = 20) -> list[Line]:
    """Draw a comparison.

    Args:
        diff: The comparison.
        page: Where to draw it.
        limit: How many of the nodes that differ are shown; None for all.
    """
    lines: list[Line] = []
    for name, side in zip(SIDES, (diff.a, diff.b), strict=True):
        title, *rest = side_title(side, page)
        line: Line = [(f"{name}  ", _STYLES[name]), (title, "bold"), ("  ", ""), _status(side, page)]
        line += [(f" {page.glyphs.dot} {text}", DIM) for text in rest]
        lines.append(page.cut(line))
    lines += [[], *_totals(diff, page), []]
    for note in notes(diff):
        lines += page.wrapped([(note, "yellow")])
    if diff.first_divergence is not None:
        what, where, above = divergence_line(diff, page)
        lines.append(
            page.cut(
                [
                    ("first divergence: ", DIM),
                    (what, "bold yellow"),
                    (f" {page.glyphs.dot} ", DIM),
                    (where, "bold"),
                    (f"  below {above}" if above else "", DIM),
                ]
            )
        )
    lines.append([(summary_line(diff), DIM)])
    return lines + _changes(diff, page, limit)


def _status(side: DiffSide, page: Page) -> tuple[str, str]:
    what = side.outcome or side.status
    mark, style = mark_of(what, page.glyphs)
    return f"{mark} {what or 'unknown'}", style


def _totals(diff: Diff, page: Page) -> list[Line]:
    columns = [
        Column(""),
        Column("a", right=True),
        Column("b", right=True),
        Column("difference", right=True),
    ]
    rows = [
        [(what, DIM), (of_a, ""), (of_b, ""), (difference, "bold")]
        for what, of_a, of_b, difference in totals(diff, page)
    ]
    return table(columns, rows, page)


def _changes(diff: Diff, page: Page, limit: int | None) -> list[Line]:
    found = entries(diff)
    lines: list[Line] = []
    shown: set[int] = set()
    for entry in found[:limit]:
        lines.append([])
        # What is above it, where that is not there yet.
        for place in entry.path:
            if place not in shown and not diff.pairs[place].differs:
                above = diff.pairs[place]
                lines.append(page.cut([("  " + _indent(above.depth), ""), (title_of(above.node, page), DIM)]))
            shown.add(place)
        lines += _entry(entry.pair, entry.below, page)
    left_out = rows_left_out(found, limit)
    if left_out:
        more = f"{page.glyphs.ellipsis} {left_out} more that differ; all of them: --limit 0"
        lines += [[], [(more, DIM)]]
    return lines


def _indent(depth: int) -> str:
    return _INDENT * min(depth, _DEEPEST)


def _entry(pair: NodePair, below: int, page: Page) -> list[Line]:
    glyphs = page.glyphs
    if pair.a is None or pair.b is None:
        mark, style = ("+", "green") if pair.a is None else ("-", "red")
        what = f"only in {'b' if pair.a is None else 'a'}"
        what += f", with {below} below" if below else ""
    else:
        mark, style = "~", "yellow"
        what = ", ".join(texts_that_differ(pair))
    line: Line = [
        (f"{mark} " + _indent(pair.depth), style),
        (pair_title(pair, page), "bold"),
        (f"  {what}" if what else "", style),
    ]
    told = [*facts(pair, page), *_times(pair)]
    line += [(f" {glyphs.dot} {fact}" if what or i else f"  {fact}", DIM) for i, fact in enumerate(told)]
    lines = [page.cut(line)]
    indent = "  " + _indent(pair.depth + 1)
    for text in texts(pair, page):
        lines.append([(indent + text.title, "cyan")])
        if text.note:
            lines += page.wrapped([(indent, ""), (text.note, "yellow")], indent)
        lines += (
            _side_by_side(text, indent, page)
            if WIDE <= page.width < ENDLESS
            else _unified(text, indent, page)
        )
        if text.left_out:
            lines.append([(f"{indent}{glyphs.ellipsis} {text.left_out} more lines", DIM)])
    return lines


def _times(pair: NodePair) -> list[str]:
    took = [duration(node.started_at, node.ended_at) if node else "" for node in (pair.a, pair.b)]
    if took[0] and took[1]:
        return [f"{took[0]} / {took[1]}"]
    return [each for each in took if each]


def _unified(text: Text, indent: str, page: Page) -> list[Line]:
    lines: list[Line] = []
    waiting: list[Line] = []
    width = max(page.width - len(indent) - 2, 20)
    for row in text.rows:
        if row.a is not None and row.b is not None and not row.is_same:
            # First all lines of the one side, then all of the other.
            lines += _marked("- ", row.a, "red", indent, width)
            waiting += _marked("+ ", row.b, "green", indent, width)
            continue
        if row.a is None or row.is_same or row.left_out:
            lines += waiting
            waiting = []
        if row.left_out:
            lines.append([(f"{indent}  {_left_out(row, page)}", DIM)])
        elif row.is_same and row.a is not None:
            lines += _marked("  ", row.a, DIM, indent, width)
        elif row.a is not None:
            lines += _marked("- ", row.a, "red", indent, width)
        elif row.b is not None:
            lines += _marked("+ ", row.b, "green", indent, width)
    return lines + waiting


def _left_out(row: TextRow, page: Page) -> str:
    return f"{page.glyphs.ellipsis} {row.left_out} lines that are the same"


def _marked(mark: str, pieces: Pieces, style: str, indent: str, width: int) -> list[Line]:
    lines = []
    for place, line in enumerate(_wrapped(pieces, style, width)):
        lines.append([(indent + (mark if place == 0 else "  "), style), *line])
    return lines


def _wrapped(pieces: Pieces, style: str, width: int) -> list[Line]:
    """Pieces as lines of at most a width; what differs in bold."""
    lines: list[Line] = [[]]
    room = width
    whole = all(differs for _, differs in pieces)
    for text, differs in pieces:
        shown = f"bold {style}" if differs and not whole else style
        while text:
            part = text if cell_len(text) <= room else (chop_cells(text, room)[0] if room > 1 else "")
            if part:
                lines[-1].append((part, shown))
                room -= cell_len(part)
                text = text[len(part) :]
            if text:
                lines.append([])
                room = width
    return lines


def _side_by_side(text: Text, indent: str, page: Page) -> list[Line]:
    gutter = _GUTTER if page.glyphs.bar.startswith("│") else _ASCII_GUTTER
    width = (page.width - len(indent) - len(gutter)) // 2
    lines: list[Line] = []
    for row in text.rows:
        if row.left_out:
            lines.append([(indent + _left_out(row, page), DIM)])
            continue
        style_a, style_b = (DIM, DIM) if row.is_same else ("red", "green")
        left = _wrapped(row.a, style_a, width) if row.a is not None else []
        right = _wrapped(row.b, style_b, width) if row.b is not None else []
        for place in range(max(len(left), len(right))):
            of_a = left[place] if place < len(left) else []
            of_b = right[place] if place < len(right) else []
            lines.append([(indent, ""), *_filled(of_a, width), (gutter, DIM), *of_b])
    return lines


def _filled(line: Sequence[tuple[str, str]], width: int) -> Line:
    taken = sum(cell_len(text) for text, _ in line)
    return [*line, (padded("", width - taken), "")]
