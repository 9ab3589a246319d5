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
            lines.append(page.cut(_reason(attempt, page)))
        line: Line = [(_INDENT, "")]
        for i, (text, style) in enumerate(row):
            if widths[i]:
                line += [(padded(text, widths[i], right=2 <= i <= 4), style), (_GAP, "")]
        lines.append(page.cut(line))
        kind = page.line(attempt.error_type, 200).rpartition(".")[2]
        error = ": ".join(part for part in (kind, page.line(attempt.error_message)) if part)
        if error:
            lines.append(page.cut([(_INDENT * 3, ""), (error, "red")]))
    return lines


def _reason(attempt: Attempt, page: Page) -> Line:
    glyphs = page.glyphs
    line: Line = [(_INDENT, ""), (f"{glyphs.redo} redo", "bold yellow")]
    if attempt.requested_by:
        line.append((f" asked by {page.line(attempt.requested_by, 60)}", "yellow"))
    if attempt.hypothesis:
        opening, closing = glyphs.quotes
        line.append((f": {opening}{page.line(attempt.hypothesis)}{closing}", ""))
    return line


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
