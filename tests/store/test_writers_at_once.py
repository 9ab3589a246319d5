"""Several write to a store at once: each waits for whom it has to wait, and nothing is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from spandag_test_databases import Tables, connected
from sqlalchemy import Connection, insert, select, text, update

from spandag.export.project import project
from spandag.store import RunRows, Writer, open_store, schema, settling
from spandag.store.connect import open_database
from spandag.store.derive import Derived

ReadTables = Callable[[str], Tables]

S = 1_000_000_000

# Longer than a writer waits for a lock before it gives up: what takes this long has failed.
_BOUND_S = 30

_WAITING = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def session(store_url: str) -> tuple[Any, ...]:
    """When the only session began, when it was active last, and its status."""
    sessions = schema.sessions.c
    columns = (sessions.started_at, sessions.last_active_at, sessions.status)
    with open_store(store_url) as store, store.connection() as connection:
        return tuple(connection.execute(select(*columns)).one())


@contextmanager
def held(store_url: str, name: str) -> Iterator[Connection]:
    """Another process in the middle of a transaction, with the lock of that name."""
    database = open_database(store_url, write=True)
    try:
        with database.engine.begin() as connection:
            database.lock(connection, name)
            yield connection
    finally:
        database.engine.dispose()


def waits(doing: Future[int], store_url: str) -> bool:
    """Whether it cannot go on before somebody lets go of a lock."""
    if store_url.startswith("sqlite"):
        # Nobody can tell who waits for a file: it has had time enough to do it, and has not.
        wait([doing], timeout=0.5)
        return not doing.done()
    give_up = time.monotonic() + _BOUND_S
    with connected(store_url) as connection:
        while not doing.done() and time.monotonic() < give_up:
            if connection.execute(_WAITING).scalar_one():
                return True
            time.sleep(0.01)
    return False


def test_facts_that_arrive_during_a_derivation_are_derived_too(
    new_store_url: Callable[[], str],
    redone_run: list[ReadableSpan],
    read_tables: ReadTables,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another writer has them, which leaves them to who derives: what was thought before must not stand."""
    url, url_of_whole = new_store_url(), new_store_url()
    at_once, writer, latecomer = Writer(url_of_whole), Writer(url), Writer(url)
    late = [redone_run[3]]
    derive = settling.derive

    def derive_slowly(rows: RunRows) -> Derived:
        derived = derive(rows)
        if late:
            latecomer.write(project([late.pop()]), derive=False)
        return derived

    at_once.write(project(redone_run))
    monkeypatch.setattr(settling, "derive", derive_slowly)
    writer.write(project([span for span in redone_run if span is not redone_run[3]]))

    assert late == []
    # Nothing says any more that there is something to be derived, so all of it must be there.
    assert writer.settle() == 0
    assert read_tables(url) == read_tables(url_of_whole)
    for done in (at_once, writer, latecomer):
        done.close()


def test_runs_of_one_session_that_end_at_once_are_all_in_it(store_url: str, new_story: Any) -> None:
    """Each derivation reads the session's other runs: the second must see the first."""
    writers = [Writer(store_url) for _ in range(4)]
    batches = new_story(runs=12)
    together = threading.Barrier(len(writers))

    def write(number: int) -> None:
        together.wait(_BOUND_S)
        for batch in batches[number :: len(writers)]:
            writers[number].write(batch)

    with ThreadPoolExecutor(len(writers)) as threads:
        list(threads.map(write, range(len(writers))))
    for writer in writers:
        writer.close()
    assert session(store_url) == (0, 12 * S, "idle")


@pytest.mark.parametrize(("finishes", "left"), [(True, 0), (False, 1)], ids=["finishes", "gives up"])
def test_a_run_is_derived_by_one_at_a_time(
    finishes: bool, left: int, writer: Writer, store_url: str, redone_run: list[ReadableSpan]
) -> None:
    """Who comes second finds what the first has done, and does it where that one gave up."""
    batch = project(redone_run)
    writer.write(batch, derive=False)
    [run_id] = batch.run_ids
    runs = schema.workflow_runs
    with ThreadPoolExecutor(1) as thread:
        with held(store_url, f"run {run_id}") as first:
            second = thread.submit(writer.settle)
            assert waits(second, store_url)
            if finishes:
                first.execute(update(runs).values(derived_version=runs.c.facts_version))
        assert second.result(_BOUND_S) == left


def test_who_derives_the_session_second_sees_the_run_of_the_first(
    writer: Writer, store_url: str, new_story: Any
) -> None:
    [batch] = new_story(runs=1)
    writer.write(batch, derive=False)
    later = {"id": "f" * 32, "session_id": "alice", "started_at": 5 * S, "ended_at": 9 * S}
    with ThreadPoolExecutor(1) as thread:
        with held(store_url, "session alice") as first:
            second = thread.submit(writer.settle)
            assert waits(second, store_url)
            first.execute(insert(schema.workflow_runs).values(later))
        assert second.result(_BOUND_S) == 1
    assert session(store_url) == (0, 9 * S, "idle")
