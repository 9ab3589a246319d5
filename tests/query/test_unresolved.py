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

from .conftest import Recording, call, kepler
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


def settled_for() -> str:
    """A step without redos and one with: both are gone on with, though nobody approved them."""
    with spandag.run("settled for") as run:
        for max_redos, name in enumerate(("sketch", "essay")):
            for attempt in spandag.step(name).attempts(max_redos=max_redos, on_exhausted="accept"):
                with attempt:
                    call(tokens=(10, 1), cost=0.001)
                    attempt.reject(f"no {name}", "ann")
    assert run.run_id
    return run.run_id


def test_what_is_used_though_nobody_approved_it_is_told_and_counts(recording: Recording) -> None:
    run_id = settled_for()

    found = query.unresolved(recording.store)

    assert [(step.step, step.attempts, step.exhausted, step.outcome, step.hypothesis) for step in found] == [
        ("sketch", 1, True, "accepted", "no sketch"),
        ("essay", 2, True, "accepted", "no essay"),
    ]
    assert query.unresolved(recording.store, run_id) == found
    told = to_text(render_unresolved(found, Page()))
    assert told.count("the limit is spent, used all the same") == 2
    assert [redo.status for redo in query.redos(recording.store, run_id)] == ["exhausted"]
    [waste] = query.waste(recording.store, run_id)
    assert (waste.spent.calls, waste.spent.input_tokens) == (1, 10)
    counted = [(node.name, node.attempt) for node in query.path(recording.store, run_id).nodes]
    assert ("essay", 2) in counted
    assert ("essay", 1) not in counted
    rates = {rate.step: rate for rate in query.rates(recording.store)}
    assert [(rates[name].accepted, rates[name].exhausted) for name in ("sketch", "essay")] == [(1, 1), (1, 1)]


def test_a_step_of_which_a_redo_was_accepted_is_no_loose_end(recording: Recording) -> None:
    kepler()

    assert query.unresolved(recording.store) == []
    assert query.unresolved(recording.store, "last") == []


def redone_in_vain() -> None:
    """A step that is accepted, at once or after a redo, and then redone with a result that is rejected."""
    with spandag.run("redone in vain"):
        with spandag.step("essay") as essay:
            call(cost=0.001)
        with spandag.step("essay", redo_of=essay, attempt=2, hypothesis="try better") as worse:
            call(cost=0.001)
            worse.reject("worse", "ann")
        for attempt in spandag.step("plot").attempts(max_redos=3):
            with attempt:
                if attempt.number == 1:
                    attempt.reject("no units")
        with spandag.step("plot", redo_of=attempt, attempt=3, hypothesis="in colour") as failed:
            failed.reject("too bright", "bob")


def test_what_was_accepted_and_then_redone_in_vain_counts_no_more_so_it_is_told(recording: Recording) -> None:
    redone_in_vain()

    found = query.unresolved(recording.store, "last")

    assert [(step.step, step.attempts, step.outcome, step.hypothesis) for step in found] == [
        ("essay", 2, "rejected", "worse"),
        ("plot", 3, "rejected", "too bright"),
    ]
    assert query.unresolved(recording.store) == found
    assert [node.name for node in query.path(recording.store, "last").nodes] == ["redone in vain"]
    [waste] = query.waste(recording.store, "last")
    assert waste.spent == waste.run.spent


def rivals() -> None:
    """Two redos of the same attempt, of which one is accepted."""
    with spandag.run("rivals"):
        with spandag.step("essay") as essay:
            essay.reject("longer")
        for is_good in (True, False):
            with spandag.step("essay", redo_of=essay, attempt=2, hypothesis="longer") as rival:
                if not is_good:
                    rival.reject("too long")


def test_of_rivals_the_accepted_one_settles_the_step(recording: Recording) -> None:
    rivals()

    assert query.unresolved(recording.store, "last") == query.unresolved(recording.store) == []
    attempts = query.attempts(recording.store, "essay")
    assert [(each.attempt, each.disposition) for each in attempts] == [
        (1, "superseded"),
        (2, "active"),
        (2, "abandoned"),
    ]


def test_loose_ends_are_those_of_the_view(recording: Recording) -> None:
    report()
    kepler()
    left()
    settled_for()
    redone_in_vain()
    rivals()
    with pytest.raises(ValueError), spandag.run("failed"), spandag.step("s"):
        raise ValueError("broken")
    recording.store.settle()
    names = [field.name for field in fields(Unresolved)]
    with connected(recording.url) as connection:
        rows = connection.execute(
            text(f"SELECT {', '.join(names)} FROM v_unresolved ORDER BY started_at")
        ).all()

    found = query.unresolved(recording.store)

    by_time = sorted(found, key=lambda step: step.started_at)
    assert [tuple(getattr(step, name) for name in names) for step in by_time] == [tuple(row) for row in rows]
    assert [step.run_name for step in found] == [
        "failed",
        *["redone in vain"] * 2,
        *["settled for"] * 2,
        "left",
        "report",
    ]
    assert [step.run_name for step in query.unresolved(recording.store, limit=1)] == ["failed"]


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
