"""What is asked about waste of runs that lack spans, and of those that others recorded."""

from __future__ import annotations

import pytest

from spandag import query
from spandag.query import Spent

from .conftest import Recording
from .stories import fall_behind, foreign, redo_without_its_original


@pytest.mark.parametrize("behind", [False, True])
def test_a_redo_whose_original_never_arrived(recording: Recording, behind: bool) -> None:
    original = redo_without_its_original(recording.tracer)
    recording.store.settle()
    if behind:
        fall_behind(recording.url)
    store = recording.store

    [waste] = query.waste(store)
    [item] = waste.items
    [step] = query.unresolved(store)
    [rate] = query.rates(store)
    [by_agent] = query.rates(store, by="agent")
    [trajectory] = query.recent_trajectories(store, "engineer")

    assert (item.disposition, item.step_node_id, item.step) == ("abandoned", original, "fit")
    assert item.spent == Spent(1, 1000, 100, 0.001, 0)
    assert [(why.attempt, why.outcome) for why in item.reasons] == [(2, "rejected")]
    assert (step.step_node_id, step.step, step.attempts) == (original, "fit", 2)
    assert (rate.steps, rate.attempts, rate.redos, rate.first_success_rate, rate.redo_success_rate) == (
        1,
        1,
        1,
        None,
        0.0,
    )
    assert (by_agent.agent_name, by_agent.redos) == ("engineer", 1)
    assert (trajectory.step, trajectory.attempt, trajectory.outcome) == ("fit", 2, "rejected")


@pytest.mark.parametrize("behind", [False, True])
def test_a_run_that_another_instrumentation_recorded(recording: Recording, behind: bool) -> None:
    foreign(recording.tracer)
    recording.store.settle()
    if behind:
        fall_behind(recording.url)
    store = recording.store

    assert query.waste(store) == query.unresolved(store) == query.rates(store) == []
    [cost] = query.costs(store)
    assert (cost.agent_name, cost.spent) == ("stranger", Spent(1, 30, 4, None, 1))
    [trajectory] = query.recent_trajectories(store, "stranger")
    assert (trajectory.step, trajectory.spent.calls) == (None, 1)
    assert [(action.name, action.status) for action in trajectory.actions] == [("look", "failed")]
    found = query.root_cause(store, "last")
    assert found.cause is not None
    assert (found.cause.name, found.cause.agent_name, found.cause.failed_the_run) == (
        "look",
        "stranger",
        False,
    )
    [only] = query.lineage(store, "last").runs
    assert only.run.name == "stranger"
