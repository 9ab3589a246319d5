from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import spandag as api
from spandag.cli import cli
from spandag.export import SpandagSpanExporter
from spandag.workflow.scope import provider_in_use, use_tracer_provider

from .conftest import SPANDAG

Ask = Callable[..., Result]

RUN_KEYS = {
    "id",
    "name",
    "task",
    "status",
    "started_at",
    "ended_at",
    "session_id",
    "user_id",
    "root_node_id",
    "branch_parent_id",
    "is_branch",
    "branch_depth",
    "root_run_id",
    "nodes",
    "redos",
    "calls",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "unpriced_calls",
}
NODE_KEYS = {
    "id",
    "parent_node_id",
    "depth",
    "node_type",
    "name",
    "agent",
    "status",
    "step_node_id",
    "branch_id",
    "disposition",
    "step_number",
    "attempt",
    "outcome",
    "started_at",
    "ended_at",
    "model",
    "provider",
    "error_type",
    "error_message",
    "branch_name",
    "hypothesis",
    "requested_by",
    "calls",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "unpriced_calls",
    "children",
}


@pytest.fixture
def provider(store_file: Path, environment: None) -> Iterator[TracerProvider]:
    """Runs of the workflow API go into the test's store, which exists."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(SpandagSpanExporter()))
    use_tracer_provider(provider)
    yield provider
    use_tracer_provider(None)
    provider.shutdown()


@pytest.fixture
def redone(provider: TracerProvider) -> str:
    """The id of a run with a redo."""
    with api.run("report", session="alice") as run:
        for attempt in api.step("fit").attempts():
            with attempt:
                with api.chat("m") as chat:
                    chat.set_usage(1000, 200, cost=0.01)
                if attempt.number == 1:
                    attempt.reject("try a power law", "reviewer")
    return format(run.span.get_span_context().trace_id, "032x")


@pytest.fixture
def ask(environment: None) -> Ask:
    """Asks ``spandag`` in this process, once all is stored that was recorded."""

    def ask(*arguments: str) -> Result:
        recording = provider_in_use()
        if isinstance(recording, TracerProvider):
            recording.force_flush()
        return CliRunner().invoke(cli, arguments, prog_name="spandag")

    return ask


def answer(result: Result) -> Any:
    """The answer of a ``--json`` question, which says nothing else."""
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


# --- answers -------------------------------------------------------------------------


def test_runs(ask: Ask, redone: str) -> None:
    result = ask("runs")

    assert result.exit_code == 0
    heading, line = result.stdout.splitlines()
    assert heading.split() == [
        "run",
        "name",
        "session",
        "status",
        "started",
        "took",
        "nodes",
        "redos",
        "tokens",
        "cost",
    ]
    assert line.startswith(f"{redone[:8]}  report  alice")
    assert line.endswith("2.4k  $0.0200")
    assert result.stderr == "\nnext: spandag tree last  everything in the newest run\n"

    [run] = answer(ask("runs", "--json"))
    assert set(run) == RUN_KEYS
    assert (run["id"], run["calls"], run["cost_usd"], run["redos"]) == (redone, 2, 0.02, 1)
    assert answer(ask("runs", "-n", "1", "--json")) == [run]


def test_tree(ask: Ask, redone: str) -> None:
    result = ask("tree", "last")

    assert result.exit_code == 0
    assert result.stdout.startswith("report  ✓ completed")
    assert "↻ redo_1 asked by reviewer: “try a power law”" in result.stdout
    assert f"next: spandag redos {redone[:8]}" in result.stderr
    # The newest run is what one wants to see most often.
    assert ask("tree").stdout == ask("tree", redone[:6]).stdout == result.stdout

    tree = answer(ask("tree", "--json"))
    assert set(tree) == {"run", "nodes", "hidden", "choices"}
    assert set(tree["run"]) == RUN_KEYS
    assert [set(node) for node in tree["nodes"]] == [NODE_KEYS] * 6
    assert [node["node_type"] for node in tree["nodes"]] == [
        "run",
        "step",
        "llm",
        "branch_point",
        "step",
        "llm",
    ]


def test_tree_with_ids_and_spans_of_other_libraries(ask: Ask, provider: TracerProvider) -> None:
    with api.run("r"), provider.get_tracer("http").start_as_current_span("GET"):
        pass

    assert "GET" not in ask("tree").stdout
    assert "--all" in ask("tree").stderr
    result = ask("tree", "--all", "--ids")
    lines = [line for line in result.stdout.splitlines() if "GET" in line]
    assert len(lines) == 1
    node_id = lines[0].split()[1]
    assert ask("node", node_id).stdout.startswith("span GET  ✓ completed\n")


def test_node(ask: Ask, redone: str) -> None:
    nodes = answer(ask("tree", "--json"))["nodes"]

    result = ask("node", nodes[1]["id"][:12])
    assert result.exit_code == 0
    assert result.stdout.startswith("step fit  ✗ rejected\n")

    node = answer(ask("node", f"last/{nodes[2]['id']}", "--json"))
    assert set(node) == {
        "run",
        "node",
        "path",
        "children",
        "input_preview",
        "output_preview",
        "messages",
        "attributes",
        "meta",
        "scope",
        "events",
        "links",
        "cost",
    }
    assert set(node["node"]) == NODE_KEYS
    assert node["cost"]["input_tokens"] == 1000
    assert [above["name"] for above in node["path"]] == ["report", "fit"]


def test_redos(ask: Ask, redone: str, provider: TracerProvider) -> None:
    result = ask("redos")

    assert result.exit_code == 0
    assert "↻ redo_1 asked by reviewer  ✓ accepted" in result.stdout
    assert ask("redos", redone[:8]).stdout == result.stdout
    [redo] = answer(ask("redos", "--json"))
    assert (redo["run_id"], redo["hypothesis"]) == (redone, "try a power law")

    with api.run("another"):
        pass
    none = ask("redos", "last")
    assert (none.exit_code, none.stdout, none.stderr) == (0, "", "no step was redone in this run\n")
    assert answer(ask("redos", "last", "--json")) == []


def test_options_of_all_commands_stand_before_or_after_their_name(
    ask: Ask, redone: str, store_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ask("runs", "--json").stdout
    monkeypatch.setenv("OTEL_EXPORTER_SPANDAG_URL", "sqlite:////nowhere/else.db")

    url = f"sqlite:///{store_file}"
    assert ask("runs", "--json", "--store", url).stdout == expected
    assert ask("--store", url, "--json", "runs").stdout == expected
    assert ask("--json", "runs", "--store", str(store_file)).stdout == expected
    assert ask("--store", "other.db", "runs", "--json", "--store", str(store_file)).stdout == expected


def test_what_to_type_next_asks_the_same_store(ask: Ask, redone: str, store_file: Path) -> None:
    result = ask("runs", "--store", str(store_file))

    assert f"spandag tree last --store {store_file}  everything" in result.stderr


# --- what can be wrong ---------------------------------------------------------------


@pytest.mark.parametrize("command", [["runs"], ["tree"], ["node", "ab"], ["redos"], ["runs", "--json"]])
def test_a_missing_store_is_said_in_one_line(ask: Ask, command: list[str], store_file: Path) -> None:
    result = ask(*command)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"spandag: no store at {store_file}; run something with spandag first, or name another with --store\n"
    )
    assert not store_file.exists()


def test_a_store_without_runs_says_so(ask: Ask, provider: TracerProvider) -> None:
    with provider.get_tracer("http").start_as_current_span("GET"):
        pass
    hint = "the store has no runs yet; make one with: spandag demo\n"

    result = ask("runs")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", hint)
    assert answer(ask("runs", "--json")) == []
    assert answer(ask("redos", "--json")) == []
    result = ask("tree")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"spandag: {hint}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tree", "zz"], "no run starts with 'zz'; newest runs: {run} (report)"),
        (["redos", "zz", "--json"], "no run starts with 'zz'; newest runs: {run} (report)"),
        (["node", "zz"], "no node starts with 'zz'; ids are shown by: spandag tree last --ids"),
        (["node"], "Missing argument 'NODE'. Try 'spandag node --help'."),
        (
            ["runs", "-n", "0"],
            "Invalid value for '-n' / '--limit': 0 is not in the range x>=1. Try 'spandag runs --help'.",
        ),
        (["tree", "--frob"], "No such option '--frob'. Try 'spandag tree --help'."),
        (["frob"], "No such command 'frob'. Try 'spandag --help'."),
        (
            ["runs", "--store", "mysql://host/db"],
            "runs cannot be kept in 'mysql'; use a URL such as sqlite:///path/to/spandag.db"
            " or postgresql://user:password@host/name",
        ),
    ],
)
def test_errors_are_one_line_and_exit_code_2(
    ask: Ask, redone: str, arguments: list[str], message: str
) -> None:
    result = ask(*arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.replace("option: --frob.", "option '--frob'.") == f"spandag: {message}\n".format(
        run=redone[:8]
    )


def test_a_file_that_is_no_store_is_said(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database, but long enough to have a header of one" * 50)

    result = ask("runs", "--store", str(tmp_path / "notes.txt"))

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "is not a SQLite database" in result.stderr


# --- as a program --------------------------------------------------------------------


def test_asking_for_the_version_loads_no_libraries(environment: None) -> None:
    program = (
        "import sys\nfrom spandag.cli import main\n"
        "try: main()\nfinally: print([m for m in ('sqlalchemy', 'rich', 'opentelemetry.sdk', 'smolagents') if m in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, "--version"], capture_output=True, text=True, check=True
    )

    assert done.stdout == f"spandag {api.__version__}\n[]\n"


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], []])
def test_help_names_every_command(ask: Ask, arguments: list[str]) -> None:
    result = ask(*arguments)

    assert result.exit_code == 0
    for command in ("run", "runs", "tree", "node", "redos", "demo"):
        assert f"\n  {command} " in result.stdout
        assert ask(command, "-h").exit_code == 0


def test_a_reader_that_goes_away_is_no_error(redone: str, store_file: Path) -> None:
    with subprocess.Popen(
        [SPANDAG, "tree"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 141


@pytest.mark.parametrize(
    ("variables", "colour"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_for_terminals(redone: str, variables: dict[str, str], colour: bool) -> None:
    done = subprocess.run(
        [SPANDAG, "tree"],
        env={**os.environ, "TERM": "xterm-256color", **variables},
        capture_output=True,
        check=True,
    )

    assert (b"\x1b[" in done.stdout) is colour


def test_an_output_that_cannot_print_everything_gets_what_it_can(redone: str) -> None:
    def asked(*arguments: str) -> bytes:
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        return subprocess.run([SPANDAG, *arguments], env=environment, capture_output=True, check=True).stdout

    assert b'@ redo_1 asked by reviewer: "try a power law"' in asked("tree")
    assert json.loads(asked("tree", "--json"))["run"]["id"] == redone


def test_width_follows_columns(redone: str) -> None:
    done = subprocess.run(
        [SPANDAG, "tree"], env={**os.environ, "COLUMNS": "50"}, capture_output=True, text=True, check=True
    )

    # What is cut behind a space ends before it; where that is depends on how long the run took.
    assert max(map(len, done.stdout.splitlines())) in (49, 50)
