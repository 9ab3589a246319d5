"""A run is derived when it ends, and otherwise now and then, so that deriving never costs more than writing."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from spandag.semconv import NodeType
from spandag.store import RunRows, Writer, open_store, schema, settling
from spandag.store.derive import Derived
from spandag.store.schedule import LONG_S, PAUSE_S, Schedule


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
    assert schedule.next_due() == "a"
    assert schedule.pending() == ["a", "b"]


def test_a_run_that_goes_on_is_due_at_its_start_and_every_two_seconds(
    schedule: Schedule, clock: Clock
) -> None:
    for _ in range(3):
        schedule.touched({"a"})
        assert schedule.next_due() == "a"
        schedule.derived("a", 0.0)
        schedule.touched({"a"})
        assert schedule.next_due() is None
        clock.now += PAUSE_S


def test_a_large_run_that_goes_on_waits_for_its_end(schedule: Schedule, clock: Clock) -> None:
    """Whoever derives it keeps what ends meanwhile from being stored."""
    schedule.touched({"a", "b"})
    schedule.derived("a", 2 * LONG_S)
    schedule.derived("b", LONG_S / 2)
    schedule.touched({"a", "b"})
    clock.now += 1_000
    assert schedule.next_due() == "b"
    schedule.derived("b", LONG_S / 2)
    clock.now += 1_000
    assert schedule.next_due() is None
    assert schedule.pending() == ["a"]
    schedule.touched({"a"}, {"a"})
    assert schedule.next_due() == "a"
    schedule.derived("a", 2 * LONG_S)
    # What comes late is derived in the budget.
    schedule.touched({"a"})
    clock.now += 1_000
    assert schedule.next_due() == "a"


def test_its_end_does_not_wait_for_the_two_seconds(schedule: Schedule, clock: Clock) -> None:
    schedule.touched({"a"})
    schedule.derived("a", 0.1)
    schedule.touched({"a"}, {"a"})
    assert schedule.next_due() == "a"


def test_a_run_whose_every_span_is_an_end_is_derived_now_and_then(schedule: Schedule, clock: Clock) -> None:
    derivations = 0
    for _ in range(100):
        schedule.touched({"a"}, {"a"})
        while (run_id := schedule.next_due()) is not None:
            derivations += 1
            schedule.derived(run_id, 0.01)
        clock.now += 0.1
    assert derivations == 10 / PAUSE_S


@pytest.mark.parametrize(("runs", "seconds"), [(1, 0.25), (20, 0.1), (200, 0.01), (1000, 0.003)])
def test_derivations_without_an_end_take_a_tenth_of_the_time(
    schedule: Schedule, clock: Clock, runs: int, seconds: float
) -> None:
    """However many runs there are."""
    names = {f"run {number}" for number in range(runs)}
    began, spent = clock.now, 0.0
    while clock.now < began + 500:
        schedule.touched(names)
        while (run_id := schedule.next_due()) is not None:
            clock.now += seconds
            spent += seconds
            schedule.derived(run_id, seconds)
        clock.now += 0.1
    assert 0.02 < spent / (clock.now - began) < 0.11


def test_what_has_no_news_is_never_due_and_forgotten(schedule: Schedule, clock: Clock) -> None:
    for number in range(10_000):
        schedule.touched({f"run {number}"}, {f"run {number}"})
        schedule.derived(f"run {number}", 0.0)
        clock.now += 1
    assert schedule.next_due() is None
    assert schedule.pending() == []
    assert len(schedule._runs) <= 1001


def test_what_failed_stays_due_but_not_at_once(schedule: Schedule, clock: Clock) -> None:
    schedule.touched({"a", "b"}, {"a"})
    schedule.failed("a", 0.0)
    assert schedule.next_due() == "b"
    schedule.derived("b", 0.0)
    assert schedule.next_due() is None
    assert schedule.pending() == ["a"]
    clock.now += PAUSE_S
    assert schedule.next_due() == "a"


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
    derived = []
    for number in range(3):
        story.span(NodeType.AGENT, f"agent {number}", 1, 2, parent=run)
        writer.write(story.batch())
        derived += versions(store_url)
        clock.now += PAUSE_S * number
    assert derived == [(1, 1), (2, 1), (3, 3)]
    writer.close()


def test_one_run_that_cannot_be_derived_stops_no_other(
    story: Any, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPANDAG_STRICT")
    derive = settling.derive
    broken: list[str] = []

    def sometimes(rows: RunRows) -> Derived:
        if rows.run.id in broken:
            raise ValueError("a bug")
        return derive(rows)

    monkeypatch.setattr(settling, "derive", sometimes)
    writer = Writer(store_url)
    for name in ("one", "two", "three"):
        story.span(NodeType.RUN, name, 0, 9)
    batch = story.batch()
    broken.append(min(batch.run_ids))
    writer.write(batch)
    writer.close()
    assert sorted(versions(store_url)) == [(1, 0), (1, 1), (1, 1)]
    broken.clear()
    # Whoever writes next takes it over.
    following = Writer(store_url)
    following.adopt()
    following.catch_up()
    assert versions(store_url) == [(1, 1)] * 3
    following.close()
