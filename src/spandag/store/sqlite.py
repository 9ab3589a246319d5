"""SQLite: files, connections, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from spandag.store import schema
from spandag.store.errors import NoStoreError, StoreError

DRIVER_ERROR = sqlite3.Error

READ_ONLY = "spandag_read_only"
"""Execution option of a connection for writing whose transaction only reads, and so keeps nobody waiting."""

ELSEWHERE = "name another file with --store"

_BUSY_TIMEOUT_S = 10.0
_MINIMUM = (3, 38)

_INCREMENTAL = 2
# Pages that are given back at once, and how long others get in between.
_PAGES_AT_ONCE = 500
_PAUSE_S = 0.01


def path_of(url: URL) -> Path:
    """The file that a URL names.

    Raises:
        StoreError: It names none.
    """
    name = url.database or ""
    if name in ("", ":memory:") or name.startswith("file:"):
        raise NoStoreError(
            "a store in memory could not be read by anybody else; use sqlite:///path/to/spandag.db"
        )
    return Path(name).expanduser().absolute()


def exists(path: Path) -> bool:
    """Whether there is such a file.

    Raises:
        StoreError: One may not look.
    """
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(f"cannot read the store {path} ({error.strerror})") from error


def create_file(path: Path) -> None:
    """Create the file where it is missing, and its folder, for this user only.

    Raises:
        StoreError: The folder or the file cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What agents say is nobody else's business, whatever the umask.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StoreError(
            f"cannot write the store {path} ({reason}); "
            "name another place with --store or OTEL_EXPORTER_SPANDAG_URL"
        ) from error


def watch(path: Path) -> Callable[[], bool]:
    """Notes which file it is now; what it gives tells whether another one, or none, has taken its place."""

    def identity() -> tuple[int, int] | None:
        try:
            found = os.stat(path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    known = identity()
    return lambda: identity() != known


def engine(path: Path, *, write: bool) -> Engine:
    """Connections to the file; it must exist.

    A writing engine keeps one connection and takes the write lock when a
    transaction begins, so that what it reads stays true until it commits. A
    reading one keeps a few, since a new one reads the whole schema first; each
    can be used in any thread, by one at a time.
    """
    if sqlite3.sqlite_version_info < _MINIMUM:
        raise StoreError(
            f"SQLite {sqlite3.sqlite_version} is too old; use a Python with SQLite 3.38 or newer"
        )

    def connect() -> sqlite3.Connection:
        uri = _uri(path, "ro" if _is_anothers_with_log(path) else "rw")
        # Transactions are begun below; the driver must not begin its own.
        connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous = NORMAL" if write else "PRAGMA query_only = ON")
            if write and _is_empty(path):
                # So that what is removed can be given back in small steps; the first write decides it.
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        except UnicodeDecodeError as error:
            # What SQLite says of a damaged schema quotes it, and the driver cannot read that.
            connection.close()
            raise sqlite3.DatabaseError(f"malformed: {error}") from error
        except BaseException:
            connection.close()
            raise
        return connection

    begin = "BEGIN IMMEDIATE" if write else "BEGIN"
    # However many threads read, none has to wait for another.
    options = {"pool_size": 1} if write else {"max_overflow": -1, "pool_use_lifo": True}
    result = create_engine("sqlite://", creator=connect, poolclass=QueuePool, **options)
    event.listen(result, "begin", _beginner(begin))
    if not write:
        event.listen(result, "connect", _note_origin(path))
        event.listen(result, "checkout", _require_origin)
    return result


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path))}?mode={mode}"


def _is_anothers_with_log(path: Path) -> bool:
    """Whether another program, when it was killed, left a log beside its file.

    Whoever closes such a file last moves the log into it; a file that is not ours must stay as it is. Ours
    are not opened that way, since looking at them would leave an empty log behind.
    """
    try:
        if not os.path.getsize(f"{path}-wal"):
            return False
    except OSError:
        return False
    with (
        suppress(sqlite3.Error, UnicodeDecodeError),
        closing(sqlite3.connect(_uri(path, "ro"), uri=True)) as looking,
    ):
        tables = {name for (name,) in looking.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        return bool(tables) and schema.VERSION_TABLE not in tables
    return False


_IS_GONE, _PID = "spandag_is_gone", "spandag_pid"


def _note_origin(path: Path) -> Callable[[Any, ConnectionPoolEntry], None]:
    def connected(connection: Any, entry: ConnectionPoolEntry) -> None:
        entry.info[_IS_GONE], entry.info[_PID] = watch(path), os.getpid()

    return connected


def _require_origin(connection: Any, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
    """Have the pool open another connection where this one is of the process before a fork, or of a file that is gone."""
    if entry.info[_PID] != os.getpid():
        # SQLite must not even close what was opened before a fork: that would give up the parent's locks.
        _of_parents.append(connection)
        entry.dbapi_connection = proxy.dbapi_connection = None  # type: ignore[misc]
        raise DisconnectionError("opened before the fork")
    if entry.info[_IS_GONE]():
        raise DisconnectionError("another file has taken its place")


# Kept, so that they are not closed.
_of_parents: list[Any] = []


def _beginner(statement: str) -> Callable[[Connection], None]:
    def begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get(READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if reads else statement)

    return begin


def begin(connection: Connection) -> None:
    """Begin, on a connection of somebody else's, the transaction that its driver would not begin.

    Python's driver begins one only when rows change: whoever is killed while tables are made would leave
    some of them, and two could make the same at once. Whoever has turned its transactions off means that.
    """
    driver = connection.connection.driver_connection
    assert driver is not None
    commits_by_itself = driver.isolation_level is None or getattr(driver, "autocommit", None) is True
    if not (driver.in_transaction or commits_by_itself):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def use_wal(connection: Connection) -> None:
    """Let readers and a writer work at the same time; stays with the file. Outside a transaction."""
    driver = connection.connection.driver_connection
    assert driver is not None
    give_up = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            [mode] = driver.execute("PRAGMA journal_mode").fetchone()
            if mode != "wal":
                driver.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            # SQLite does not wait by itself while another process makes the same change.
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def give_back(connection: Connection, until: float) -> bool:
    """Give free space back to the system, in steps between which others can write. Outside a transaction.

    Args:
        connection: For writing.
        until: When to leave the rest for the next time, by `time.monotonic`.

    Returns:
        Whether that can be done. A file that was made otherwise than by us keeps its free space for new
        rows, until somebody calls ``VACUUM``.
    """
    driver = connection.connection.driver_connection
    assert driver is not None
    free = _pragma(driver, "freelist_count")
    if _pragma(driver, "auto_vacuum") != _INCREMENTAL:
        return free == 0
    try:
        for _ in range(0, free, _PAGES_AT_ONCE):
            # As a script: the driver takes only one step of a statement without columns, which is one page.
            driver.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
            if time.monotonic() > until:
                break
            time.sleep(_PAUSE_S)
        # Until then, what was given back is still in the file: the one beside it says so.
        driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    except sqlite3.OperationalError as error:
        # Others are at it for longer than we wait. What is left is given back the next time.
        if "locked" not in str(error):
            raise
    return True


def _pragma(driver: Any, name: str) -> int:
    [value] = driver.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


def explain(label: str, error: Exception) -> StoreError:
    """What an exception of the database means for the user, and what to do."""
    cause = getattr(error, "orig", None) or error
    text = str(cause)
    if Path(label).is_dir():
        return StoreError(f"{label} is a folder; name a file in it, such as sqlite:///{label}/spandag.db")
    if "locked" in text or "busy" in text:
        return StoreError(f"the store {label} is locked by another program; try again when it is done")
    if "readonly" in text or "unable to open" in text:
        return StoreError(
            f"cannot open the store {label} ({text}); SQLite has to write to the file and its folder, "
            "also for reading: check their permissions"
        )
    if "full" in text:
        return StoreError(f"no space left for the store {label}; free some, or name another with --store")
    if "not a database" in text:
        return StoreError(f"{label} is not a SQLite database; name another file with --store")
    if "malformed" in text or (
        isinstance(cause, sqlite3.DatabaseError) and type(cause) is sqlite3.DatabaseError
    ):
        return StoreError(
            f"the store {label} is damaged ({text}); move it away to start a new one, "
            "or try 'sqlite3 FILE .recover'"
        )
    return StoreError(f"the store {label} cannot be used ({text})")
