"""Unmodified programs of each framework, traced without touching them."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
BIN = Path(sys.executable).parent

sys.path.insert(0, str(EXAMPLES))
from scripted import obliging  # noqa: E402 - the examples are no package

from spandag.testing import ModelServer  # noqa: E402

OTHERS = sorted(
    point.name
    for point in entry_points(group="opentelemetry_instrumentor")
    if not point.name.startswith("spandag_")
)
FRAMEWORKS = [
    pytest.param(
        framework,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(framework) is None, reason=f"{framework} is in the other environment"
        ),
    )
    for framework in ("smolagents", "ag2", "autogen")
]


@pytest.fixture
def model():
    with ModelServer({"model": obliging}) as server:
        yield server


@pytest.fixture
def run(model, tmp_path):
    """Run a command like a user would; gives its output and the store's path."""

    def run(*command, **variables):
        database = tmp_path / "runs.db"
        environment = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "OPENAI_BASE_URL": model.url_for("model"),
            "OPENAI_API_KEY": "scripted",
            # Tests of other instrumentations need them installed; here they would take part.
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(OTHERS),
            "OTEL_EXPORTER_SPANDAG_URL": f"sqlite:///{database}",
            **variables,
        }
        done = subprocess.run(
            [str(part) for part in command],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done, database

    return run


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_opentelemetry_instrument_traces_an_unmodified_script(
    framework, run, model, golden, tree_of, rows_of
):
    done, database = run(
        "opentelemetry-instrument",
        sys.executable,
        EXAMPLES / f"quickstart_{framework}.py",
        OTEL_TRACES_EXPORTER="spandag,console",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
    )
    golden(f"quickstart_{framework}.tree.txt", tree_of(database))
    golden(f"quickstart_{framework}.rows.txt", rows_of(database))

    stored = sqlite(database, "SELECT span_id FROM dag_nodes")
    printed = re.findall(r'"span_id": "0x([0-9a-f]{16})"', done.stdout)
    assert {row["span_id"] for row in stored} == set(printed)
    [tokens] = sqlite(
        database, "SELECT sum(input_tokens) AS i, sum(output_tokens) AS o, count(*) AS c FROM cost_records"
    )
    counted = model.counted()
    assert (tokens["i"], tokens["o"], tokens["c"]) == (
        counted.input_tokens,
        counted.output_tokens,
        counted.calls,
    )


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_script_prints_the_same_with_and_without_us(framework, run):
    script = EXAMPLES / f"quickstart_{framework}.py"
    plain, _ = run(sys.executable, script)
    traced, _ = run("spandag", "run", "--", sys.executable, script)
    assert without_times(traced.stdout) == without_times(plain.stdout)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_spandag_run_shows_the_script_as_one_run(framework, run):
    run("spandag", "run", "--", sys.executable, EXAMPLES / f"quickstart_{framework}.py")
    shown, _ = run("spandag", "tree", "last", "--json")
    assert json.loads(shown.stdout)["run"]["status"] == "completed"
    runs, _ = run("spandag", "runs", "--json")
    assert len(json.loads(runs.stdout)) == 1


def test_the_haiku_of_the_readme_is_written_in_two_attempts(run, golden, tree_of):
    _, database = run("spandag", "run", "--", sys.executable, EXAMPLES / "haiku.py")
    golden("haiku.tree.txt", tree_of(database))


def sqlite(database, sql):
    import sqlite3

    connection = sqlite3.connect(database)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(sql)]
    finally:
        connection.close()


def without_times(text):
    return re.sub(
        r"\d+(\.\d+)? seconds|\(at 0x[0-9a-f]+\)|127\.0\.0\.1:\d+|call_model_\d+_\d+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "<varies>",
        text,
    )
