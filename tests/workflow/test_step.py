"""Steps, attempts and redos."""

from __future__ import annotations

import asyncio

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
    first, second, third = recorder.spans
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
    assert recorder.spans[1].attributes["spandag.redo.requested_by"] == "me"


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
    assert [span.attributes["spandag.input"] for span in recorder.spans] == ['{"data":"planets"}'] * 2
    assert recorder.spans[1].attributes["spandag.output"] == '"planets in log space"'


def test_a_decorated_coroutine_is_called_again_when_it_is_rejected(recorder):
    @spandag.step("fit", max_redos=0)
    async def fit():
        raise spandag.Rejected("never good")

    with pytest.raises(spandag.RedoLimitExceeded, match="never good"):
        asyncio.run(fit())
    assert outcomes(recorder) == [(1, "rejected")]


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
    assert recorder.tree() == ["run_step outer", "  run_step inner", "  run_step inner"] * 2


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
