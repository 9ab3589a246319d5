from __future__ import annotations

import json
from importlib.util import find_spec

import pytest

from .conftest import Spandag

needs_frameworks = pytest.mark.skipif(
    find_spec("ag2") is None or find_spec("smolagents") is None,
    reason="the demo needs smolagents and AG2 1.x",
)


@needs_frameworks
def test_the_demo_ends_with_its_tree_and_what_to_type_next(spandag: Spandag) -> None:
    done = spandag("demo", "--store", "demo.db")

    assert done.returncode == 0, done.stderr
    assert "The model is scripted" in done.stderr
    assert "Kepler's third law  ✓ completed" in done.stdout
    assert "↻ redo_1 asked by reviewer" in done.stdout
    run_id = done.stdout.split("run ", 1)[1][:8]
    assert f"next: spandag redos {run_id} --store demo.db" in done.stderr
    assert "redo_1" in spandag("redos", run_id, "--store", "demo.db").stdout


@needs_frameworks
def test_the_demo_answers_in_json(spandag: Spandag) -> None:
    done = spandag("demo", "--json")

    assert json.loads(done.stdout)["run"]["redos"] == 1


@pytest.mark.parametrize(
    "arguments",
    [["--base-url", "http://127.0.0.1:9/v1"], ["--model", "gpt-5-mini"]],
    ids=["no model", "no key"],
)
def test_a_demo_that_cannot_start_is_said_in_one_line(spandag: Spandag, arguments: list[str]) -> None:
    done = spandag("demo", *arguments)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("spandag: ")


@needs_frameworks
def test_a_model_that_cannot_be_reached_is_said_in_one_line(spandag: Spandag) -> None:
    done = spandag("demo", "--model", "m", "--base-url", "http://127.0.0.1:9/v1", OPENAI_API_KEY="none")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == "spandag: the demo stopped: APIConnectionError: Connection error."
    assert "Traceback" not in done.stderr
    assert "APIConnectionError" in spandag("tree").stdout


@needs_frameworks
def test_a_store_that_cannot_be_written_is_said(spandag: Spandag) -> None:
    done = spandag("demo", "--store", "/dev/null/runs.db", SPANDAG_STRICT="0")

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "cannot write the store" in done.stderr
