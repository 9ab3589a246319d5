"""What was found, with the text marked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from spandag.query.render.formats import DIM, Line, Page, duration, padded, short_moment, width_of
from spandag.query.render.marks import status_cell
from spandag.query.render.reasons import kind_and_name
from spandag.query.resolve import SHORT_ID
from spandag.query.search import Hit

MARKED = "bold reverse yellow"


def render_search(hits: Sequence[Hit], page: Page) -> list[Line]:
    """Below each run its nodes, each with where it is and what is around the text; nothing where there are none."""
    lines: list[Line] = []
    for run_id, of_run in groupby(hits, key=lambda hit: hit.run_id):
        found = list(of_run)
        if lines:
            lines.append([])
        lines.append(page.cut([(page.line(found[0].run_name), "bold"), (f"  run {run_id[:SHORT_ID]}", DIM)]))
        cells = [_cells(hit, page) for hit in found]
        widths = [max(width_of(row[i][0]) for row in cells) for i in range(len(cells[0]))]
        for hit, row in zip(found, cells, strict=True):
            line: Line = [("  ", "")]
            for (text, style), width in zip(row, widths, strict=True):
                if width:
                    line += [(padded(text, width), style), ("  ", "")]
            lines.append(page.cut([*line, *_where(hit, page)]))
            if hit.excerpt is not None:
                lines.append(page.cut([("    ", ""), (f"{hit.found_in}: ", DIM), *_excerpt(hit, page)]))
    return lines


def _cells(hit: Hit, page: Page) -> list[tuple[str, str]]:
    return [
        (hit.node_id if ":" in hit.node_id else hit.node_id[:SHORT_ID], "cyan"),
        status_cell(hit.status, page.glyphs, mark_only_if_done=True),
        (short_moment(hit.started_at), DIM),
        (duration(hit.started_at, hit.ended_at), ""),
    ]


def _where(hit: Hit, page: Page) -> Line:
    kind, name = kind_and_name(hit.node_type, hit.name, hit.step_number, page)
    where: Line = [(kind, DIM)]
    if name:
        where += [(" ", ""), (name, "bold")]
    if hit.error_type:
        where.append((f"  {page.line(hit.error_type, 80)}", "red"))
    if hit.path:
        above = f" {page.glyphs.dot} ".join(page.line(name, 40) for name in hit.path)
        where.append((f"  in {above}", DIM))
    return where


def _excerpt(hit: Hit, page: Page) -> Line:
    """The excerpt with its marks: what is marked keeps its place, whatever becomes of the characters around it."""
    text = hit.excerpt or ""
    pieces: Line = []
    end = 0
    for start, stop in hit.marks:
        pieces += [(_shown(text[end:start], page), ""), (_shown(text[start:stop], page), MARKED)]
        end = stop
    pieces.append((_shown(text[end:], page), ""))
    return [(shown, style) for shown, style in pieces if shown]


def _shown(text: str, page: Page) -> str:
    """As `Page.line`, but white space at its ends is that between it and its neighbours."""
    inner = page.line(text.replace("…", page.glyphs.ellipsis))
    if not inner:
        return " " if text else ""
    return (" " if text[0].isspace() else "") + inner + (" " if text[-1].isspace() else "")
