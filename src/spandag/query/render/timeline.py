"""A run in order of time: a line for whatever starts or happens, with a bar for how long it took."""

from __future__ import annotations

from collections import Counter
from math import isfinite
from typing import NamedTuple

from spandag.query.liveness import RUNNING
from spandag.query.passed_on import own_errors
from spandag.query.render.folding import MOST_ALIKE, Fold, Folds, fold_label, folds
from spandag.query.render.formats import DIM, UNICODE, Line, Page, duration, padded, width_of
from spandag.query.render.marks import mark_of
from spandag.query.render.reasons import error_of
from spandag.query.render.tree import node_label, render_header
from spandag.query.resolve import SHORT_ID
from spandag.query.timeline import ERROR, OF_SPAN, REDO, START, Timeline, TimelineEvent
from spandag.query.tree_node import TreeNode
from spandag.semconv import (
    EVENT_REJECTED,
    SPANDAG_APPROVAL_WAITED,
    SPANDAG_REDO_HYPOTHESIS,
    SPANDAG_REDO_REQUESTED_BY,
    NodeType,
)

_GAP = "  "
_INDENT = "  "
_DEEPEST = 8
_LEAST_BAR, _MOST_BAR = 10, 40
_SUPERSEDED = "superseded"

# The attributes of an event that say the most about it, in this order.
_TELLING = (
    "from",
    "to",
    "reason",
    "model",
    "previous_model",
    "decision",
    "answer",
)
_MOST_TOLD = 3
_NS = 1_000_000_000


class _Scale:
    """Where in a bar a time is."""

    def __init__(self, timeline: Timeline, width: int, now: int | None) -> None:
        # What a program says of its own events can be of any clock.
        times = [e.timestamp for e in timeline.events if e.origin == OF_SPAN and e.timestamp is not None]
        self.start = min(times, default=0)
        end = max(times, default=0)
        self.end = end if now is None else max(end, now)
        self.width = width

    def bar(self, started_at: int, ended_at: int | None, drawn: str) -> str:
        """A bar from a start to an end, or as long as there is anything, in the width of the column."""
        first = self._column(started_at)
        last = max(self._column(self.end if ended_at is None else ended_at), first)
        return " " * first + drawn * (last - first + 1) + " " * (self.width - last - 1)

    def _column(self, time: int) -> int:
        whole = self.end - self.start
        if whole <= 0:
            return 0
        return min(max((time - self.start) * self.width // whole, 0), self.width - 1)


class _Row(NamedTuple):
    """One line before it is known how wide the columns are."""

    offset: str
    bar: str
    bar_style: str
    took: str
    text: Line
    dim: bool


def render_timeline(
    timeline: Timeline, page: Page, *, ids: bool = False, now: int | None = None, folded: Folds | None = None
) -> list[Line]:
    """A line for each node at its start and each event at its time.

    Args:
        timeline: The run in order of time.
        page: Where to.
        ids: Whether to show the beginning of each node's id.
        now: The time in Unix nanoseconds, for a run that goes on.
        folded: As of `spandag.query.render.render_tree`.
    """
    tree = timeline.tree
    drawing = _Drawing(timeline, page, ids, now, folds(tree) if folded is None else folded)
    rows = drawing.rows()
    offset_width = max((width_of(row.offset) for row in rows), default=0)
    took_width = max((width_of(row.took) for row in rows), default=0)
    lines = [*render_header(timeline.run, page, now=now), []]
    for row in rows:
        line: Line = [
            (padded(row.offset, offset_width, right=True) + _GAP, DIM),
            (row.bar, DIM if row.dim else row.bar_style),
            (_GAP + padded(row.took, took_width, right=True) + _GAP, DIM),
            *((text, _dimmed(style)) if row.dim else (text, style) for text, style in row.text),
        ]
        lines.append(page.cut(line))
    return lines


class _Drawing:
    """The lines of a timeline."""

    def __init__(self, timeline: Timeline, page: Page, ids: bool, now: int | None, folded: Folds) -> None:
        self._page = page
        self._glyphs = page.glyphs
        self._bar, self._point = ("━", "◆") if self._glyphs is UNICODE else ("=", "*")
        self._timeline = timeline
        self._ids = ids
        self._now = now
        self._folded = folded
        self._nodes = {node.id: node for node in timeline.tree.nodes}
        self._with_redo = {
            node.step_node_id for node in timeline.tree.nodes if node.node_type == NodeType.BRANCH_POINT
        }
        self._errors = own_errors(timeline.tree.nodes)
        within = (
            event.event_type
            for event in timeline.events
            if event.origin != OF_SPAN and event.node_id in folded.hidden
        )
        # What hardly ever happens is not lost among what does all the time.
        self._rare = {kind for kind, number in Counter(within).items() if number <= MOST_ALIKE}
        width = min(max(page.width // 4, _LEAST_BAR), _MOST_BAR)
        self._scale = _Scale(timeline, width, now if timeline.run.status == RUNNING else None)

    def rows(self) -> list[_Row]:
        """Their parts, in order."""
        rows = []
        for event in self._timeline.events:
            node = self._nodes.get(event.node_id)
            is_span = event.origin == OF_SPAN
            if is_span and event.event_subtype not in (START, None):
                # Its bar says when it ended, its mark how.
                continue
            fold = self._folded.by_first.get(event.node_id)
            if fold is not None and is_span:
                rows.append(self._of_fold(fold))
            elif event.node_id in self._folded.hidden and (is_span or event.event_type not in self._rare):
                continue
            elif is_span and node is not None and event.event_type != REDO:
                rows.append(self._of_node(node))
            elif not self._is_told(event):
                rows.append(self._of_event(event, node))
        return rows

    def _of_node(self, node: TreeNode) -> _Row:
        mark, style = mark_of(node.outcome or node.status, self._glyphs)
        text: Line = [(f"{mark} ", style), (_indent(node.depth), "")]
        text += self._id(node.id)
        text += node_label(node, self._page, several=node.step_node_id in self._with_redo)
        if node.id in self._errors:
            text.append((_GAP + error_of(node, self._page), "red"))
        ended_at = self._now if node.status == RUNNING else node.ended_at
        bar = self._scale.bar(node.started_at, node.ended_at, self._bar)
        took = duration(node.started_at, ended_at)
        return self._row(node.started_at, bar, style, took, text, node.disposition)

    def _of_fold(self, fold: Fold) -> _Row:
        node = fold.telling
        mark, style = mark_of(node.outcome or node.status, self._glyphs)
        labels = [node_label(each, self._page, several=False, numbered=False) for each in fold.round]
        text: Line = [(f"{mark} ", style), (_indent(node.depth), ""), *fold_label(fold, self._page, labels)]
        bar = self._scale.bar(fold.started_at, fold.ended_at, self._bar)
        took = duration(fold.started_at, fold.ended_at)
        return self._row(fold.started_at, bar, style, took, text, node.disposition)

    def _of_event(self, event: TimelineEvent, node: TreeNode | None) -> _Row:
        page = self._page
        text: Line = [(_GAP, ""), (_indent(event.depth + (event.event_type != REDO)), "")]
        text += self._id(event.node_id)
        style = "cyan"
        if event.event_type == REDO and node is not None:
            style = "bold yellow"
            text += node_label(node, page, several=False)
        else:
            style = "red" if event.event_type == ERROR else "cyan"
            kind = " ".join(part for part in (event.event_type, event.event_subtype) if part)
            text.append((page.line(kind, 200), style))
            told = _told(event, page)
            if told:
                text.append((_GAP + told, ""))
        time = event.timestamp
        bar = self._scale.bar(time, time, self._point) if time is not None else " " * self._scale.width
        return self._row(time, bar, style, "", text, event.disposition)

    def _row(
        self, time: int | None, bar: str, style: str, took: str, text: Line, disposition: str | None
    ) -> _Row:
        offset = "" if time is None else "+" + (duration(self._scale.start, time) or "0ms")
        return _Row(offset, bar, style, took, text, disposition == _SUPERSEDED)

    def _is_told(self, event: TimelineEvent) -> bool:
        """Whether it is an exception that the line of its node, or of one below it, tells already."""
        node = self._nodes.get(event.node_id)
        return event.event_type == ERROR and node is not None and bool(node.error_type)

    def _id(self, node_id: str) -> Line:
        if not self._ids:
            return []
        return [(f"{node_id if ':' in node_id else node_id[:SHORT_ID]} ", "dim cyan")]


def _indent(depth: int) -> str:
    return _INDENT * min(depth, _DEEPEST)


def _told(event: TimelineEvent, page: Page) -> str:
    """What an event's attributes say, in a few words."""
    meta = event.meta if isinstance(event.meta, dict) else {}
    if event.event_type == EVENT_REJECTED:
        return _reason(meta.get(SPANDAG_REDO_REQUESTED_BY), meta.get(SPANDAG_REDO_HYPOTHESIS), page)
    facts = [(name, meta[name]) for name in _TELLING if meta.get(name) not in (None, "")]
    if not facts:
        # By name: databases give them in an order of their own.
        facts = sorted((name, value) for name, value in meta.items() if isinstance(value, str | int | float))
    return ", ".join(
        f"{page.line(name.rpartition('.')[2], 40)} {page.line(_shown(name, value), 120)}"
        for name, value in facts[:_MOST_TOLD]
    )


def _shown(name: str, value: object) -> str:
    """A value without digits that say nothing."""
    if not isinstance(value, float):
        return str(value)
    if name == SPANDAG_APPROVAL_WAITED and isfinite(value * _NS):
        return duration(0, round(value * _NS))
    return f"{value:.6g}"


def _reason(requested_by: object, hypothesis: object, page: Page) -> str:
    opening, closing = page.glyphs.quotes
    by = f"by {page.line(str(requested_by), 60)}" if requested_by else ""
    why = f"{opening}{page.line(str(hypothesis))}{closing}" if hypothesis else ""
    return ": ".join(part for part in (by, why) if part)


def _dimmed(style: str) -> str:
    """Superseded work is dim; what became of it keeps its colour."""
    return style if style in ("yellow", "red", "green") else DIM
