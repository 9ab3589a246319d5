"""The one writer of the store: facts by idempotent upserts, then what follows from them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import Connection, select

from spandag._guard import guard
from spandag.store import schema, upgrade
from spandag.store.connect import Database, open_database
from spandag.store.rows import Batch
from spandag.store.settling import settle_run
from spandag.store.statements import FACT_TABLES, Statements

_KEY_SIZE = {table.name: len(schema.key_columns(table)) for table in FACT_TABLES}

# Of one statement; SQLite takes 32,766.
_MAX_PARAMETERS = 10_000

# Databases left behind by a fork. SQLite forbids to use or even close a connection in
# another process than the one that opened it, so they are kept from the garbage collector.
_inherited: list[Database] = []


class Writer:
    """Writes batches into the store of a URL.

    Opens on first use, creating what is missing. Can be used from several
    threads, and goes on after a fork with a connection of its own.

    Args:
        url: SQLAlchemy URL of the store.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._database: Database | None = None

    def write(self, batch: Batch) -> None:
        """Write facts in one transaction, and derive the runs that ended.

        Writing the same again changes nothing.

        Raises:
            StoreError: The store cannot be written; nothing of the batch was.
        """
        if not batch.run_ids:
            return
        with self._locked() as (database, statements), database.explained():
            with database.engine.connect() as connection, connection.begin() as transaction:
                changed = _write_facts(connection, statements, batch)
                if changed:
                    due = batch.ended_runs | _ended_before(connection, batch.run_ids)
                else:
                    # All of it was there already: not even the counters shall move.
                    transaction.rollback()
                    due = set()
            # The facts are safe; what follows from them can also be had when reading.
            with guard("derive a run"):
                for run_id in sorted(due):
                    self._settle(database, statements, run_id)

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
            with database.engine.connect() as connection, connection.begin():
                due = _out_of_date(connection, run_id)
            return sum(self._settle(database, statements, due_id) for due_id in due)

    def close(self) -> None:
        """Close the connection; the next write opens it again."""
        with self._guarded_lock():
            if self._database is not None:
                self._database.engine.dispose()
                self._database = None

    @staticmethod
    def _settle(database: Database, statements: Statements, run_id: str) -> bool:
        # A transaction for each run: others can write in between.
        with database.engine.connect() as connection, connection.begin():
            return settle_run(connection, statements, run_id)

    @contextmanager
    def _guarded_lock(self) -> Iterator[None]:
        if self._pid != os.getpid():
            # After a fork, the lock may be held by a thread that exists no more.
            self._lock = threading.Lock()
            if self._database is not None:
                _inherited.append(self._database)
            self._database = None
            self._pid = os.getpid()
        with self._lock:
            yield

    @contextmanager
    def _locked(self) -> Iterator[tuple[Database, Statements]]:
        with self._guarded_lock():
            if self._database is None:
                self._database = open_for_writing(self.url)
            yield self._database, Statements.of(self._database.engine.dialect)


def open_for_writing(url: str) -> Database:
    """Open a store for writing; create or upgrade it where needed.

    Raises:
        StoreError: That is not possible.
    """
    database = open_database(url, write=True)
    try:
        with database.explained():
            with database.engine.connect() as connection, connection.begin():
                state = upgrade.state_of(connection)
            # Another program's file must stay exactly as it is.
            upgrade.require_ours(state, database.label)
            with database.engine.connect() as connection:
                database.prepare(connection)
            if state is not upgrade.State.CURRENT:
                upgrade.upgrade(database.engine, database.label)
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
        for table, sql in statements.facts.items():
            rows = _rows(batch, table)
            if rows:
                rows.sort(key=itemgetter(*range(_KEY_SIZE[table])))
                cursor.executemany(sql, cast(Any, rows))
                changed += cursor.rowcount
        return changed
    finally:
        cursor.close()


def _rows(batch: Batch, table: str) -> list[tuple[Any, ...]]:
    rows = getattr(batch, table)
    return list(rows.values() if isinstance(rows, dict) else rows)


def _ended_before(connection: Connection, run_ids: Iterable[str]) -> set[str]:
    """Which of the runs were derived as ended already: latecomers must not wait for another end."""
    runs = schema.workflow_runs
    ids = list(run_ids)
    ended: set[str] = set()
    for start in range(0, len(ids), _MAX_PARAMETERS):
        some = ids[start : start + _MAX_PARAMETERS]
        query = select(runs.c.id).where(runs.c.id.in_(some), runs.c.ended_at.is_not(None))
        ended.update(connection.execute(query).scalars())
    return ended


def _out_of_date(connection: Connection, run_id: str | None) -> list[str]:
    runs = schema.workflow_runs
    query = select(runs.c.id).where(runs.c.facts_version != runs.c.derived_version).order_by(runs.c.id)
    if run_id is not None:
        query = query.where(runs.c.id == run_id)
    return list(connection.execute(query).scalars())
