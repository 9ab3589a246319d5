"""Several write to a store at once: each waits for whom it has to wait, and nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from spandag_test_databases import Tables
from sqlalchemy import select

from spandag.export.project import project
from spandag.store import RunRows, Writer, open_store, schema, settling
from spandag.store.derive import Derived

ReadTables = Callable[[str], Tables]

S = 1_000_000_000
_BOUND_S = 30


def session(store_url: str) -> tuple[Any, ...]:
    """When the only session began, when it was active last, and its status."""
    sessions = schema.sessions.c
    columns = (sessions.started_at, sessions.last_active_at, sessions.status)
    with open_store(store_url) as store, store.connection() as connection:
        return tuple(connection.execute(select(*columns)).one())


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
