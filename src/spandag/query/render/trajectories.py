"""An agent's last runs in a few lines each, for people and for prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from spandag.query.render.formats import DIM, Line, Page, cost, duration, moment, tokens
from spandag.query.render.marks import mark_of
from spandag.query.render.reasons import error, numbered, said
from spandag.query.trajectories import Action, Trajectory
from spandag.query.waste import THROWN_AWAY, WasteReason
from spandag.semconv import Outcome

_MOST_ACTIONS = 30
_MOST_OF_AN_ERROR = 200
_THROWN_AWAY = "thrown away"


def render_trajectories(trajectories: Sequence[Trajectory], page: Page) -> list[Line]:
    """For each run how it went, what the agent did, and what it took; nothing where there are none."""
    lines: list[Line] = []
    for each in trajectories:
        if lines:
            lines.append([])
        lines += _trajectory(each, page)
    return lines


def _trajectory(each: Trajectory, page: Page) -> list[Line]:
    glyphs = page.glyphs
    what, mark, style = _what(each, page)
    where = [
        moment(each.started_at),
        f"run {page.line(each.run_name, 60)}" if each.run_name else "",
        f"{numbered(each.step, each.step_number, page)}, attempt {each.attempt}"
        if each.step is not None
        else "",
    ]
    lines: list[Line] = [
        page.cut(
            [
                (page.line(each.agent_name, 60), "bold"),
                (f"  {mark} {what}", style),
                ("  " + f" {glyphs.dot} ".join(part for part in where if part), DIM),
            ]
        )
    ]
    for text, style in _why(each, what, page):
        lines += page.wrapped([("  ", ""), (text, style)], "    ")
    lines.append(page.cut([("  did: ", DIM), *_actions(each.actions, page)]))
    calls = each.spent.calls
    facts = [
        f"{each.iterations} iteration" + "s" * (each.iterations != 1) if each.iterations else "",
        f"{calls} model call" + "s" * (calls != 1) if calls else "",
        tokens(each.spent),
        # A lone question mark says nothing to who reads it in a prompt.
        cost(each.spent, glyphs).replace("?", "price not known"),
        duration(each.started_at, each.ended_at),
    ]
    took = f" {glyphs.dot} ".join(fact for fact in facts if fact)
    if took:
        lines.append(page.cut([("  took: ", DIM), (took, "")]))
    return lines


def _what(each: Trajectory, page: Page) -> tuple[str, str, str]:
    """What became of it in a word, with its mark and style."""
    is_told_by_outcome = each.status == "completed" or each.outcome == Outcome.REJECTED
    what = each.outcome if each.outcome and is_told_by_outcome else each.status
    if each.disposition in THROWN_AWAY and what in (Outcome.ACCEPTED, "completed"):
        # What was well done is no example to follow where nothing of it was kept.
        return (_THROWN_AWAY, *mark_of("abandoned", page.glyphs))
    return (what, *mark_of(what, page.glyphs))


def _why(each: Trajectory, what: str, page: Page) -> Iterator[tuple[str, str]]:
    """Why it came to that, in lines with their style."""
    reason = each.reason
    if what == Outcome.REJECTED:
        words = said(page, each.hypothesis, each.requested_by)
        if words:
            yield f"rejected: {words}", "yellow"
    elif what == _THROWN_AWAY and reason is not None:
        yield f"{_THROWN_AWAY}: the work around it {_became(reason, page)}", "yellow"
    failure = error(page, each.error_type, each.error_message)
    if failure or (each.status == "failed" and what != each.status):
        yield ": ".join(part for part in ("failed", failure) if part), "red"
    elif what == Outcome.FAILED and each.status != what and reason is not None:
        # It did its own part well.
        yield f"the step {_became(reason, page)}", "red"


def _became(reason: WasteReason, page: Page) -> str:
    """What became of an attempt, and why."""
    if reason.outcome == Outcome.REJECTED:
        return f"was rejected: {said(page, reason.hypothesis, reason.requested_by)}".removesuffix(": ")
    if reason.outcome == Outcome.CANCELLED:
        return "was cancelled"
    return f"failed: {error(page, reason.error_type, reason.error_message)}".removesuffix(": ")


def _actions(actions: Sequence[Action], page: Page) -> Line:
    if not actions:
        return [("no tools", DIM)]
    line: Line = []
    in_a_row = groupby(actions, key=lambda action: _told(action, page))
    for place, ((name, failure), same) in enumerate(in_a_row):
        if place == _MOST_ACTIONS:
            line.append((f", {page.glyphs.ellipsis}", DIM))
            break
        times = len(list(same))
        text = name + (f" x{times}" if times > 1 else "")
        line.append((", " if place else "", ""))
        line.append((text, "") if failure is None else (f"FAILED: {text}{failure}", "red"))
    return line


def _told(action: Action, page: Page) -> tuple[str, str | None]:
    """A name, and what went wrong; what is the same in a row is told once."""
    name = page.line(action.name, 80)
    if action.status in ("completed", "skipped"):
        return name, None
    if action.status != "failed":
        return f"{name} ({action.status})", None
    text = error(page, action.error_type, action.error_message)
    return name, f" ({page.fit(text, _MOST_OF_AN_ERROR)})" if text else ""
