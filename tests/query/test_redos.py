from __future__ import annotations

import pytest
from opentelemetry import trace

import spandag
from spandag import query, semconv
from spandag.query import Spent
from spandag.query.as_json import as_json

from .conftest import Recording, call, kepler


def test_two_redos_that_claim_the_same_number_are_told_apart(recording: Recording) -> None:
    """Two processes that go on from the same attempt do not know of each other."""
    with spandag.run("r"), spandag.step("fit") as first:
        span = trace.get_current_span()
        first.reject("try again")
    step_id = format(span.get_span_context().span_id, "016x")
    context = trace.set_span_in_context(span)
    tracer = recording.provider.get_tracer("spandag.elsewhere")
    for reviewer in ("ann", "bob"):
        attributes = {
            semconv.SPANDAG_NODE_TYPE: "step",
            semconv.GEN_AI_STEP_NAME: "fit",
            semconv.SPANDAG_STEP_ID: step_id,
            semconv.SPANDAG_STEP_ATTEMPT: 2,
            semconv.SPANDAG_REDO_REQUESTED_BY: reviewer,
            semconv.USER_ID: reviewer,
        }
        tracer.start_span("fit", context=context, attributes=attributes).end()

    redos = query.redos(recording.store, "last")

    assert [redo.requested_by for redo in redos] == ["ann", "bob"]
    assert [redo.before.node_id for redo in redos if redo.before] == [step_id, step_id]
    for redo in redos:
        assert redo.after is not None
        assert redo.branch_node_id == f"bp:{redo.after.node_id}"


def test_a_redo_is_told_with_the_attempts_before_and_after(recording: Recording) -> None:
    run_id = kepler()

    [redo] = query.redos(recording.store)

    assert (redo.run_id, redo.run_name, redo.phase, redo.step, redo.step_number) == (
        run_id,
        "kepler",
        "control",
        "fit",
        2,
    )
    assert (redo.number, redo.branch_name, redo.hypothesis, redo.requested_by, redo.status) == (
        1,
        "redo_1",
        "fit in log space",
        "reviewer",
        "accepted",
    )
    before, after = redo.before, redo.after
    assert before is not None
    assert after is not None
    assert (before.node_id, before.attempt, before.outcome, before.spent) == (
        redo.source_node_id,
        1,
        "rejected",
        Spent(1, 2000, 300, 0.002, 0),
    )
    assert (after.attempt, after.outcome, after.spent) == (2, "accepted", Spent(1, 2000, 300, 0.004, 0))
    assert redo.branch_node_id == f"bp:{after.node_id}"


def test_redos_of_a_spent_limit_follow_each_other(recording: Recording) -> None:
    with spandag.run("r"), pytest.raises(spandag.RedoLimitExceeded):
        for attempt in spandag.step("s").attempts(max_redos=2):
            with attempt:
                call()
                attempt.reject(hypothesis=f"h{attempt.number}")

    found = query.redos(recording.store, "last")

    assert [(r.branch_name, r.hypothesis, r.status) for r in found] == [
        ("redo_1", "h1", "rejected"),
        ("redo_2", "h2", "exhausted"),
    ]
    assert [(r.before.attempt, r.after.attempt) for r in found if r.before and r.after] == [(1, 2), (2, 3)]


def test_redos_of_all_runs_come_newest_run_first(recording: Recording) -> None:
    first, second = kepler(), kepler()
    with spandag.run("without"):
        pass

    assert [redo.run_id for redo in query.redos(recording.store)] == [second, first]
    assert [redo.run_id for redo in query.redos(recording.store, limit=1)] == [second]
    assert [redo.run_id for redo in query.redos(recording.store, first)] == [first]
    assert query.redos(recording.store, "last") == []


def test_json_has_the_columns_of_the_store(recording: Recording) -> None:
    kepler()

    [redo] = as_json(query.redos(recording.store))

    assert set(redo) == {
        "run_id",
        "run_name",
        "phase",
        "step",
        "step_number",
        "branch_node_id",
        "source_node_id",
        "number",
        "branch_name",
        "hypothesis",
        "requested_by",
        "status",
        "started_at",
        "ended_at",
        "before",
        "after",
    }
    assert set(redo["after"]) == {
        "node_id",
        "attempt",
        "status",
        "outcome",
        "started_at",
        "ended_at",
        "error_type",
        "error_message",
        "calls",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "unpriced_calls",
    }
