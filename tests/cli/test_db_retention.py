"""``spandag db retention`` and ``spandag db prune`` as users type them, on both databases."""

from __future__ import annotations

import json
import os
import pty
import re
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from spandag.cli import cli
from spandag.cli._amounts import parse_size, size
from spandag.semconv import NodeType
from spandag.store import Writer, open_store, schema
from spandag.store.connect import open_database
from spandag.store.retention import retention
from spandag.store.rows import Batch, NodeRow

DAY_NS = 86_400 * 10**9

Db = Callable[..., Result]


@pytest.fixture
def db(store_url: str) -> Db:
    """Runs ``spandag db`` with these arguments and the test's store."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["db", "--store", store_url, *arguments], prog_name="spandag")

    return run


def write_run(url: str, number: int, days_ago: float) -> None:
    """A run of two nodes that ended so many days ago."""
    at = time.time_ns() - int(days_ago * DAY_NS)
    run_id = f"{number:032x}"
    nodes = [
        NodeRow(
            **dict.fromkeys(NodeRow._fields)  # type: ignore[arg-type]
            | {
                "run_id": run_id,
                "id": f"{node:016x}",
                "span_id": f"{node:016x}",
                "parent_span_id": None if node == 1 else f"{1:016x}",
                "node_type": NodeType.RUN if node == 1 else NodeType.AGENT,
                "name": f"run {number}",
                "status": "completed",
                "started_at": at,
                "ended_at": at,
            }
        )
        for node in (1, 2)
    ]
    writer = Writer(url)
    writer.write(Batch(dag_nodes=nodes, run_ids={run_id}, ended_runs={run_id}))
    writer.settle()
    writer.close()


@pytest.fixture
def written(store_url: str) -> str:
    """A store with two old runs and a young one; gives how messages name it."""
    for number, days_ago in enumerate((50, 40, 1)):
        write_run(store_url, number + 1, days_ago)
    database = open_database(store_url, write=False)
    database.engine.dispose()
    return database.label


def names(url: str) -> list[str]:
    with open_store(url) as store, store.connection() as connection:
        return sorted(connection.execute(schema.workflow_runs.select()).scalars())


# --- retention -----------------------------------------------------------------


def test_by_default_everything_is_kept(written: str, db: Db) -> None:
    result = db("retention")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:3] == [
        f"store      {written}",
        "days       no limit",
        "size       no limit",
    ]
    assert re.fullmatch(r"used       [\d.]+ K?B", result.stdout.splitlines()[3])
    assert result.stdout.splitlines()[4:] == ["last look  never"]
    assert result.stderr == ""


def test_limits_are_set_and_taken_away_one_by_one(written: str, db: Db, store_url: str) -> None:
    result = db("retention", "--days", "30")
    assert "days       30\nsize       no limit" in result.stdout
    assert "spandag db prune --dry-run" in result.stderr
    assert "days       30\nsize       500.0 MB" in db("retention", "--max-size", "500MB").stdout
    found = json.loads(db("retention", "--json").stdout)
    assert found == {
        "store": written,
        "days": 30,
        "max_size": 500_000_000,
        "size": found["size"],
        "pruned_at": None,
    }
    both = db("retention", "--days", "none", "--max-size", "NONE", "--json")
    assert (json.loads(both.stdout)["days"], json.loads(both.stdout)["max_size"]) == (None, None)
    assert retention(store_url).days is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--days", "0"], "'0' is neither a number of days nor none"),
        (["--days", "-1"], "'-1' is neither a number of days nor none"),
        (["--days", "soon"], "'soon' is neither a number of days nor none"),
        (["--max-size", "5XB"], "'5XB' is not a size such as 500MB or 2GB, nor none"),
        (["--max-size", "0MB"], "a store takes more than nothing"),
    ],
)
def test_what_is_no_limit_is_refused_in_one_line(
    written: str, db: Db, arguments: list[str], said: str
) -> None:
    result = db("retention", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert said in line
    assert "days       no limit" in db("retention").stdout


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("500MB", 500_000_000),
        ("1.5 gb", 1_500_000_000),
        ("2G", 2_000_000_000),
        ("3tb", 3 * 10**12),
        ("12 kB", 12_000),
        ("500B", 500),
        ("7B", 7),
    ],
)
def test_sizes_are_written_as_people_write_them(text: str, bytes_: int) -> None:
    assert parse_size(text) == bytes_


@pytest.mark.parametrize("text", ["", "MB", "500", "-5MB", "5 PB", "1e9", "5MiB", "5,000"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size such as"):
        parse_size(text)


def test_sizes_are_shown_as_they_are_written() -> None:
    assert [size(count) for count in (0, 999, 1000, 24_600, 5 * 10**8, 2 * 10**12)] == [
        "0 B",
        "999 B",
        "1.0 KB",
        "24.6 KB",
        "500.0 MB",
        "2000.0 GB",
    ]


# --- prune ---------------------------------------------------------------------


def test_without_a_limit_it_says_so(written: str, db: Db, store_url: str) -> None:
    for arguments in (["prune"], ["prune", "--dry-run"]):
        result = db(*arguments)
        assert result.exit_code == 0
        assert result.stdout == f"{written}\nno limit is set: everything is kept\n"
        assert "spandag db retention --days 30" in result.stderr
    assert len(names(store_url)) == 3


def test_it_says_what_it_would_remove_and_then_what_it_removed(written: str, db: Db, store_url: str) -> None:
    db("retention", "--days", "30")
    dry = db("prune", "--dry-run")
    assert dry.exit_code == 0
    lines = dry.stdout.splitlines()
    assert lines[0] == written
    assert lines[1:3] == [
        "would remove  2 runs, 4 nodes, 6 rows",
        "              2 ended more than 30 days ago",
    ]
    assert re.fullmatch(r"would free    about [\d.]+ K?B", lines[3])
    assert re.fullmatch(r"would use     [\d.]+ K?B", lines[4])
    assert "spandag db prune" in dry.stderr
    assert len(names(store_url)) == 3
    real = db("prune")
    assert real.exit_code == 0
    lines = real.stdout.splitlines()
    assert lines[1:3] == [
        "removed       2 runs, 4 nodes, 6 rows",
        "              2 ended more than 30 days ago",
    ]
    assert re.fullmatch(r"freed         [\d.]+ K?B", lines[3])
    assert re.fullmatch(r"uses          [\d.]+ K?B", lines[4])
    assert real.stderr == ""
    assert names(store_url) == [f"{3:032x}"]
    assert db("prune").stdout.splitlines()[1] == "removed       0 runs, 0 nodes, 0 rows"
    assert not db("retention").stdout.endswith("never\n")


def test_the_newest_run_is_too_large_alone(written: str, db: Db, store_url: str) -> None:
    db("retention", "--max-size", "1B")
    lines = db("prune").stdout.splitlines()
    assert lines[2] == "              2 above 1 B, oldest first"
    assert re.fullmatch(r"uses          [\d.]+ K?B of 1 B", lines[4])
    assert lines[5:] == ["note          the newest run alone takes more than 1 B, and stays"]
    assert names(store_url) == [f"{3:032x}"]


def test_answers_in_json(written: str, db: Db) -> None:
    db("retention", "--days", "30", "--max-size", "1GB")
    dry, real = (json.loads(db("prune", "--json", *more).stdout) for more in (["--dry-run"], []))
    assert dry == {
        "store": written,
        "dry_run": True,
        "runs": 2,
        "nodes": 4,
        "rows": 6,
        "bytes": dry["bytes"],
        "too_old": 2,
        "too_much": 0,
        "going_on": 0,
        "size": dry["size"],
        "days": 30,
        "max_size": 10**9,
        "is_over": False,
        "needs_vacuum": False,
        "is_finished": True,
    }
    assert real == {**dry, "dry_run": False, "bytes": real["bytes"], "size": real["size"]}


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_file_of_before_says_what_makes_it_smaller(written: str, db: Db) -> None:
    with closing(sqlite3.connect(written)) as connection:
        connection.executescript("PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM")
        # Enough to leave whole pages behind.
        connection.execute(
            "INSERT INTO messages VALUES (?, x'00', NULL, 'text', ?)", (f"{1:032x}", "x" * 100_000)
        )
        connection.commit()
    db("retention", "--days", "30")
    note = db("prune").stdout.splitlines()[-1]
    assert note.startswith("note          the file keeps its size")
    assert f"sqlite3 {written} 'PRAGMA auto_vacuum = INCREMENTAL; VACUUM'" in note
    with closing(sqlite3.connect(written)) as connection:
        connection.executescript(note.partition("'")[2].rstrip("'"))
    before = Path(written).stat().st_size
    db("retention", "--max-size", "1B")
    assert "keeps its size" not in db("prune").stdout
    assert Path(written).stat().st_size <= before


@pytest.mark.parametrize("arguments", [["retention"], ["prune"], ["prune", "--dry-run"]])
def test_what_is_no_store_is_refused_and_nothing_created(tmp_path: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, ["db", *arguments, "--store", str(tmp_path / "none.db")])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no store at" in result.stderr
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER)")
    before = other.read_bytes()
    result = CliRunner().invoke(cli, ["db", *arguments, "--store", str(other)])
    assert result.exit_code == 2
    assert "is a database of another program" in result.stderr
    assert other.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["other.db"]


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_terminal_sees_how_far_it_is(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        write_run(store_url, number + 1, 40)
    write_run(store_url, 9, 1)
    monkeypatch.setenv("TERM", "xterm")
    spandag = str(Path(sys.executable).with_name("spandag"))
    CliRunner().invoke(cli, ["db", "retention", "--days", "30", "--store", store_url])
    process, terminal = pty.fork()
    if process == 0:
        os.execv(spandag, [spandag, "db", "prune", "--store", store_url])
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    assert b"removing" in shown
    assert b"3 runs, 6 nodes" in shown
