"""A run is derived when it ends, and otherwise now and then, so that deriving never costs more than writing."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from spandag.semconv import NodeType
from spandag.store import RunRows, Writer, open_store, schema, settling
from spandag.store.derive import Derived
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
    assert schedule.pending() == ["a", "b"]
    assert schedule.next_due() == "a"
    assert schedule.pending() == ["b"]
    assert schedule.is_behind()


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


def test_a_large_run_is_left_to_those_who_have_the_time(schedule: Schedule) -> None:
    schedule.touched(["a", "b"], ["a", "b"])
    assert not schedule.is_due(large=True)
    assert schedule.next_due(large=False) == "a"
    schedule.found_large("a")
    assert schedule.next_due(large=False) == "b"
    schedule.derived("b", 0.1)
    assert not schedule.is_due(large=False)
    assert schedule.pending() == ["a"]
    assert schedule.next_due(large=True) == "a"
    schedule.derived("a", 10)
    assert not schedule.is_behind()


@pytest.mark.parametrize("ended", [False, True])
def test_what_comes_while_a_run_is_derived_is_derived_later(
    schedule: Schedule, clock: Clock, ended: bool
) -> None:
    schedule.touched({"a"})
    assert schedule.next_due() == "a"
    schedule.touched({"a"}, {"a"} if ended else ())
    # Not by two at once.
    assert not schedule.is_due()
    assert not schedule.begin("a")
    schedule.derived("a", 0.0)
    assert schedule.is_due() is ended
    clock.now += PAUSE_S
    assert schedule.next_due() == "a"
    schedule.derived("a", 0.0)
    assert not schedule.is_behind()


def test_an_end_that_could_not_be_derived_is_due_as_an_end(schedule: Schedule, clock: Clock) -> None:
    schedule.touched({"a"}, {"a"})
    assert schedule.next_due() == "a"
    schedule.failed("a", 5.0)
    clock.now += PAUSE_S
    assert not schedule.is_due()
    clock.now += 50
    schedule.touched({"b"})
    schedule.touched({"a"})
    assert schedule.next_due() == "a"


def test_large_runs_have_a_budget_of_their_own(schedule: Schedule, clock: Clock) -> None:
    schedule.touched(["large", "small"])
    assert schedule.next_due(large=False) == "large"
    schedule.found_large("large")
    assert schedule.next_due(large=True) == "large"
    schedule.derived("large", 20)
    assert schedule.next_due(large=False) == "small"
    schedule.derived("small", 0.1)
    schedule.touched(["large", "small"])
    clock.now += 5
    assert not schedule.is_due(large=True)
    assert schedule.next_due(large=False) == "small"
    clock.now += 200
    assert schedule.is_due(large=True)


def test_what_others_have_left_is_derived_in_the_budget_and_not_waited_for(
    schedule: Schedule, clock: Clock
) -> None:
    schedule.touched(["ours"])
    schedule.adopted(["ours", "theirs", "theirs as well"])
    assert schedule.pending() == ["ours"]
    assert schedule.pending(adopted=True) == ["theirs", "theirs as well"]
    assert schedule.next_due() == "ours"
    assert schedule.is_deriving()
    schedule.derived("ours", 0.0)
    assert schedule.next_due() == "theirs"
    assert not schedule.is_deriving()
    schedule.derived("theirs", 0.0, is_behind=True)
    assert schedule.pending(adopted=True) == ["theirs", "theirs as well"]
    # What is written of it is ours to derive.
    schedule.touched(["theirs as well"])
    assert schedule.pending() == ["theirs as well"]


def test_what_is_being_derived_is_not_forgotten(schedule: Schedule, clock: Clock) -> None:
    schedule.touched(["a"])
    assert schedule.next_due() == "a"
    clock.now += 10
    schedule.touched([f"run {number}" for number in range(2_000)])
    assert schedule.is_behind()
    schedule.derived("a", 0.0)
    schedule.touched(["a"])
    assert not schedule.begin("b")
    clock.now += 10
    assert schedule.begin("a")


def test_its_end_does_not_wait_for_the_two_seconds(schedule: Schedule, clock: Clock) -> None:
    schedule.touched({"a"})
    assert schedule.next_due() == "a"
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
        assert schedule.next_due() == f"run {number}"
        schedule.derived(f"run {number}", 0.0)
        clock.now += 1
    assert schedule.next_due() is None
    assert schedule.pending() == []
    assert len(schedule._runs) <= 1001


def test_what_failed_stays_due_but_not_at_once(schedule: Schedule, clock: Clock) -> None:
    schedule.touched({"a", "b"}, {"a"})
    assert schedule.next_due() == "a"
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
    monkeypatch.setattr("spandag.store.derivations.Schedule", lambda: Schedule(clock))
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
