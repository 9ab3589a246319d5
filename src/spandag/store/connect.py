"""From a store's URL to an open database, whichever it is."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from spandag.store import postgres, sqlite
from spandag.store.errors import MissingStoreError, NoStoreError, StoreError

T = TypeVar("T")

# How long a transaction that the database gave up is tried again.
_RETRY_S = 10.0
_MAX_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Database:
    """An open database.

    Attributes:
        engine: Its connections.
        label: How messages name it, without a password.
        elsewhere: What to do where it turns out to be another program's.
        driver_error: Base class of the driver's own exceptions.
        explain: What an exception of the database means for the user.
        prepare: What a database needs once before the first write, outside a transaction.
        give_back: Give the space of removed rows back to the system, outside a transaction, until a time of
            `time.monotonic`; whether that can be done without a person.
        lock: Hold off, until the end of the transaction, others that lock the same name. Where a
            writing transaction has the whole database to itself from its begin, there is nothing to do.
        lock_schema: Hold off, until the end of the transaction, others that create or upgrade tables.
        gave_up: Whether an exception says that the same transaction can succeed when it is tried again.
        is_gone: Whether the database is not where it was opened, so that what is written is lost.
        is_lost: Whether a connection that raised an exception is of no use any more.
    """

    engine: Engine
    label: str
    elsewhere: str
    driver_error: type[Exception]
    explain: Callable[[str, Exception], StoreError]
    prepare: Callable[[Connection], None]
    give_back: Callable[[Connection, float], bool]
    lock: Callable[[Connection, str], None]
    lock_schema: Callable[[Connection], None]
    gave_up: Callable[[Exception], bool]
    is_gone: Callable[[], bool]
    is_lost: Callable[[Connection, Exception], bool]

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn whatever the database raises into a `StoreError`."""
        try:
            yield
        except (SQLAlchemyError, self.driver_error) as error:
            raise self.explain(self.label, error) from error

    def transact(self, work: Callable[[Connection], T], *, reads: bool = False) -> T:
        """Do something in a transaction, again where the database gave it up or the connection was lost.

        Args:
            work: Must be right to do twice: of a lost connection one cannot know whether its commit
                arrived. May roll back by itself.
            reads: Whether it only reads, so that it needs to keep nobody from writing.
        """
        tried_until = time.monotonic() + _RETRY_S
        pause = 0.01
        while True:
            lost = False
            try:
                with (
                    self.engine.connect().execution_options(**{sqlite.READ_ONLY: reads}) as connection,
                    connection.begin(),
                ):
                    try:
                        return work(connection)
                    except (SQLAlchemyError, self.driver_error) as error:
                        lost = connection.invalidated or self.is_lost(connection, error)
                        if lost:
                            # Of what the driver does by itself SQLAlchemy learns nothing.
                            connection.invalidate()
                        raise
            except (SQLAlchemyError, self.driver_error) as error:
                lost = lost or getattr(error, "connection_invalidated", False)
                if not (lost or self.gave_up(error)) or time.monotonic() > tried_until:
                    raise
            # Those who got into each other's way must not meet again.
            time.sleep(random.uniform(0, pause))
            pause = min(2 * pause, _MAX_PAUSE_S)


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
    except (ArgumentError, ValueError) as error:
        # The parser's own message may repeat a part of the password.
        raise NoStoreError(
            f"{masked(url)!r} is not a store's URL; a file is written as sqlite:///path/to/spandag.db, "
            "a database as postgresql://user:password@host/name"
        ) from error
    if parsed.drivername in postgres.DRIVER_NAMES:
        parsed = postgres.checked(parsed)
        return Database(
            engine=postgres.engine(parsed, write=write),
            label=postgres.label_of(parsed),
            elsewhere=postgres.ELSEWHERE,
            driver_error=postgres.driver_error(),
            explain=postgres.explain,
            prepare=lambda connection: None,
            # Its own vacuum makes room for new rows, and needs no help.
            give_back=lambda connection, until: True,
            lock=postgres.lock,
            lock_schema=postgres.lock_schema,
            gave_up=postgres.gave_up,
            is_gone=lambda: False,
            is_lost=postgres.is_lost,
        )
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise NoStoreError(
            f"runs cannot be kept in {parsed.drivername!r}; use a URL such as sqlite:///path/to/spandag.db "
            "or postgresql://user:password@host/name"
        )
    path = sqlite.path_of(parsed)
    if write:
        sqlite.create_file(path)
    elif not sqlite.exists(path):
        raise missing(str(path))
    return Database(
        engine=sqlite.engine(path, write=write),
        label=str(path),
        elsewhere=sqlite.ELSEWHERE,
        driver_error=sqlite.DRIVER_ERROR,
        explain=sqlite.explain,
        prepare=sqlite.use_wal,
        give_back=sqlite.give_back,
        # A transaction begins with the write lock; whoever has to wait does so there.
        lock=lambda connection, name: None,
        lock_schema=lambda connection: None,
        gave_up=lambda error: False,
        is_gone=sqlite.watch(path),
        is_lost=lambda connection, error: False,
    )


def missing(label: str) -> StoreError:
    """What to say where nothing has been stored yet."""
    return MissingStoreError(
        f"no store at {label}; run something with spandag first, or name another with --store"
    )


def masked(url: str) -> str:
    """A URL without its password, for messages; also one that cannot be parsed."""
    url = re.sub(r"(?<=://)([^:/?#]*):.*@", r"\1:***@", url, flags=re.DOTALL)
    return re.sub(r"(?i)(\b(?:ssl)?password=)[^&\s]*", r"\1***", url)
