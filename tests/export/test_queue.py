"""What waits for its rows has a limit in memory, whatever spans hold."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from spandag.config import Settings
from spandag.export import queue
from spandag.export.pipeline import Pipeline
from spandag.export.queue import AT_ONCE, SpanQueue, portions, roughly_sized, size_of

# Made once: to find out where one is takes long.
NOWHERE = Resource({})


def span(number: int, *, text: str = "", ended: bool = True) -> ReadableSpan:
    return ReadableSpan(
        name="s",
        context=SpanContext(1, number, is_remote=False, trace_flags=TraceFlags(1)),
        attributes={"text": text},
        start_time=1,
        end_time=2 if ended else None,
        resource=NOWHERE,
    )


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how long it was waited."""
    slept: list[float] = []
    monkeypatch.setattr(queue.time, "sleep", slept.append)
    return slept


def fill(waiting: SpanQueue, spans: int, text: str = "") -> list[tuple[int, int]]:
    """Bring so many as the pipeline does; gives what was left out."""
    lost = []
    for number in range(1, spans + 1):
        waiting.put(span(number, text=text, ended=number > 1))
        if waiting.is_long():
            lost += waiting.make_room()
    return lost


def test_nobody_waits_for_few_spans(slept: list[float]) -> None:
    waiting = SpanQueue(4_000_000)
    assert fill(waiting, AT_ONCE) == []
    assert not waiting.is_long()
    assert slept == []


@pytest.mark.parametrize("text", ["", "x" * 20_000, "x" * 200_000])
def test_rows_are_made_long_before_anybody_has_to_wait(slept: list[float], text: str) -> None:
    waiting = SpanQueue(4_000_000)
    while not waiting.is_long():
        waiting.put(span(1, text=text))
    early = len(waiting)
    while not slept:
        waiting.put(span(1, text=text))
        waiting.make_room()
    assert len(waiting) > 1.8 * early


def test_who_brings_large_spans_waits_sooner_and_longer(slept: list[float]) -> None:
    waits = {}
    for length in (0, 100_000, 5_000_000):
        waiting = SpanQueue(4_000_000)
        slept.clear()
        while not slept:
            fill(waiting, 1, "x" * length)
            waiting.put(span(1, text="x" * length))
            if waiting.is_long():
                waiting.make_room()
        first = len(waiting)
        fill(waiting, 200, "x" * length)
        waits[length] = (first, slept[-1])
    (small, shortly), (large, longer), (huge, longest) = waits.values()
    assert small > 1_000 > large > huge
    assert shortly < longer <= longest < 0.1


def test_who_goes_on_all_the_same_waits_ever_longer(slept: list[float]) -> None:
    assert fill(SpanQueue(4_000_000), 600, "x" * 50_000) == []
    assert slept == sorted(slept)
    assert slept[-1] > 3 * slept[len(slept) // 2]


def test_one_large_span_holds_up_nobody(slept: list[float]) -> None:
    waiting = SpanQueue(4_000_000)
    waiting.put(span(1, text="x" * 10_000_000))
    assert waiting.is_long()
    fill(waiting, 1_000)
    assert slept == []
    for _ in waiting.take():
        pass
    assert waiting.bytes == 0


def test_what_a_span_that_goes_on_holds_the_program_holds(slept: list[float]) -> None:
    waiting = SpanQueue(4_000_000)
    for number in range(1, 1_000):
        waiting.put(span(number, text="x" * 100_000, ended=False))
    assert not waiting.is_long()


def test_where_nobody_makes_rows_the_oldest_are_left_out(slept: list[float]) -> None:
    waiting = SpanQueue(40_000_000)
    # The first has not ended: its end will bring it again.
    assert fill(waiting, 20_000) == [(1, number) for number in range(2, 20_001 - len(waiting))]
    assert len(waiting) < 20_000
    assert waiting.bytes == sum(size for _, size in waiting.take())


def test_a_batch_is_of_so_many_spans_or_so_many_bytes() -> None:
    few = list(portions([(span(number), 10) for number in range(1, AT_ONCE + 2)], 10**9))
    assert [len(portion) for portion in few] == [AT_ONCE, 1]
    large = list(portions([(span(number), 10_000) for number in range(1, 8)], 30_000))
    assert [len(portion) for portion in large] == [3, 3, 1]


def test_an_export_of_long_texts_is_of_several_batches() -> None:
    exported = [span(number, text="x" * 100_000) for number in range(1, 101)]
    made = list(portions(roughly_sized(exported), 1_000_000))
    assert sum(map(len, made)) == 100
    assert max(map(len, made)) <= 16


def test_of_a_span_that_has_started_and_ended_the_end_counts() -> None:
    started, ended = span(1, ended=False), span(1)
    assert list(portions([(started, 1), (ended, 1)], 10**6)) == [{(1, 1): ended}]


def test_spans_that_come_while_others_are_taken_are_left_for_the_next_time() -> None:
    waiting = SpanQueue(10**6)
    waiting.put(span(1))
    for _ in waiting.take():
        waiting.put(span(2))
    assert len(waiting) == 1


def test_room_that_is_made_meanwhile_ends_the_taking() -> None:
    waiting = SpanQueue(10**6)
    waiting.put(span(1))
    waiting.put(span(2))
    taken = waiting.take()
    next(taken)
    assert [len(list(waiting.take())), list(taken)] == [1, []]


def test_lists_and_events_count_and_what_cannot_be_read_is_taken_for_small() -> None:
    class Odd(ReadableSpan):
        @property
        def events(self) -> tuple[object, ...]:  # type: ignore[override]
            raise RuntimeError("not to be read")

    plain = size_of(span(1))
    assert size_of(ReadableSpan("s", attributes={"texts": ("x" * 500, "y" * 500)})) == plain + 1_000
    told = Event("e", {"message": "x" * 700})
    assert size_of(ReadableSpan("s", events=[told])) == plain + 700
    assert size_of(Odd("s", attributes={"text": "x" * 500})) == plain


def test_who_comes_before_rows_are_made_at_all_has_to_make_room_as_well(tmp_path: Path) -> None:
    pipeline = Pipeline(Settings.load({}, url=str(tmp_path / "runs.db"), spool=tmp_path / "spool"))
    with pipeline._draining:
        # The thread starts with these, and gets no further.
        pipeline._queue.put(span(1))
        pipeline._queue.put(span(2))
        pipeline.add(span(3))
        until = time.monotonic() + 10
        while pipeline._idle and time.monotonic() < until:
            time.sleep(0.01)
        assert not pipeline._idle
    pipeline.close(10)


def test_an_export_waits_once_however_many_spans_it_brings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has to end in its time."""
    pipeline = Pipeline(Settings.load({}, url=str(tmp_path / "runs.db"), spool=tmp_path / "spool"))
    waits: list[int] = []
    make_room = pipeline._queue.make_room

    def note() -> list[tuple[int, int]]:
        waits.append(len(pipeline._queue))
        return make_room()

    monkeypatch.setattr(pipeline._queue, "make_room", note)
    with pipeline._draining:
        pipeline.add(span(1))
        until = time.monotonic() + 10
        while pipeline._idle and time.monotonic() < until:
            time.sleep(0.01)
        pipeline.export([span(number, text="x" * 100_000) for number in range(2, 302)], 0.1, is_live=True)
        assert len(waits) == 1
    pipeline.close(30)
