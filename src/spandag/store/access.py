"""An open store, for whoever reads it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from spandag.store import upgrade
from spandag.store.connect import Database, missing, open_database
from spandag.store.derive import apply, derive
from spandag.store.facts import RunRows, read_run, read_task
from spandag.store.writer import Writer


class Store:
    """A store that exists; made by `spandag.store.open_store`.

    A context manager. It can be used from several threads: each `connection` is its own.

    Attributes:
        url: The URL that it was opened with.
        label: How messages name it: a path, or a URL without its password.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._database: Database = _open_for_reading(url)
        self.label = self._database.label
        self._writer: Writer | None = None
        self._lock = threading.Lock()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for reading, within one snapshot of the store.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._database.explained(), self._database.engine.connect() as connection:
            yield connection

    def settle(self, run_id: str | None = None) -> int:
        """Bring what is derived in the tables up to date.

        Args:
            run_id: The whole id of a run; all runs by default.

        Returns:
            How many runs were out of date.

        Raises:
            StoreError: The store cannot be written.
        """
        with self._lock:
            if self._writer is None:
                self._writer = Writer(self.url)
            writer = self._writer
        return writer.settle(run_id)

    def close(self) -> None:
        """Close the store."""
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        self._database.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def load_run(connection: Connection, run_id: str) -> RunRows | None:
    """A run with what is derived up to date, in memory where the tables are not.

    Args:
        connection: Of `Store.connection`.
        run_id: The whole trace id.

    Returns:
        None where the store has no such run.
    """
    rows = read_run(connection, run_id)
    if rows is None or rows.run.facts_version == rows.run.derived_version:
        return rows
    derived = derive(rows)
    return apply(rows, derived, read_task(connection, run_id, derived.run.root_node_id))


def _open_for_reading(url: str) -> Database:
    database = open_database(url, write=False)
    try:
        with database.explained():
            with database.engine.connect() as connection:
                state = upgrade.state_of(connection)
            upgrade.require_ours(state, database.label)
            if state is upgrade.State.EMPTY:
                raise missing(database.label)
            if state is upgrade.State.OTHER_REVISION:
                writing = open_database(url, write=True)
                try:
                    upgrade.upgrade(writing.engine, writing.label)
                finally:
                    writing.engine.dispose()
    except BaseException:
        database.engine.dispose()
        raise
    return database
