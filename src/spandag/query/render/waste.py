"""What was thrown away, run by run."""

from __future__ import annotations

from collections.abc import Sequence

from spandag.query.render.formats import DIM, Line, Page, cost, count, duration, tokens
from spandag.query.render.marks import mark_of
from spandag.query.render.reasons import error, milliseconds, numbered, percent, said
from spandag.query.render.table import Cell, Column, table
from spandag.query.resolve import SHORT_ID
from spandag.query.waste import Waste, WasteItem, WasteReason

_INDENT = 2
_MOST_REASONS = 20


def render_waste(found: Sequence[Waste], page: Page) -> list[Line]:
    """For each run what was thrown away of it, and why; nothing where there is nothing."""
    lines: list[Line] = []
    for each in found:
        if lines:
            lines.append([])
        lines += _run(each, page)
    return lines


def _run(waste: Waste, page: Page) -> list[Line]:
    glyphs, run = page.glyphs, waste.run
    facts = [
        f"{count(waste.spent.tokens)} of {tokens(run.spent)} ({percent(waste.token_share)})"
        if waste.token_share is not None
        else "",
        " of ".join(each for each in (cost(waste.spent, glyphs), cost(run.spent, glyphs)) if each)
        + (f" ({percent(waste.cost_share)})" if waste.cost_share is not None else "")
        if waste.spent.calls
        else "",
        duration(*milliseconds(waste.duration_ms)),
    ]
    title: Line = [(page.line(run.name), "bold"), (f"  run {run.id[:SHORT_ID]}", DIM)]
    thrown: Line = [("thrown away: ", ""), (f" {glyphs.dot} ".join(fact for fact in facts if fact), "yellow")]
    columns = (
        Column(waste.by, gives_way=True),
        Column(""),
        Column("attempts", right=True, goes=1),
        Column("calls", right=True, goes=2),
        Column("tokens", right=True),
        Column("share", right=True),
        Column("cost", right=True),
        Column("time", right=True),
    )
    inner = Page(page.width - _INDENT, page.encoding)
    rows = table(columns, [_cells(waste, item, page) for item in waste.items], inner)
    lines = [page.cut(title), page.cut(thrown), []]
    lines += [page.cut([(" " * _INDENT, ""), *row]) for row in rows]
    lines.append([])
    reasons = {reason.node_id: reason for item in waste.items for reason in item.reasons}
    in_order = sorted(reasons.values(), key=lambda reason: (reason.started_at, reason.node_id))
    for reason in in_order[:_MOST_REASONS]:
        lines += page.wrapped(_why(reason, page), "      ")
    if len(in_order) > _MOST_REASONS:
        lines.append([(f"  {page.glyphs.ellipsis} {len(in_order) - _MOST_REASONS} more attempts", DIM)])
    return lines


def _cells(waste: Waste, item: WasteItem, page: Page) -> list[Cell]:
    spent = item.spent
    return [
        (_name(waste, item, page), "bold"),
        (item.disposition, "yellow" if item.disposition == "abandoned" else DIM),
        (str(item.attempts), ""),
        (str(spent.calls or ""), ""),
        (count(spent.tokens) if spent.calls else "", ""),
        (percent(item.token_share) if spent.calls else "", DIM),
        (cost(spent, page.glyphs), ""),
        (duration(*milliseconds(item.duration_ms)), ""),
    ]


def _name(waste: Waste, item: WasteItem, page: Page) -> str:
    if waste.by == "step":
        return numbered(item.step, item.step_number, page)
    if waste.by == "agent":
        return page.line(item.agent_name) or "(no agent)"
    provider = page.line(item.provider)
    return (page.line(item.model) or "(unknown)") + (f" ({provider})" if provider else "")


def _why(reason: WasteReason, page: Page) -> Line:
    mark, style = mark_of(reason.outcome, page.glyphs)
    why = said(page, reason.hypothesis, reason.requested_by)
    why = why or error(page, reason.error_type, reason.error_message)
    return [
        (f"  {mark} ", style),
        (f"{page.line(reason.step)} attempt {reason.attempt}", "bold"),
        (f" {reason.outcome or 'unfinished'}", style),
        (f"  node {reason.node_id[:SHORT_ID]}", "dim cyan"),
        (f"  {why}" if why else "", ""),
    ]
