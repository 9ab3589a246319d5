"""Misuse is answered with advice, at once."""

from __future__ import annotations

import asyncio

import pytest

import spandag


@pytest.mark.parametrize(
    ("misuse", "error", "advice"),
    [
        (lambda: spandag.step("fit", number=0), ValueError, "number is the step's number.* cannot be 0"),
        (lambda: spandag.step("fit", number=-3), ValueError, "cannot be -3; the least is 1"),
        (lambda: spandag.step("fit", number="1"), TypeError, "cannot be '1'"),
        (lambda: spandag.step("fit", number=1.5), TypeError, "cannot be 1.5"),
        (lambda: spandag.step("fit", max_redos=-1), ValueError, "max_redos is the number of redos allowed"),
        (lambda: spandag.step("fit", max_redos=None).attempts(max_redos=-1), ValueError, "cannot be -1"),
        (lambda: spandag.step("fit").attempts(max_redos="two"), TypeError, "cannot be 'two'"),
        (lambda: spandag.step("fit", on_exhausted="ignore"), ValueError, "'raise' or 'accept'"),
        (lambda: spandag.step("fit").attempts(on_exhausted="stop"), ValueError, "'raise' or 'accept'"),
        (lambda: spandag.step("fit", attempt=2), ValueError, r"give redo_of=attempt\.ref as well"),
        (lambda: spandag.step("fit", hypothesis="x"), ValueError, "hypothesis is of a redo"),
        (lambda: spandag.step("fit", requested_by="x"), ValueError, "requested_by is of a redo"),
        (
            lambda: list(spandag.step("fit")),
            TypeError,
            r"write `for attempt in spandag.step\('fit'\).attempts",
        ),
        (lambda: spandag.step("fit")(3), TypeError, "decorates a function, not 3"),
    ],
)
def test_what_makes_no_step_is_refused(recorder, misuse, error, advice):
    with pytest.raises(error, match=advice):
        misuse()
    assert recorder.spans == []


def test_an_asynchronous_loop_over_the_step_itself_is_refused_too():
    async def main():
        async for _ in spandag.step("fit"):
            pass

    with pytest.raises(TypeError, match="write `for attempt in"):
        asyncio.run(main())


@pytest.fixture
def ref():
    with spandag.run("report"), spandag.step("fit") as attempt:
        attempt.reject("again")
    return attempt.ref


def test_a_redo_elsewhere_needs_the_number_of_its_attempt(ref):
    with pytest.raises(ValueError, match="that was attempt 1, so the next is attempt=2"):
        spandag.step("fit", redo_of=ref)


@pytest.mark.parametrize(("attempt", "error"), [(1, ValueError), (0, ValueError), ("2", TypeError)])
def test_a_redo_elsewhere_is_not_the_first_attempt(ref, attempt, error):
    with pytest.raises(error, match="attempt is the number of the attempt, 2 for the first redo"):
        spandag.step("fit", redo_of=ref, attempt=attempt)


def test_a_redo_comes_after_what_it_is_a_redo_of(ref):
    with spandag.step("fit", redo_of=ref, attempt=3) as third:
        pass
    with pytest.raises(ValueError, match="cannot be a redo of attempt 3: the next is attempt=4"):
        spandag.step("fit", redo_of=third.ref, attempt=2)


@pytest.mark.parametrize(
    "use",
    [
        lambda attempt: attempt.ref,
        lambda attempt: attempt.retry("slow"),
        lambda attempt: attempt.add_event("e"),
        lambda attempt: attempt.reject(),
        lambda attempt: attempt.node,
        lambda attempt: spandag.step("fit", redo_of=attempt, attempt=2),
    ],
)
def test_an_attempt_that_is_not_entered_is_nothing_yet(use):
    attempt = next(iter(spandag.step("fit").attempts()))
    with pytest.raises(RuntimeError, match="is not entered: write `with attempt:` first"):
        use(attempt)


def test_an_attempt_that_was_never_entered_is_told_at_the_next_turn(recorder):
    with pytest.raises(RuntimeError, match="was never entered: write `with attempt:` in the loop"):
        for _ in spandag.step("fit").attempts():
            pass
    assert recorder.spans == []


def test_an_asynchronous_loop_tells_it_too():
    async def main():
        async for _ in spandag.step("fit").attempts():
            pass

    with pytest.raises(RuntimeError, match="was never entered"):
        asyncio.run(main())
