"""Forks of forks as a tree."""

from __future__ import annotations

from spandag.query.lineage import Lineage, LineageRun
from spandag.query.render.formats import (
    DIM,
    Line,
    Page,
    cost,
    duration,
    padded,
    short_moment,
    tokens,
    width_of,
)
from spandag.query.render.marks import status_cell
from spandag.query.render.reasons import said
from spandag.query.render.tree import deepest_indent
from spandag.query.resolve import SHORT_ID

_INDENT = 3
_LEAST_LABEL = 30


def render_lineage(found: Lineage, page: Page) -> list[Line]:
    """A line for each run, and below a fork why there is one."""
    glyphs = page.glyphs
    lines: list[Line] = []
    if found.branch_parent_id is not None:
        lost = "parent pruned" if found.parent_pruned else "parent not stored"
        lines.append(page.cut([(f"({lost}: run {found.branch_parent_id[:SHORT_ID]})", DIM)]))
    rows = []
    deepest = deepest_indent(page)
    for each, prefix, below in _drawn(found.runs, page, deepest):
        run = each.run
        label: Line = [
            (prefix, DIM),
            (f"{run.id[:SHORT_ID]} ", "cyan"),
            (page.line(run.name), "bold"),
            (" (this run)" if run.id == found.run_id and len(found.runs) > 1 else "", "yellow"),
            (_fork_point(each, page), DIM),
        ]
        cells = [
            (short_moment(run.started_at), DIM),
            (duration(run.started_at, run.ended_at), DIM),
            (f"{run.redos} redo" + "s" * (run.redos != 1) if run.redos else "", "yellow"),
            (tokens(run.spent), DIM),
            (cost(run.spent, glyphs), DIM),
        ]
        rows.append((label, status_cell(run.status, glyphs), cells, below, each))
    label_width = max((sum(width_of(text) for text, _ in label) for label, *_ in rows), default=0)
    status_width = max((width_of(status[0]) for _, status, *_ in rows), default=0)
    widths = [max((width_of(cells[i][0]) for _, _, cells, *_ in rows), default=0) for i in range(5)]
    right = status_width + 2 + sum(width + 2 for width in widths if width)
    label_width = min(label_width, max(page.width - right, _LEAST_LABEL))
    for label, status, cells, below, each in rows:
        fitted = Page(label_width, page.encoding).cut(label)
        gap = label_width - sum(width_of(text) for text, _ in fitted)
        line = [*fitted, (" " * gap + "  " + padded(status[0], status_width), status[1])]
        line += [
            ("  " + padded(text, width, right=i != 0), style)
            for i, ((text, style), width) in enumerate(zip(cells, widths, strict=True))
            if width
        ]
        lines.append(page.cut(line))
        why = said(page, each.hypothesis, each.requested_by)
        if why:
            lines.append(page.cut([(below, DIM), (why, "")]))
    return lines


def _fork_point(each: LineageRun, page: Page) -> str:
    if not each.run.is_branch:
        return ""
    if each.source_node_id is None:
        return f" {page.glyphs.dot} fork"
    if each.source_node_type is None:
        return f" {page.glyphs.dot} from node {each.source_node_id[:SHORT_ID]}, not stored"
    return f" {page.glyphs.dot} from {each.source_node_type} {page.line(each.source_name)}".rstrip()


def _drawn(runs: list[LineageRun], page: Page, deepest: int) -> list[tuple[LineageRun, str, str]]:
    """Each run with what is drawn before it, and before what stands below it."""
    glyphs = page.glyphs
    last_child: dict[str | None, str] = {}
    for each in runs:
        last_child[each.parent_run_id] = each.run.id
    below: dict[str, str] = {}
    drawn = []
    for each in runs:
        above = below.get(each.parent_run_id or "")
        if above is None:
            prefix = continued = ""
        elif each.level > deepest:
            continued = f"{above.rstrip()[: deepest * _INDENT]} "
            prefix = f"{continued}{glyphs.ellipsis}{each.level} "
        else:
            is_last = last_child[each.parent_run_id] == each.run.id
            prefix = above + (glyphs.corner if is_last else glyphs.tee)
            continued = above + (glyphs.blank if is_last else glyphs.bar)
        below[each.run.id] = continued
        has_forks = each.run.id in last_child and each.level < deepest
        drawn.append((each, prefix, continued + (glyphs.bar if has_forks else glyphs.blank)))
    return drawn
