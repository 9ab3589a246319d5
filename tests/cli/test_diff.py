from __future__ import annotations

import json
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import spandag as api
from spandag.export import SpandagSpanExporter
from spandag.workflow.scope import use_tracer_provider

from .conftest import OpenStore, Spandag


@pytest.fixture
def runs(store_file: Path, environment: None, capture_content: None) -> None:
    """Two runs with a redo each, whose prompts differ."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(SpandagSpanExporter()))
    use_tracer_provider(provider)
    for prompt in ("Fit the periods.", "Fit the periods in log space."):
        with api.run("report"):
            for attempt in api.step("fit").attempts():
                with attempt:
                    with api.chat("m", input=prompt) as chat:
                        chat.set_usage(1000, 200, cost=0.01)
                        chat.set_output(f"attempt {attempt.number}")
                    if attempt.number == 1:
                        attempt.reject("try a power law", "reviewer")
    use_tracer_provider(None)
    provider.shutdown()


@pytest.mark.usefixtures("runs")
def test_two_runs(spandag: Spandag) -> None:
    done = spandag("diff", "last~1", "last")

    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line[:9] for line in lines[:2]] == ["a  report", "b  report"]
    assert "first divergence: prompt · llm m  below run report · step 1 fit" in lines
    assert "2 changed, 4 the same but for time" in lines
    assert "        + Fit the periods in log space." in lines
    assert done.stderr.count("where they part, in ") == 2


@pytest.mark.usefixtures("runs")
def test_the_attempts_of_a_step(spandag: Spandag, stored: OpenStore) -> None:
    from spandag import query

    with stored() as store:
        step = next(node.id for node in query.tree(store, "last").nodes if node.node_type == "step")
    done = spandag("diff", step[:12], "--json")

    answer = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (answer["a"]["outcome"], answer["b"]["outcome"]) == ("rejected", "accepted")
    assert answer["first_divergence"]["what"] == "output"
    assert [pair["differs"] for pair in answer["pairs"]] == [["outcome"], ["output"]]
    side = spandag("diff", step, COLUMNS="130")
    assert "| attempt 2" in side.stdout.replace("│", "|")


@pytest.mark.usefixtures("runs")
def test_markdown_for_a_review(spandag: Spandag) -> None:
    done = spandag("diff", "last~1", "last", "--markdown", "-n", "1")

    assert (done.returncode, done.stderr) == (0, "")
    assert "| | a | b | difference |" in done.stdout.replace("|  |", "| |")
    assert "**First divergence:** prompt · `llm m`, below `run report · step 1 fit`" in done.stdout
    assert (
        "```diff\n@@ prompt: user @@\n- Fit the periods.\n+ Fit the periods in log space.\n```" in done.stdout
    )
    assert done.stdout.endswith("… 1 more that differ\n")
    ascii_only = spandag("diff", "last~1", "last", "--markdown", PYTHONIOENCODING="ascii")
    assert "**First divergence:** prompt - `llm m`" in ascii_only.stdout


@pytest.mark.usefixtures("runs")
def test_the_same_run_twice(spandag: Spandag) -> None:
    done = spandag("diff", "last", "last")

    assert done.stdout.endswith("\nno difference but time\n")
    answer = json.loads(spandag("diff", "last", "last", "--json").stdout)
    assert (answer["changed"], answer["first_divergence"]) == (0, None)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("last",), "is no fork: name what to compare it with"),
        (("last", "last~7"), "there is no run last~7: the store has 2 runs"),
        (("last", "last", "--json", "--markdown"), "--json and --markdown exclude each other"),
        (("last", "nowhere"), "no run and no node starts with 'nowhere'"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    spandag: Spandag, arguments: tuple[str, ...], message: str
) -> None:
    done = spandag("diff", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert message in line
