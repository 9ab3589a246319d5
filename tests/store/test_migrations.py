"""Migrations: both ways, as plain SQL, interrupted, from a host's own chain, and from every older revision."""

from __future__ import annotations

import importlib.util
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from sqlalchemy import Connection, NullPool, create_engine, inspect, make_url, text

from spandag import query
from spandag.export.project import project
from spandag.store import (
    StoreError,
    Writer,
    admin,
    migrations,
    open_store,
    plain_sql,
    revisions,
    schema,
    text_index,
)
from spandag.store.check import check
from spandag.store.revisions import BASE, HEAD

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("golden_databases")
REVISIONS = [revision.id for revision in revisions.revisions()]

Catalog = list[tuple[Any, ...]]


@pytest.fixture
def empty_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that has nothing in it."""
    if backend == "postgresql":
        return str(request.getfixturevalue("empty_postgres_url"))
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture
def connect(empty_url: str) -> Callable[[], Connection]:
    """Opens plain connections to that database."""
    url = make_url(empty_url)
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    return engine.connect


@pytest.fixture
def execute(connect: Callable[[], Connection]) -> Callable[[str], None]:
    """Executes one statement there, as somebody else would."""

    def run(statement: str) -> None:
        with connect() as connection, connection.begin():
            connection.exec_driver_sql(statement)

    return run


@pytest.fixture
def catalog(connect: Callable[[], Connection]) -> Callable[[], Catalog]:
    """Everything that the database itself knows of its schema."""

    def read() -> Catalog:
        with connect() as connection:
            return catalog_of(connection)

    return read


def catalog_of(connection: Connection) -> Catalog:
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2")
        return [(*row[:3], " ".join(str(row[3]).split())) for row in rows]
    found: Catalog = []
    for statement in (
        "SELECT c.relname, c.relkind::text, obj_description(c.oid) FROM pg_class AS c"
        " WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attnum,"
        " pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)"
        " FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum"
        " WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1, 5",
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1",
    ):
        found += [tuple(row) for row in connection.exec_driver_sql(statement)]
    return found


def run_script(url: str, script: str) -> list[str]:
    """Run plain SQL as a person would, without Alembic; returns what its verification answers."""
    change, _, verification = script.partition("-- Verification")
    queries = [
        statement for statement in re.split(r";\n", verification.partition("\n")[2]) if statement.strip()
    ]
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(str(make_url(url).database))) as connection:
            connection.executescript(change)
            return [str(connection.execute(statement).fetchone()[1]) for statement in queries]
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(change)  # type: ignore[call-overload]
        return [str(server.execute(statement).fetchone()[1]) for statement in queries]  # type: ignore[call-overload, index]


def scripts(backend: str, *, up: bool) -> list[str]:
    """The files of a database in the order in which they are run."""
    folder = plain_sql.FOLDER / backend
    found = sorted(path for path in folder.glob("*.sql") if path.name.endswith(".rollback.sql") is not up)
    return [path.read_text(encoding="utf-8") for path in (found if up else found[::-1])]


# --- up and down ---------------------------------------------------------------


def test_revisions_form_a_line_and_say_what_they_are() -> None:
    known = revisions.revisions()
    assert [revision.down for revision in known] == [None, *REVISIONS[:-1]]
    assert REVISIONS[-1] == schema.REVISION
    assert all(revision.title and re.fullmatch(r"\d+\.\d+\.\d+", revision.needs) for revision in known)


def test_each_revision_can_be_applied_and_taken_back(empty_url: str, catalog: Callable[[], Catalog]) -> None:
    said: list[str] = []
    seen = []
    for revision in REVISIONS:
        assert admin.upgrade_to(empty_url, revision, say=said.append).steps == [revision]
        assert admin.current(empty_url).revision == revision
        assert check(empty_url).schema == []
        seen.append(catalog())
    assert len(said) == len(REVISIONS)
    for revision, before in zip(REVISIONS[-2::-1], seen[-2::-1], strict=True):
        assert len(admin.downgrade_to(empty_url, revision).steps) == 1
        assert catalog() == before
    assert admin.downgrade_to(empty_url, BASE).revision is None
    assert {row[0] for row in catalog() if row[1] == "r"} <= {schema.VERSION_TABLE}
    assert admin.upgrade_to(empty_url).steps == REVISIONS
    assert catalog() == seen[-1]


def test_up_to_date_is_up_to_date(empty_url: str, catalog: Callable[[], Catalog]) -> None:
    admin.upgrade_to(empty_url)
    before = catalog()
    assert admin.upgrade_to(empty_url).steps == []
    assert admin.downgrade_to(empty_url, HEAD).steps == []
    assert catalog() == before


def test_nobody_goes_down_by_upgrading_or_up_by_downgrading(
    empty_url: str, catalog: Callable[[], Catalog]
) -> None:
    admin.upgrade_to(empty_url, REVISIONS[0])
    before = catalog()
    with pytest.raises(StoreError, match=r"is at revision 0001; to get to base use: spandag db downgrade"):
        admin.upgrade_to(empty_url, BASE)
    with pytest.raises(StoreError, match=r"is at revision 0001; to get to head use: spandag db upgrade"):
        admin.downgrade_to(empty_url, HEAD)
    for move in (admin.upgrade_to, admin.downgrade_to):
        with pytest.raises(
            StoreError, match=r"there is no revision 'nonsense'; known are 0001, .*head and base"
        ):
            move(empty_url, "nonsense")
    assert catalog() == before


def test_a_wrong_target_creates_no_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'runs.db'}"
    with pytest.raises(StoreError, match="there is no revision"):
        admin.upgrade_to(url, "nonsense")
    with pytest.raises(StoreError, match="no store at"):
        admin.downgrade_to(url, BASE)
    assert not list(tmp_path.iterdir())


# --- plain SQL -----------------------------------------------------------------


def test_the_files_are_what_the_revisions_generate() -> None:
    """Write them anew with `python -m spandag.store.plain_sql`."""
    expected = plain_sql.files()
    there = {path.relative_to(plain_sql.FOLDER) for path in plain_sql.FOLDER.rglob("*.sql")}
    assert there == set(expected)
    assert {path: (plain_sql.FOLDER / path).read_text(encoding="utf-8") for path in there} == expected


def test_the_files_give_the_schema_of_the_migrations(
    backend: str,
    empty_url: str,
    connect: Callable[[], Connection],
    catalog: Callable[[], Catalog],
    execute: Callable[[str], None],
) -> None:
    for script in scripts(backend, up=True):
        assert set(run_script(empty_url, script)) == {"ok"}
    by_hand = catalog()
    assert admin.current(empty_url).is_newest
    assert needed(connect) == revisions.revisions()[-1].needs
    admin.downgrade_to(empty_url, BASE)
    execute(f"DROP TABLE {schema.VERSION_TABLE}")
    admin.upgrade_to(empty_url)
    assert catalog() == by_hand
    assert needed(connect) == revisions.revisions()[-1].needs


@pytest.mark.parametrize("has_index", [False, True])
def test_the_rollbacks_empty(
    backend: str, empty_url: str, connect: Callable[[], Connection], has_index: bool
) -> None:
    admin.upgrade_to(empty_url)
    for script in scripts(backend, up=False):
        if has_index:
            # Any of them may be the first to be run, by whoever built an index at that revision.
            with connect() as connection, connection.begin():
                text_index.create(connection)
        assert set(run_script(empty_url, script)) == {"ok"}
    with connect() as connection:
        assert inspect(connection).get_table_names() == [schema.VERSION_TABLE]
        assert inspect(connection).get_view_names() == []
    for script in scripts(backend, up=True):
        assert set(run_script(empty_url, script)) == {"ok"}
    Writer(empty_url).settle()


def test_a_rollback_leaves_a_text_index_of_another_schema(empty_postgres_url: str) -> None:
    url = f"{empty_postgres_url}?options=-csearch_path%3Down%2Cpublic"
    with psycopg.connect(empty_postgres_url, autocommit=True) as server:
        server.execute("CREATE SCHEMA own")
        admin.upgrade_to(url)
        server.execute("CREATE TABLE public.text_index (of_somebody_else INTEGER)")
    assert set(run_script(url, scripts("postgresql", up=False)[0])) == {"ok"}
    with psycopg.connect(empty_postgres_url) as server:
        server.execute("SELECT of_somebody_else FROM public.text_index")


def test_verification_notices_what_is_missing(
    backend: str, empty_url: str, execute: Callable[[str], None]
) -> None:
    scripts_up = scripts(backend, up=True)
    for script in scripts_up:
        run_script(empty_url, script)
    execute("DROP VIEW v_events")
    execute("DROP INDEX ix_workflow_runs_started_at")
    first, last = scripts_up[0], scripts_up[-1]
    assert "WRONG" in run_script(empty_url, first[first.index("-- Verification") :])
    assert "WRONG" in run_script(empty_url, last[last.index("-- Verification") :])


def test_sql_is_printed_for_any_two_revisions(backend: str) -> None:
    whole = plain_sql.script(backend)
    assert whole == "\n".join(scripts(backend, up=True))
    assert plain_sql.script(backend, HEAD, BASE) == "\n".join(scripts(backend, up=False))
    assert plain_sql.script(backend, "0001", HEAD) == "\n".join(scripts(backend, up=True)[1:])
    assert plain_sql.script(backend, HEAD, HEAD) == ""
    with pytest.raises(StoreError, match="there is no revision 'x'"):
        plain_sql.script(backend, "x", HEAD)


def needed(connect: Callable[[], Connection]) -> object:
    with connect() as connection:
        return (
            connection.execute(schema.settings.select().where(schema.settings.c.key == revisions.NEEDS))
            .one()
            .value
        )


# --- interrupted ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "obstacle", "remove"),
    [
        ("0001", "CREATE VIEW v_events AS SELECT 1 AS one", "DROP VIEW v_events"),
        (BASE, "CREATE TABLE workflow_runs (mine INTEGER)", "DROP TABLE workflow_runs"),
    ],
)
def test_a_migration_that_fails_changes_nothing(
    empty_url: str,
    catalog: Callable[[], Catalog],
    execute: Callable[[str], None],
    start: str,
    obstacle: str,
    remove: str,
) -> None:
    admin.upgrade_to(empty_url)
    admin.downgrade_to(empty_url, start)
    execute(obstacle)
    before = catalog()
    for attempt in (lambda: admin.upgrade_to(empty_url), lambda: Writer(empty_url).settle()):
        with pytest.raises(StoreError, match=r"already exists|is a database of another program") as said:
            attempt()
        assert "\n" not in str(said.value)
        assert catalog() == before
    execute(remove)
    assert admin.upgrade_to(empty_url).revision == schema.REVISION


@pytest.mark.parametrize("start", ["0001", BASE])
def test_a_migration_that_is_killed_changes_nothing(
    empty_url: str, catalog: Callable[[], Catalog], start: str
) -> None:
    admin.upgrade_to(empty_url)
    admin.downgrade_to(empty_url, start)
    before = catalog()
    code = f"""
import os
from sqlalchemy import Engine, event
from spandag.store import admin

created = 0

@event.listens_for(Engine, "before_cursor_execute")
def die(connection, cursor, statement, *rest):
    global created
    created += statement.lstrip().startswith("CREATE")
    if created == 6:
        os._exit(9)

admin.upgrade_to({empty_url!r})
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 9
    assert catalog() == before
    assert admin.upgrade_to(empty_url).revision == schema.REVISION


def test_two_processes_can_upgrade_at_once(empty_url: str) -> None:
    admin.upgrade_to(empty_url, "0001")
    code = f"from spandag.store import open_store; open_store({empty_url!r}).close(); print('done')"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    assert [process.communicate(timeout=60) for process in started] == [("done\n", "")] * 3
    assert admin.current(empty_url).is_newest


# --- newer ---------------------------------------------------------------------


def test_a_store_of_a_newer_version_is_refused_with_the_version_it_needs(
    empty_url: str, execute: Callable[[str], None], catalog: Callable[[], Catalog]
) -> None:
    admin.upgrade_to(empty_url)
    execute(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
    execute(f"UPDATE settings SET value = '\"7.1.0\"' WHERE key = '{revisions.NEEDS}'")
    before = catalog()
    for attempt in ATTEMPTS:
        with pytest.raises(StoreError) as said:
            attempt(empty_url)
        assert str(said.value).endswith(
            f" was written by a newer version of spandag: its schema is at revision 9999, this version knows "
            f"{schema.REVISION}; use spandag 7.1.0 or newer: pip install 'spandag>=7.1.0'"
        )
    assert catalog() == before


def test_a_newer_store_that_does_not_say_its_version_is_refused_too(
    empty_url: str, execute: Callable[[str], None]
) -> None:
    admin.upgrade_to(empty_url)
    execute(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
    execute("DELETE FROM settings")
    with pytest.raises(StoreError, match="use a newer spandag: pip install -U spandag"):
        open_store(empty_url)
    execute("DROP TABLE settings")
    with pytest.raises(StoreError, match="use a newer spandag: pip install -U spandag"):
        open_store(empty_url)


ATTEMPTS: list[Callable[[str], object]] = [
    open_store,
    lambda url: Writer(url).settle(),
    admin.current,
    admin.upgrade_to,
    lambda url: admin.upgrade_to(url, "0001"),
    lambda url: admin.downgrade_to(url, BASE),
    check,
]


# --- a host's own chain --------------------------------------------------------


@pytest.fixture
def application(tmp_path: Path, empty_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The application of the guide, as the guide tells to write it."""
    spec = importlib.util.spec_from_file_location("docs_check", ROOT / "docs" / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "docs_check", module)
    spec.loader.exec_module(module)
    folder = tmp_path / "application"
    for step in module.read_page(ROOT / "docs" / "migrations.md").steps:
        if isinstance(step, tuple):
            file = folder / step[0]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(step[1], encoding="utf-8")
    url = make_url(empty_url)
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    monkeypatch.setenv("APP_DATABASE", url.render_as_string(hide_password=False))
    return folder


def alembic(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=folder,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_host_runs_our_migrations_from_its_own_chain(
    application: Path, empty_url: str, connect: Callable[[], Connection]
) -> None:
    alembic(application, "upgrade", "head")
    with connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == ["app2"]
        assert revisions.current(connection) == schema.REVISION
        assert inspect(connection).has_table("orders")
    assert check(empty_url).ok
    Writer(empty_url).settle()
    alembic(application, "downgrade", "app1")
    with connect() as connection:
        assert set(inspect(connection).get_table_names()) == {
            "alembic_version",
            "orders",
            schema.VERSION_TABLE,
        }
    alembic(application, "upgrade", "head")
    alembic(application, "downgrade", "base")


DIES = """
from sqlalchemy import Engine, event

created = 0

@event.listens_for(Engine, "before_cursor_execute")
def die(connection, cursor, statement, *rest):
    global created
    created += statement.lstrip().startswith("CREATE")
    if created == 8:
        os._exit(9)

"""


def test_a_host_that_is_killed_in_our_migration_leaves_nothing_of_it(
    application: Path, connect: Callable[[], Connection]
) -> None:
    """Python's driver of SQLite begins no transaction for tables by itself."""
    alembic(application, "upgrade", "app1")
    env = application / "migrations" / "env.py"
    code = env.read_text(encoding="utf-8")
    env.write_text(code.replace("engine = create_engine", DIES + "engine = create_engine"), encoding="utf-8")
    killed = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"], cwd=application, timeout=60, check=False
    )
    assert killed.returncode == 9
    with connect() as connection:
        assert set(inspect(connection).get_table_names()) == {"alembic_version", "orders"}
    env.write_text(code, encoding="utf-8")
    alembic(application, "upgrade", "head")
    with connect() as connection:
        assert revisions.current(connection) == schema.REVISION


def test_hosts_that_bring_us_to_the_newest_revision_at_once_wait_for_each_other(
    application: Path, empty_url: str
) -> None:
    code = """
import os
from sqlalchemy import create_engine
from spandag.store import migrations

url = os.environ["APP_DATABASE"]
patience = {"timeout": 60} if url.startswith("sqlite") else {}
with create_engine(url, connect_args=patience).connect() as connection:
    print(len(migrations.upgrade(connection)))
    connection.commit()
"""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=60) for process in started]
    assert sorted(said) == [("0\n", ""), ("0\n", ""), (f"{len(REVISIONS)}\n", "")]
    assert check(empty_url).ok


def test_a_host_whose_connection_commits_by_itself_keeps_what_was_made(
    application: Path, connect: Callable[[], Connection]
) -> None:
    engine = create_engine(os.environ["APP_DATABASE"], isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        assert migrations.upgrade(connection) == REVISIONS
    with connect() as connection:
        assert revisions.current(connection) == schema.REVISION


def test_a_hosts_migration_finds_nothing_to_do_where_the_store_was_opened_before(
    application: Path, empty_url: str, connect: Callable[[], Connection]
) -> None:
    revision = application / "migrations" / "versions" / "0002_spandag.py"
    revision.write_text(
        revision.read_text(encoding="utf-8").replace(f'"{schema.REVISION}"', '"0001"'), encoding="utf-8"
    )
    admin.upgrade_to(empty_url)
    alembic(application, "upgrade", "head")
    assert admin.current(empty_url).is_newest


def test_a_host_finds_its_own_operations_after_ours(
    application: Path, connect: Callable[[], Connection]
) -> None:
    """Alembic's `op` is one for the whole process."""
    revision = application / "migrations" / "versions" / "0002_spandag.py"
    code = revision.read_text(encoding="utf-8")
    code = code.replace("import op\n", "import op\nimport sqlalchemy as sa\n").replace(
        f'"{schema.REVISION}")\n',
        f'"{schema.REVISION}")\n    op.create_table("after", sa.Column("id", sa.Integer))\n',
    )
    revision.write_text(code, encoding="utf-8")
    alembic(application, "upgrade", "head")
    with connect() as connection:
        assert inspect(connection).has_table("after")


def test_autogenerate_leaves_our_tables_alone(application: Path) -> None:
    alembic(application, "upgrade", "head")
    template = "def upgrade():\n    ${upgrades}\n\ndef downgrade():\n    ${downgrades}\n\nrevision = '${up_revision}'\n"
    template += "down_revision = '${down_revision}'\n"
    (application / "migrations" / "script.py.mako").write_text(template, encoding="utf-8")
    alembic(application, "revision", "--autogenerate", "-m", "changes", "--rev-id", "app3")
    [written] = (application / "migrations" / "versions").glob("app3*.py")
    dropped = re.findall(
        r"op\.drop_\w+\('(\w+)'", written.read_text(encoding="utf-8").split("def downgrade")[0]
    )
    assert dropped == ["orders"], "which is not in the application's metadata either"


def test_env_can_bring_us_to_the_newest_revision_each_time(
    application: Path, connect: Callable[[], Connection]
) -> None:
    env = application / "migrations" / "env.py"
    (application / "migrations" / "versions" / "0002_spandag.py").unlink()
    code = env.read_text(encoding="utf-8")
    code = code.replace(
        "run_migrations()\n",
        "run_migrations()\n    migrations.upgrade(connection)\n    connection.commit()\n",
    )
    env.write_text(code, encoding="utf-8")
    for _ in range(2):
        alembic(application, "upgrade", "head")
    with connect() as connection:
        assert revisions.current(connection) == schema.REVISION


def test_the_folder_can_be_used_with_alembics_own_commands(connect: Callable[[], Connection]) -> None:
    from alembic import command

    from spandag.store.upgrade import alembic_config

    with connect() as connection, connection.begin():
        command.upgrade(alembic_config(connection), "head")
        assert revisions.current(connection) == schema.REVISION


# --- golden databases ----------------------------------------------------------


def load(url: str, dump: str) -> None:
    """Bring a dump into an empty database."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(str(make_url(url).database))) as connection:
            connection.executescript(dump)
    else:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(dump)  # type: ignore[call-overload]


@pytest.fixture(params=REVISIONS)
def golden_store(request: pytest.FixtureRequest, backend: str, empty_url: str) -> str:
    """A store as each revision left it."""
    load(empty_url, (GOLDEN / f"{request.param}.{backend}.sql").read_text(encoding="utf-8"))
    assert admin.current(empty_url).revision == request.param
    return empty_url


def test_a_store_of_every_revision_is_upgraded_and_read(
    golden_store: str, redone_run: list[ReadableSpan], read_tables: Callable[[str], Any]
) -> None:
    with open_store(golden_store) as store:
        assert [run.name for run in query.runs(store)] == ["report"]
        tree = query.tree(store, "last")
        assert tree.run.redos == 2
    found = check(golden_store)
    assert (found.ok, found.revision, found.nodes > 10) == (True, schema.REVISION, True)
    stored = read_tables(golden_store)
    writer = Writer(golden_store)
    writer.write(project(redone_run))
    writer.settle()
    writer.close()
    assert read_tables(golden_store) == stored, "the same run as it is written today"


def test_a_store_of_every_revision_gets_the_schema_of_today(
    golden_store: str, catalog: Callable[[], Catalog], execute: Callable[[str], None]
) -> None:
    admin.upgrade_to(golden_store)
    upgraded = catalog()
    admin.downgrade_to(golden_store, BASE)
    execute(f"DROP TABLE {schema.VERSION_TABLE}")
    admin.upgrade_to(golden_store)
    assert catalog() == upgraded


def test_a_store_of_every_revision_can_be_written(
    golden_store: str, new_story: Callable[..., list[Any]]
) -> None:
    writer = Writer(golden_store)
    [batch] = new_story(runs=1)
    writer.write(batch)
    writer.close()
    assert check(golden_store).ok
