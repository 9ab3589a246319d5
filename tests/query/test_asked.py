"""Questions that make no sense are told so, on every database alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from spandag import query
from spandag.query import QueryError
from spandag.query.trajectories import agents
from spandag.store import Store

from .conftest import Recording, kepler

WITH_A_LIMIT: list[Callable[[Store, Any], object]] = [
    lambda store, limit: query.runs(store, limit=limit),
    lambda store, limit: query.sessions(store, limit=limit),
    lambda store, limit: query.redos(store, limit=limit),
    lambda store, limit: query.unresolved(store, limit=limit),
    lambda store, limit: query.waste(store, limit=limit),
    lambda store, limit: query.search(store, "x", limit=limit),
    lambda store, limit: query.diff(store, "last", "last", limit=limit),
    lambda store, limit: query.recent_trajectories(store, "planner", limit),
    agents,
]


@pytest.fixture
def store(recording: Recording) -> Store:
    kepler()
    return recording.store


def refusal(ask: Callable[..., object], *args: Any, **named: Any) -> str:
    """What is said instead of an answer."""
    with pytest.raises(QueryError) as error:
        ask(*args, **named)
    return str(error.value)


def test_a_limit_is_a_number_of_answers(store: Store) -> None:
    for ask in WITH_A_LIMIT:
        for limit in (-1, "5", 2.5):
            said = refusal(ask, store, limit)
            assert said.startswith(f"the limit is {limit!r}; give a whole number from ")


def test_no_answer_at_all_can_be_asked_for_but_not_searched_for(store: Store) -> None:
    assert query.runs(store, limit=0) == []
    assert query.redos(store, limit=0) == []
    assert query.recent_trajectories(store, "planner", 0) == []
    assert refusal(query.search, store, "x", limit=0) == "the limit is 0; give a whole number from 1 on"


def test_what_is_asked_for_is_named_by_a_text(store: Store) -> None:
    of_runs: list[Callable[..., object]] = [
        query.show,
        query.tree,
        query.path,
        query.timeline,
        query.replay,
        query.strip,
        query.root_cause,
        query.lineage,
    ]
    for ask in of_runs:
        assert refusal(ask, store, None) == "a run is named by a text, not by None"
    assert refusal(query.node, store, 7) == "a node is named by a text, not by 7"
    assert refusal(query.attempts, store, None) == "a step is named by a text, not by None"
    assert refusal(query.diff, store, None, "last") == "a side is named by a text, not by None"
    assert refusal(query.recent_trajectories, store, None) == "an agent is named by a text, not by None"


def test_answers_are_told_by_what_there_is(store: Store) -> None:
    known = "known are step, agent, model"
    assert refusal(query.rates, store, by="hour") == f"there is no way to tell them by 'hour'; {known}"
    assert refusal(query.waste, store, by=None) == f"there is no way to tell it by None; {known}"
    assert refusal(query.costs, store, by="hour") == (
        "there is no way to sum them by 'hour'; known are agent, model, session, day, run"
    )


def test_today_is_the_least_of_days(store: Store) -> None:
    for ask in (query.rates, query.costs):
        assert refusal(ask, store, days=0) == "the number of days is 0; give a whole number from 1 on"
        assert query.rates(store, days=1) != []
