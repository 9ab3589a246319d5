"""Timeouts, cancellation, and what is tried again for technical reasons."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading

import pytest

import spandag


def outcomes(recorder):
    return [
        (span.attributes["spandag.attempt.outcome"], span.attributes.get("error.type"))
        for span in recorder.spans
        if span.attributes["spandag.node.type"] == "step"
    ]


@pytest.mark.parametrize("error", [TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError])
def test_an_attempt_that_times_out_has_failed_and_is_not_done_again(recorder, error):
    with pytest.raises(error):
        for attempt in spandag.step("fit").attempts():
            with attempt:
                raise error("too slow")
    assert outcomes(recorder) == [("failed", "TimeoutError")]


def test_a_timeout_that_is_caught_outside_ends_the_loop(recorder):
    for attempt in spandag.step("fit").attempts():
        try:
            with attempt:
                raise TimeoutError
        except TimeoutError:
            pass
    assert outcomes(recorder) == [("failed", "TimeoutError")]


def test_a_timeout_that_is_caught_inside_can_be_a_reason_to_do_it_again(recorder):
    async def main():
        for attempt in spandag.step("fit").attempts():
            async with attempt:
                try:
                    async with asyncio.timeout(0.001 if attempt.number == 1 else None):
                        await asyncio.sleep(60 if attempt.number == 1 else 0)
                except TimeoutError:
                    attempt.reject("take a smaller sample", requested_by="clock")

    asyncio.run(main())
    assert outcomes(recorder) == [("rejected", None), ("accepted", None)]


def test_a_timeout_within_the_block_fails_it(recorder):
    async def main():
        async with spandag.step("fit"), asyncio.timeout(0.001):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert outcomes(recorder) == [("failed", "TimeoutError")]


def test_a_timeout_around_the_block_cancels_it(recorder):
    async def fit():
        for attempt in spandag.step("fit").attempts():
            async with attempt:
                await asyncio.sleep(60)

    async def main():
        with spandag.run("report"):
            await asyncio.wait_for(fit(), 0.001)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert outcomes(recorder) == [("cancelled", "asyncio.exceptions.CancelledError")]
    assert recorder.named("invoke_workflow report").attributes["error.type"] == "TimeoutError"


def test_a_future_that_is_not_ready_in_time_fails_the_attempt(recorder):
    release = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(release.wait)
        with pytest.raises(TimeoutError), spandag.step("fit"):
            future.result(timeout=0.001)
        release.set()
    assert outcomes(recorder) == [("failed", "TimeoutError")]


def test_timeouts_and_cancellations_are_told_apart_in_the_store(stored):
    async def main():
        with spandag.run("report"):
            for name, limit in (("inside", None), ("outside", 0.001)):
                try:
                    async with asyncio.timeout(limit):
                        async with spandag.step(name):
                            if limit is None:
                                raise TimeoutError("too slow")
                            await asyncio.sleep(60)
                except TimeoutError:
                    pass

    asyncio.run(main())
    told = [(node["name"], node["status"], node["outcome"]) for node in stored.nodes("step")]
    assert told == [("inside", "failed", "failed"), ("outside", "cancelled", "cancelled")]


def test_a_technical_retry_is_an_event_and_no_redo(recorder):
    for attempt in spandag.step("fit").attempts():
        with attempt:
            attempt.retry(ConnectionResetError("the line is dead, key sk-abcdefghijklmnopqrstuvwx"))
            spandag.current("step").retry("the answer was empty")
            attempt.retry()
    [span] = recorder.steps
    assert [(event.name, dict(event.attributes)) for event in span.events] == [
        (
            "retry",
            {
                "spandag.retry.number": 1,
                "error.type": "ConnectionResetError",
                "exception.message": "the line is dead, key [redacted]",
            },
        ),
        ("retry", {"spandag.retry.number": 2, "exception.message": "the answer was empty"}),
        ("retry", {"spandag.retry.number": 3}),
    ]
    assert outcomes(recorder) == [("accepted", None)]
    spandag.current("step").retry("nobody is there")


def test_retries_are_events_in_the_store_and_no_branches(stored):
    with spandag.run("report"), spandag.step("fit") as attempt:
        attempt.retry(TimeoutError("slow"))
    [event] = stored.rows("execution_events")
    assert event["event_type"] == "retry"
    assert stored.rows("branches") == []
