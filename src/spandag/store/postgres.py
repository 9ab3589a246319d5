"""PostgreSQL: connections, locks, and what its errors mean."""

from __future__ import annotations

import os
import re
import selectors
from functools import cache
from hashlib import blake2b
from typing import Any, cast

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.exc import ArgumentError, DisconnectionError, InvalidRequestError

from spandag.store.errors import StoreError

DRIVER_NAMES = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
"""What a URL may begin with."""

ELSEWHERE = (
    "name another database with --store, or a schema of its own: …?options=-csearch_path%3Dspandag "
    "after CREATE SCHEMA spandag"
)

_MINIMUM = 14

# An export runs in the host's program: whatever the server or the network does, it must come to an end.
_CONNECT_TIMEOUT_S = 5
_LOCK_TIMEOUT_S = 10
_STATEMENT_TIMEOUT_S = 30
_UPGRADE_TIMEOUT_S = 60
_SILENCE_S = 10

# Session settings; ``jit`` costs more than a read by index takes.
_READING = "SET jit = off"
_WRITING = (
    f"SET jit = off; SET lock_timeout = '{_LOCK_TIMEOUT_S}s'; SET statement_timeout = '{_STATEMENT_TIMEOUT_S}s';"
    # A process that is stopped in the middle must not keep the others out.
    f" SET idle_in_transaction_session_timeout = '{_STATEMENT_TIMEOUT_S}s'"
)

_SERIALIZATION_FAILURE = "40001"
_DEADLOCK = "40P01"

# Connections opened before a fork: they are the parent's, and must not even be closed here.
_inherited: list[Any] = []


def checked(url: URL) -> URL:
    """A URL that names the driver.

    Raises:
        StoreError: It has no database or host, or the driver is not installed.
    """
    if "@" in (url.host or ""):
        raise StoreError("in a URL, write the @ of a password as %40")
    if not url.database and not {"dbname", "service"}.intersection(url.query):
        raise StoreError(f"{label_of(url)} names no database; add one, as in postgresql://host/name")
    driver_error()
    return url.set(drivername="postgresql+psycopg")


@cache
def driver_error() -> type[Exception]:
    """Base class of the driver's exceptions.

    Raises:
        StoreError: The driver is not installed.
    """
    try:
        import psycopg
    except ImportError as error:
        raise StoreError("PostgreSQL needs its driver: pip install 'spandag[postgres]'") from error
    return psycopg.Error


def _operational_error() -> type[Exception]:
    import psycopg

    return psycopg.OperationalError


def label_of(url: URL) -> str:
    """How messages name a database: its URL without the password and without options."""
    query = {key: value for key, value in url.query.items() if key in ("host", "port")}
    shown = URL.create("postgresql", url.username, None, url.host, url.port, url.database, query)
    return shown.render_as_string(hide_password=True).replace("%2F", "/")


def engine(url: URL, *, write: bool) -> Engine:
    """Connections to the database; none is opened here.

    A writing engine keeps one connection. A reading one keeps some for as many
    threads; each of its transactions is one snapshot.

    Raises:
        StoreError: The URL has options that do not exist.
    """
    defaults: dict[str, Any] = {
        "application_name": "spandag",
        "connect_timeout": _CONNECT_TIMEOUT_S,
        # Notice a server or a network that went away without a word.
        "keepalives_idle": _SILENCE_S,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": _SILENCE_S * 1000,
    }
    options: dict[str, Any] = {"pool_size": 1, "max_overflow": 0}
    if not write:
        # Beyond five, a connection is closed when its thread is done.
        options = {"pool_size": 5, "max_overflow": -1, "isolation_level": "REPEATABLE READ"}
    try:
        result = create_engine(
            url,
            connect_args={key: value for key, value in defaults.items() if key not in url.query},
            # As the driver itself takes it, so that rows are tuples.
            paramstyle="format",
            use_native_hstore=False,
            poolclass=QueuePool,
            **options,
        )
    except (ArgumentError, TypeError) as error:
        raise StoreError(f"{label_of(url)} has options that cannot be used") from error
    event.listen(result, "connect", _set_up_writing if write else _set_up_reading)
    event.listen(result, "checkout", _check_before_use)
    return result


def _set_up_writing(driver: Any, record: Any) -> None:
    from psycopg.types.numeric import Int8Dumper

    # By default the size of a number decides its type, and each mixture of types is planned anew.
    driver.adapters.register_dumper(int, Int8Dumper)
    _set_up(driver, record, _WRITING)


def _set_up_reading(driver: Any, record: Any) -> None:
    driver.read_only = True
    _set_up(driver, record, _READING)


def _set_up(driver: Any, record: Any, settings: str) -> None:
    record.info["pid"] = os.getpid()
    if driver.info.server_version < _MINIMUM * 10_000:
        raise StoreError(
            f"PostgreSQL {driver.info.server_version // 10_000} is too old; use PostgreSQL {_MINIMUM} or newer"
        )
    driver.autocommit = True
    try:
        driver.execute(settings)
    except _operational_error() as error:
        if driver.closed:
            # Not lost in use, which is all that SQLAlchemy has a word for.
            raise DisconnectionError(_first_line(error)) from error
        raise
    driver.autocommit = False


def _check_before_use(driver: Any, record: Any, proxy: Any) -> None:
    """Have another connection opened where this one is not, or no longer, ours to use.

    SQLAlchemy's own way, a query each time, would ask on a parent's connection.
    """
    if record.info["pid"] != os.getpid():
        _inherited.append(driver)
        record.dbapi_connection = proxy.dbapi_connection = None
        raise DisconnectionError("opened before a fork")
    # A server has nothing to say to an idle connection but that it ends.
    with selectors.DefaultSelector() as selector:
        selector.register(driver.fileno(), selectors.EVENT_READ)
        if selector.select(timeout=0):
            raise DisconnectionError("ended by the server")


def can_pipeline() -> bool:
    """Whether several statements can be sent at once: the client library must be of version 14 or newer."""
    import psycopg

    return psycopg.Pipeline.is_supported()


def lock(connection: Connection, name: str) -> None:
    """Hold off others that lock the same name, until the end of the transaction."""
    digest = blake2b(name.encode(), digest_size=8, person=b"spandag").digest()
    connection.exec_driver_sql(
        "SELECT pg_advisory_xact_lock(%s)", (int.from_bytes(digest, "big", signed=True),)
    )


def lock_schema(connection: Connection) -> None:
    """Hold off other upgrades until the end of the transaction, which may take long and wait long."""
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_UPGRADE_TIMEOUT_S}s'")
    lock(connection, "schema")


def gave_up(error: Exception) -> bool:
    """Whether a transaction can be tried again: given up because of others, or its connection as soon as it was made."""
    return _sqlstate(error) in (_SERIALIZATION_FAILURE, _DEADLOCK) or _ended_when_made(error)


def _ended_when_made(error: Exception) -> bool:
    """Whether the server has ended a connection while it was set up, or two in a row before their first use.

    The pool tries no third one, and has a word of its own for it.
    """
    if isinstance(error, DisconnectionError):
        return True
    return type(error) is InvalidRequestError and "connection is closed" in str(error)


def is_lost(connection: Connection, error: Exception) -> bool:
    """Whether the connection is of no use any more: closed, or left in the middle of a pipeline.

    Args:
        connection: To the database.
        error: What it raised last.
    """
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, _operational_error()) and _sqlstate(error) is None:
        # Not the server's word, but the client's.
        return True
    # Looking at it must not open another one.
    driver = None if connection.invalidated else connection.connection.driver_connection
    return driver is None or bool(driver.closed)


def explain(label: str, error: Exception) -> StoreError:
    """What an exception of the database means for the user, and what to do."""
    state = _sqlstate(error) or ""
    text = _first_line(error)
    for states, meaning in _BY_SQLSTATE:
        if state.startswith(states):
            return StoreError(meaning.format(label=label, text=text))
    if not state:
        # What goes wrong before a session exists has no code, and is said in the server's language.
        for pattern, meaning in _BY_TEXT:
            if re.search(pattern, text):
                return StoreError(meaning.format(label=label, text=text))
    return StoreError(f"the store {label} cannot be used ({text})")


_BY_SQLSTATE: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("42501",),
        "no right to use the store {label} ({text}); it needs its own tables, and CREATE on the schema for the first start",
    ),
    (
        ("3F000",),
        "the store {label} has no schema to create its tables in ({text}); create it, or name another with search_path",
    ),
    (("25006",), "the store {label} can only be read ({text}); name the primary server with --store"),
    (("55P03", "57014"), "the store {label} is locked or too slow ({text}); try again later"),
    (("53100",), "no space left for the store {label}; free some, or name another with --store"),
    (("53300",), "the store {label} takes no more connections ({text}); try again later"),
)

_BY_TEXT: tuple[tuple[str, str], ...] = (
    (
        r"authentication failed|no password supplied|role .* does not exist|pg_hba\.conf",
        "the store {label} refuses the user or the password ({text})",
    ),
    (
        r"database .* does not exist",
        "there is no database {label}; create it with createdb, or name another with --store",
    ),
    (
        r"onnection refused|timeout expired|timed out|could not translate host name|resolve|no route|unreachable|No such file or directory|closed the connection",
        "cannot reach the store {label} ({text}); check that the server runs there, or name another with --store",
    ),
)


def _sqlstate(error: Exception) -> str | None:
    return cast("str | None", getattr(getattr(error, "orig", None) or error, "sqlstate", None))


def _first_line(error: Exception) -> str:
    """What the database says, without statement, parameters and details, which have the user's data."""
    cause = getattr(error, "orig", None) or error
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    lines = [line.strip() for line in str(primary or cause).splitlines() if line.strip()]
    line = lines[0] if lines else type(cause).__name__
    return re.sub(r"^connection (failed|is bad): ", "", line)
