"""Databases of one benchmark: a folder of SQLite files, and a PostgreSQL server where one starts."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

# The tests' own server; it ends with this process.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

NewUrl = Callable[[], str]


@contextmanager
def databases(kinds: list[str], versions: dict[str, str] | None = None) -> Iterator[dict[str, NewUrl]]:
    """For each kind a function that gives the URL of a new, empty database.

    Args:
        kinds: Of ``sqlite`` and ``postgresql``.
        versions: Where the server's version is noted.
    """
    made = itertools.count(1)
    with ExitStack() as stack:
        found: dict[str, NewUrl] = {}
        if "sqlite" in kinds:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="spandag-benchmark-"))
            found["sqlite"] = lambda: f"sqlite:///{folder}/{next(made)}.db"
        if "postgresql" in kinds:
            import psycopg
            import spandag_test_postgres
            from sqlalchemy import make_url

            named = os.environ.get("SPANDAG_TEST_POSTGRES_URL")
            server = named or stack.enter_context(spandag_test_postgres.server())
            admin = make_url(server).set(drivername="postgresql")
            names: list[str] = []

            def execute(sql: str) -> None:
                with psycopg.connect(
                    admin.render_as_string(hide_password=False), autocommit=True
                ) as connection:
                    connection.execute(sql)

            def create() -> str:
                # Those before are done with, and disks are small; but two may be compared.
                drop(but=1)
                name = f"spandag_benchmark_{os.getpid()}_{next(made)}"
                execute(f"CREATE DATABASE {name} TEMPLATE template0")
                names.append(name)
                return admin.set(database=name).render_as_string(hide_password=False)

            def drop(but: int = 0) -> None:
                while len(names) > but:
                    execute(f"DROP DATABASE IF EXISTS {names.pop(0)} WITH (FORCE)")

            stack.callback(drop)
            if versions is not None:
                with psycopg.connect(admin.render_as_string(hide_password=False)) as connection:
                    number = connection.info.server_version
                versions["postgresql"] = f"{number // 10_000}.{number % 10_000}"
            found["postgresql"] = create
        yield found
