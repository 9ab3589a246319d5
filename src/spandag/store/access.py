"""An open store, for whoever reads it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from spandag.store import postgres, upgrade
from spandag.store.connect import Database, missing, open_database
from spandag.store.derive import apply, derive
from spandag.store.errors import StoreError
from spandag.store.facts import read_header, read_run, read_task, read_tree, read_tree_at_once, tree_rows
from spandag.store.records import RunRows, TreeRows
from spandag.store.writer import Writer


class Store:
    """An open store, to read from and to settle; made by `spandag.open_store`.

    A context manager. The functions of `spandag.query` take it, and `connection`
    is for SQL of your own. It can be used from several threads at once: each
    question reads from a connection of its own.

    Attributes:
        url: The URL that it was opened with.
        label: How messages name it: a path, or a URL without its password.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._database: Database = _open_for_reading(url)
        self.label = self._database.label
        self._writer: Writer | None = None
        self._closed = False
        self._lock = threading.Lock()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for reading, within one snapshot of the store.

        Raises:
            StoreError: The store cannot be read, or is closed.
        """
        self._require_open()
        with self._database.explained(), self._database.engine.connect() as connection:
            yield connection

    def settle(self, run_id: str | None = None) -> int:
        """Bring what is derived in the tables up to date, for those who read them by SQL.

        The questions of `spandag.query` need none of it: they derive in memory what is behind.

        Args:
            run_id: The whole id of a run; all runs by default.

        Returns:
            How many runs were out of date.

        Raises:
            StoreError: The store cannot be written, or is closed.
        """
        # Held until it is done, so that nobody closes the writer meanwhile.
        with self._lock:
            self._require_open()
            if self._database.is_gone():
                raise missing(self.label)
            if self._writer is None:
                self._writer = Writer(self.url)
            return self._writer.settle(run_id)

    def close(self) -> None:
        """Close the store, once nobody is settling it; closing it again does nothing."""
        with self._lock:
            self._closed = True
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self._database.engine.dispose()

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError(f"the store {self.label} is closed; open it again with spandag.open_store")

    def __repr__(self) -> str:
        return f"<Store {self.label}{' (closed)' if self._closed else ''}>"

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
    return None if rows is None else _up_to_date(connection, rows)


def load_tree(connection: Connection, run_id: str) -> TreeRows | None:
    """As `load_run`, no more than the tree of a run takes."""
    if connection.dialect.name == "postgresql" and postgres.can_pipeline():
        found = read_tree_at_once(connection, run_id)
        if found is None or found.run.is_settled:
            return found
    else:
        run = read_header(connection, run_id)
        if run is not None and run.is_settled:
            return read_tree(connection, run)
    rows = load_run(connection, run_id)
    return None if rows is None else tree_rows(rows)


def _up_to_date(connection: Connection, rows: RunRows) -> RunRows:
    if rows.run.is_settled:
        return rows
    derived = derive(rows)
    return apply(rows, derived, read_task(connection, rows.run.id, derived.run.root_node_id))


def _open_for_reading(url: str) -> Database:
    database = open_database(url, write=False)
    try:
        with database.explained():
            with database.engine.connect() as connection:
                state = upgrade.state_of(connection)
            upgrade.require_ours(state, database)
            if state is upgrade.State.EMPTY:
                raise missing(database.label)
            if state is upgrade.State.OTHER_REVISION:
                writing = open_database(url, write=True)
                try:
                    upgrade.upgrade(writing)
                finally:
                    writing.engine.dispose()
    except BaseException:
        database.engine.dispose()
        raise
    return database
