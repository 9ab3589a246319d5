"""A step that is in no run opens one of its name, so that its redos are beside it."""

from __future__ import annotations

import asyncio
import gc
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry.trace import StatusCode

import spandag
from spandag import query
from spandag.store import open_store


def run_of(recorder):
    """Whether the run failed, and whether it took all of its attempts and nothing more."""
    run = recorder.named("invoke_workflow fit")
    steps = recorder.steps
    assert {step.parent.span_id for step in steps} == {run.context.span_id}
    assert run.start_time <= steps[0].start_time
    assert max(step.end_time for step in steps) <= run.end_time
    return run.attributes.get("error.type"), len(steps)


def fit(rejects=1, **options):
    for attempt in spandag.step("fit").attempts(**options):
        with attempt:
            if attempt.number <= rejects:
                attempt.reject("no")
    return attempt


def test_its_attempts_are_one_step_of_one_run(stored):
    for _ in range(2):
        fit(rejects=2)
    assert [row["name"] for row in stored.rows("workflow_runs")] == ["fit", "fit"]
    with open_store(stored.url) as store:
        assert query.unresolved(store) == []
        assert [redo.before.attempt for redo in query.redos(store, "last")] == [1, 2]
        [rate] = query.rates(store, by="step")
        assert (rate.steps, rate.redos) == (2, 4)


def test_a_plain_block_has_a_run_too(recorder):
    with spandag.step("fit"):
        assert spandag.current("run").name == "fit"
    assert recorder.tree() == ["invoke_workflow fit", "  run_step fit"]
    assert run_of(recorder) == (None, 1)


def test_what_is_below_anything_opens_none(recorder):
    with spandag.agent("engineer"):
        fit()
    with recorder.provider.get_tracer("web").start_as_current_span("GET /"):
        fit()
    assert not [span.name for span in recorder.spans if span.name.startswith("invoke_workflow")]


def test_workers_without_the_context_have_each_a_run_of_their_own(stored):
    with spandag.run("report"), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fit(), range(4)))
    assert sorted(row["name"] for row in stored.rows("workflow_runs")) == ["fit"] * 4 + ["report"]
    steps = stored.nodes("step")
    assert sorted(step["attempt"] for step in steps) == [1] * 4 + [2] * 4
    first, second = (
        sorted(step["run_id"] for step in steps if step["attempt"] == number) for number in (1, 2)
    )
    assert first == second


def test_the_run_fails_with_what_fails_the_attempt(recorder):
    with pytest.raises(ValueError):
        for attempt in spandag.step("fit").attempts():
            with attempt:
                if attempt.number == 2:
                    raise ValueError("no")
                attempt.reject("no")
    assert run_of(recorder) == ("ValueError", 2)
    # On its way up it is recorded where it appears.
    assert [event.name for event in recorder.named("invoke_workflow fit").events] == []


def test_the_run_fails_where_the_limit_is_spent(recorder):
    with pytest.raises(spandag.RedoLimitExceeded):
        fit(rejects=9, max_redos=1)
    assert run_of(recorder) == ("spandag.RedoLimitExceeded", 2)


def test_the_run_of_a_result_that_is_used_all_the_same_has_not_failed(recorder):
    fit(rejects=9, max_redos=1, on_exhausted="accept")
    assert run_of(recorder) == (None, 2)


def test_a_rejection_that_leaves_a_plain_block_fails_the_run(recorder):
    with pytest.raises(spandag.Rejected), spandag.step("fit"):
        raise spandag.Rejected("no")
    assert run_of(recorder) == ("spandag.Rejected", 1)


def test_leaving_the_loop_ends_the_run(recorder):
    for attempt in spandag.step("fit").attempts():
        with attempt:
            attempt.reject("no")
        break
    assert run_of(recorder) == (None, 1)


def test_an_exception_between_the_attempts_ends_the_run(recorder):
    with pytest.raises(OSError):
        for attempt in spandag.step("fit").attempts():
            with attempt:
                attempt.reject("no")
            raise OSError("disk")
    assert run_of(recorder) == (None, 1)


def test_a_loop_that_is_left_within_its_attempt_ends_the_run_after_it(recorder):
    with next(spandag.step("fit").attempts()) as attempt:
        gc.collect()
        attempt.reject("no")
    assert run_of(recorder) == (None, 1)


def test_a_loop_that_waits_between_its_attempts_goes_on_in_the_run(recorder):
    attempts = spandag.step("fit").attempts()
    with next(attempts) as first:
        first.reject("no")
    time.sleep(0.01)
    assert [span.name for span in recorder.spans] == ["run_step fit"]
    with next(attempts):
        pass
    assert next(attempts, None) is None
    assert run_of(recorder) == (None, 2)


def test_an_asynchronous_loop_that_is_left_or_cancelled_ends_the_run(recorder):
    async def left():
        async for attempt in spandag.step("fit").attempts():
            async with attempt:
                attempt.reject("no")
            return

    asyncio.run(left())
    assert run_of(recorder) == (None, 1)
    recorder.clear()

    async def cancelled():
        async for attempt in spandag.step("fit").attempts():
            async with attempt:
                await asyncio.sleep(60)

    async def cancel():
        task = asyncio.create_task(cancelled())
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())
    assert run_of(recorder) == ("asyncio.exceptions.CancelledError", 1)


def test_tasks_that_take_the_same_step_have_each_a_run(recorder):
    @spandag.step("fit")
    async def work():
        await asyncio.sleep(0)
        if spandag.current("step").feedback is None:
            raise spandag.Rejected("no")

    async def main():
        await asyncio.gather(work(), work())

    asyncio.run(main())
    assert recorder.tree() == ["invoke_workflow fit", "  run_step fit", "  run_step fit"] * 2


def test_a_decorated_generator_that_is_left_ends_the_run(recorder):
    @spandag.step("fit")
    def rows():
        yield 1
        yield 2

    for _ in rows():
        break
    gc.collect()
    assert run_of(recorder) == ("GeneratorExit", 1)


def test_what_is_spent_is_summed_in_the_run(recorder):
    for attempt in spandag.step("fit").attempts():
        with attempt, spandag.chat("gpt-4o-mini", provider="openai") as chat:
            chat.set_usage(100, 10)
            attempt.reject("no") if attempt.number == 1 else None
    assert recorder.named("invoke_workflow fit").attributes["spandag.total.input_tokens"] == 200


def test_misuse_of_the_loop_ends_the_run(recorder):
    attempts = spandag.step("fit").attempts()
    with next(attempts) as attempt:
        attempt.reject("no")
    next(attempts)
    with pytest.raises(RuntimeError, match="never entered"):
        next(attempts)
    assert run_of(recorder) == (None, 1)
    assert recorder.named("invoke_workflow fit").status.status_code is StatusCode.UNSET
