"""How long runs are kept: days and size, kept in the store itself, so that whoever writes to it knows."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from spandag.store.admin import inspected
from spandag.store.connect import Database
from spandag.store.forecast import forecast
from spandag.store.limits import Limits, now_ns, read_limits, read_pruned_at, write_limits, write_pruned_at
from spandag.store.prune import Pruned, Report
from spandag.store.prune import prune as prune_database
from spandag.store.size import size_of
from spandag.store.writer import open_for_writing

NO_LIMIT = 0
"""For `change_retention`."""


@dataclass(frozen=True)
class Retention:
    """How long a store keeps runs.

    Attributes:
        store: How messages name it.
        days: Runs that ended longer ago are removed; None for no limit.
        max_size: Bytes that the store may use, above which the oldest runs are removed; None for no limit.
        size: Bytes that it uses now, without what the database keeps free for new rows.
        pruned_at: When runs were last looked through for that, in Unix ns; None for never.
    """

    store: str
    days: int | None
    max_size: int | None
    size: int
    pruned_at: int | None


def retention(url: str) -> Retention:
    """How long a store keeps runs; it stays at its revision.

    Raises:
        StoreError: There is no store, it is another program's, or cannot be read.
    """
    with inspected(url) as store:
        return _retention(store.connection, store.database.label)


def set_retention(url: str, days: int | None, max_size: int | None) -> Retention:
    """Say how long a store keeps runs; creates it where there is none. Nothing is removed yet.

    Args:
        url: Of the store.
        days: Runs that ended longer ago are to be removed; None for no limit.
        max_size: Bytes that the store may use; None for no limit.

    Raises:
        StoreError: The store cannot be written.
        ValueError: A limit is not a positive number.
    """
    for limit in (days, max_size):
        if limit is not None and limit <= 0:
            raise ValueError(f"a limit must be more than 0, not {limit}")
    return change_retention(url, days=days or NO_LIMIT, max_size=max_size or NO_LIMIT)


def change_retention(url: str, *, days: int | None = None, max_size: int | None = None) -> Retention:
    """As `set_retention`, but a limit that is None stays as it is, and `NO_LIMIT` takes it away."""

    def work(connection: Connection) -> Retention:
        before = read_limits(connection)
        write_limits(
            connection,
            Limits(
                before.days if days is None else days or None,
                before.max_size if max_size is None else max_size or None,
            ),
        )
        return _retention(connection, database.label)

    with _writing(url) as database:
        return database.transact(work)


def prune(
    store: str | Database,
    *,
    dry_run: bool = False,
    now: int | None = None,
    seconds: float = math.inf,
    report: Report | None = None,
) -> Pruned:
    """Remove the runs that a store is not to keep, while others go on writing to it.

    First those that ended, or of which the last node started, longer ago than the store's days; then
    the oldest until it is not larger than its size, but for the newest. A run that a process which is
    alive holds open stays.

    Args:
        store: The URL of a store, or its database, open for writing.
        dry_run: Only say what would be removed, of a store given by its URL. Sizes are estimates then.
        now: Unix ns; by default the database's clock.
        seconds: How long it may take.
        report: Called between runs.

    Raises:
        StoreError: There is no store, it is another program's, or cannot be written.
    """
    if not isinstance(store, str):
        return _prune(store, now, seconds, report)
    with inspected(store) as found:
        if dry_run:
            return forecast(found.connection, found.database.label, now=now)
    with _writing(store) as database:
        return _prune(database, now, seconds, report)


def remove(url: str, run_ids: Collection[str]) -> Pruned:
    """Remove runs by their ids, but for those that a process which is alive holds open.

    Args:
        url: Of the store.
        run_ids: Whole trace ids.

    Raises:
        StoreError: As of `prune`.
    """
    with inspected(url):
        pass
    with _writing(url) as database:
        return prune_database(database, run_ids=run_ids)


def _prune(database: Database, now: int | None, seconds: float, report: Report | None) -> Pruned:
    def note(connection: Connection) -> None:
        database.lock(connection, "prune")
        if read_limits(connection):
            write_pruned_at(connection, now_ns(connection) if now is None else now)

    with database.explained():
        database.transact(note)
        return prune_database(database, now=now, seconds=seconds, report=report)


def _retention(connection: Connection, label: str) -> Retention:
    limits = read_limits(connection)
    return Retention(
        label, limits.days, limits.max_size, size_of(connection).used, read_pruned_at(connection)
    )


@contextmanager
def _writing(url: str) -> Iterator[Database]:
    database = open_for_writing(url)
    try:
        with database.explained():
            yield database
    finally:
        database.engine.dispose()
