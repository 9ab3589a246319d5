"""A CMBAgent database: recognised, refused with advice, and imported."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import make_url, select

from spandag import query
from spandag.cli import cli
from spandag.importers.cmbagent import import_cmbagent
from spandag.query.render import Page, render_tree, to_text
from spandag.store import Store, StoreError, Writer, admin, open_store, schema
from spandag.store.check import check

Tables = dict[str, list[dict[str, Any]]]


@pytest.fixture
def source_url(
    backend: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    fill_cmbagent: Callable[[str], None],
) -> str:
    """CMBAgent's database, on the same kind of database as the store."""
    if backend == "sqlite":
        url = f"sqlite:///{tmp_path / 'cmbagent.db'}"
        fill_cmbagent(url)
        return url
    url = str(request.getfixturevalue("empty_postgres_url"))
    fill_cmbagent(_with_driver(url))
    return url


def _with_driver(url: str) -> str:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed.render_as_string(hide_password=False)


@pytest.fixture
def imported(source_url: str, store_url: str) -> str:
    """The URL of the store that it was imported into."""
    import_cmbagent(source_url, store_url)
    return store_url


def run_named(store: Store, name: str) -> str:
    [run] = [run for run in query.runs(store) if run.name == name]
    return run.id


def test_it_is_refused_with_advice(source_url: str) -> None:
    for attempt in (
        open_store,
        lambda url: Writer(url).settle(),
        admin.current,
        admin.upgrade_to,
        lambda url: admin.downgrade_to(url, "base"),
        check,
    ):
        with pytest.raises(
            StoreError, match=r"is a database of CMBAgent; .*: spandag import --cmbagent \S+$"
        ):
            attempt(source_url)


def test_the_advice_is_to_the_letter_and_shows_no_password(
    source_url: str, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError) as said:
        open_store(source_url)
    advice, _, command = str(said.value).partition(" with: ")
    password = make_url(source_url).password
    assert ("put its password into PGPASSWORD and copy" in advice) is (password is not None)
    if password is not None:
        assert str(password) not in str(said.value)
        monkeypatch.setenv("PGPASSWORD", str(password))
    done = CliRunner().invoke(cli, [*shlex.split(command)[1:], "--store", store_url])
    assert done.exit_code == 0, done.output
    with open_store(store_url) as store:
        assert query.runs(store)


def test_it_is_only_read(cmbagent_file: Path, tmp_path: Path) -> None:
    before = cmbagent_file.read_bytes()
    with pytest.raises(StoreError):
        Writer(f"sqlite:///{cmbagent_file}").settle()
    import_cmbagent(f"sqlite:///{cmbagent_file}", f"sqlite:///{tmp_path / 'runs.db'}")
    assert cmbagent_file.read_bytes() == before
    assert sorted(path.name for path in cmbagent_file.parent.glob("cmbagent.db*")) == ["cmbagent.db"]


def test_its_runs_become_a_tree(imported: str) -> None:
    with open_store(imported) as store:
        tree = query.tree(store, run_named(store, "planning_control"))
    lines = to_text(render_tree(tree, Page(width=100))).splitlines()[3:]
    assert [line.rstrip() for line in lines] == [
        "run planning_control                    ✓           1m 30s  330 tokens  ≥ $0.2500",
        "├─ phase Planning                       ✓             8.0s",
        "├─ step 1 Load the data                 ✓            10.0s  110 tokens    $0.2500",
        "│  └─ llm gpt-4o                        ✓              0ms  110 tokens    $0.2500",
        "├─ step 2 Fit the model · attempt 1     ✗ rejected  1m 00s",
        "│  └─ sub_agent executor                ✓              0ms",
        "├─ ↻ redo_1 asked by human: “Use a power law.”",
        "│  └─ step 2 Fit the model · attempt 2  ✗ rejected     0ms",
        "├─ ↻ redo_2 asked by human: “Weigh by errors.”",
        "│  └─ step 2 Fit the model · attempt 3  ✓ accepted   15.0s",
        "├─ llm home-made                        ✓              0ms  220 tokens          ?",
        "└─ step 3 Write it up                   ○ skipped      0ms",
    ]


def test_session_task_and_user_are_known(imported: str) -> None:
    with open_store(imported) as store:
        run = query.runs(store)[-1]
    assert (run.name, run.task, run.status, run.session_id, run.user_id) == (
        "planning_control",
        "Fit the power spectrum.",
        "completed",
        "session-1",
        "alice",
    )
    assert (run.started_at, run.ended_at) == (1770724800 * 10**9, 1770724890 * 10**9)


def test_redos_are_redos(imported: str) -> None:
    with open_store(imported) as store:
        found = query.redos(store, run_named(store, "planning_control"))
    assert [(redo.hypothesis, redo.requested_by) for redo in found] == [
        ("Use a power law.", "human"),
        ("Weigh by errors.", "human"),
    ]


def test_the_result_of_a_step_is_that_of_its_last_attempt(
    imported: str, read_tables: Callable[[str], Tables]
) -> None:
    nodes = read_tables(imported)["dag_nodes"]
    fits = {
        node["attempt"]: node for node in nodes if node["node_type"] == "step" and node["step_number"] == 2
    }
    assert {attempt: node["output_preview"] for attempt, node in fits.items()} == {
        1: None,
        2: None,
        3: "A power law.",
    }
    assert fits[1]["input_preview"] == "Fit the model"


def test_events_keep_type_subtype_and_order(imported: str, read_tables: Callable[[str], Tables]) -> None:
    recorded = [row for row in read_tables(imported)["execution_events"] if row["origin"] == "recorded"]
    assert (
        sorted((row["event_type"], row["event_subtype"], row["agent_name"], row["seq"]) for row in recorded)
        == [
            ("agent_call", "start", "engineer", 0),
            ("agent_call", "start", "planner", 0),
            ("code_exec", "executed", "executor", 0),
            ("message", None, "user", 0),
        ]
        or recorded == []
    )
    [planned] = [row for row in recorded if row["agent_name"] == "planner"]
    assert planned["meta"]["inputs"] == {"message": "Plan it."}
    assert planned["meta"]["duration_ms"] == 8000
    assert planned["timestamp"] == 1770724801 * 10**9


def test_optional_and_conditional_edges_are_kept(imported: str, read_tables: Callable[[str], Tables]) -> None:
    edges = read_tables(imported)["dag_edges"]
    assert sorted((edge["dependency_type"], edge["condition"]) for edge in edges if edge["condition"]) == [
        ("conditional", "branch_redo_1"),
        ("conditional", "branch_redo_2"),
        ("optional", "if time is left"),
    ]


def test_a_cost_of_nothing_is_a_price_that_is_not_known(
    imported: str, read_tables: Callable[[str], Tables]
) -> None:
    costs = {row["model"]: row for row in read_tables(imported)["cost_records"]}
    assert (costs["gpt-4o"]["cost_usd"], costs["gpt-4o"]["price_source"]) == (0.25, "span")
    assert (costs["home-made"]["cost_usd"], costs["home-made"]["input_tokens"]) == (None, 200)


def test_messages_keep_sender_and_recipient(imported: str, read_tables: Callable[[str], Tables]) -> None:
    said = [json.loads(row["content"]) for row in read_tables(imported)["messages"] if row["role"]]
    assert sorted(
        (one["name"], one["recipient"], one["role"], one["parts"][0]["content"]) for one in said
    ) == [
        ("planner", "engineer", "assistant", "Load, then fit."),
        ("user", "engineer", "user", "Go on."),
    ]


def test_a_branch_is_a_fork(imported: str, read_tables: Callable[[str], Tables]) -> None:
    rows = read_tables(imported)
    [fork] = [row for row in rows["branches"] if row["kind"] == "fork"]
    nodes = {(row["run_id"], row["id"]): row for row in rows["dag_nodes"]}
    [link] = [row for row in rows["span_links"] if row["link_type"] == "fork_of"]
    assert nodes[link["linked_run_id"], fork["source_node_id"]]["name"] == "Load the data"
    assert nodes[fork["run_id"], fork["branch_node_id"]]["name"] == "one_shot"
    assert fork["child_run_id"] == fork["run_id"]
    assert (fork["branch_name"], fork["hypothesis"], fork["status"]) == (
        "try_log",
        "Logs are smoother.",
        "active",
    )
    assert (link["run_id"], link["linked_span_id"]) == (fork["child_run_id"], fork["source_node_id"])
    [run] = [row for row in rows["workflow_runs"] if row["id"] == fork["run_id"]]
    assert (run["branch_parent_id"], run["is_branch"], run["branch_depth"], run["root_run_id"]) == (
        link["linked_run_id"],
        True,
        1,
        link["linked_run_id"],
    )


def test_no_secret_comes_over(imported: str, read_tables: Callable[[str], Tables]) -> None:
    everything = str(read_tables(imported))
    assert "sk-" not in everything
    assert everything.count("[redacted]") == 2


def test_nothing_points_nowhere(imported: str) -> None:
    found = check(imported)
    assert (found.ok, found.behind, found.findings) == (True, 0, [])


def test_importing_again_changes_nothing(
    source_url: str, imported: str, read_tables: Callable[[str], Tables]
) -> None:
    def counters() -> list[Any]:
        with open_store(imported) as store, store.connection() as connection:
            runs = schema.workflow_runs.c
            return list(
                connection.execute(select(runs.facts_version, runs.derived_version).order_by(runs.id))
            )

    before, counted = read_tables(imported), counters()
    import_cmbagent(source_url, imported)
    assert read_tables(imported) == before
    assert counters() == counted


def test_a_run_that_went_on_is_completed(
    source_url: str,
    store_url: str,
    new_store_url: Callable[[], str],
    finish_run: Callable[[str], None],
    read_tables: Callable[[str], Tables],
) -> None:
    import_cmbagent(source_url, store_url)
    with open_store(store_url) as store:
        assert query.runs(store)[0].status == "open"
    finish_run(_with_driver(source_url))
    import_cmbagent(source_url, store_url)
    with open_store(store_url) as store:
        run = query.runs(store)[0]
        [step] = [node for node in query.tree(store, run.id).nodes if node.node_type == "step"]
    assert (run.status, step.status, step.outcome, step.error_message) == (
        "failed",
        "failed",
        "failed",
        "no convergence",
    )
    at_once = new_store_url()
    import_cmbagent(source_url, at_once)
    # Only what the branch is to its parent had been written before it ended.
    assert read_tables(at_once)["dag_nodes"] == read_tables(store_url)["dag_nodes"]


def test_what_is_not_of_cmbagent_is_refused(store_url: str, new_store_url: Callable[[], str]) -> None:
    Writer(store_url).settle()
    with pytest.raises(StoreError, match="is not a database of CMBAgent"):
        import_cmbagent(store_url, new_store_url())


def test_a_missing_database_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no store at .*nothing\.db"):
        import_cmbagent(f"sqlite:///{tmp_path / 'nothing.db'}", f"sqlite:///{tmp_path / 'runs.db'}")
    assert not list(tmp_path.iterdir())


def test_the_command_counts(cmbagent_file: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "runs.db")
    arguments = ["import", "--cmbagent", str(cmbagent_file), "--store", store]
    result = CliRunner().invoke(cli, [*arguments, "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "source": str(cmbagent_file),
        "runs": 2,
        "nodes": 13,
        "events": 4,
        "messages": 7,
        "cost_records": 2,
        "redos": 2,
        "forks": 1,
    }
    again = CliRunner().invoke(cli, arguments)
    assert again.stdout == (
        f"{cmbagent_file}: 2 runs, 13 nodes, 2 redos, 1 fork, 4 events, 7 messages, 2 cost records\n"
    )


def test_older_databases_without_parents_are_read_too(cmbagent_file: Path, tmp_path: Path) -> None:
    """The columns for parents and depth never were in its migrations."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(cmbagent_file)) as connection:
        connection.executescript(
            "CREATE TABLE slim AS SELECT id, run_id, session_id, node_type, agent, status, order_index, meta"
            " FROM dag_nodes WHERE node_type <> 'branch_point'; DROP TABLE dag_nodes;"
            " ALTER TABLE slim RENAME TO dag_nodes; DROP TABLE branches; DROP TABLE messages;"
        )
    counted = import_cmbagent(f"sqlite:///{cmbagent_file}", f"sqlite:///{tmp_path / 'runs.db'}")
    assert asdict(counted) | {"source": ""} == {
        "source": "",
        "runs": 2,
        "nodes": 12,
        "events": 3,
        "messages": 5,
        "cost_records": 2,
        "redos": 0,
        "forks": 1,
    }
