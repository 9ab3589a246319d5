"""``spandag db``: each command as users type it, on both databases."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from spandag_test_databases import connected
from sqlalchemy import make_url, text

from spandag.cli import cli
from spandag.semconv import NodeType
from spandag.store import StoreError, Writer, admin, revisions, schema
from spandag.store.check import check
from spandag.store.connect import open_database
from spandag.store.rows import Batch, EdgeRow, EventRow, NodeMessagesRow, NodeRow
from spandag.store.spool import Spool, folder_of

NEWEST = schema.REVISION
RUN = f"{1:032x}"
DAY_NS = 86_400 * 10**9

Db = Callable[..., Result]


@pytest.fixture
def store_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of the test's own: what is done here to its schema must not reach other tests."""
    if backend == "postgresql":
        return str(request.getfixturevalue("empty_postgres_url"))
    return f"sqlite:///{tmp_path / 'runs.db'}"


def refusal(result: Result) -> str:
    """What a command said that refused; one line."""
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    return line.removeprefix("spandag: ")


@pytest.fixture
def db(store_url: str) -> Db:
    """Runs ``spandag db`` with these arguments and the test's store."""

    def run(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(
            cli, ["db", "--store", store_url, *arguments], prog_name="spandag", **options
        )

    return run


@pytest.fixture
def execute(store_url: str) -> Callable[[str], None]:
    """Executes SQL in the store as somebody else would."""

    def run(statement: str) -> None:
        if store_url.startswith("sqlite"):
            with closing(sqlite3.connect(str(make_url(store_url).database))) as connection:
                connection.executescript(statement)
        else:
            with psycopg.connect(store_url, autocommit=True) as server:
                server.execute(statement)  # type: ignore[call-overload]

    return run


def node(number: int, day: int = 0, **more: Any) -> NodeRow:
    values = dict.fromkeys(NodeRow._fields) | {
        "run_id": RUN,
        "id": f"{number:016x}",
        "span_id": f"{number:016x}",
        "node_type": NodeType.RUN if number == 1 else NodeType.AGENT,
        "name": "näme",
        "status": "completed",
        "started_at": day * DAY_NS + number,
        "ended_at": day * DAY_NS + number,
        "parent_span_id": None if number == 1 else f"{1:016x}",
    }
    return NodeRow(**{**values, **more})  # type: ignore[arg-type]


@pytest.fixture
def written(store_url: str) -> str:
    """A store with a run of two nodes, the second on the day after."""
    write(store_url, Batch(dag_nodes=[node(1), node(2, day=1)]))
    return store_url


def write(url: str, batch: Batch) -> None:
    batch.run_ids = {RUN}
    writer = Writer(url)
    writer.write(batch)
    writer.settle()
    writer.close()


def label_of(url: str) -> str:
    database = open_database(url, write=False)
    database.engine.dispose()
    return database.label


# --- the group -----------------------------------------------------------------


def test_alone_it_shows_its_commands() -> None:
    result = CliRunner().invoke(cli, ["db"], prog_name="spandag")
    assert result.exit_code == 0
    commands = result.stdout.partition("Commands:")[2].split("\n")
    assert [line.split()[0] for line in commands if line.strip()] == [
        "upgrade",
        "downgrade",
        "current",
        "check",
        "settle",
        "sql",
        "stats",
        "retention",
        "prune",
        "index",
    ]


# --- upgrade, downgrade, current -----------------------------------------------


def test_upgrade_downgrade_and_current(written: str, db: Db) -> None:
    label = label_of(written)
    assert json.loads(db("current", "--json").stdout) == {
        "store": label,
        "revision": NEWEST,
        "title": revisions.revisions()[-1].title,
        "newest": NEWEST,
        "is_newest": True,
    }
    down = db("downgrade", "0001", "--yes")
    assert down.stdout == f"{label} is at revision 0001\n"
    assert f"{label}: taking back {NEWEST} (" in down.stderr
    current = db("current").stdout
    assert f"revision  0001 (The first schema: all tables), older than {NEWEST}" in current
    up = db("upgrade", "--json")
    assert json.loads(up.stdout) == {
        "store": label,
        "revision": NEWEST,
        "steps": [revision.id for revision in revisions.revisions()[1:]],
    }
    assert f"{label}: applying 0002 (" in up.stderr
    assert db("upgrade").stdout == f"{label} was already at revision {NEWEST}\n"
    assert check(written).nodes == 2


def test_the_whole_way_down_empties(written: str, db: Db) -> None:
    label = label_of(written)
    assert db("downgrade", "base", "--yes").stdout == f"{label} is empty\n"
    assert refusal(db("current")).startswith(f"no store at {label}")
    assert db("upgrade", "0001").exit_code == 0


def test_nothing_is_taken_back_without_being_asked(written: str, db: Db) -> None:
    result = db("downgrade", "base")
    assert refusal(result) == "there is nobody to ask whether to go on; add --yes"
    assert check(written).nodes == 2


def test_wrong_revisions_are_refused_in_one_line(written: str, db: Db) -> None:
    for arguments in (["upgrade", "7"], ["downgrade", "7", "--yes"], ["sql", "--to", "7"]):
        assert refusal(db(*arguments)).startswith("there is no revision '7'; known are 0001")


@pytest.mark.parametrize(
    "arguments",
    [["current"], ["check"], ["stats"], ["upgrade"], ["upgrade", "0001"], ["downgrade", "base", "--yes"]],
)
def test_every_command_refuses_a_newer_store(
    written: str, db: Db, execute: Callable[[str], None], arguments: list[str]
) -> None:
    execute(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
    assert "was written by a newer version of spandag" in refusal(db(*arguments))
    execute(f"UPDATE {schema.VERSION_TABLE} SET version_num = '{NEWEST}'")
    assert check(written).nodes == 2


@pytest.mark.parametrize(
    "arguments", [["current"], ["check"], ["stats"], ["upgrade"], ["downgrade", "base", "--yes"]]
)
def test_every_command_refuses_what_is_no_store_and_leaves_it(tmp_path: Path, arguments: list[str]) -> None:
    other, broken, folder = tmp_path / "other.db", tmp_path / "broken.db", tmp_path / "folder"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER)")
    broken.write_bytes(b"dear diary " * 1000)
    folder.mkdir()
    for file, said in (
        (other, "is a database of another program; name another file with --store"),
        (broken, "is not a SQLite database"),
        (folder, str(folder)),
    ):
        before = None if file.is_dir() else file.read_bytes()
        result = CliRunner().invoke(cli, ["db", *arguments, "--store", str(file)])
        assert said in refusal(result)
        assert (None if file.is_dir() else file.read_bytes()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.db", "folder", "other.db"]


@pytest.mark.parametrize("arguments", [["current"], ["check"], ["stats"], ["downgrade", "base", "--yes"]])
def test_looking_creates_nothing(tmp_path: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, ["db", *arguments, "--store", str(tmp_path / "none.db")])
    assert refusal(result).startswith("no store at")
    assert not list(tmp_path.iterdir())


# --- check ---------------------------------------------------------------------


def findings(url: str) -> dict[tuple[str, str], int]:
    return {(finding.table, finding.what): finding.rows for finding in check(url).findings}


def test_a_whole_store_is_ok(written: str, db: Db, own_spool: Path) -> None:
    result = db("check")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == [
        f"ok     schema: as revision {NEWEST} says",
        "ok     rows: none points nowhere",
        "ok     1 run, 2 nodes",
        "nothing is wrong",
    ]
    assert json.loads(db("check", "--json").stdout) == {
        "store": label_of(written),
        "revision": NEWEST,
        "newest": NEWEST,
        "runs": 1,
        "nodes": 2,
        "behind": 0,
        "waiting_spans": 0,
        "refused_spans": 0,
        "spool": str(folder_of(written, own_spool)),
        "lost_spans": 0,
        "damage": [],
        "schema": [],
        "findings": [],
        "ok": True,
    }


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_view_of_others_that_is_broken_is_their_own_business(written: str, db: Db) -> None:
    with connected(written) as connection:
        connection.execute(text("CREATE TABLE orders (id INTEGER)"))
        connection.execute(text("CREATE VIEW my_orders AS SELECT * FROM orders"))
        connection.execute(text("DROP TABLE orders"))
    result = db("check")
    assert result.exit_code == 0
    assert "my_orders" not in result.stdout


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_view_of_ours_that_is_broken_is_said(written: str, db: Db) -> None:
    with connected(written) as connection:
        connection.execute(text("DROP VIEW v_rates"))
        connection.execute(text("CREATE VIEW v_rates AS SELECT * FROM nowhere"))
    result = db("check")
    assert result.exit_code == 1
    assert "WRONG  schema: view v_rates has the columns ()" in result.stdout


def test_an_older_store_is_checked_as_it_is(written: str, db: Db) -> None:
    db("downgrade", "0001", "--yes")
    assert f"as revision 0001 of {NEWEST} says" in db("check").stdout
    assert admin.current(written).revision == "0001"


def test_what_has_not_arrived_is_only_noted(store_url: str, db: Db) -> None:
    write(store_url, Batch(dag_nodes=[node(1), node(2, parent_span_id="f" * 16)]))
    result = db("check")
    assert result.exit_code == 0
    assert "note   dag_nodes: 1 row whose recorded parent is not stored" in result.stdout


def test_spans_that_wait_on_disk_and_that_were_lost_are_noted(written: str, db: Db, own_spool: Path) -> None:
    spool = Spool(folder_of(written, own_spool), 10**6)
    spool.put(Batch(), 5)
    spool.set_aside(next(spool.folder.iterdir()))
    spool.put(Batch(), 3)
    spool.note_lost("a writer", 4)
    said = db("check").stdout
    assert "note   3 spans on disk for the next program that writes here" in said
    assert f"note   5 spans set aside, as the store refused them: {spool.folder}" in said
    assert "note   4 spans lost, as there was no room for them to wait" in said
    assert json.loads(db("check", "--json").stdout)["waiting_spans"] == 3


def test_what_the_store_was_told_and_what_was_noted_on_disk_are_the_same_losses(
    store_url: str, db: Db, own_spool: Path
) -> None:
    """A process tells its store what it lost, and notes it on disk where the store is locked at its end."""
    with closing(Writer(store_url)) as writer:
        writer.beat("a", dropped=3)
        writer.beat("b", dropped=2, closed=True)
    spool = Spool(folder_of(store_url, own_spool), 10**6)
    spool.note_lost("a", 4)
    spool.note_lost("c", 1)
    assert json.loads(db("check", "--json").stdout)["lost_spans"] == 4 + 2 + 1


def test_what_is_behind_is_settled(store_url: str, db: Db) -> None:
    with closing(Writer(store_url)) as writer:
        for number in (2, 3):
            writer.write(Batch(dag_nodes=[node(number)], run_ids={RUN}))
        assert json.loads(db("settle", "--json").stdout)["settled"] == 1
        assert db("settle").stdout.endswith("  0 runs brought up to date\n")


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_file_that_is_damaged_is_reported(store_url: str, db: Db) -> None:
    """Too damaged for SQLite to look through it."""
    with closing(Writer(store_url)) as writer:
        for number in range(500):
            writer.write(Batch(dag_nodes=[node(number)], run_ids={RUN}))
    path = Path(label_of(store_url))
    content = bytearray(path.read_bytes())
    # Behind the first pages of all tables.
    for page in range(60, len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(content)
    result = db("check")
    assert result.exit_code == 1
    assert "WRONG  file: " in result.stdout
    assert result.stdout.endswith("something is wrong\n")
    assert json.loads(db("check", "--json").stdout)["ok"] is False


def test_runs_that_are_not_settled_are_noted(store_url: str, db: Db) -> None:
    writer = Writer(store_url)
    for number in (2, 3):
        writer.write(Batch(dag_nodes=[node(number)], run_ids={RUN}))
    assert "note   1 run not settled yet" in db("check").stdout
    writer.close()
    assert "not settled" not in db("check").stdout


def test_rows_that_point_nowhere_are_wrong(store_url: str, db: Db, execute: Callable[[str], None]) -> None:
    write(
        store_url,
        Batch(
            dag_nodes=[node(1), node(2)],
            dag_edges=[EdgeRow(RUN, "a", "b", "sequential", None)],
            execution_events=[EventRow(RUN, "c", 0, "info", None, None, None, "recorded", None)],
            node_messages=[NodeMessagesRow(RUN, f"{1:016x}", "input", b"0123456789abcdef", None, None, None)],
        ),
    )
    execute("UPDATE dag_nodes SET parent_node_id = 'nowhere' WHERE parent_node_id IS NOT NULL")
    execute("INSERT INTO dag_edges VALUES ('r', 'a', 'b', 'conditional', NULL)")
    execute(f"INSERT INTO dag_edges VALUES ('{RUN}', 'a', 'b', 'parallel', NULL)")
    assert findings(store_url) == {
        ("dag_edges", "of runs that are not there"): 1,
        ("dag_edges", "between nodes that are not there"): 1,
        ("execution_events", "of nodes that are not there"): 1,
        ("node_messages", "that name messages that are not there"): 1,
        ("dag_nodes", "below nodes that are not there"): 1,
    }
    result = db("check")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "something is wrong"
    assert "WRONG  dag_edges: 1 row between nodes that are not there" in result.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP INDEX ix_workflow_runs_started_at", "index ix_workflow_runs_started_at is missing"),
        ("DROP VIEW v_events", "view v_events is missing"),
        ("DROP TABLE span_links", "table span_links is missing"),
        ("ALTER TABLE branches ADD COLUMN mine TEXT", "column branches.mine is not ours"),
        ("ALTER TABLE writers RENAME COLUMN host TO place", "column writers.host is missing"),
    ],
)
def test_a_schema_that_somebody_changed_is_wrong(
    written: str, db: Db, execute: Callable[[str], None], change: str, said: str
) -> None:
    execute(change)
    result = db("check")
    assert result.exit_code == 1
    assert f"WRONG  schema: {said}" in result.stdout


def test_other_tables_beside_ours_are_nobodys_business(
    written: str, db: Db, execute: Callable[[str], None]
) -> None:
    execute("CREATE TABLE orders (id INTEGER)")
    assert db("check").exit_code == 0


def test_a_damaged_file_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    write(f"sqlite:///{path}", Batch(dag_nodes=[node(number) for number in range(1, 300)]))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + b"\xff" * 4096 + whole[len(whole) // 2 + 4096 :])
    try:
        assert check(f"sqlite:///{path}").damage
    except StoreError as error:
        assert "is damaged" in str(error)  # noqa: PT017


# --- sql -----------------------------------------------------------------------


def test_sql_is_printed_for_each_dialect() -> None:
    for dialect in revisions.DIALECTS:
        result = CliRunner().invoke(cli, ["db", "sql", "--dialect", dialect])
        assert result.exit_code == 0
        assert result.stdout.startswith("-- spandag: The first schema: all tables\n")
        assert (
            result.stdout.count("\nBEGIN;\n")
            == result.stdout.count("\nCOMMIT;\n")
            == len(revisions.revisions())
        )
    down = CliRunner().invoke(cli, ["db", "sql", "--from", "head", "--to", "0001", "--json"])
    assert json.loads(down.stdout)["sql"].startswith(f"-- spandag: takes back {NEWEST}")


# --- stats ---------------------------------------------------------------------


def test_stats_count_rows_and_bytes_by_table_and_day(written: str, db: Db) -> None:
    found = json.loads(db("stats", "--json").stdout)
    tables = {of["table"]: of for of in found["tables"]}
    assert set(tables) == set(schema.metadata.tables)
    assert {name: of["rows"] for name, of in tables.items() if of["rows"]} == {
        "dag_nodes": 2,
        "settings": 1,
        "workflow_runs": 1,
    }
    assert [(day["day"], day["rows"]) for day in found["days"] if day["table"] == "dag_nodes"] == [
        ("1970-01-02", 1),
        ("1970-01-01", 1),
    ]
    of_days = sum(day["bytes"] for day in found["days"] if day["table"] == "dag_nodes")
    assert of_days == tables["dag_nodes"]["bytes"] > 100
    assert found["bytes_on_disk"] >= sum(of["bytes_on_disk"] or 0 for of in tables.values()) > 0
    assert found["store"] == label_of(written)


def test_stats_show_the_newest_days(written: str, db: Db) -> None:
    shown = db("stats", "--days", "1").stdout
    assert "1970-01-02  dag_nodes" in shown
    assert "1970-01-01" not in shown
    assert "1970" not in db("stats", "--days", "0").stdout


def test_stats_of_an_empty_store_are_noughts(store_url: str, db: Db) -> None:
    db("upgrade")
    found = json.loads(db("stats", "--json").stdout)
    assert {of["rows"] for of in found["tables"] if of["table"] != "settings"} == {0}
