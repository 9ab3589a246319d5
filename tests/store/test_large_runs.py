"""What follows from a large run is written a part at a time, between which others write."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from spandag_test_databases import Tables
from sqlalchemy import func, select

from spandag.export.handed import key_of
from spandag.export.project import project
from spandag.store import RunRows, Writer, open_store, schema, settling
from spandag.store.connect import open_database
from spandag.store.derive import Derived
from spandag.store.prune import prune

ReadTables = Callable[[str], Tables]


@pytest.fixture(autouse=True)
def every_run_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "LARGE", 0)
    monkeypatch.setattr(settling, "_ROWS_AT_ONCE", 3)
    monkeypatch.setattr(settling, "_PAUSE", 0.0)


@pytest.fixture
def whole(
    new_store_url: Callable[[], str],
    redone_run: list[ReadableSpan],
    read_tables: ReadTables,
    monkeypatch: pytest.MonkeyPatch,
) -> Tables:
    """The tables of the same run where it is not large, and came at once."""
    url = new_store_url()
    with monkeypatch.context() as patched:
        patched.setattr(settling, "LARGE", 1_000)
        writer = Writer(url)
        writer.write(project(redone_run))
        writer.close()
    return read_tables(url)


@pytest.fixture
def after_the_first_part(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], list[Any]]:
    """Call it with what is to happen once, while others have their turn; gives the parts that are written."""

    def arrange(event: Callable[[], Any]) -> list[Any]:
        write, parts, events = settling._write, [], [event]

        def note(connection: Any, changes: Any) -> None:
            write(connection, changes)
            parts.append(changes)

        def pause(seconds: float) -> None:
            if events:
                events.pop()()

        monkeypatch.setattr(settling, "_write", note)
        monkeypatch.setattr(settling.time, "sleep", pause)
        return parts

    return arrange


@pytest.mark.parametrize("seed", range(4))
def test_it_makes_no_difference_to_the_tables(
    seed: int, store_url: str, redone_run: list[ReadableSpan], read_tables: ReadTables, whole: Tables
) -> None:
    choose = random.Random(seed)
    spans = choose.sample(redone_run, len(redone_run))
    cuts = sorted(choose.sample(range(1, len(spans)), 4))
    writer = Writer(store_url)
    for start, end in zip([0, *cuts], [*cuts, len(spans)], strict=True):
        writer.write(project(spans[start:end]))
        writer.settle()
    writer.close()
    assert read_tables(store_url) == whole


@pytest.fixture
def late_facts(
    store_url: str, redone_run: list[ReadableSpan], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], list[int]]]:
    """Call it to have another process write a span during the next derivation; gives how many nodes each was of."""
    latecomer, derive = Writer(store_url), settling.derive

    def arrange() -> list[int]:
        late, derivations = [redone_run[3]], []

        def derive_slowly(rows: RunRows) -> Derived:
            derivations.append(len(rows.nodes))
            if late:
                latecomer.write(project([late.pop()]), derive=False)
            return derive(rows)

        monkeypatch.setattr(settling, "derive", derive_slowly)
        return derivations

    yield arrange
    latecomer.close()


def test_facts_that_arrive_meanwhile_leave_it_behind_until_it_is_derived_again(
    store_url: str,
    redone_run: list[ReadableSpan],
    read_tables: ReadTables,
    late_facts: Callable[[], list[int]],
    whole: Tables,
) -> None:
    writer, derivations = Writer(store_url), late_facts()
    writer.write(project([span for span in redone_run if span is not redone_run[3]]))
    assert len(derivations) == 1
    # Who had it derived knows that it is to be derived again, whoever has written since.
    assert writer.is_behind()
    writer.close()
    assert len(derivations) == 2
    assert writer.settle() == 0
    assert read_tables(store_url) == whole
    writer.close()


def test_whoever_settles_waits_for_what_came_meanwhile(
    store_url: str, redone_run: list[ReadableSpan], late_facts: Callable[[], list[int]]
) -> None:
    writer = Writer(store_url)
    writer.write(project([span for span in redone_run if span is not redone_run[3]]), derive=False)
    derivations = late_facts()
    assert writer.settle() == 1
    assert len(derivations) == 2
    assert derivations[0] < derivations[1]
    assert writer.settle() == 0
    writer.close()


def test_where_somebody_else_derives_it_meanwhile_the_rest_is_left(
    store_url: str,
    redone_run: list[ReadableSpan],
    read_tables: ReadTables,
    after_the_first_part: Callable[[Callable[[], Any]], list[Any]],
    whole: Tables,
) -> None:
    writer, other = Writer(store_url), Writer(store_url)
    writer.write(project([span for span in redone_run if span is not redone_run[3]]), derive=False)
    written: list[int] = []

    def derive_all() -> None:
        other.write(project([redone_run[3]]), derive=False)
        assert other.settle() == 1
        written.append(len(parts))

    parts = after_the_first_part(derive_all)
    writer.settle()
    assert [len(parts)] == written
    assert writer.settle() == 0
    assert read_tables(store_url) == whole
    for done in (writer, other):
        done.close()


def test_of_two_that_derive_at_once_none_undoes_what_the_other_has_done(
    store_url: str,
    redone_run: list[ReadableSpan],
    read_tables: ReadTables,
    monkeypatch: pytest.MonkeyPatch,
    whole: Tables,
) -> None:
    """One has read before the last facts came, the other after; each writes a part while the other has not finished."""
    first, second = Writer(store_url), Writer(store_url)
    parents = {span.parent.span_id for span in redone_run if span.parent is not None}
    # With it, what is below it has other places.
    late = next(span for span in redone_run if span.parent is not None and key_of(span)[1] in parents)
    first.write(project([span for span in redone_run if span is not late]), derive=False)
    changed = threading.Condition()
    parts = {"first": 0, "second": 0}
    steps: set[str] = set()
    derive = settling.derive

    def wait_for(condition: Callable[[], bool]) -> None:
        # Where one of them has been stopped, the other goes on after a while.
        with changed:
            changed.wait_for(condition, 1)

    def reach(step: str) -> None:
        with changed:
            steps.add(step)
            changed.notify_all()

    def settle_second() -> None:
        second.write(project([late]), derive=False)
        second.settle()
        reach("second is done")

    def derive_in_turn(rows: RunRows) -> Derived:
        derived = derive(rows)
        if not steps and threading.current_thread() is not others:
            reach("first has read")
            others.start()
            wait_for(lambda: parts["second"] >= 1)
        return derived

    def pause(seconds: float) -> None:
        me = "second" if threading.current_thread() is others else "first"
        with changed:
            parts[me] += 1
            changed.notify_all()
        if me == "second" and parts[me] == 1:
            wait_for(lambda: parts["first"] >= 2)
        elif me == "first" and parts[me] == 2:
            wait_for(lambda: "second is done" in steps)

    others = threading.Thread(target=settle_second)
    monkeypatch.setattr(settling, "derive", derive_in_turn)
    monkeypatch.setattr(settling.time, "sleep", pause)
    # What follows for nodes is the first part, what follows for edges the second.
    monkeypatch.setattr(settling, "_ROWS_AT_ONCE", 1_000)
    first.settle()
    others.join()
    # It may still be behind, but not wrong.
    first.settle()
    assert read_tables(store_url) == whole
    for done in (first, second):
        done.close()


def test_what_was_killed_in_the_midst_is_begun_anew(
    store_url: str,
    redone_run: list[ReadableSpan],
    read_tables: ReadTables,
    after_the_first_part: Callable[[Callable[[], Any]], list[Any]],
    whole: Tables,
) -> None:
    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    writer, following = Writer(store_url), Writer(store_url)
    writer.write(project(redone_run), derive=False)
    after_the_first_part(kill)
    with pytest.raises(Killed):
        writer.settle()
    assert following.settle() == 1
    assert following.settle() == 0
    assert read_tables(store_url) == whole
    for done in (writer, following):
        done.close()


@pytest.mark.parametrize("backend", ["sqlite"])
def test_others_have_their_turn_for_as_long_as_a_part_takes(
    store_url: str, redone_run: list[ReadableSpan], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite tells nobody that its lock is free."""
    write, took, pauses = settling._write, 0.05, []

    def slowly(connection: Any, changes: Any) -> None:
        write(connection, changes)
        end = time.monotonic() + took
        while time.monotonic() < end:
            pass

    monkeypatch.setattr(settling, "_write", slowly)
    monkeypatch.setattr(settling, "_PAUSE", 1.0)
    monkeypatch.setattr(settling.time, "sleep", pauses.append)
    writer = Writer(store_url)
    writer.write(project(redone_run))
    assert len(pauses) > 3
    assert min(pauses) >= took
    writer.close()


def test_a_run_that_is_removed_meanwhile_stays_removed(
    store_url: str,
    redone_run: list[ReadableSpan],
    after_the_first_part: Callable[[Callable[[], Any]], list[Any]],
) -> None:
    writer = Writer(store_url)
    batch = project(redone_run)
    writer.write(batch, derive=False)
    database = open_database(store_url, write=True)
    parts = after_the_first_part(lambda: prune(database, run_ids=batch.run_ids))
    writer.settle()
    assert len(parts) == 1
    with open_store(store_url) as store, store.connection() as connection:
        for table in (schema.workflow_runs, schema.dag_nodes, schema.dag_edges, schema.sessions):
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0
    writer.close()
    database.engine.dispose()
