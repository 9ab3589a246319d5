"""Steps, attempts and redos."""

from __future__ import annotations

import asyncio
import gc
import pickle
import sys

import pytest
from opentelemetry import trace

import spandag


def outcomes(recorder):
    return [
        (span.attributes["spandag.step.attempt"], span.attributes["spandag.attempt.outcome"])
        for span in recorder.spans
        if span.attributes["spandag.node.type"] == "step"
    ]


def test_a_plain_step_is_one_attempt(recorder):
    with spandag.run("report"), spandag.phase("control"), spandag.step("load") as attempt:
        attempt.set_output(3)
    assert attempt.output == 3
    step = recorder.named("run_step load")
    assert dict(step.attributes) == {
        "spandag.node.type": "step",
        "gen_ai.operation.name": "run_step",
        "gen_ai.step.name": "load",
        "spandag.step.id": format(step.context.span_id, "016x"),
        "spandag.step.number": 1,
        "spandag.step.attempt": 1,
        "spandag.step.max_redos": 0,
        "spandag.attempt.outcome": "accepted",
    }


def test_a_redo_is_a_linked_sibling_that_knows_why_it_happens(recorder):
    with spandag.run("report"), spandag.phase("control") as control:
        for attempt in spandag.step("fit", number=7).attempts(max_redos=2):
            with attempt:
                told = attempt.feedback
                if attempt.number == 1:
                    attempt.reject(hypothesis="try a power law", requested_by="reviewer")
    assert told == "try a power law"
    first, redo = (span for span in recorder.spans if span.name == "run_step fit")
    assert first.parent == redo.parent == control.span.get_span_context()
    assert dict(redo.attributes) == {
        "spandag.node.type": "step",
        "gen_ai.operation.name": "run_step",
        "gen_ai.step.name": "fit",
        "spandag.step.id": format(first.context.span_id, "016x"),
        "spandag.step.number": 7,
        "spandag.step.attempt": 2,
        "spandag.step.max_redos": 2,
        "spandag.redo.hypothesis": "try a power law",
        "spandag.redo.requested_by": "reviewer",
        "spandag.attempt.outcome": "accepted",
    }
    [link] = redo.links
    assert (link.context, dict(link.attributes)) == (first.context, {"spandag.link.type": "redo_of"})
    assert first.attributes["spandag.attempt.outcome"] == "rejected"
    [event] = first.events
    assert (event.name, dict(event.attributes)) == (
        "rejected",
        {"spandag.redo.hypothesis": "try a power law", "spandag.redo.requested_by": "reviewer"},
    )


def test_the_second_redo_links_to_the_first_and_knows_both_hypotheses(recorder):
    for attempt in spandag.step("fit").attempts(max_redos=2):
        with attempt:
            if attempt.number < 3:
                attempt.reject(f"idea {attempt.number}")
    assert attempt.feedback == "idea 1\nidea 2"
    first, second, third = recorder.steps
    assert [span.links[0].context for span in (second, third)] == [first.context, second.context]
    assert third.attributes["spandag.redo.hypothesis"] == "idea 2"
    assert third.attributes["spandag.step.id"] == first.attributes["spandag.step.id"]


def test_steps_are_counted_within_their_phase(recorder):
    with spandag.run("report"):
        with spandag.phase("one"):
            for name in ("a", "b"):
                with spandag.step(name):
                    pass
        with spandag.phase("two"):
            for attempt in spandag.step("c").attempts():
                with attempt:
                    attempt.reject() if attempt.number == 1 else None
            with spandag.step("d"):
                pass
    numbers = [
        (span.attributes["gen_ai.step.name"], span.attributes["spandag.step.number"])
        for span in recorder.spans
        if span.attributes["spandag.node.type"] == "step"
    ]
    assert numbers == [("a", 1), ("b", 2), ("c", 1), ("c", 1), ("d", 2)]


def test_a_step_with_a_number_of_its_own_counts_too_and_a_redo_elsewhere_does_not(recorder):
    with spandag.run("report"), spandag.phase("control"):
        with spandag.step("a", number=3) as a:
            pass
        with spandag.step("b"):
            pass
        with spandag.step("a", redo_of=a.ref, attempt=2):
            pass
        with spandag.step("c"):
            pass
    numbers = [
        (span.attributes["gen_ai.step.name"], span.attributes["spandag.step.number"])
        for span in recorder.steps
    ]
    assert numbers == [("a", 3), ("b", 2), ("a", 3), ("c", 3)]


def test_steps_within_an_attempt_are_counted_within_it(recorder):
    with spandag.run("report"), spandag.phase("control"):
        for attempt in spandag.step("fit").attempts():
            with attempt:
                for name in ("guess", "check"):
                    with spandag.step(name):
                        pass
                attempt.reject() if attempt.number == 1 else None
        with spandag.step("write"):
            pass
    numbers = [
        (span.attributes["gen_ai.step.name"], span.attributes["spandag.step.number"])
        for span in recorder.spans
        if span.attributes["spandag.node.type"] == "step"
    ]
    assert numbers == [("fit", 1), ("guess", 1), ("check", 2)] * 2 + [("write", 2)]


def test_attempts_that_were_made_before_the_run_are_in_it(recorder):
    attempts = spandag.step("fit").attempts()
    with spandag.run("report"), spandag.step("load"):
        for attempt in attempts:
            with attempt:
                pass
    assert recorder.tree() == ["invoke_workflow report", "  run_step load", "    run_step fit"]


def test_one_step_can_be_entered_by_tasks_at_the_same_time(recorder):
    step = spandag.step("load")

    async def task(number: int, entered: asyncio.Event, before: asyncio.Event, after: asyncio.Event) -> None:
        try:
            async with step as attempt:
                attempt.set_attribute("task", number)
                entered.set()
                await before.wait()
                if number == 1:
                    raise ValueError("no")
        except ValueError:
            assert number == 1
        after.set()

    async def main() -> None:
        one, two, first_left, last_left = (asyncio.Event() for _ in range(4))
        # Who enters first leaves first.
        await asyncio.gather(task(1, one, two, first_left), task(2, two, first_left, last_left))

    asyncio.run(main())
    found = {span.attributes["task"]: span.attributes["spandag.attempt.outcome"] for span in recorder.steps}
    assert found == {1: "failed", 2: "accepted"}


def test_a_program_that_ends_within_a_step_has_not_failed_it(recorder):
    with pytest.raises(SystemExit), spandag.run("report"), spandag.step("last"):
        sys.exit(0)
    assert outcomes(recorder) == [(1, "accepted")]
    assert [span.status.status_code.name for span in recorder.spans] == ["UNSET", "UNSET"]


def test_a_program_that_ends_with_an_error_has(recorder):
    with pytest.raises(SystemExit), spandag.run("report"), spandag.step("last"):
        sys.exit(3)
    assert outcomes(recorder) == [(1, "failed")]
    assert [span.status.status_code.name for span in recorder.spans] == ["ERROR", "ERROR"]


def test_a_program_that_ends_after_its_last_rejection_ends(recorder):
    with pytest.raises(SystemExit):
        for attempt in spandag.step("fit").attempts(max_redos=0):
            with attempt:
                attempt.reject("no")
                sys.exit()
    assert outcomes(recorder) == [(1, "rejected")]
    assert recorder.steps[0].attributes["spandag.redo.exhausted"] is True


def test_a_spent_limit_can_be_sent_to_another_process():
    with pytest.raises(spandag.RedoLimitExceeded) as caught:
        for attempt in spandag.step("fit").attempts(max_redos=1):
            with attempt:
                attempt.set_output({"slope": attempt.number} if attempt.number == 2 else lambda: None)
                attempt.reject(f"idea {attempt.number}", requested_by="human")

    sent = pickle.loads(pickle.dumps(caught.value))
    assert str(sent) == str(caught.value)
    assert sent.last_output == {"slope": 2}
    assert [(a.number, a.outcome, a.hypothesis, a.requested_by, a.output) for a in sent.attempts] == [
        (1, "rejected", "idea 1", "human", None),
        (2, "rejected", "idea 2", "human", {"slope": 2}),
    ]
    rejected = pickle.loads(pickle.dumps(spandag.Rejected("idea", requested_by="human")))
    assert (rejected.hypothesis, rejected.requested_by) == ("idea", "human")


def test_a_spent_limit_is_raised_from_the_last_attempt_even_past_break(recorder):
    with pytest.raises(spandag.RedoLimitExceeded) as caught, spandag.run("report"):
        for attempt in spandag.step("fit").attempts(max_redos=1):
            with attempt:
                attempt.set_output(attempt.number * 10)
                attempt.reject("no good", requested_by="human")
            if attempt.number == 2:
                break
    assert str(caught.value) == "step 'fit' was rejected 2 times (max_redos=1); last: no good"
    assert caught.value.last_output == 20
    assert [a.outcome for a in caught.value.attempts] == ["rejected", "rejected"]
    assert outcomes(recorder) == [(1, "rejected"), (2, "rejected")]
    steps = [span for span in recorder.spans if span.name == "run_step fit"]
    assert [span.attributes.get("spandag.redo.exhausted") for span in steps] == [None, True]
    assert [span.status.status_code.name for span in steps] == ["UNSET", "UNSET"]
    run = recorder.named("invoke_workflow report")
    assert run.attributes["error.type"] == "spandag.RedoLimitExceeded"


def test_no_redo_allowed_means_that_the_first_rejection_spends_the_limit():
    with pytest.raises(spandag.RedoLimitExceeded, match="rejected once"):
        for attempt in spandag.step("fit").attempts(max_redos=0):
            with attempt:
                attempt.reject()


def test_a_spent_limit_is_not_called_unresolved(caplog):
    with pytest.raises(spandag.RedoLimitExceeded):
        for attempt in spandag.step("fit").attempts(max_redos=0):
            with attempt:
                attempt.reject()
    assert caplog.records == []


def test_leaving_the_loop_after_a_rejection_is_warned_about(recorder, caplog):
    for attempt in spandag.step("fit").attempts():
        with attempt:
            attempt.reject()
        break
    assert [record.message for record in caplog.records] == [
        "spandag: step 'fit' was left after attempt 1 was rejected; it stays unresolved"
    ]
    assert outcomes(recorder) == [(1, "rejected")]


def test_leaving_the_loop_after_success_is_nothing_special(caplog):
    for attempt in spandag.step("fit").attempts():
        with attempt:
            pass
        break
    assert caplog.records == []


def test_an_exception_fails_the_attempt_and_propagates(recorder):
    error = KeyError("boom")
    with pytest.raises(KeyError) as caught:
        for attempt in spandag.step("fit").attempts():
            with attempt:
                attempt.reject("rejected before it failed")
                raise error
    assert caught.value is error
    assert outcomes(recorder) == [(1, "failed")]


def test_an_exception_caught_outside_ends_the_iteration(recorder):
    for attempt in spandag.step("fit").attempts():
        try:
            with attempt:
                raise KeyError("boom")
        except KeyError:
            pass
    assert outcomes(recorder) == [(1, "failed")]


def test_a_cancelled_attempt_is_cancelled(recorder):
    async def main():
        async with spandag.step("fit"):
            await asyncio.sleep(60)

    async def cancel():
        task = asyncio.create_task(main())
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())
    assert outcomes(recorder) == [(1, "cancelled")]


def test_raising_rejected_in_the_loop_rejects(recorder):
    for attempt in spandag.step("fit").attempts():
        with attempt:
            if attempt.feedback is None:
                raise spandag.Rejected("try again", requested_by="me")
    assert outcomes(recorder) == [(1, "rejected"), (2, "accepted")]
    assert recorder.steps[1].attributes["spandag.redo.requested_by"] == "me"


def test_a_plain_step_that_is_rejected_is_over(recorder):
    with spandag.step("fit") as attempt:
        attempt.reject("no")
    with pytest.raises(spandag.Rejected), spandag.step("fit"):
        raise spandag.Rejected("no")
    assert outcomes(recorder) == [(1, "rejected"), (1, "rejected")]


def test_a_decorated_function_is_called_again_when_it_is_rejected(recorder, capture_content):
    @spandag.step("fit", max_redos=1)
    def fit(data):
        feedback = spandag.current("step").feedback
        if feedback is None:
            raise spandag.Rejected("log space")
        return f"{data} in {feedback}"

    assert fit("planets") == "planets in log space"
    assert outcomes(recorder) == [(1, "rejected"), (2, "accepted")]
    assert [span.attributes["spandag.input"] for span in recorder.steps] == ['{"data":"planets"}'] * 2
    assert recorder.steps[1].attributes["spandag.output"] == '"planets in log space"'


def test_a_decorated_coroutine_is_called_again_when_it_is_rejected(recorder):
    @spandag.step("fit", max_redos=0)
    async def fit():
        raise spandag.Rejected("never good")

    with pytest.raises(spandag.RedoLimitExceeded, match="never good"):
        asyncio.run(fit())
    assert outcomes(recorder) == [(1, "rejected")]


@pytest.mark.parametrize("limit", [2, 0])
def test_a_plain_function_that_gives_something_to_await_is_called_again_when_that_is_rejected(
    recorder, capture_content, limit
):
    calls = []

    async def fit(data):
        with spandag.tool("fit"):
            await asyncio.sleep(0)
        calls.append(spandag.current("step").feedback)
        if len(calls) == 1:
            raise spandag.Rejected("try a power law")
        return len(data)

    @spandag.step("fit", max_redos=limit)
    def plain(data):
        return fit(data)

    async def main():
        with spandag.run("report"):
            awaitable = plain([1, 2])
            assert spandag.current().type == "run"
            with spandag.tool("meanwhile"):
                pass
            result = await awaitable
            assert spandag.current().type == "run"
            return result

    if limit == 0:
        with pytest.raises(spandag.RedoLimitExceeded):
            asyncio.run(main())
        assert outcomes(recorder) == [(1, "rejected")]
        return
    assert asyncio.run(main()) == 2
    assert calls == [None, "try a power law"]
    assert outcomes(recorder) == [(1, "rejected"), (2, "accepted")]
    assert [line.strip() for line in recorder.tree()].count("execute_tool fit") == 2
    assert "    execute_tool fit" in recorder.tree()
    assert "  execute_tool meanwhile" in recorder.tree()
    assert recorder.spans[-2].attributes["spandag.output"] == "2"


def test_what_fails_while_it_is_awaited_fails_the_attempt(recorder):
    async def fit():
        raise ValueError("no")

    with pytest.raises(ValueError):
        asyncio.run(spandag.step("fit")(lambda: fit())())
    assert outcomes(recorder) == [(1, "failed")]


@pytest.mark.filterwarnings("ignore:.*was never awaited")
def test_what_is_never_awaited_ends_all_the_same(recorder):
    async def fit():
        pass

    spandag.step("fit")(lambda: fit())()
    gc.collect()
    assert recorder.tree() == ["invoke_workflow fit", "  run_step fit"]


def test_the_running_step_can_be_rejected_from_below(recorder):
    def review():
        spandag.current("step").reject("deeper", requested_by="inner")

    for attempt in spandag.step("fit").attempts():
        with attempt, spandag.agent("engineer"), spandag.tool("review"):
            if attempt.number == 1:
                review()
    assert outcomes(recorder) == [(1, "rejected"), (2, "accepted")]


def test_redos_nest(recorder):
    for outer in spandag.step("outer").attempts(max_redos=1):
        with outer:
            for inner in spandag.step("inner").attempts(max_redos=1):
                with inner:
                    inner.reject() if inner.number == 1 else None
            outer.reject() if outer.number == 1 else None
    each = ["  run_step outer", "    run_step inner", "    run_step inner"]
    assert recorder.tree() == ["invoke_workflow outer", *each, *each]


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (lambda a: [next(a), next(a)], "never entered"),
        (lambda a: [next(a).__enter__(), next(a)], "still open"),
        (lambda a: next(a).reject(), "not entered"),
        (lambda a: next(a).set_output(1), "not entered"),
    ],
)
def test_misuse_of_the_loop_is_a_runtime_error_with_advice(misuse, message):
    from opentelemetry import context

    before = context.get_current()
    with pytest.raises(RuntimeError, match=message):
        misuse(iter(spandag.step("fit").attempts()))
    context.attach(before)


def test_an_attempt_that_is_over_cannot_be_rejected_or_entered_again():
    with spandag.step("fit") as attempt:
        pass
    with pytest.raises(RuntimeError, match="is over"):
        attempt.reject()
    with pytest.raises(RuntimeError, match="entered before"), attempt:
        pass


def test_a_negative_limit_is_refused():
    with pytest.raises(ValueError, match="max_redos"):
        spandag.step("fit").attempts(max_redos=-1)


def test_steps_work_without_any_tracer_provider(monkeypatch):
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    with spandag.run("report"), spandag.phase("control"):
        for attempt in spandag.step("fit").attempts():
            with attempt:
                if attempt.number == 1:
                    attempt.reject("again")
                assert attempt.node.type == "step"
                assert spandag.current("step") is attempt.node
    assert attempt.number == 2
