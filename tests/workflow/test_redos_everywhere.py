"""Redos inside sub-agents and tools, in threads, generators and tasks; what fails is no redo."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

import spandag


def steps(recorder, name=None):
    return [
        span
        for span in recorder.spans
        if span.attributes["spandag.node.type"] == "step"
        and name in (None, span.attributes["gen_ai.step.name"])
    ]


def outcomes(recorder, name=None):
    return [
        (span.attributes["spandag.step.attempt"], span.attributes["spandag.attempt.outcome"])
        for span in steps(recorder, name)
    ]


def twice(name):
    """A step that is accepted the second time; gives its attempts."""
    for attempt in spandag.step(name).attempts():
        with attempt:
            yield attempt
            if attempt.number == 1:
                attempt.reject("again")


def test_redos_inside_sub_agents_and_tools_are_redos_of_their_own(recorder):
    with spandag.run("report"):
        for _ in twice("outer"):
            with spandag.agent("manager"), spandag.agent("engineer"), spandag.tool("fit"):
                for _ in twice("inner"):
                    pass
    assert outcomes(recorder, "outer") == [(1, "rejected"), (2, "accepted")]
    assert outcomes(recorder, "inner") == [(1, "rejected"), (2, "accepted")] * 2
    tools = [span for span in recorder.spans if span.name == "execute_tool fit"]
    inner = steps(recorder, "inner")
    assert [span.parent.span_id for span in inner] == [tool.context.span_id for tool in tools for _ in "12"]
    # Each is a step of its own, begun anew in each attempt of the outer one.
    assert len({span.attributes["spandag.step.id"] for span in inner}) == 2


def test_an_attempt_goes_on_in_threads(recorder):
    def work(number):
        with spandag.tool(f"tool {number}"):
            if number == 1:
                spandag.current("step").reject("not number 1", requested_by="checker")

    told = []
    for attempt in spandag.step("fit").attempts():
        with attempt, ThreadPoolExecutor(2) as pool:
            told.append(attempt.feedback)
            list(
                pool.map(
                    lambda n, context: context.run(work, n),
                    [2, 3 - 2 * (attempt.number < 2)],
                    [copy_context(), copy_context()],
                )
            )
    assert told == [None, "not number 1"]
    assert outcomes(recorder) == [(1, "rejected"), (2, "accepted")]
    by_id = {span.context.span_id: span for span in steps(recorder)}
    tools = [span for span in recorder.spans if span.attributes["spandag.node.type"] == "tool"]
    assert all(span.parent.span_id in by_id for span in tools)


def test_an_error_of_a_future_rejects_where_it_says_so(recorder):
    def work():
        raise spandag.Rejected("too slow", "checker")

    for attempt in spandag.step("fit").attempts():
        with attempt, ThreadPoolExecutor(1) as pool:
            if attempt.number == 1:
                pool.submit(work).result()
    assert outcomes(recorder) == [(1, "rejected"), (2, "accepted")]


def test_a_generator_can_be_the_body(recorder):
    """What is between two of its values happens outside of the attempt."""

    def chunks():
        for attempt in spandag.step("stream").attempts():
            with attempt:
                parts = [f"{attempt.number}{letter}" for letter in "ab"]
                if attempt.number == 1:
                    attempt.reject("again")
        yield from parts

    with spandag.run("report"):
        found = list(chunks())
    assert found == ["2a", "2b"]
    assert outcomes(recorder) == [(1, "rejected"), (2, "accepted")]


def test_the_reviewers_of_one_attempt_are_all_heard(recorder):
    told = []
    for attempt in spandag.step("fit").attempts():
        with attempt:
            told.append(attempt.feedback)
            if attempt.number == 1:
                attempt.reject("use log space", requested_by="ann")
                attempt.reject("leave out Pluto", requested_by="bob")
                attempt.reject(requested_by="ann")
    assert told == [None, "use log space\nleave out Pluto"]
    redo = steps(recorder)[1].attributes
    assert redo["spandag.redo.hypothesis"] == "use log space; leave out Pluto"
    assert redo["spandag.redo.requested_by"] == "ann, bob"


def test_what_takes_too_long_has_failed(recorder):
    async def main():
        for attempt in spandag.step("fit").attempts():
            async with attempt, asyncio.timeout(0.01):
                await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert outcomes(recorder) == [(1, "failed")]
    assert steps(recorder)[0].attributes["error.type"] == "TimeoutError"


def test_a_technical_retry_is_no_redo(recorder):
    for attempt in spandag.step("fit").attempts():
        with attempt:
            for tried in range(2):
                try:
                    if tried == 0:
                        raise ConnectionError("reset by peer")
                except ConnectionError as error:
                    attempt.retry(error)
            spandag.current("step").retry("RateLimitError")
    assert outcomes(recorder) == [(1, "accepted")]
    assert [(event.name, dict(event.attributes)) for event in steps(recorder)[0].events] == [
        ("retry", {"error.type": "ConnectionError", "exception.message": "reset by peer"}),
        ("retry", {"error.type": "RateLimitError"}),
    ]
