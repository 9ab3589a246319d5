"""Redos, each with the attempt before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from spandag.query.redos import AttemptSummary, Redo
from spandag.query.render.formats import DIM, Line, Page, cost, duration, padded, tokens, width_of
from spandag.query.render.marks import mark_of, status_cell
from spandag.query.render.reasons import redo_line, said
from spandag.query.resolve import SHORT_ID


def render_redos(redos: Sequence[Redo], page: Page) -> list[Line]:
    """A block for each redo, below the run that it belongs to; nothing where there are none."""
    lines: list[Line] = []
    for run_id, of_run in groupby(redos, key=lambda redo: redo.run_id):
        found = list(of_run)
        if lines:
            lines.append([])
        lines.append(page.cut([(page.line(found[0].run_name), "bold"), (f"  run {run_id[:SHORT_ID]}", DIM)]))
        for redo in found:
            lines += _redo(redo, page)
    return lines


def _redo(redo: Redo, page: Page) -> list[Line]:
    glyphs = page.glyphs
    step = "step" if redo.step_number is None else f"step {redo.step_number}"
    where: Line = [("  ", ""), (f"{step} ", DIM), (page.line(redo.step), "bold")]
    if redo.phase:
        where.append((f" {glyphs.dot} phase {page.line(redo.phase)}", DIM))
    mark, style = mark_of(redo.status, glyphs)
    what: Line = [
        ("  ", ""),
        *redo_line(page, redo.branch_name, None, redo.requested_by),
        (f"  {mark} {redo.status}", style),
    ]
    lines = [[], page.cut(where), page.cut(what)]
    if redo.hypothesis:
        lines += page.wrapped([("    ", ""), (said(page, redo.hypothesis, None), "")], "    ")
    attempts = [attempt for attempt in (redo.before, redo.after) if attempt is not None]
    rows = [_cells(attempt, page) for attempt in attempts]
    widths = [max((width_of(row[i][0]) for row in rows), default=0) for i in range(6)]
    for row in rows:
        line: Line = [("    ", "")]
        for i, (text, cell_style) in enumerate(row):
            if widths[i]:
                line += [(padded(text, widths[i], right=2 <= i < 5), cell_style), ("  ", "")]
        lines.append(page.cut(line))
    return lines


def _cells(attempt: AttemptSummary, page: Page) -> list[tuple[str, str]]:
    glyphs = page.glyphs
    return [
        (f"attempt {attempt.attempt or 1}", ""),
        status_cell(attempt.outcome or attempt.status, glyphs),
        (duration(attempt.started_at, attempt.ended_at), DIM),
        (tokens(attempt.spent), DIM),
        (cost(attempt.spent, glyphs), DIM),
        (f"node {attempt.node_id[:SHORT_ID]}", "dim cyan"),
    ]
