"""Fixtures: stores on SQLite and on PostgreSQL, and what is in them."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import spandag_test_postgres
from sqlalchemy import Connection, Engine, NullPool, create_engine, make_url

from spandag.store import Writer
from spandag.store.schema import VERSION_TABLE, metadata

SERVER_VARIABLE = "SPANDAG_TEST_POSTGRES_URL"

Tables = dict[str, list[dict[str, Any]]]

# Of writers, and of what has been written when.
FORGETTABLE = {
    "workflow_runs": {"facts_version", "derived_version"},
    "dag_nodes": {"writer_id"},
}


class Databases:
    """Databases of a server, dropped at the end.

    A database takes as long to make as a test takes to run, so they are emptied and used again.
    """

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql")
        self._prefix = f"spandag_test_{secrets.token_hex(4)}"
        self._numbers = itertools.count(1)
        self._admin = psycopg.connect(self._url.render_as_string(hide_password=False), autocommit=True)
        self._free: list[str] = []
        self._all: list[str] = []
        self._as_made: dict[str, list[Any]] = {}

    def create(self) -> str:
        """The URL of a database with our tables and nothing in them."""
        if self._free:
            return self._free.pop()
        url = self.create_empty()
        writer = Writer(url)
        writer.settle()
        writer.close()
        with psycopg.connect(url) as connection:
            self._as_made[url] = _made_by_migrations(connection)
        return url

    def create_empty(self) -> str:
        """The URL of a database without tables."""
        name = f"{self._prefix}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        url = self._url.set(database=name).render_as_string(hide_password=False)
        self._all.append(url)
        return url

    def execute(self, sql: str) -> None:
        """As the server's administrator."""
        self._admin.execute(sql)  # type: ignore[call-overload]

    def give_back(self, url: str) -> None:
        """Empty a database that `create` gave; what was done to its tables themselves, ends it."""
        self.disconnect(url)
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                written = [name for name in metadata.tables if name != "settings"]
                connection.execute("; ".join(f"DELETE FROM {name}" for name in written))  # type: ignore[call-overload]
                as_made = _made_by_migrations(connection) == self._as_made[url]
        except psycopg.Error:
            as_made = False
        if as_made:
            self._free.append(url)
        else:
            self.drop(url)

    def disconnect(self, url: str) -> None:
        """End all connections to a database, as a restart of the server would."""
        self._admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
            (make_url(url).database,),
        )

    def drop(self, url: str) -> None:
        self._all.remove(url)
        self.execute(f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)")

    def close(self) -> None:
        for url in list(self._all):
            self.drop(url)
        self._admin.close()


def _made_by_migrations(connection: psycopg.Connection) -> list[Any]:
    """What migrations leave besides empty tables."""
    return connection.execute(
        f"SELECT version_num, settings.*, (SELECT count(*) FROM pg_tables WHERE schemaname = 'public') "  # type: ignore[arg-type]
        f"FROM {VERSION_TABLE} LEFT JOIN settings ON true ORDER BY key"
    ).fetchall()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Databases]:
    """Databases of one PostgreSQL server: the one that is named, else one that is started for these tests."""
    with _server() as url:
        databases = Databases(url)
        yield databases
        databases.close()


@contextmanager
def _server() -> Iterator[str]:
    named = os.environ.get(SERVER_VARIABLE)
    if named:
        yield named
        return
    with spandag_test_postgres.server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Which kind of database; a test that uses it runs on both."""
    return str(request.param)


@pytest.fixture
def new_store_url(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], str]]:
    """Makes URLs of stores that nobody has written to yet."""
    made: list[str] = []

    def on_sqlite() -> str:
        made.append(f"sqlite:///{tmp_path / 'stores' / str(len(made))}.db")
        return made[-1]

    if backend == "sqlite":
        yield on_sqlite
        return
    databases: Databases = request.getfixturevalue("postgres")

    def on_postgres() -> str:
        made.append(databases.create())
        return made[-1]

    yield on_postgres
    for url in made:
        databases.give_back(url)


@pytest.fixture
def store_url(new_store_url: Callable[[], str]) -> str:
    """The URL of a store that nobody has written to yet."""
    return new_store_url()


@pytest.fixture
def new_empty_url(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], str]]:
    """Makes URLs of databases without any table; `new_store_url` is faster where tables may be there."""
    made: list[str] = []

    def on_sqlite() -> str:
        made.append(f"sqlite:///{tmp_path / f'empty{len(made)}.db'}")
        return made[-1]

    if backend == "sqlite":
        yield on_sqlite
        return
    databases: Databases = request.getfixturevalue("postgres")

    def on_postgres() -> str:
        made.append(databases.create_empty())
        return made[-1]

    yield on_postgres
    for url in made:
        databases.drop(url)


@pytest.fixture
def postgres_url(postgres: Databases) -> Iterator[str]:
    """The URL of a store on PostgreSQL, for tests that are about it alone."""
    url = postgres.create()
    yield url
    postgres.give_back(url)


@pytest.fixture
def empty_postgres_url(postgres: Databases) -> Iterator[str]:
    """The URL of a database on PostgreSQL without any table."""
    url = postgres.create_empty()
    yield url
    postgres.drop(url)


@contextmanager
def connected(store: str | Path) -> Iterator[Connection]:
    """A plain connection to a store, given by its URL or its file, within a transaction."""
    with plain_engine(store).begin() as connection:
        yield connection


def plain_engine(store: str | Path) -> Engine:
    """Plain connections to a store, given by its URL or its file."""
    url = make_url(f"sqlite:///{store}" if isinstance(store, Path) else store)
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return create_engine(url, poolclass=NullPool)


def empty(store: str | Path) -> None:
    """Remove all rows but those of its settings, for the next example: it takes long to make a store."""
    with connected(store) as connection:
        for table in metadata.sorted_tables:
            if table.name != "settings":
                connection.execute(table.delete())


def tables(store: str | Path) -> Tables:
    """Every row of every table by key, as Python has it, without what may differ."""
    result = {}
    with connected(store) as connection:
        for name, table in sorted(metadata.tables.items()):
            if name in ("writers", "settings"):
                continue
            columns = [column for column in table.columns if column.name not in FORGETTABLE.get(name, ())]
            rows = [
                dict(row) for row in connection.execute(table.select().with_only_columns(*columns)).mappings()
            ]
            keys = [column.name for column in table.primary_key.columns]
            # Sorted here: databases differ in how they compare text.
            result[name] = sorted(rows, key=lambda row: [row[key] for key in keys])
    return result


@pytest.fixture
def read_tables() -> Callable[[str | Path], Tables]:
    return tables
