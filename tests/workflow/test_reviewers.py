"""Who rejects, from where, and how that is heard."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from opentelemetry.trace import StatusCode

import spandag
from spandag import query
from spandag.store import open_store


def attempts_told(recorder):
    return [
        (span.attributes.get("spandag.redo.hypothesis"), span.attributes.get("spandag.redo.requested_by"))
        for span in recorder.spans
        if span.attributes["spandag.node.type"] == "step"
    ]


def test_several_reviewers_of_one_attempt_are_all_heard(recorder):
    for attempt in spandag.step("fit").attempts():
        with attempt:
            feedback = attempt.feedback
            if attempt.number == 1:
                attempt.reject("log space", requested_by="statistician")
                attempt.reject("more planets", requested_by="astronomer")
                attempt.reject("log space", requested_by="statistician")
    assert feedback == "log space\nmore planets"
    assert attempts_told(recorder) == [(None, None), ("log space\nmore planets", "statistician, astronomer")]
    said = [
        (
            event.name,
            event.attributes["spandag.redo.hypothesis"],
            event.attributes["spandag.redo.requested_by"],
        )
        for event in recorder.steps[0].events
    ]
    assert said == [
        ("review", "log space", "statistician"),
        ("review", "more planets", "astronomer"),
        ("review", "log space", "statistician"),
        ("rejected", "log space\nmore planets", "statistician, astronomer"),
    ]


def test_feedback_grows_with_every_rejection(recorder):
    told = []
    for attempt in spandag.step("fit").attempts(max_redos=3):
        with attempt:
            told.append(attempt.feedback)
            if attempt.number == 2:
                attempt.reject()  # nothing to say
            elif attempt.number < 4:
                attempt.reject(f"idea {attempt.number}")
    assert told == [None, "idea 1", "idea 1", "idea 1\nidea 3"]


def test_what_is_raised_adds_to_what_was_said(recorder):
    for attempt in spandag.step("fit").attempts():
        with attempt:
            if attempt.number == 1:
                attempt.reject("log space", requested_by="ann")
                raise spandag.Rejected("more planets", requested_by="bob")
    assert attempt.feedback == "log space\nmore planets"
    assert attempts_told(recorder)[1] == ("log space\nmore planets", "ann, bob")


def test_reviewers_that_run_together_and_raise_reject_together(recorder):
    async def review(hypothesis, by):
        raise spandag.Rejected(hypothesis, requested_by=by)

    async def main():
        async for attempt in spandag.step("fit").attempts():
            async with attempt:
                if attempt.number == 1:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(review("log space", "ann"))
                        group.create_task(review("more planets", "bob"))
        return attempt

    assert asyncio.run(main()).feedback == "log space\nmore planets"
    assert attempts_told(recorder)[1] == ("log space\nmore planets", "ann, bob")


def test_a_reviewer_that_fails_beside_one_that_rejects_fails_the_attempt(recorder):
    with pytest.raises(ExceptionGroup):
        for attempt in spandag.step("fit").attempts():
            with attempt:
                raise ExceptionGroup("reviews", [spandag.Rejected("no"), KeyError("boom")])
    assert [span.attributes["spandag.attempt.outcome"] for span in recorder.steps] == ["failed"]


def test_a_rejection_in_a_worker_thread_comes_out_of_its_future(recorder):
    def review(number):
        if number == 1:
            raise spandag.Rejected("log space", requested_by="thread")

    with ThreadPoolExecutor() as pool:
        for attempt in spandag.step("fit").attempts():
            with attempt:
                pool.submit(review, attempt.number).result()
    assert attempts_told(recorder)[1] == ("log space", "thread")


def rejecting(number):
    if number == 1:
        raise spandag.Rejected("log space", requested_by="process")


def test_a_rejection_in_another_process_comes_out_of_its_future(recorder):
    import multiprocessing

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        for attempt in spandag.step("fit").attempts():
            with attempt:
                pool.submit(rejecting, attempt.number).result()
    assert attempts_told(recorder)[1] == ("log space", "process")


def test_workers_with_the_context_of_the_attempt_are_within_it_and_can_reject_it(recorder):
    def work(part):
        with spandag.tool(f"part {part}"):
            if spandag.current("step").attempt.number == 1:
                spandag.current("step").reject(f"part {part} is off", requested_by="worker")

    with ThreadPoolExecutor(4) as pool:
        for attempt in spandag.step("fit").attempts():
            with attempt:
                parts = [pool.submit(contextvars.copy_context().run, work, part) for part in range(8)]
                for part in parts:
                    part.result()
    assert attempt.number == 2
    assert sorted(attempt.feedback.splitlines()) == sorted(f"part {part} is off" for part in range(8))
    tree = recorder.tree()
    assert [line for line in tree if "run_step" in line] == ["  run_step fit"] * 2
    assert len([line for line in tree if line.startswith("    execute_tool part")]) == 16


def test_steps_in_threads_keep_their_redos_apart(recorder):
    def fit(name):
        for attempt in spandag.step(name).attempts():
            with attempt:
                attempt.reject(f"not {name}") if attempt.number == 1 else None
        return attempt.feedback

    with spandag.run("report"), spandag.phase("control"), ThreadPoolExecutor(4) as pool:
        done = [pool.submit(contextvars.copy_context().run, fit, f"s{i}") for i in range(8)]
        assert [each.result() for each in done] == [f"not s{i}" for i in range(8)]
    steps = [span for span in recorder.spans if span.attributes["spandag.node.type"] == "step"]
    assert sorted({span.attributes["spandag.step.number"] for span in steps}) == list(range(1, 9))
    assert all(len(span.links) == span.attributes["spandag.step.attempt"] - 1 for span in steps)


def test_redos_within_redos_within_sub_agents_and_tools_are_each_in_their_place(stored):
    def inner():
        for attempt in spandag.step("inner").attempts():
            with attempt:
                attempt.reject("inner again", requested_by="tool") if attempt.number == 1 else None

    with spandag.run("report"), spandag.phase("control"):
        for outer in spandag.step("outer").attempts():
            with outer, spandag.agent("manager"), spandag.agent("worker"), spandag.tool("solve"):
                inner()
                if outer.number == 1:
                    spandag.current("step").reject("outer again", requested_by="worker")

    steps = stored.nodes("step")
    tools = stored.nodes("tool")
    assert [(step["name"], step["attempt"], step["outcome"], step["disposition"]) for step in steps] == [
        ("outer", 1, "rejected", "superseded"),
        ("inner", 1, "rejected", "superseded"),
        ("inner", 2, "accepted", "superseded"),
        ("outer", 2, "accepted", "active"),
        ("inner", 1, "rejected", "superseded"),
        ("inner", 2, "accepted", "active"),
    ]
    assert [step["parent_span_id"] for step in steps[1:3]] == [tools[0]["span_id"]] * 2
    assert [step["parent_span_id"] for step in steps[4:]] == [tools[1]["span_id"]] * 2
    points = {node["id"]: node for node in stored.nodes("branch_point")}
    # A redo stands below its branch point, and that below what the original stands below.
    assert points[steps[2]["parent_node_id"]]["parent_node_id"] == tools[0]["id"]
    assert points[steps[5]["parent_node_id"]]["parent_node_id"] == tools[1]["id"]
    assert [agent["disposition"] for agent in stored.nodes("sub_agent")] == ["superseded", "active"]
    hypotheses = [row["hypothesis"] for row in stored.rows("branches")]
    assert sorted(hypotheses) == ["inner again", "inner again", "outer again"]


def test_a_limit_that_is_spent_within_fails_the_attempt_around_it(recorder):
    with pytest.raises(spandag.RedoLimitExceeded):
        for outer in spandag.step("outer").attempts():
            with outer, spandag.agent("worker"):
                for inner in spandag.step("inner").attempts(max_redos=0):
                    with inner:
                        inner.reject("no")
    _, outer, worker, inner = recorder.spans
    assert inner.attributes["spandag.attempt.outcome"] == "rejected"
    assert outer.attributes["spandag.attempt.outcome"] == "failed"
    assert outer.attributes["error.type"] == "spandag.RedoLimitExceeded"
    assert worker.attributes["error.type"] == "spandag.RedoLimitExceeded"


def test_a_rejection_that_a_plain_step_lets_through_rejects_the_attempt_around_it(recorder):
    for outer in spandag.step("outer").attempts():
        with outer, spandag.step("check"):
            if outer.number == 1:
                raise spandag.Rejected("no", requested_by="check")
    outcomes = [span.attributes["spandag.attempt.outcome"] for span in recorder.steps]
    assert outcomes == ["rejected", "rejected", "accepted", "accepted"]


def failed(recorder):
    return [
        (span.name, span.attributes["error.type"])
        for span in recorder.spans
        if span.status.status_code is StatusCode.ERROR
    ]


def test_what_a_rejection_passes_through_has_not_failed(recorder):
    for attempt in spandag.step("fit").attempts():
        with attempt, spandag.agent("engineer"), spandag.tool("check"):
            if attempt.number == 1:
                raise spandag.Rejected("do better")
    assert failed(recorder) == []
    assert {event.name for span in recorder.spans for event in span.events} == {"rejected"}


def test_neither_has_what_the_rejections_of_reviewers_that_run_together_pass_through(recorder):
    async def review():
        with spandag.agent("reviewer"):
            raise spandag.Rejected("do better")

    async def main():
        for attempt in spandag.step("fit").attempts():
            async with attempt, spandag.agent("chair"):
                if attempt.number == 1:
                    async with asyncio.TaskGroup() as reviewers:
                        reviewers.create_task(review())
                        reviewers.create_task(review())

    asyncio.run(main())
    assert failed(recorder) == []


def test_what_a_failure_beside_a_rejection_passes_through_has_failed(recorder):
    with pytest.raises(ExceptionGroup):
        for attempt in spandag.step("fit").attempts():
            with attempt, spandag.agent("chair"):
                raise ExceptionGroup("two", [spandag.Rejected("no"), OSError("disk")])
    assert ("invoke_agent chair", "ExceptionGroup") in failed(recorder)


def test_a_rejection_that_no_step_hears_is_an_error_of_what_it_ends(recorder):
    with pytest.raises(spandag.Rejected), spandag.run("report"), spandag.agent("engineer"):
        raise spandag.Rejected("do better")
    assert failed(recorder) == [
        ("invoke_workflow report", "spandag.Rejected"),
        ("invoke_agent engineer", "spandag.Rejected"),
    ]


def test_a_step_that_is_over_hears_nothing(recorder):
    with spandag.run("report"):
        with spandag.step("fit"):
            below = contextvars.copy_context()

        def late():
            with spandag.agent("engineer"):
                raise spandag.Rejected("too late")

        with pytest.raises(spandag.Rejected):
            below.run(late)
    assert failed(recorder) == [("invoke_agent engineer", "spandag.Rejected")]


def test_who_asks_what_went_wrong_is_told_of_no_rejection(stored):
    with spandag.run("report"):
        for attempt in spandag.step("fit").attempts():
            with attempt, spandag.agent("engineer"):
                if attempt.number == 1:
                    raise spandag.Rejected("do better")
    assert [node["status"] for node in stored.nodes("agent")] == ["completed", "completed"]
    with open_store(stored.url) as store:
        cause = query.root_cause(store, "last")
        assert (cause.cause, cause.others, cause.rejected) == (None, [], [])
        assert query.show(store, "last").errors == []


def test_reviews_are_in_the_store_with_who_said_what(stored):
    with spandag.run("report"):
        for attempt in spandag.step("fit").attempts():
            with attempt:
                if attempt.number == 1:
                    attempt.reject("log space", requested_by="ann")
                    attempt.reject("more planets", requested_by="bob")
    [branch] = stored.rows("branches")
    assert (branch["hypothesis"], branch["requested_by"]) == ("log space\nmore planets", "ann, bob")
    events = sorted(stored.rows("execution_events"), key=lambda row: row["seq"])
    assert [event["event_type"] for event in events] == ["review", "review", "rejected"]


def test_a_review_that_is_no_text_is_told_as_text(recorder):
    for attempt in spandag.step("fit").attempts():
        with attempt:
            if attempt.number == 1:
                attempt.reject({"slope": "too flat"}, requested_by=7)
    assert attempt.feedback == "{'slope': 'too flat'}"
    assert attempts_told(recorder)[1] == ("{'slope': 'too flat'}", "7")
