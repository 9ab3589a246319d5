"""What is asked about waste of runs that lack spans, and of those that others recorded."""

from __future__ import annotations

import pytest
from spandag_test_databases import connected

import spandag
from spandag import query
from spandag.query import Spent
from spandag.store import schema

from .conftest import Recording, call
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


def test_work_of_an_attempt_whose_span_was_lost_is_thrown_away_with_it(recording: Recording) -> None:
    with spandag.run("torn"):
        for attempt in spandag.step("fit").attempts():
            with attempt, spandag.agent(f"engineer {attempt.number}"):
                call(cost=0.001)
                if attempt.number == 1:
                    attempt.reject("in log space")
    first, _ = query.attempts(recording.store, "fit")
    with connected(recording.url) as connection:
        connection.execute(schema.dag_nodes.delete().where(schema.dag_nodes.c.id == first.node_id))
    fall_behind(recording.url)

    def told() -> tuple[list[str], list[tuple[str, str | None, str | None, int]]]:
        agents = [
            node.name for node in query.path(recording.store, "last").nodes if node.node_type == "agent"
        ]
        [waste] = query.waste(recording.store)
        items = [(i.disposition, i.step_node_id, i.step, i.spent.calls) for i in waste.items]
        return agents, items

    expected = (["engineer 2"], [("superseded", first.node_id, "fit", 1)])
    assert told() == expected
    recording.store.settle()
    assert told() == expected


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
