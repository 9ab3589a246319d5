"""What becomes of a step when its last allowed attempt is rejected."""

from __future__ import annotations

import asyncio

import pytest

import spandag


def accepting(rejects=2, **options):
    for attempt in spandag.step("fit", on_exhausted="accept").attempts(max_redos=1, **options):
        with attempt:
            attempt.set_output(f"fit {attempt.number}")
            if attempt.number <= rejects:
                attempt.reject(f"idea {attempt.number}", requested_by="reviewer")
    return attempt


def test_the_last_result_can_be_accepted_all_the_same_and_that_is_recorded(recorder, caplog):
    last = accepting()
    assert (last.number, last.outcome, last.exhausted, last.output) == (2, "accepted", True, "fit 2")
    told = ("spandag.attempt.outcome", "spandag.redo.exhausted")
    assert [[span.attributes.get(name) for name in told] for span in recorder.steps] == [
        ["rejected", None],
        ["accepted", True],
    ]
    assert [event.name for event in recorder.spans[-1].events] == ["rejected"]
    assert caplog.records == []


def test_what_is_accepted_before_the_limit_is_spent_is_simply_accepted(recorder):
    last = accepting(rejects=1)
    assert (last.outcome, last.exhausted) == ("accepted", False)
    assert "spandag.redo.exhausted" not in recorder.spans[-1].attributes


def test_the_loop_has_the_last_word(recorder):
    with pytest.raises(spandag.RedoLimitExceeded):
        accepting(on_exhausted="raise")


def test_raising_in_the_last_attempt_is_accepted_too(recorder):
    for attempt in spandag.step("fit").attempts(max_redos=0, on_exhausted="accept"):
        with attempt:
            raise spandag.Rejected("no")
    assert recorder.spans[-1].attributes["spandag.attempt.outcome"] == "accepted"


def test_the_store_tells_that_a_rejected_result_was_accepted(stored):
    with spandag.run("report"):
        accepting()
    [branch] = stored.rows("branches")
    assert branch["status"] == "exhausted"
    [(step, exhausted, outcome, hypothesis)] = stored.ask(
        "SELECT step, exhausted, outcome, hypothesis FROM v_unresolved"
    )
    assert (step, bool(exhausted), outcome, hypothesis) == ("fit", True, "accepted", "idea 2")
    assert [step["disposition"] for step in stored.nodes("step")] == ["superseded", "active"]


def test_a_decorated_function_gives_what_its_last_call_returned(recorder):
    @spandag.step("fit", max_redos=1, on_exhausted="accept")
    def fit():
        spandag.current("step").reject("never good")
        return spandag.current("step").attempt.number

    assert fit() == 2
    assert recorder.spans[-1].attributes["spandag.attempt.outcome"] == "accepted"


def test_a_decorated_coroutine_gives_what_it_said_before_it_raised(recorder):
    @spandag.step("fit", max_redos=0, on_exhausted="accept")
    async def fit():
        spandag.current("step").set_output("a straight line")
        raise spandag.Rejected("never good")

    assert asyncio.run(fit()) == "a straight line"


def test_a_call_that_only_raised_has_given_nothing_to_accept(recorder):
    @spandag.step("fit", max_redos=0, on_exhausted="accept")
    def fit():
        raise spandag.Rejected("never good")

    with pytest.raises(spandag.RedoLimitExceeded):
        fit()
    told = recorder.steps[0].attributes
    assert (told["spandag.attempt.outcome"], told["spandag.redo.exhausted"]) == ("rejected", True)


def test_a_spent_limit_that_is_caught_in_the_loop_ends_it(recorder):
    for attempt in spandag.step("fit").attempts(max_redos=1):
        try:
            with attempt:
                attempt.reject("no")
        except spandag.RedoLimitExceeded:
            pass
    assert len(recorder.steps) == 2
    assert attempt.exhausted
