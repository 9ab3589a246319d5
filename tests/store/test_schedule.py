"""A run is derived when it ends, and otherwise now and then, so that deriving never costs more than writing."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from spandag.semconv import NodeType
from spandag.store import Writer, open_store, schema
from spandag.store.schedule import PAUSE_S, Schedule


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def schedule(clock: Clock) -> Schedule:
    return Schedule(clock)


def test_a_run_that_ends_is_due_at_once(schedule: Schedule) -> None:
    schedule.touched({"a", "b"}, {"a"})
    assert schedule.due() == ["a"]
    assert schedule.pending() == ["a", "b"]


def test_a_run_that_goes_on_is_due_every_two_seconds(schedule: Schedule, clock: Clock) -> None:
    for _ in range(3):
        schedule.touched({"a"}, ())
        assert schedule.due() == []
        clock.now += PAUSE_S
        assert schedule.due() == ["a"]
        schedule.derived("a", 0.0)


def test_its_end_does_not_wait_for_the_two_seconds(schedule: Schedule, clock: Clock) -> None:
    schedule.touched({"a"}, ())
    clock.now += PAUSE_S
    schedule.derived("a", 0.1)
    schedule.touched({"a"}, {"a"})
    assert schedule.due() == ["a"]


def test_a_run_whose_every_span_is_an_end_is_derived_now_and_then(schedule: Schedule, clock: Clock) -> None:
    derivations = 0
    for _ in range(100):
        schedule.touched({"a"}, {"a"})
        for run_id in schedule.due():
            derivations += 1
            schedule.derived(run_id, 0.01)
        clock.now += 0.1
    assert derivations == 10 / PAUSE_S


def test_derivations_without_an_end_take_a_tenth_of_the_time(schedule: Schedule, clock: Clock) -> None:
    """However many runs there are."""
    runs = {f"run {number}" for number in range(20)}
    began, spent = clock.now, 0.0
    for _ in range(2000):
        schedule.touched(runs, ())
        due = schedule.due()
        if due:
            clock.now += 0.5
            spent += 0.5
            schedule.derived(due[0], 0.5)
        clock.now += 0.1
    assert 0.05 < spent / (clock.now - began) <= 0.1


def test_what_has_no_news_is_never_due_and_forgotten(schedule: Schedule, clock: Clock) -> None:
    schedule.touched({"a"}, {"a"})
    schedule.derived("a", 0.0)
    clock.now += 1000
    assert schedule.due() == []
    assert schedule.pending() == []
    assert schedule._runs == {}


def versions(store_url: str) -> list[tuple[int, int]]:
    runs = schema.workflow_runs.c
    with open_store(store_url) as store, store.connection() as connection:
        return [tuple(row) for row in connection.execute(select(runs.facts_version, runs.derived_version))]


def test_latecomers_of_an_ended_run_are_derived_by_the_end_of_the_writer(
    story: Any, writer: Writer, store_url: str
) -> None:
    run = story.span(NodeType.RUN, "r", 0, 9)
    writer.write(story.batch())
    assert versions(store_url) == [(1, 1)]
    story.exporter.clear()
    for number in range(5):
        story.span(NodeType.AGENT, f"late {number}", 1, 2, parent=run)
        writer.write(story.batch())
        story.exporter.clear()
    assert versions(store_url) == [(6, 1)]
    writer.close()
    assert versions(store_url) == [(6, 6)]


def test_a_run_that_goes_on_is_derived_as_well(
    story: Any, store_url: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr("spandag.store.writer.Schedule", lambda: Schedule(clock))
    writer = Writer(store_url)
    run = story.start(NodeType.RUN, "r", 0)
    story.span(NodeType.AGENT, "first", 1, 2, parent=run)
    writer.write(story.batch())
    assert versions(store_url) == [(1, 0)]
    clock.now += PAUSE_S
    story.span(NodeType.AGENT, "second", 3, 4, parent=run)
    writer.write(story.batch())
    assert versions(store_url) == [(2, 2)]
    writer.close()
