"""An agent's last runs in a few lines each, for people and for prompts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from spandag.query.render.formats import DIM, Line, Page, cost, duration, moment, tokens
from spandag.query.render.marks import mark_of
from spandag.query.render.reasons import error, numbered, said
from spandag.query.trajectories import Action, Trajectory

_MOST_ACTIONS = 30
_MOST_OF_AN_ERROR = 200


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
    what = each.outcome if each.outcome and each.status == "completed" else each.status
    mark, style = mark_of(what, glyphs)
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
    why = said(page, each.hypothesis, each.requested_by) if what == "rejected" else ""
    if why:
        lines += page.wrapped([("  ", ""), (f"rejected: {why}", "yellow")], "    ")
    failure = error(page, each.error_type, each.error_message)
    if failure:
        lines += page.wrapped([("  ", ""), (f"failed: {failure}", "red")], "    ")
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
