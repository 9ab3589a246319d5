"""The one writer of the store: facts by idempotent upserts, then what follows from them."""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from spandag._guard import guard
from spandag.store import heartbeat, schema, upgrade
from spandag.store.connect import Database, open_database
from spandag.store.derivations import AWAY, Derivations, settle_at_last
from spandag.store.due import SECONDS, prune_if_due
from spandag.store.errors import StoreError, is_of_the_store
from spandag.store.rows import Batch
from spandag.store.sqlite import READ_ONLY
from spandag.store.statements import FACT_TABLES, Statements
from spandag.store.tombstones import forget, tombstoned, without_late

_KEY_SIZE = {table.name: len(schema.key_columns(table)) for table in FACT_TABLES}

# How long a fork waits for what is being written; a store that is locked must not hold up the program.
_FORK_S = 1.0

# How long the tables are taken for those of this version: as long as between two heartbeats. Another one
# may upgrade the store meanwhile; to look at it with every batch would cost a round trip each.
_CURRENT_S = 2.0

_writers: weakref.WeakSet[Writer] = weakref.WeakSet()
_held: list[Writer] = []
# Connections that were in use at a fork: they are the parent's, and must not even be closed here.
_inherited: list[Database | None] = []


class Writer:
    """Writes batches into the store of a URL.

    Opens on first use, creating what is missing. Can be used from several
    threads; a fork waits for what is being written, and both sides go on with
    connections of their own.

    Args:
        url: SQLAlchemy URL of the store.
        beside: Another one of the same store, which knows what is to be derived.

    Attributes:
        late_spans: Spans that were left out, as their runs were removed before.
    """

    def __init__(self, url: str, *, beside: Writer | None = None) -> None:
        self.url = url
        self.late_spans = 0
        self._lock = threading.Lock()
        self._is_beside = beside is not None
        # Whether a fork has waited in vain for what is still being written.
        self._is_slow = False
        self._database: Database | None = None
        self._current_until = 0.0
        self._derivations: Derivations = Derivations(url) if beside is None else beside._derivations
        _writers.add(self)

    def write(self, batch: Batch, *, derive: bool = True) -> None:
        """Write facts in one transaction, and derive the runs that are due (`spandag.store.schedule`).

        Writing the same again changes nothing.

        Args:
            batch: The facts.
            derive: Whether to derive as well; otherwise that is left to `catch_up`.

        Raises:
            StoreError: The store cannot be written; nothing of the batch was.
        """
        if not batch.run_ids:
            return
        with self._locked() as (database, statements), database.explained():

            def work(connection: Connection) -> int:
                changed, late = _write_facts(connection, statements, batch)
                if not changed:
                    # All of it was there already: not even the counters shall move.
                    connection.rollback()
                return late

            self.late_spans += database.transact(work)
            self._derivations.schedule.touched(batch.run_ids, batch.ended_runs)
            if derive:
                self._derivations.catch_up(database, statements)

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
            due = database.transact(lambda connection: _out_of_date(connection, run_id), reads=True)
            settled = in_a_row = 0
            problem: Exception | None = None
            for due_id in due:
                # A transaction for each run: others can write in between.
                try:
                    settled += settle_at_last(database, statements, due_id)
                    in_a_row = 0
                except (SQLAlchemyError, database.driver_error) as error:
                    # Somebody may hold one run; a database that is away fails every one.
                    problem, in_a_row = error, in_a_row + 1
                    if in_a_row == AWAY:
                        break
            if problem is not None:
                raise problem
            return settled

    def catch_up(self, for_s: float = math.inf, *, large: bool | None = None) -> None:
        """Derive the runs that are due, where there is no batch to be written.

        Whoever else uses this writer waits for it.

        Args:
            for_s: Seconds after which no other run is begun.
            large: Whether to derive the large ones or the others; both by default.

        Raises:
            StoreError: The store cannot be used.
        """
        with self._locked() as (database, statements), database.explained():
            problem = self._derivations.catch_up(database, statements, for_s, large=large)
            if problem is not None and is_of_the_store(problem):
                raise problem

    def removed(self, run_ids: Collection[str]) -> set[str]:
        """Those of some runs that were removed from the store: what is written of them is left out.

        Raises:
            StoreError: The store cannot be used.
        """
        with self._locked() as (database, _), database.explained():
            return database.transact(lambda c: tombstoned(c, run_ids), reads=True)

    def readmit(self, run_ids: Collection[str]) -> None:
        """Forget that runs were removed, so that they can be written again.

        Raises:
            StoreError: The store cannot be written.
        """
        with self._locked() as (database, _), database.explained():
            database.transact(lambda c: forget(c, run_ids))

    def adopt(self) -> None:
        """Take over, within the budget, runs that others have left behind: they may have been killed.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._locked() as (database, _), database.explained():
            self._derivations.schedule.adopted(database.transact(lambda c: _out_of_date(c, None), reads=True))

    def is_due(self, *, large: bool | None = None) -> bool:
        """Whether there is a run to be derived now.

        Args:
            large: Whether to look at the large ones or at the others; at both by default.
        """
        return self._derivations.schedule.is_due(large=large)

    def is_deriving(self) -> bool:
        """Whether a run is being derived of which this process has written."""
        return self._derivations.schedule.is_deriving()

    def is_behind(self) -> bool:
        """Whether facts were written that are not derived yet."""
        return self._derivations.schedule.is_behind()

    def beat(self, writer_id: str, *, dropped: int = 0, closed: bool = False) -> None:
        """Say in ``writers`` that a process is alive, by the database's clock.

        Args:
            writer_id: Of the process.
            dropped: Spans that it had to drop so far.
            closed: Whether it has ended, and holds no span open any more.

        Raises:
            StoreError: The store cannot be written.
        """
        with self._locked() as (database, _), database.explained():
            database.transact(
                lambda connection: heartbeat.beat(connection, writer_id, dropped=dropped, closed=closed)
            )

    def tidy(self, seconds: float = SECONDS) -> bool:
        """Remove runs that are kept no longer, where it is this process's turn; in small batches.

        Args:
            seconds: How long it may take.

        Returns:
            Whether there is more to be removed.

        Raises:
            StoreError: The store cannot be written.
        """
        with self._locked() as (database, _), database.explained():
            pruned = prune_if_due(database, seconds=seconds)
            return pruned is not None and not pruned.is_finished

    def close(self, for_s: float = math.inf) -> None:
        """Derive what is behind and close the connection; the next write opens it again.

        Args:
            for_s: Seconds after which no other run is begun. What is left, whoever writes next takes over.
        """
        until = time.monotonic() + for_s
        with self._lock:
            with suppress(StoreError):
                if self._database is not None and not self._is_current(self._database):
                    # What is behind is derived by those who know it.
                    self._disconnect()
            if self._database is not None:
                statements = Statements.of(self._database.engine.dialect)
                self._derivations.catch_up_with_all(self._database, statements, until)
            self._disconnect()
            self._is_slow = False

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.engine.dispose()
            self._database = None

    @contextmanager
    def _locked(self) -> Iterator[tuple[Database, Statements]]:
        with self._lock:
            try:
                database = self._opened()
                try:
                    yield database, Statements.of(database.engine.dialect)
                except StoreError as error:
                    self._require_current(error)
                    raise
            finally:
                self._is_slow = False

    def _opened(self) -> Database:
        database = self._database
        if database is not None and (database.is_gone() or not self._is_current(database)):
            # Somebody has moved or removed the file: what is written to it would be lost. Or has upgraded
            # the store, which is to be met as it is when it is opened.
            self._disconnect()
            database = None
        if database is None:
            database = self._database = open_for_writing(self.url)
            self._current_until = time.monotonic() + _CURRENT_S
        return database

    def _is_current(self, database: Database) -> bool:
        """Whether the tables are those of this version; looked at every now and then only."""
        if time.monotonic() < self._current_until:
            return True
        with database.explained():
            state = database.transact(upgrade.state_of, reads=True)
        self._current_until = time.monotonic() + _CURRENT_S
        return state is upgrade.State.CURRENT

    def _require_current(self, problem: StoreError) -> None:
        """Find out whether something went wrong because the store was upgraded meanwhile.

        Raises:
            StoreError: It was.
        """
        database = self._database
        if database is None:
            return
        try:
            # Once: a server that is away was waited for already.
            with database.engine.connect().execution_options(**{READ_ONLY: True}) as connection:
                is_current = upgrade.state_of(connection) is upgrade.State.CURRENT
        except (SQLAlchemyError, database.driver_error):
            return
        if not is_current:
            self._disconnect()
            try:
                self._database = open_for_writing(self.url)
            except StoreError as refusal:
                raise refusal from problem


def _all_writers() -> list[Writer]:
    while True:
        # Unless another thread makes one just now.
        with suppress(RuntimeError):
            return list(_writers)


def _before_fork() -> None:
    # A connection must not cross a fork: SQLite's locks belong to the process, and a child that
    # believes to hold them, or that closes the file, costs the other side its rows.
    until = time.monotonic() + _FORK_S
    for writer in _all_writers():
        if writer._is_beside:
            # It may be at it for seconds, and has nothing that the child goes on with.
            continue
        # A program that forks often waits once, not each time.
        for_s = 0.0 if writer._is_slow else max(0.0, until - time.monotonic())
        writer._is_slow = not writer._lock.acquire(timeout=for_s)
        if writer._is_slow:
            continue
        _held.append(writer)
        with guard("close a store before a fork"):
            writer._disconnect()


def _in_parent() -> None:
    while _held:
        _held.pop()._lock.release()


def _in_child() -> None:
    for writer in list(_writers):
        if writer not in _held:
            # Another thread is at it, which does not exist here.
            _inherited.append(writer._database)
            writer._database = None
            writer._lock = threading.Lock()
            writer._is_slow = False
        writer._derivations = Derivations(writer.url)
    _in_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)


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


def _write_facts(connection: Connection, statements: Statements, batch: Batch) -> tuple[int, int]:
    """Write a batch, runs first and each table by key, so that no two writers wait crosswise.

    Returns:
        How many rows are new or have changed, and how many spans came too late.
    """
    cursor = connection.connection.cursor()
    try:
        cursor.executemany(statements.touch_run, [(run_id,) for run_id in sorted(batch.run_ids)])
        batch, late = without_late(connection, batch)
        changed = 0
        # Of one run, as most are, the run need not be compared.
        first = 1 if len(batch.run_ids) == 1 else 0
        for table, sql in statements.facts.items():
            rows = _rows(batch, table)
            if rows:
                rows.sort(key=itemgetter(*range(first, _KEY_SIZE[table])))
                cursor.executemany(sql, cast(Any, rows))
                changed += cursor.rowcount
        return changed, late
    finally:
        cursor.close()


def _rows(batch: Batch, table: str) -> list[tuple[Any, ...]]:
    rows = getattr(batch, table)
    return list(rows.values() if isinstance(rows, dict) else rows)


def _out_of_date(connection: Connection, run_id: str | None) -> list[str]:
    runs = schema.workflow_runs
    query = select(runs.c.id).where(~schema.IS_SETTLED).order_by(runs.c.id)
    if run_id is not None:
        query = query.where(runs.c.id == run_id)
    return list(connection.execute(query).scalars())
