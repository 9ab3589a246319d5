"""``spandag export``, ``spandag import FILE`` and ``spandag tree --branches``."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from spandag_test_databases import connected

import spandag as api
from spandag.cli import cli
from spandag.cli.export import write_lines
from spandag.export import SpandagSpanExporter
from spandag.store.schema import metadata
from spandag.workflow.scope import use_tracer_provider

from .conftest import SPANDAG

Ask = Callable[..., Result]
ReadTables = Callable[[str | Path], Any]


@pytest.fixture
def provider(store_file: Path, environment: None) -> Iterator[TracerProvider]:
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
                    attempt.reject("try a power law ✓", "reviewer")
    provider.force_flush()
    return format(run.span.get_span_context().trace_id, "032x")


@pytest.fixture
def ask(environment: None) -> Ask:
    def ask(*arguments: str, input: str | None = None) -> Result:
        return CliRunner().invoke(cli, arguments, prog_name="spandag", input=input)

    return ask


@pytest.mark.parametrize("kind", ["otlp-json", "jsonl"])
def test_a_run_goes_out_of_one_store_and_into_another(
    ask: Ask, redone: str, kind: str, tmp_path: Path, store_file: Path, read_tables: ReadTables
) -> None:
    out = ask("export", "last", "--format", kind)
    assert (out.exit_code, out.stderr) == (0, "")
    (tmp_path / "run.txt").write_text(out.stdout, encoding="utf-8")
    copy = tmp_path / "copy.db"

    result = ask("import", str(tmp_path / "run.txt"), "--store", str(copy))

    assert result.exit_code == 0
    assert result.stdout == (
        f"{tmp_path / 'run.txt'}: 1 run, 5 nodes, 1 redo, 0 forks, 1 event, 0 messages, 2 cost records\n"
    )
    assert f"next: spandag tree {redone[:8]} --store {copy}  everything in it" in result.stderr
    assert read_tables(copy) == read_tables(store_file)


def test_import_answers_in_json_and_reads_standard_input(ask: Ask, redone: str, tmp_path: Path) -> None:
    text = ask("export", "--format", "jsonl").stdout

    result = ask("import", "-", "--json", "--store", str(tmp_path / "copy.db"), input=text)

    assert result.stderr == ""
    [imported] = json.loads(result.stdout)
    assert imported == {
        "source": "standard input",
        "runs": 1,
        "nodes": 5,
        "events": 1,
        "messages": 0,
        "cost_records": 2,
        "redos": 1,
        "forks": 0,
        "format": "jsonl",
        "run_ids": [redone],
    }


def test_every_run_goes_out_with_all(ask: Ask, redone: str, provider: TracerProvider, tmp_path: Path) -> None:
    with api.run("another"):
        pass

    lines = ask("export", "--all", "--format", "jsonl").stdout.splitlines()

    assert sum("format" in json.loads(line) for line in lines) == 2
    assert len(ask("export", redone, redone[:8], "--format", "jsonl").stdout.splitlines()) < len(lines)
    document = json.loads(ask("--json", "export", "--all").stdout)
    assert len(document["resourceSpans"]) == 2


def test_a_store_without_runs_gives_an_empty_document(ask: Ask, redone: str, store_file: Path) -> None:
    with connected(store_file) as connection:
        connection.execute(metadata.tables["workflow_runs"].delete())

    result = ask("export", "--all", "--json")

    assert (result.exit_code, result.stderr) == (0, "the store has no runs yet\n")
    assert json.loads(result.stdout) == {"resourceSpans": []}
    assert ask("export", "--all", "--format", "jsonl").stdout == ""


def test_what_is_not_written_is_said_on_standard_error(ask: Ask, provider: TracerProvider) -> None:
    with api.run("r"), api.agent("a"), provider.get_tracer("http").start_as_current_span("GET"):
        for _ in range(4):
            with api.tool("t"):
                pass

    result = ask("export", "--format", "mermaid")
    assert result.stdout.startswith("flowchart LR\n")
    assert result.stderr == (
        "left out: 3 nodes that repeat what is before them (--whole shows them)\n"
        "left out: 1 node of other libraries\n"
    )
    assert "left out: 5 nodes that are deeper\n" in ask("export", "--format", "dot", "--depth", "0").stderr
    assert "repeat" not in ask("export", "--format", "dot", "--whole").stderr


def test_what_goes_on_is_written_up_to_what_is_known_and_comes_back_open(
    ask: Ask, provider: TracerProvider, tmp_path: Path
) -> None:
    with api.run("goes on"):
        with api.tool("done"):
            pass
        provider.force_flush()
        result = ask("export", "last")

    assert result.stderr == (
        "a span has not ended: written up to the last moment of the run that is known, as unfinished\n"
    )
    [of_run] = json.loads(result.stdout)["resourceSpans"]
    run, done = of_run["scopeSpans"][0]["spans"]
    unfinished = {"key": "spandag.unfinished", "value": {"boolValue": True}}
    # Without an end Jaeger would show it with one in 1970, and nothing else for width.
    assert run["endTimeUnixNano"] == done["endTimeUnixNano"]
    assert (unfinished in run["attributes"], unfinished in done["attributes"]) == (True, False)

    (tmp_path / "run.json").write_text(result.stdout, encoding="utf-8")
    copy = str(tmp_path / "copy.db")
    ask("import", str(tmp_path / "run.json"), "--store", copy)
    nodes = json.loads(ask("tree", "last", "--store", copy, "--json").stdout)["nodes"]
    assert [(node["name"], node["status"], node["ended_at"] is None) for node in nodes] == [
        ("goes on", "open", True),
        ("done", "completed", False),
    ]
    assert "unfinished" not in ask("export", "last", "--store", copy, "--format", "jsonl").stdout


def tools(*, wide: int, deep: int = 1, name: str = "t") -> None:
    """A run with so many tools beside each other, and so many below each."""
    with api.run("large"):
        for number in range(wide):
            with ExitStack() as below:
                for level in range(deep):
                    below.enter_context(api.tool(f"{name}{number}.{level}"))


@pytest.mark.parametrize(
    ("large", "said"),
    [
        (
            {"wide": 200, "deep": 4},
            "no more than 500 edges unless it is told otherwise (maxEdges), these are 800: try --depth 2",
        ),
        (
            {"wide": 501},
            "no more than 500 edges unless it is told otherwise (maxEdges), these are 501: try --format dot",
        ),
        (
            {"wide": 200, "deep": 2, "name": "&" * 30},
            "no more than 50,000 characters unless it is told otherwise (maxTextSize), these are N: "
            "try --depth 1",
        ),
    ],
)
def test_what_mermaid_will_not_draw_is_said_with_what_it_would(
    ask: Ask, provider: TracerProvider, large: dict[str, Any], said: str
) -> None:
    tools(**large)

    result = ask("export", "--format", "mermaid")

    assert re.sub(r"(?<=are )\d\d,\d{3}(?=: )", "N", result.stderr) == f"Mermaid draws {said}\n"
    [depth] = re.findall(r"--depth \d", said) or ["--depth 0"]
    assert "Mermaid" not in ask("export", "--format", "mermaid", *depth.split()).stderr
    assert "Mermaid" not in ask("export", "--format", "dot").stderr


def test_branches(ask: Ask, redone: str, provider: TracerProvider) -> None:
    result = ask("tree", redone[:8], "--branches")

    assert "├─╮ ↻ redo_1 asked by reviewer: “try a power law ✓”\n" in result.stdout
    assert f"next: spandag tree {redone[:8]}  everything in it" in result.stderr
    answer = json.loads(ask("tree", "--branches", "--json").stdout)
    assert [(attempt["attempt"], attempt["lane"]) for attempt in answer["attempts"]] == [(1, 0), (2, 1)]

    with api.run("another"):
        pass
    none = ask("tree", "--branches")
    assert (none.exit_code, none.stdout, none.stderr) == (0, "", "this run has no steps\n")
    assert json.loads(ask("tree", "--branches", "--json").stdout)["attempts"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "last", "--all"], "Name RUNs, or take --all."),
        (["export", "--all", "--format", "dot"], "dot draws one run."),
        (["export", "--depth", "2"], "--depth and --whole are for drawings (mermaid, dot)."),
        (["export", "--json", "--format", "mermaid"], "mermaid is no JSON."),
        (["export", "zz"], "no run starts with 'zz'"),
        (["import"], "Name one or more FILEs (- for standard input), or a database with --cmbagent."),
        (["import", "none.json"], "none.json: No such file or directory"),
        (["tree", "--branches", "--follow"], "--branches and --follow do not go together."),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(
    ask: Ask, redone: str, arguments: list[str], message: str
) -> None:
    result = ask(*arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"spandag: {message}")
    assert result.stderr.count("\n") == 1


def test_a_file_is_utf_8_whatever_the_terminal_has(redone: str, environment: None) -> None:
    done = subprocess.run(
        [SPANDAG, "export", "--format", "dot"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )

    assert "“try a power law ✓”" in done.stdout.decode()


@pytest.mark.parametrize("kind", ["otlp-json", "jsonl"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_error(provider: TracerProvider, kind: str, unbuffered: str) -> None:
    with api.run("more than a pipe holds"):
        for _ in range(20):
            provider.get_tracer("http").start_span("GET", attributes={"page": "x" * 16_000}).end()
    provider.force_flush()

    with subprocess.Popen(
        [SPANDAG, "export", "--format", kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(10)
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_what_is_long_is_written_as_it_comes(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    written = []

    def lines() -> Iterator[str]:
        for _ in range(3):
            yield "é" * 100_000
            written.append(len(capsysbinary.readouterr().out))

    write_lines(lines())

    assert written == [200_001] * 3


@pytest.mark.parametrize(
    "command",
    [
        ["export"],
        ["export", "--format", "jsonl"],
        ["runs", "--json"],
        ["tree", "--json"],
        ["replay", "--json"],
    ],
)
def test_json_of_others_cannot_control_a_terminal(
    ask: Ask, provider: TracerProvider, command: list[str]
) -> None:
    name = "a\x9b2J\u202eb\U000e0041"
    with api.run(name), api.tool("t") as tool:
        tool.span.set_attribute("said", name)
    provider.force_flush()

    out = ask(*command).stdout

    assert "\\u009b2J\\u202eb\\udb40\\udc41" in out
    assert not set("\x9b\u202e\U000e0041") & set(out)
