"""A run on one page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from spandag.query.liveness import RUNNING
from spandag.query.redos import Redo
from spandag.query.render.formats import (
    DIM,
    Line,
    Page,
    cost,
    count,
    duration,
    moment,
    padded,
    short_moment,
    tokens,
    width_of,
)
from spandag.query.render.marks import mark_of, status_cell
from spandag.query.render.reasons import error, percent, redo_line
from spandag.query.render.table import Cell, Column, table
from spandag.query.resolve import SHORT_ID
from spandag.query.show import ModelUse, NodeError, RelatedRun, RunSummary, StepSummary
from spandag.query.spent import Spent
from spandag.query.waste import THROWN_AWAY
from spandag.semconv import NodeType, Outcome
from spandag.store.derive import SUPERSEDED

_INDENT = "  "
_GAP = "  "
_MOST_STEPS = 30
_MOST_REDOS = 10
_MOST_FORKS = 10
_MOST_LABEL = 12
_DEEPEST = 8
# Before they are counted, in the order in which they are below each other.
_ORDER = (
    NodeType.RUN,
    NodeType.PHASE,
    NodeType.STEP,
    NodeType.CONVERSATION,
    NodeType.AGENT,
    NodeType.SUB_AGENT,
    NodeType.ITERATION,
    NodeType.PLANNING,
    NodeType.LLM,
    NodeType.TOOL,
    NodeType.CODE,
    NodeType.HANDOFF,
    NodeType.APPROVAL,
    NodeType.SPAN,
)


def render_show(summary: RunSummary, page: Page) -> list[Line]:
    """What a run was and what it took; sections without anything in them are left out."""
    run, glyphs = summary.run, page.glyphs
    title = page.line(run.name) or "(no agent in this trace)"
    lines = [page.cut([(title, "bold"), (_GAP, ""), status_cell(run.status, glyphs)])]
    for name, text in _facts(summary, page):
        start = _INDENT + padded(name, _MOST_LABEL)
        lines += page.wrapped([(start, DIM), (text, "")], " " * len(start))
    lines += _models(summary.models, page)
    lines += _steps(summary, page)
    lines += _redos(summary.redos, page)
    lines += _errors(summary.errors, summary.error_count, page)
    lines += _waste(summary, page)
    lines += _forks(summary.forks, page)
    return lines


def _facts(summary: RunSummary, page: Page) -> Iterator[tuple[str, str]]:
    run, glyphs = summary.run, page.glyphs
    yield "run", run.id
    if run.task:
        yield "task", page.line(run.task, 300)
    took = duration(run.started_at, run.ended_at)
    yield "started", moment(run.started_at) + (f", took {took}" if took else "")
    if run.session_id:
        yield "session", page.line(run.session_id, 200)
    if run.user_id:
        yield "user", page.line(run.user_id, 200)
    if summary.parent is not None:
        yield "fork of", _related(summary.parent, page)
    nodes = summary.node_types
    ordered = [*_ORDER, *sorted(set(nodes) - set(_ORDER) - {NodeType.BRANCH_POINT})]
    counted = [f"{nodes[name]:,} {name}" for name in ordered if nodes.get(name)]
    if counted:
        yield "nodes", f" {glyphs.dot} ".join(counted)
    spent = run.spent
    if spent.calls:
        yield "tokens", f"{count(spent.tokens)}: {spent.input_tokens:,} in, {spent.output_tokens:,} out"
        yield "cost", _cost(spent, page)


def _cost(spent: Spent, page: Page) -> str:
    text = cost(spent, page.glyphs)
    if not spent.unpriced_calls:
        return text
    calls = "one call" if spent.unpriced_calls == 1 else f"{spent.unpriced_calls:,} calls"
    return f"{text} (no price known of {calls})"


def _models(models: Sequence[ModelUse], page: Page) -> list[Line]:
    if not models:
        return []
    columns = (
        Column("model", gives_way=True),
        Column("provider", gives_way=True, goes=1),
        Column("calls", right=True),
        Column("in", right=True),
        Column("out", right=True),
        Column("cost", right=True),
        Column("without usage", right=True),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            (page.line(use.model) or "?", "magenta"),
            (page.line(use.provider), DIM),
            (f"{use.spent.calls:,}", ""),
            (count(use.spent.input_tokens) if use.spent.calls else "", ""),
            (count(use.spent.output_tokens) if use.spent.calls else "", ""),
            (cost(use.spent, page.glyphs), ""),
            (f"{use.unmeasured_calls:,}" if use.unmeasured_calls else "", ""),
        )
        for use in models
    ]
    return _section("models", _indented(table(columns, rows, _narrower(page)), page))


def _steps(summary: RunSummary, page: Page) -> list[Line]:
    glyphs = page.glyphs
    rows: list[tuple[Cell, ...]] = []
    steps: dict[str | None, list[StepSummary]] = {}
    for step in summary.steps:
        steps.setdefault(step.phase_node_id, []).append(step)

    def add(label: str, style: str, status: str, spent: Spent, took: str, attempts: int = 0) -> None:
        rows.append(
            (
                (label, style),
                status_cell(status, glyphs, mark_only_if_done=True),
                (f"{attempts} attempts" if attempts > 1 else "", "yellow"),
                (took, DIM),
                (tokens(spent), DIM),
                (cost(spent, glyphs), DIM),
            )
        )

    def add_steps(of_phase: Sequence[StepSummary], level: int) -> None:
        for step, depth in _nested(of_phase):
            number = "" if step.step_number is None else f" {step.step_number}"
            took = duration(step.started_at, step.ended_at)
            label = f"{_INDENT * min(level + depth, _DEEPEST)}step{number} {page.line(step.step)}"
            # One within an attempt that was done again is no part of what counted.
            style = DIM if step.disposition == SUPERSEDED else ""
            status = _became(step.outcome or step.status, step.disposition)
            add(label, style, status, step.spent, took, step.attempts)

    for phase in summary.phases:
        add(
            f"phase {page.line(phase.name)}",
            DIM if phase.disposition == SUPERSEDED else "bold",
            _became(phase.status, phase.disposition),
            phase.spent,
            duration(phase.started_at, phase.ended_at),
        )
        add_steps(steps.pop(phase.node_id, ()), 1)
    for left in steps.values():
        add_steps(left, 0)
    if not rows:
        return []
    columns = (
        Column("", gives_way=True),
        Column(""),
        Column(""),
        Column("", right=True),
        Column("", right=True),
        Column("", right=True),
    )
    shown = table(columns, rows[:_MOST_STEPS], _narrower(page))[1:]
    title = "phases and steps" if summary.phases and summary.steps else "steps" if summary.steps else "phases"
    return _section(title, [*_indented(shown, page), *_more(len(rows) - _MOST_STEPS, page)])


def _nested(steps: Sequence[StepSummary]) -> Iterator[tuple[StepSummary, int]]:
    """Steps, each followed by those within it, with how many of these it is within itself."""
    ids = {step.step_node_id for step in steps}
    within: dict[str | None, list[StepSummary]] = {}
    for step in steps:
        around = step.enclosing_step_node_id
        within.setdefault(around if around in ids else None, []).append(step)
    to_come = [(step, 0) for step in reversed(within.get(None, ()))]
    while to_come:
        step, depth = to_come.pop()
        yield step, depth
        to_come.extend((inner, depth + 1) for inner in reversed(within.get(step.step_node_id, ())))


def _became(status: str, disposition: str | None) -> str:
    """What to say of a step or phase: that it went well is no news where it was thrown away."""
    went_well = status in (Outcome.ACCEPTED, "completed")
    return disposition if went_well and disposition in THROWN_AWAY else status


def _redos(redos: Sequence[Redo], page: Page) -> list[Line]:
    glyphs = page.glyphs
    lines = []
    for redo in redos[:_MOST_REDOS]:
        mark, style = mark_of(redo.status, glyphs)
        line: Line = [
            (_INDENT, ""),
            (f"{mark} ", style),
            (f"{page.line(redo.step, 60)} ", ""),
        ]
        lines += page.wrapped(
            [*line, *redo_line(page, redo.branch_name, redo.hypothesis, redo.requested_by)], _INDENT * 2
        )
    if not lines:
        return []
    return _section("redos", [*lines, *_more(len(redos) - _MOST_REDOS, page)])


def _errors(errors: Sequence[NodeError], number: int, page: Page) -> list[Line]:
    lines = []
    for failed in errors:
        text = error(page, failed.error_type, failed.error_message)
        lines += page.wrapped(
            [
                (f"{_INDENT}{failed.node_id[:SHORT_ID]} ", "dim cyan"),
                (f"{failed.node_type} ", DIM),
                (f"{page.line(failed.name, 40)} ", ""),
                (text, "dim red" if failed.disposition == SUPERSEDED else "red"),
            ],
            _INDENT * 2,
        )
    if not lines:
        return []
    return _section("errors", [*lines, *_more(number - len(errors), page)])


def _waste(summary: RunSummary, page: Page) -> list[Line]:
    lines: list[Line] = []
    whole = summary.run.spent.tokens
    width = max((width_of(waste.disposition) for waste in summary.waste), default=0)
    for waste in summary.waste:
        share = f" ({percent(waste.spent.tokens / whole)})" if whole else ""
        facts = f"{tokens(waste.spent)}{share}", cost(waste.spent, page.glyphs)
        lines.append(
            page.cut(
                [
                    (_INDENT + padded(waste.disposition, width), "yellow"),
                    (_GAP + _GAP.join(fact for fact in facts if fact), ""),
                ]
            )
        )
    return _section("waste", lines) if lines else []


def _forks(forks: Sequence[RelatedRun], page: Page) -> list[Line]:
    lines = [page.cut([(_INDENT + _related(fork, page), "")]) for fork in forks[:_MOST_FORKS]]
    return _section("forks", [*lines, *_more(len(forks) - _MOST_FORKS, page)]) if lines else []


def _related(run: RelatedRun, page: Page) -> str:
    status = run.status or "not in this store"
    if run.status == RUNNING:
        status = f"{page.glyphs.running} {status}"
    facts = (run.run_id[:SHORT_ID], page.line(run.name, 60), status, short_moment(run.started_at))
    return _GAP.join(fact for fact in facts if fact)


def _section(title: str, lines: Iterable[Line]) -> list[Line]:
    return [[], [(title, "bold cyan")], *lines]


def _indented(lines: Iterable[Line], page: Page) -> list[Line]:
    return [page.cut([(_INDENT, ""), *line]) for line in lines]


def _narrower(page: Page) -> Page:
    return Page(page.width - len(_INDENT), page.encoding)


def _more(number: int, page: Page) -> list[Line]:
    return [[(f"{_INDENT}{page.glyphs.ellipsis} {number:,} more", DIM)]] if number > 0 else []
