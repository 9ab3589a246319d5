from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from spandag_test_databases import connected
from sqlalchemy import text

import spandag
from spandag import query
from spandag.query import Unresolved
from spandag.query.render import Page, render_unresolved, to_text

from .conftest import Recording, kepler
from .stories import fall_behind, report
from .test_render import normal

GOLDEN = Path(__file__).parent / "golden"


def left() -> None:
    """A step that was left rejected, with redos to spare."""
    with spandag.run("left"), spandag.phase("control"):
        for attempt in spandag.step("draw").attempts(max_redos=3):
            with attempt:
                attempt.reject("bigger", "ann")
            break


def test_a_spent_limit_is_told(recording: Recording) -> None:
    run_id = report()

    [step] = query.unresolved(recording.store)

    assert (step.run_id, step.run_name, step.phase, step.step, step.step_number) == (
        run_id,
        "report",
        "control",
        "plot",
        2,
    )
    assert (step.attempts, step.max_redos, step.exhausted, step.outcome) == (2, 1, True, "rejected")
    assert (step.hypothesis, step.requested_by) == ("the axes have no units", "human")


def test_a_step_that_was_left_rejected_is_told(recording: Recording) -> None:
    left()

    [step] = query.unresolved(recording.store, "last")

    assert (step.step, step.attempts, step.max_redos, step.exhausted) == ("draw", 1, 3, False)
    assert (step.hypothesis, step.requested_by) == ("bigger", "ann")


def test_a_step_of_which_a_redo_was_accepted_is_no_loose_end(recording: Recording) -> None:
    kepler()

    assert query.unresolved(recording.store) == []
    assert query.unresolved(recording.store, "last") == []


def test_loose_ends_are_those_of_the_view(recording: Recording) -> None:
    report()
    kepler()
    left()
    with pytest.raises(ValueError), spandag.run("failed"), spandag.step("s"):
        raise ValueError("broken")
    recording.store.settle()
    names = [field.name for field in fields(Unresolved)]
    with connected(recording.url) as connection:
        rows = connection.execute(
            text(f"SELECT {', '.join(names)} FROM v_unresolved ORDER BY started_at DESC")
        ).all()

    found = query.unresolved(recording.store)

    assert [tuple(getattr(step, name) for name in names) for step in found] == [tuple(row) for row in rows]
    assert [step.run_name for step in found] == ["failed", "left", "report"]
    assert [step.run_name for step in query.unresolved(recording.store, limit=2)] == ["failed", "left"]


def test_loose_ends_are_the_same_of_runs_that_are_behind(recording: Recording) -> None:
    report()
    kepler()
    left()
    recording.store.settle()
    settled = query.unresolved(recording.store)

    fall_behind(recording.url)

    assert query.unresolved(recording.store) == settled


def test_loose_ends_are_drawn_as_in_the_golden_file(recording: Recording) -> None:
    report()
    left()

    drawn = to_text(render_unresolved(query.unresolved(recording.store), Page()))

    assert normal(drawn) == (GOLDEN / "unresolved.txt").read_text(encoding="utf-8")
