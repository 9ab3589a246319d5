"""The one writer of the store: facts by idempotent upserts, then what follows from them."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import Connection, select

from spandag._guard import guard, say_once
from spandag.store import schema, upgrade
from spandag.store.connect import Database, open_database
from spandag.store.errors import StoreError
from spandag.store.rows import Batch
from spandag.store.schedule import Schedule
from spandag.store.settling import settle_run
from spandag.store.statements import FACT_TABLES, Statements

_KEY_SIZE = {table.name: len(schema.key_columns(table)) for table in FACT_TABLES}

_writers: weakref.WeakSet[Writer] = weakref.WeakSet()
_held: list[Writer] = []


class Writer:
    """Writes batches into the store of a URL.

    Opens on first use, creating what is missing. Can be used from several
    threads; a fork waits for what is being written, and both sides go on with
    connections of their own.

    Args:
        url: SQLAlchemy URL of the store.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._database: Database | None = None
        self._schedule = Schedule()
        _writers.add(self)

    def write(self, batch: Batch) -> None:
        """Write facts in one transaction, and derive the runs that are due (`spandag.store.schedule`).

        Writing the same again changes nothing.

        Raises:
            StoreError: The store cannot be written; nothing of the batch was.
        """
        if not batch.run_ids:
            return
        with self._locked() as (database, statements), database.explained():

            def work(connection: Connection) -> None:
                if not _write_facts(connection, statements, batch):
                    # All of it was there already: not even the counters shall move.
                    connection.rollback()

            database.transact(work)
            self._schedule.touched(batch.run_ids, batch.ended_runs)
            self._derive(database, statements, self._schedule.due())

    def settle(self, run_id: str | None = None) -> int:
        """Bring what is derived up to date.

        Args:
            run_id: A run; all runs by default.

        Returns:
            How many runs were out of date.

        Raises:
            StoreError: The store cannot be written.
        """
        with self._locked() as (database, statements), database.explained():
            due = database.transact(lambda connection: _out_of_date(connection, run_id))
            # A transaction for each run: others can write in between.
            return sum(settle_run(database, statements, due_id) for due_id in due)

    def close(self) -> None:
        """Derive what is behind and close the connection; the next write opens it again."""
        with self._lock:
            if self._database is not None:
                statements = Statements.of(self._database.engine.dialect)
                self._derive(self._database, statements, self._schedule.pending())
            self._disconnect()

    def _derive(self, database: Database, statements: Statements, run_ids: Iterable[str]) -> None:
        # The facts are safe; what follows from them can also be had when reading.
        with guard("derive a run"):
            for run_id in run_ids:
                start = time.monotonic()
                try:
                    with database.explained():
                        settle_run(database, statements, run_id)
                except StoreError as error:
                    # Of the next run it would say the same.
                    say_once(
                        logging.WARNING, f"derive:{self.url}", "spandag could not derive a run: %s", error
                    )
                    return
                finally:
                    # Also where it failed: it must not be tried with every batch.
                    self._schedule.derived(run_id, time.monotonic() - start)

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.engine.dispose()
            self._database = None

    @contextmanager
    def _locked(self) -> Iterator[tuple[Database, Statements]]:
        with self._lock:
            if self._database is None:
                self._database = open_for_writing(self.url)
            yield self._database, Statements.of(self._database.engine.dialect)


def _before_fork() -> None:
    # A connection must not cross a fork: SQLite's locks belong to the process, and a child that
    # believes to hold them, or that closes the file, costs the other side its rows.
    for writer in list(_writers):
        writer._lock.acquire()
        _held.append(writer)
        with guard("close a store before a fork"):
            writer._disconnect()


def _after_fork() -> None:
    while _held:
        _held.pop()._lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def open_for_writing(url: str) -> Database:
    """Open a store for writing; create or upgrade it where needed.

    Raises:
        StoreError: That is not possible.
    """
    database = open_database(url, write=True)
    try:
        with database.explained():
            state = database.transact(upgrade.state_of)
            # Another program's file must stay exactly as it is.
            upgrade.require_ours(state, database)
            with database.engine.connect() as connection:
                database.prepare(connection)
            if state is not upgrade.State.CURRENT:
                upgrade.upgrade(database)
    except BaseException:
        database.engine.dispose()
        raise
    return database


def _write_facts(connection: Connection, statements: Statements, batch: Batch) -> int:
    """Write a batch, runs first and each table by key, so that no two writers wait crosswise.

    Returns:
        How many rows are new or have changed.
    """
    cursor = connection.connection.cursor()
    try:
        cursor.executemany(statements.touch_run, [(run_id,) for run_id in sorted(batch.run_ids)])
        changed = 0
        # Of one run, as most are, the run need not be compared.
        first = 1 if len(batch.run_ids) == 1 else 0
        for table, sql in statements.facts.items():
            rows = _rows(batch, table)
            if rows:
                rows.sort(key=itemgetter(*range(first, _KEY_SIZE[table])))
                cursor.executemany(sql, cast(Any, rows))
                changed += cursor.rowcount
        return changed
    finally:
        cursor.close()


def _rows(batch: Batch, table: str) -> list[tuple[Any, ...]]:
    rows = getattr(batch, table)
    return list(rows.values() if isinstance(rows, dict) else rows)


def _out_of_date(connection: Connection, run_id: str | None) -> list[str]:
    runs = schema.workflow_runs
    query = select(runs.c.id).where(runs.c.facts_version != runs.c.derived_version).order_by(runs.c.id)
    if run_id is not None:
        query = query.where(runs.c.id == run_id)
    return list(connection.execute(query).scalars())
