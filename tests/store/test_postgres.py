"""PostgreSQL: what is refused and how, and what happens beside others."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from sqlalchemy import make_url, select, text
from sqlalchemy.exc import DisconnectionError

from spandag.export.project import project
from spandag.store import StoreError, Writer, open_store, schema
from spandag.store import postgres as spandag_postgres
from spandag.store.connect import open_database

ReadTables = Callable[[str], dict[str, list[dict[str, Any]]]]


def refused(url: str) -> tuple[str, str]:
    """What reading and writing say; both must refuse in one line without the password."""
    with pytest.raises(StoreError) as reading:
        open_store(url)
    with pytest.raises(StoreError) as writing:
        Writer(url).settle()
    for said in (str(reading.value), str(writing.value)):
        assert "\n" not in said
        assert str(make_url(url).password) not in said
    return str(reading.value), str(writing.value)


def changed(url: str, **parts: Any) -> str:
    return make_url(url).set(**parts).render_as_string(hide_password=False)


@pytest.fixture
def admin(empty_postgres_url: str) -> Iterator[psycopg.Connection]:
    """The superuser in a database without tables."""
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def poor(admin: psycopg.Connection, empty_postgres_url: str) -> Iterator[str]:
    """The URL of a user who may connect and nothing else."""
    admin.execute("CREATE ROLE spandag_test_poor LOGIN PASSWORD 'little-secret'")
    admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    yield changed(empty_postgres_url, username="spandag_test_poor", password="little-secret")
    admin.execute("DROP OWNED BY spandag_test_poor")
    admin.execute("DROP ROLE spandag_test_poor")


def relations(connection: psycopg.Connection) -> list[str]:
    rows = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname"
    )
    return [name for (name,) in rows]


@pytest.mark.parametrize("form", ["postgresql", "postgresql+psycopg", "postgres"])
def test_every_form_of_the_url_is_the_same_store(
    form: str, postgres_url: str, redone_run: list[ReadableSpan], read_tables: ReadTables
) -> None:
    writer = Writer(postgres_url.replace("postgresql", form, 1))
    writer.write(project(redone_run))
    writer.close()
    assert len(read_tables(postgres_url)["workflow_runs"]) == 1


def test_wrong_credentials_are_said_to_be(postgres_url: str) -> None:
    wrong = changed(postgres_url, username="spandag_test_nobody", password="wrong-secret")
    for said in refused(wrong):
        assert "refuses the user or the password" in said


def test_a_missing_database_is_said_to_be(postgres_url: str) -> None:
    for said in refused(changed(postgres_url, database="spandag_test_missing")):
        assert said.startswith("there is no database postgresql://")
        assert "spandag_test_missing" in said


def test_an_unreachable_server_is_said_to_be(postgres_url: str) -> None:
    for said in refused(changed(postgres_url, host="127.0.0.1", port=1)):
        assert said.startswith("cannot reach the store postgresql://")
        assert said.endswith("check that the server runs there, or name another with --store")


def test_a_server_that_never_answers_holds_up_an_export_for_a_few_seconds_only(
    redone_run: list[ReadableSpan],
) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/d?connect_timeout=2"
        started = time.monotonic()
        with pytest.raises(StoreError, match="cannot reach the store"):
            Writer(url).write(project(redone_run))
        assert time.monotonic() - started < 20


def test_options_that_do_not_exist_are_refused(postgres_url: str) -> None:
    for said in refused(postgres_url + "?colour=blue"):
        assert "colour" in said


def test_a_missing_driver_is_named_with_what_installs_it() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from spandag.store import StoreError, open_store\n"
        "try: open_store('postgresql://u:secret@h/d')\n"
        "except StoreError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "PostgreSQL needs its driver: pip install 'spandag[postgres]'\n"


def test_reading_creates_nothing(admin: psycopg.Connection, empty_postgres_url: str) -> None:
    with pytest.raises(StoreError, match=r"no store at postgresql://.*; run something with spandag first"):
        open_store(empty_postgres_url)
    assert relations(admin) == []


def test_another_programs_schema_is_refused_and_left_as_it_was(
    admin: psycopg.Connection, empty_postgres_url: str
) -> None:
    admin.execute("CREATE TABLE notes (id integer)")
    for said in refused(empty_postgres_url):
        assert "is a database of another program; name another database with --store, or a schema" in said
    assert relations(admin) == ["notes"]


def test_beside_another_program_a_schema_of_its_own_does(
    admin: psycopg.Connection, empty_postgres_url: str, redone_run: list[ReadableSpan]
) -> None:
    admin.execute("CREATE TABLE notes (id integer)")
    admin.execute("CREATE SCHEMA spandag")
    url = empty_postgres_url + "?options=-csearch_path%3Dspandag"
    writer = Writer(url)
    writer.write(project(redone_run))
    writer.close()
    with open_store(url) as store, store.connection() as connection:
        assert connection.execute(select(schema.workflow_runs.c.status)).scalar_one() == "completed"
    assert relations(admin) == ["notes"]


def test_without_the_right_to_create_tables_nothing_is_changed(admin: psycopg.Connection, poor: str) -> None:
    with pytest.raises(StoreError) as said:
        Writer(poor).settle()
    assert str(said.value).startswith("no right to use the store postgresql://spandag_test_poor@")
    assert "permission denied for schema public" in str(said.value)
    assert relations(admin) == []


def test_without_the_right_to_read_the_tables_that_is_said(
    admin: psycopg.Connection, empty_postgres_url: str, poor: str
) -> None:
    Writer(empty_postgres_url).settle()
    for said in refused(poor):
        assert said.startswith("no right to use the store")


def test_a_store_of_a_newer_version_is_refused(admin: psycopg.Connection, empty_postgres_url: str) -> None:
    Writer(empty_postgres_url).settle()
    admin.execute("UPDATE spandag_version SET version_num = '9999'")
    for said in refused(empty_postgres_url):
        assert "was written by a newer version of spandag" in said


def test_an_upgrade_that_fails_leaves_nothing(
    admin: psycopg.Connection, empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("interrupted")

    with monkeypatch.context() as patched:
        # The last thing that a migration does.
        patched.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", fail)
        with pytest.raises(RuntimeError, match="interrupted"):
            Writer(empty_postgres_url).settle()
    assert relations(admin) == []
    Writer(empty_postgres_url).settle()
    assert "workflow_runs" in relations(admin)


def test_several_processes_can_create_the_same_store_at_once(empty_postgres_url: str) -> None:
    code = (
        "import sys; from spandag.store import Writer\n"
        "w = Writer(sys.argv[1]); sys.stdin.readline(); w.settle(); w.close(); print('done')"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, empty_postgres_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60) for process in started] == [("done\n", "")] * 4


def test_a_lost_connection_is_opened_again(
    postgres: Any,
    postgres_url: str,
    redone_run: list[ReadableSpan],
    read_tables: ReadTables,
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer = Writer(postgres_url)
    with caplog.at_level(logging.WARNING), open_store(postgres_url) as store:
        writer.write(project(redone_run[:5]))
        with store.connection() as connection:
            assert connection.execute(select(schema.workflow_runs)).all()
        postgres.disconnect(postgres_url)
        writer.write(project(redone_run))
        assert writer.settle() == 1
        postgres.disconnect(postgres_url)
        assert writer.settle() == 0
        with store.connection() as connection:
            [run] = connection.execute(select(schema.workflow_runs)).mappings()
        assert run["facts_version"] == run["derived_version"] == 2
    assert caplog.records == []
    assert len(read_tables(postgres_url)["dag_nodes"]) == len(redone_run) + 2
    writer.close()


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_what_the_database_gave_up_is_tried_again(postgres_url: str, state: str) -> None:
    database = open_database(postgres_url, write=True)
    tries = []

    def work(connection: Any) -> str:
        tries.append(1)
        if len(tries) < 3:
            connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$"))
        return "done"

    assert database.transact(work) == "done"
    assert len(tries) == 3
    database.engine.dispose()


def test_a_connection_that_is_lost_in_the_middle_is_opened_again(postgres_url: str) -> None:
    """Whether the driver notices by itself, on our raw cursor, or SQLAlchemy does."""
    database = open_database(postgres_url, write=True)
    end = "SELECT pg_terminate_backend(pg_backend_pid())"
    insert = "INSERT INTO workflow_runs (id) VALUES (%s) ON CONFLICT DO NOTHING"
    tries = []

    def work(connection: Any) -> None:
        tries.append(1)
        connection.exec_driver_sql(insert, ("a",))
        if len(tries) == 1:
            connection.exec_driver_sql(end)
        cursor = connection.connection.cursor()
        if len(tries) == 2:
            cursor.execute(end)
        cursor.execute(insert, ("b",))

    database.transact(work)
    assert len(tries) == 3
    database.engine.dispose()
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT id FROM workflow_runs ORDER BY id").fetchall() == [("a",), ("b",)]


@pytest.mark.parametrize("ended", [1, 2, 5])
def test_connections_that_end_as_soon_as_they_are_made_are_made_again(
    postgres_url: str, redone_run: list[ReadableSpan], monkeypatch: pytest.MonkeyPatch, ended: int
) -> None:
    """The pool tries two, and has a word of its own for it."""
    check, waiting = spandag_postgres._check_before_use, [True] * ended

    def ends(*connection: Any) -> None:
        check(*connection)
        if waiting:
            waiting.pop()
            raise DisconnectionError("ended by the server")

    monkeypatch.setattr(spandag_postgres, "_check_before_use", ends)
    writer = Writer(postgres_url)
    writer.write(project(redone_run))
    writer.close()
    assert waiting == []
    with open_store(postgres_url) as store, store.connection() as connection:
        assert connection.execute(select(schema.workflow_runs.c.id)).all()


@pytest.mark.parametrize("ended", [1, 2, 5])
def test_connections_that_end_while_they_are_set_up_are_made_again(
    postgres_url: str,
    postgres: Any,
    redone_run: list[ReadableSpan],
    monkeypatch: pytest.MonkeyPatch,
    ended: int,
) -> None:
    set_up, waiting = spandag_postgres._set_up, [True] * ended

    def is_ended(driver: Any, *arguments: Any) -> None:
        if waiting:
            waiting.pop()
            postgres.disconnect(postgres_url)
        set_up(driver, *arguments)

    monkeypatch.setattr(spandag_postgres, "_set_up", is_ended)
    writer = Writer(postgres_url)
    writer.write(project(redone_run))
    writer.close()
    assert waiting == []
    with open_store(postgres_url) as store, store.connection() as connection:
        assert connection.execute(select(schema.workflow_runs.c.id)).all()


def test_a_server_that_does_not_come_back_is_an_error(postgres_url: str, postgres: Any) -> None:
    database = open_database(postgres_url, write=True)
    tries = []

    def work(connection: Any) -> None:
        tries.append(1)
        name = make_url(postgres_url).database
        postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        postgres.disconnect(postgres_url)
        connection.exec_driver_sql("SELECT 1")

    try:
        with pytest.raises(StoreError, match=r"cannot be used|cannot reach"), database.explained():
            database.transact(work)
    finally:
        postgres.execute(f"ALTER DATABASE {make_url(postgres_url).database} ALLOW_CONNECTIONS true")
    assert len(tries) == 1
    database.engine.dispose()


def test_a_real_deadlock_is_got_over(postgres_url: str) -> None:
    """Two transactions that take the same rows crosswise, as no writer of ours does."""
    meet = threading.Barrier(2)
    done = []

    def update(first: str, second: str) -> None:
        database = open_database(postgres_url, write=True)
        tried = []

        def work(connection: Any) -> None:
            bump = text("UPDATE workflow_runs SET facts_version = facts_version + 1 WHERE id = :id")
            connection.execute(bump, {"id": first})
            if not tried:
                tried.append(1)
                meet.wait(10)
            connection.execute(bump, {"id": second})

        database.transact(work)
        done.append(first)
        database.engine.dispose()

    with psycopg.connect(postgres_url) as connection:
        connection.execute("INSERT INTO workflow_runs (id) VALUES ('a'), ('b')")
    threads = [threading.Thread(target=update, args=order) for order in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(done) == ["a", "b"]
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT facts_version FROM workflow_runs").fetchall() == [(2,), (2,)]


def test_a_session_shows_who_it_is_and_reads_without_jit(postgres_url: str) -> None:
    for write in (False, True):
        database = open_database(postgres_url, write=write)
        with database.engine.connect() as connection:
            shown = connection.exec_driver_sql(
                "SELECT current_setting('application_name'), current_setting('jit'),"
                " current_setting('transaction_read_only'), current_setting('transaction_isolation'),"
                " current_setting('lock_timeout') <> '0'"
            ).one()
        database.engine.dispose()
        assert tuple(shown) == (
            ("spandag", "off", "off", "read committed", True)
            if write
            else ("spandag", "off", "on", "repeatable read", False)
        )


def test_no_connection_is_left_behind(postgres_url: str, redone_run: list[ReadableSpan]) -> None:
    writer = Writer(postgres_url)
    writer.write(project(redone_run))
    with open_store(postgres_url) as store:
        store.settle()
        with store.connection() as connection:
            connection.execute(select(schema.sessions)).all()
    writer.close()
    give_up = time.monotonic() + 10
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        others = 1
        while others and time.monotonic() < give_up:
            [others] = connection.execute(  # type: ignore[misc]
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
    assert others == 0


def test_passwords_are_not_in_the_label(postgres_url: str) -> None:
    url = postgres_url + f"?application_name=me&sslpassword={os.urandom(4).hex()}"
    label = open_database(url, write=False).label
    assert label == changed(postgres_url, password="").replace(":@", "@")
