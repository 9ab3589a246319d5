"""Steps that nobody accepted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from spandag.query.render.formats import DIM, Line, Page, duration
from spandag.query.render.marks import mark_of
from spandag.query.render.reasons import error, numbered, said
from spandag.query.resolve import SHORT_ID
from spandag.query.unresolved import Unresolved
from spandag.semconv import Outcome


def render_unresolved(steps: Sequence[Unresolved], page: Page) -> list[Line]:
    """A few lines for each step, below its run; nothing where there are none."""
    lines: list[Line] = []
    for run_id, of_run in groupby(steps, key=lambda step: step.run_id):
        found = list(of_run)
        if lines:
            lines.append([])
        lines.append(page.cut([(page.line(found[0].run_name), "bold"), (f"  run {run_id[:SHORT_ID]}", DIM)]))
        for step in found:
            lines += [[], *step_lines(step, page)]
    return lines


def step_lines(step: Unresolved, page: Page) -> list[Line]:
    """What is known of a step that nobody accepted.

    Args:
        step: The step.
        page: Where to.
    """
    glyphs = page.glyphs
    what = step.outcome or step.status
    # An accepted one is listed only where nobody has approved it.
    mark, style = mark_of("exhausted" if what == Outcome.ACCEPTED else what, glyphs)
    where = f" {glyphs.dot} phase {page.line(step.phase)}" if step.phase else ""
    facts = [
        f"{step.attempts} attempt" + "s" * (step.attempts != 1),
        "the limit is spent, used all the same"
        if step.exhausted and step.outcome == Outcome.ACCEPTED
        else "the limit is spent"
        if step.exhausted
        else ""
        if step.max_redos is None
        else f"{step.max_redos} redo{'s' * (step.max_redos != 1)} allowed",
        duration(step.started_at, step.ended_at),
        f"node {step.node_id[:SHORT_ID]}",
    ]
    lines: list[Line] = [
        page.cut(
            [
                ("  ", ""),
                (numbered(step.step, step.step_number, page), "bold"),
                (where, DIM),
                (f"  {mark} {what}", style),
            ]
        ),
        page.cut([("    ", ""), (f" {glyphs.dot} ".join(fact for fact in facts if fact), DIM)]),
    ]
    for text, style in (
        (said(page, step.hypothesis, step.requested_by), ""),
        (error(page, step.error_type, step.error_message), "red"),
    ):
        if text:
            lines += page.wrapped([("    ", ""), (text, style)], "    ")
    return lines
