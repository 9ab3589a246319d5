"""From a store's URL to an open database, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from spandag.store import sqlite
from spandag.store.errors import StoreError


@dataclass(frozen=True, slots=True)
class Database:
    """An open database.

    Attributes:
        engine: Its connections; a transaction of a writing engine holds the write lock from its begin.
        label: How messages name it, without a password.
        driver_error: Base class of the driver's own exceptions.
        explain: What an exception of the database means for the user.
        prepare: What a database needs once before the first write, outside a transaction.
    """

    engine: Engine
    label: str
    driver_error: type[Exception]
    explain: Callable[[str, Exception], StoreError]
    prepare: Callable[[Connection], None]

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn whatever the database raises into a `StoreError`."""
        try:
            yield
        except (SQLAlchemyError, self.driver_error) as error:
            raise self.explain(self.label, error) from error


def open_database(url: str, *, write: bool) -> Database:
    """Open the database of a store.

    Args:
        url: An SQLAlchemy URL.
        write: Whether to write; creates what is missing. Otherwise it must exist.

    Raises:
        StoreError: It cannot be opened.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreError(
            f"{url!r} is not a store's URL; a file is written as sqlite:///path/to/spandag.db"
        ) from error
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        raise StoreError(
            "this version keeps runs in SQLite only; use a URL such as sqlite:///path/to/spandag.db"
        )
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise StoreError(
            f"runs cannot be kept in {parsed.drivername!r}; use a URL such as sqlite:///path/to/spandag.db"
        )
    path = sqlite.path_of(parsed)
    if write:
        sqlite.create_file(path)
    elif not sqlite.exists(path):
        raise missing(str(path))
    return Database(
        sqlite.engine(path, write=write), str(path), sqlite.DRIVER_ERROR, sqlite.explain, sqlite.use_wal
    )


def missing(label: str) -> StoreError:
    """What to say where nothing has been stored yet."""
    return StoreError(f"no store at {label}; run something with spandag first, or name another with --store")
