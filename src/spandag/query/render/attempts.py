"""The attempts of a step, below each other."""

from __future__ import annotations

from collections.abc import Sequence

from spandag.query.attempts import Attempt
from spandag.query.render.formats import (
    DIM,
    Line,
    Page,
    cost,
    duration,
    padded,
    tokens,
    width_of,
)
from spandag.query.render.marks import status_cell
from spandag.query.render.reasons import error, redo_line
from spandag.query.resolve import SHORT_ID

_INDENT = "  "
_GAP = "  "


def render_attempts(attempts: Sequence[Attempt], page: Page) -> list[Line]:
    """A line for each attempt, above it who asked for it and why; nothing where there are none."""
    if not attempts:
        return []
    first = attempts[0]
    step = "step" if first.step_number is None else f"step {first.step_number}"
    title: Line = [(f"{step} ", DIM), (page.line(first.step), "bold")]
    if first.phase:
        title.append((f" {page.glyphs.dot} phase {page.line(first.phase)}", DIM))
    title.append((f"{_GAP}run {first.run_id[:SHORT_ID]} {page.line(first.run_name)}", DIM))
    cells = [_cells(attempt, page) for attempt in attempts]
    widths = [max(width_of(row[i][0]) for row in cells) for i in range(len(cells[0]))]
    lines = [page.cut(title)]
    for attempt, row in zip(attempts, cells, strict=True):
        if attempt.branch_node_id is not None:
            redo = redo_line(page, f"redo_{attempt.attempt - 1}", attempt.hypothesis, attempt.requested_by)
            lines += page.wrapped([(_INDENT, ""), *redo], _INDENT * 2)
        line: Line = [(_INDENT, "")]
        for i, (text, style) in enumerate(row):
            if widths[i]:
                line += [(padded(text, widths[i], right=2 <= i <= 4), style), (_GAP, "")]
        lines.append(page.cut(line))
        if failure := error(page, attempt.error_type, attempt.error_message):
            lines += page.wrapped([(_INDENT * 3, ""), (failure, "red")], _INDENT * 3)
    return lines


def _cells(attempt: Attempt, page: Page) -> list[tuple[str, str]]:
    glyphs = page.glyphs
    return [
        (f"attempt {attempt.attempt}", ""),
        status_cell(attempt.outcome or attempt.status, glyphs),
        (duration(attempt.started_at, attempt.ended_at), DIM),
        (tokens(attempt.spent), DIM),
        (cost(attempt.spent, glyphs), DIM),
        (f"node {attempt.node_id[:SHORT_ID]}", "dim cyan"),
    ]
