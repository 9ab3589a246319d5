"""Opening a store: what is created, and what is refused in one line that says what to do.

What is about files is about SQLite; the same for PostgreSQL is in test_postgres.py.
"""

from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from sqlalchemy import insert, select
from sqlalchemy.exc import SQLAlchemyError

from spandag.cli._options import check_writable
from spandag.export.project import project
from spandag.store import StoreError, Writer, load_run, open_store
from spandag.store.schema import workflow_runs


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "spandag.db"


@pytest.fixture
def url(store_path: Path) -> str:
    return f"sqlite:///{store_path}"


@pytest.fixture
def writer(url: str) -> Iterator[Writer]:
    """On SQLite."""
    opened = Writer(url)
    yield opened
    opened.close()


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER)")
    return path


def refused(url: str) -> tuple[str, str]:
    """What reading and writing say; both must refuse."""
    with pytest.raises(StoreError) as reading:
        open_store(url)
    with pytest.raises(StoreError) as writing:
        Writer(url).settle()
    for said in (reading, writing):
        assert "\n" not in str(said.value)
    return str(reading.value), str(writing.value)


def test_writing_creates_folder_and_file_for_this_user_only(writer: Writer, store_path: Path) -> None:
    writer.settle()
    assert stat.S_IMODE(store_path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(store_path.stat().st_mode) == 0o600
    with closing(sqlite3.connect(store_path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_home_folder_may_be_written_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Writer("sqlite:///~/runs.db").settle()
    assert (tmp_path / "runs.db").exists()


def test_a_path_may_have_characters_that_mean_something_in_urls(tmp_path: Path) -> None:
    path = tmp_path / "a b#d" / "ü.db"
    Writer(f"sqlite:///{path}").settle()
    assert path.exists()
    open_store(f"sqlite:///{path}").close()


def test_reading_creates_nothing(url: str, store_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no store at .*; run something with spandag first"):
        open_store(url)
    assert not store_path.parent.exists()


def test_an_empty_file_is_no_store_yet(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(StoreError, match="no store at"):
        open_store(f"sqlite:///{path}")
    assert path.stat().st_size == 0


def test_another_programs_database_is_refused_and_left_as_it_was(foreign: Path) -> None:
    before = foreign.read_bytes()
    for message in refused(f"sqlite:///{foreign}"):
        assert message == (f"{foreign} is a database of another program; name another file with --store")
    assert foreign.read_bytes() == before


LEAVES_A_LOG = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("CREATE TABLE orders (id INTEGER)")
connection.commit()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no way to leave a log behind")
def test_what_another_program_left_when_it_was_killed_stays_as_it_was(tmp_path: Path) -> None:
    """Whoever closes such a file last moves the log into it."""
    path, log = tmp_path / "orders.db", tmp_path / "orders.db-wal"
    subprocess.run([sys.executable, "-c", LEAVES_A_LOG, str(path)], check=False, timeout=60)
    before = path.read_bytes(), log.read_bytes()
    assert before[1]
    for message in refused(f"sqlite:///{path}"):
        assert message == f"{path} is a database of another program; name another file with --store"
    assert (path.read_bytes(), log.read_bytes()) == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary " * 1000)
    for message in refused(f"sqlite:///{path}"):
        assert message == f"{path} is not a SQLite database; name another file with --store"


def test_a_damaged_file_is_said_to_be(url: str, store_path: Path, redone_run: list[ReadableSpan]) -> None:
    writer = Writer(url)
    writer.write(project(redone_run))
    writer.close()
    whole = store_path.read_bytes()
    store_path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(StoreError, match="is damaged"), open_store(url) as store, store.connection() as c:
        load_run(c, f"{0xA:032x}")
    with pytest.raises(StoreError, match="is damaged"):
        Writer(url).write(project(redone_run))


@pytest.mark.parametrize("has_log", [False, True])
def test_a_damage_that_cannot_even_be_quoted_is_said_in_one_line(foreign: Path, has_log: bool) -> None:
    """SQLite quotes what is wrong in the schema, as bytes that are no text."""
    content = foreign.read_bytes().replace(b"CREATE TABLE notes", b"CR\xffATE TABLE notes")
    foreign.write_bytes(content)
    if has_log:
        Path(f"{foreign}-wal").write_bytes(b"left by another program")
    url = f"sqlite:///{foreign}"
    for message in refused(url):
        assert message.startswith(f"the store {foreign} is damaged (malformed: ")
    # By which `spandag run` finds out that the program has to run without being stored.
    with pytest.raises(StoreError, match="is damaged"):
        check_writable(url)
    assert foreign.read_bytes() == content


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+asyncpg://u:secret@host/db", "runs cannot be kept in 'postgresql+asyncpg'"),
        ("postgresql://u:secret@host", "postgresql://u@host names no database"),
        ("postgresql://u:sec@ret@host/db", "in a URL, write the @ of a password as %40"),
        ("postgresql://u:secret@host:port/db", "'postgresql://u:***@host:port/db' is not a store's URL"),
        (
            "postgresql://u:secret:@host:port:5432/db",
            "'postgresql://u:***@host:port:5432/db' is not a store's URL",
        ),
        ("mysql://u:secret@host/db", "runs cannot be kept in 'mysql'"),
        ("sqlite+aiosqlite:///x.db", "runs cannot be kept in 'sqlite+aiosqlite'"),
        ("runs.db", "'runs.db' is not a store's URL; a file is written as sqlite:///"),
        ("sqlite://", "a store in memory could not be read by anybody else"),
        ("sqlite:///:memory:", "a store in memory could not be read by anybody else"),
    ],
)
def test_urls_that_cannot_be_used_are_refused(url: str, said: str) -> None:
    for message in refused(url):
        assert message.startswith(said)
        assert "secret" not in message
        assert "ret@" not in message


def test_a_folder_instead_of_a_file_is_refused(tmp_path: Path) -> None:
    for message in refused(f"sqlite:///{tmp_path}"):
        assert str(tmp_path) in message


def test_a_file_instead_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        StoreError, match=r"cannot write the store .* \(File exists|cannot write .* \(Not a dir"
    ):
        Writer(f"sqlite:///{tmp_path}/file/spandag.db").settle()


def test_a_store_of_a_newer_version_is_refused(writer: Writer, url: str, store_path: Path) -> None:
    writer.settle()
    writer.close()
    with closing(sqlite3.connect(store_path)) as connection:
        connection.execute("UPDATE spandag_version SET version_num = '9999'")
        connection.commit()
    for message in refused(url):
        assert "was written by a newer version of spandag" in message


def test_an_interrupted_creation_is_taken_up_again(url: str, store_path: Path) -> None:
    """What a process leaves that was killed before its first transaction: an empty file in WAL mode."""
    store_path.parent.mkdir()
    with closing(sqlite3.connect(store_path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    Writer(url).settle()
    open_store(url).close()


def test_a_store_read_by_somebody_cannot_be_changed_through_it(store_url: str) -> None:
    Writer(store_url).settle()
    with open_store(store_url) as store, pytest.raises(StoreError), store.connection() as connection:
        connection.execute(insert(workflow_runs).values(id="x"))


def test_errors_of_queries_are_said_as_store_errors(writer: Writer, url: str, store_path: Path) -> None:
    writer.settle()
    writer.close()
    with open_store(url) as store:
        with closing(sqlite3.connect(store_path)) as connection:
            connection.execute("DROP TABLE workflow_runs")
        with pytest.raises(StoreError) as said, store.connection() as connection:  # type: ignore[assignment]
            connection.execute(select(workflow_runs))  # type: ignore[call-overload]
    assert isinstance(said.value.__cause__, SQLAlchemyError)


def test_reading_derives_in_memory_what_the_tables_do_not_have_yet(
    store_url: str, redone_run: list[ReadableSpan]
) -> None:
    """Spans of a run whose root has not arrived are not derived with each batch."""
    writer = Writer(store_url)
    writer.write(project(redone_run[1:5]))
    writer.write(project(redone_run[5:]))
    [run_id] = {f"{span.context.trace_id:032x}" for span in redone_run}
    with open_store(store_url) as store:
        with store.connection() as connection:
            assert connection.execute(select(workflow_runs.c.derived_version)).scalar() == 1
            in_memory = load_run(connection, run_id)
        assert store.settle(run_id) == 1
        assert store.settle() == 0
        with store.connection() as connection:
            settled = load_run(connection, run_id)
            assert load_run(connection, "nothing") is None
    writer.close()
    assert in_memory is not None
    assert settled is not None
    assert in_memory.run == settled.run
    for table in ("nodes", "edges", "events", "costs", "branches"):
        assert sorted(map(repr, getattr(in_memory, table))) == sorted(map(repr, getattr(settled, table)))


def test_two_processes_can_create_the_same_store_at_once(url: str) -> None:
    code = f"from spandag.store import Writer; w = Writer({url!r}); w.settle(); w.close(); print('done')"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    assert [process.communicate(timeout=60) for process in started] == [("done\n", "")] * 3


def test_writing_and_reading_go_on_after_a_fork(store_url: str) -> None:
    """The child opens connections of its own; the parent's go on. The same for reading."""
    code = f"""
import os
from sqlalchemy import func, select
from spandag.store import Writer, open_store
from spandag.store.schema import workflow_runs
from spandag.store.rows import Batch, NodeRow

def batch(number):
    run = f"{{number:032x}}"
    values = dict.fromkeys(NodeRow._fields) | dict(
        run_id=run, id="1", span_id="1", node_type="run", name="r", status="completed", started_at=1, ended_at=2)
    return Batch(dag_nodes=[NodeRow(**values)], run_ids={{run}}, ended_runs={{run}})

def newest():
    with store.connection() as connection:
        return int(connection.execute(select(func.max(workflow_runs.c.id))).scalar(), 16)

writer = Writer({store_url!r})
writer.write(batch(1))
store = open_store({store_url!r})
assert newest() == 1
child = os.fork()
if child == 0:
    writer.write(batch(2))
    assert newest() in (2, 3)
    os._exit(0)
writer.write(batch(3))
assert os.waitpid(child, 0)[1] == 0
writer.write(batch(4))
assert newest() == 4
writer.close()
"""
    subprocess.run([sys.executable, "-W", "error::RuntimeWarning", "-c", code], check=True, timeout=60)
    with open_store(store_url) as store, store.connection() as connection:
        rows = connection.execute(select(workflow_runs.c.id, workflow_runs.c.status)).all()
    assert {(int(run_id, 16), status) for run_id, status in rows} == {(n, "completed") for n in (1, 2, 3, 4)}
