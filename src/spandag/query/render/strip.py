"""The branches of a run as a strip, as ``git log --graph`` draws them, oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from spandag.query.render.formats import DIM, Line, Page, cost, duration, padded, tokens, width_of
from spandag.query.render.marks import mark_of, status_cell
from spandag.query.render.reasons import redo_line
from spandag.query.render.tree import render_header
from spandag.query.resolve import SHORT_ID
from spandag.query.strip import Strip, StripAttempt

_SUPERSEDED = "superseded"
_GAP = "  "
_LEAST_LABEL = 16


class _Strokes(NamedTuple):
    """What lanes are drawn with."""

    bar: str
    opens: str
    joins: str


_UNICODE = _Strokes("│ ", "├─╮", "├─╯")
_ASCII = _Strokes("| ", "|\\", "|/")


def render_strip(strip: Strip, page: Page, *, now: int | None = None) -> list[Line]:
    """Draw the branches of a run; nothing where it has no steps.

    Args:
        strip: The run and the attempts of its steps.
        page: Where to.
        now: The time in Unix nanoseconds, to show how long what is running has been so far.
    """
    if not strip.attempts:
        return []
    strokes = _ASCII if page.glyphs.tee.isascii() else _UNICODE
    redone = {attempt.step_node_id for attempt in strip.attempts if attempt.starts_lane}
    cells = [_cells(attempt, page, attempt.step_node_id in redone) for attempt in strip.attempts]
    widths = [max(width_of(row[i][0]) for row in cells) for i in range(len(cells[0]))]
    lanes = max(attempt.lane for attempt in strip.attempts)
    drawn = min((lanes + 1) * 2, max(page.width // 3, 4))
    right = sum(width + len(_GAP) for width in widths[1:] if width)
    label_width = max(min(widths[0], page.width - drawn - right), _LEAST_LABEL)
    phases = [attempt.phase for attempt in strip.attempts]
    lines: list[Line] = [*render_header(strip.run, page, now=now), []]
    # The attempts whose lanes are open, from the outermost.
    open_lanes: list[StripAttempt] = []
    phase: str | None = None
    for place, attempt in enumerate(strip.attempts):
        depth = attempt.lane - 1 if attempt.starts_lane else attempt.lane
        while len(open_lanes) > depth:
            lines += _closed(open_lanes.pop(), len(open_lanes), strokes, page)
        if phases[place] != phase and attempt.lane == 0:
            phase = phases[place]
            if phase:
                lines.append(page.cut([(strokes.bar, DIM), (f"phase {page.line(phase)}", DIM)]))
        if attempt.starts_lane:
            dim = attempt.disposition == _SUPERSEDED
            line: Line = [(strokes.bar * (attempt.lane - 1) + strokes.opens + " ", DIM)]
            lines.append(
                page.cut(
                    line
                    + redo_line(page, attempt.branch_name, attempt.hypothesis, attempt.requested_by, dim=dim)
                )
            )
            open_lanes.append(attempt)
        lines.append(_line(attempt, cells[place], widths, label_width, drawn, strokes, page))
    while open_lanes:
        lines += _closed(open_lanes.pop(), len(open_lanes), strokes, page)
    return lines


def _closed(attempt: StripAttempt, lane: int, strokes: _Strokes, page: Page) -> list[Line]:
    """What ends a lane: nothing where its work went nowhere."""
    return [page.cut([(strokes.bar * lane + strokes.joins, DIM)])] if attempt.joins else []


def _line(
    attempt: StripAttempt,
    cells: Sequence[tuple[str, str]],
    widths: Sequence[int],
    label_width: int,
    drawn: int,
    strokes: _Strokes,
    page: Page,
) -> Line:
    dim = attempt.disposition == _SUPERSEDED
    (label, style), *others = cells
    lanes = page.fit(strokes.bar * attempt.lane, drawn - 2)
    line: Line = [
        (lanes, DIM),
        ("* ", DIM if dim else mark_of(attempt.outcome or attempt.status, page.glyphs)[1]),
        (" " * (drawn - 2 - width_of(lanes)), ""),
        (padded(_fitted(label, label_width, page), label_width), DIM if dim else style),
    ]
    for i, (text, cell_style) in enumerate(others, 1):
        if widths[i]:
            # What became of it keeps its colour.
            shown = cell_style if not dim or i == 1 else DIM
            line.append((_GAP + padded(text, widths[i], right=2 <= i < 5), shown))
    return page.cut(line)


def _fitted(label: str, width: int, page: Page) -> str:
    """Of several attempts, which one it is stays to be seen."""
    name, dot, number = label.rpartition(f" {page.glyphs.dot} attempt ")
    if not dot:
        return page.fit(label, width)
    return page.fit(page.fit(name, max(width - width_of(dot + number), 1)) + dot + number, width)


def _cells(attempt: StripAttempt, page: Page, several: bool) -> list[tuple[str, str]]:
    glyphs = page.glyphs
    number = "" if attempt.step_number is None else f" {attempt.step_number}"
    label = f"{'  ' * attempt.nesting}step{number} {page.line(attempt.name)}"
    if several or attempt.attempt > 1:
        label += f" {glyphs.dot} attempt {attempt.attempt}"
    return [
        (label, "bold" if attempt.nesting == 0 else ""),
        status_cell(attempt.outcome or attempt.status, glyphs),
        (duration(attempt.started_at, attempt.ended_at), DIM),
        (tokens(attempt.spent), DIM),
        (cost(attempt.spent, glyphs), DIM),
        (f"node {attempt.node_id[:SHORT_ID]}", "dim cyan"),
    ]
