"""``waste``, ``unresolved``, ``root-cause``, ``rates``, ``costs``, ``lineage`` and ``trajectories``."""

from __future__ import annotations

import json
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
from spandag.workflow.scope import use_tracer_provider

Ask = Callable[..., Result]


@pytest.fixture
def recorded(store_file: Path, environment: None) -> Iterator[TracerProvider]:
    """Runs of the workflow API go into the test's store."""
    exporter = SpandagSpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    use_tracer_provider(provider)
    yield provider
    use_tracer_provider(None)
    provider.shutdown()


@pytest.fixture
def ask(recorded: TracerProvider) -> Ask:
    """Asks ``spandag`` in this process, once all is stored that was recorded."""

    def ask(*arguments: str) -> Result:
        recorded.force_flush()
        return CliRunner().invoke(cli, arguments, prog_name="spandag")

    return ask


def report() -> str:
    """A run with a redo, a step that spends its limit, and a tool that fails; gives its id."""
    with pytest.raises(api.RedoLimitExceeded), api.run("report", session="alice") as run:
        for attempt in api.step("fit").attempts():
            with attempt, api.agent("engineer"):
                with api.chat("gpt-5-mini", provider="openai") as chat:
                    chat.set_usage(1000, 200, cost=0.01)
                if attempt.number == 1:
                    with pytest.raises(ValueError), api.tool("plot"):
                        raise ValueError("no axes")
                    attempt.reject("try a power law", "reviewer")
        for attempt in api.step("write").attempts(max_redos=0):
            with attempt:
                attempt.reject("shorter", "human")
    return format(run.span.get_span_context().trace_id, "032x")


def well() -> None:
    """A run in which nothing goes wrong, without any step or model call."""
    with api.run("well"):
        pass


def answer(result: Result) -> Any:
    """The answer of a ``--json`` question, which says nothing else."""
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def nothing(result: Result, sentence: str) -> None:
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", sentence + "\n")


def test_waste(ask: Ask) -> None:
    run_id = report()

    result = ask("waste")

    assert result.exit_code == 0
    assert result.stdout.startswith(
        f"report  run {run_id[:8]}\nthrown away: 1.2k of 2.4k tokens (50%) · $0.0100 of $0.0200 (50%)"
    )
    assert "fit attempt 1 rejected" in result.stdout
    assert "“try a power law” asked by reviewer" in result.stdout
    assert f"next: spandag waste {run_id[:8]} --by agent" in result.stderr
    assert "engineer" in ask("waste", "last", "--by", "agent").stdout
    assert "gpt-5-mini (openai)" in ask("waste", "last", "--by", "model").stdout
    [waste] = answer(ask("waste", "--json"))
    assert (waste["run"]["id"], waste["cost_usd"], waste["cost_share"]) == (run_id, 0.01, 0.5)

    well()
    nothing(ask("waste", "last"), "nothing was thrown away in this run")
    assert answer(ask("waste", "last", "--json")) == []


def test_unresolved(ask: Ask) -> None:
    well()
    nothing(ask("unresolved"), "every step of every run was accepted")
    assert answer(ask("unresolved", "--json")) == []

    run_id = report()
    result = ask("unresolved")

    assert result.stdout.startswith(f"report  run {run_id[:8]}\n\n  step 2 write  ✗ rejected\n")
    assert "the limit is spent" in result.stdout
    assert "next: spandag node" in result.stderr
    [step] = answer(ask("unresolved", "last", "--json"))
    assert (step["step"], step["exhausted"], step["max_redos"]) == ("write", True, 0)


def test_root_cause(ask: Ask) -> None:
    report()
    result = ask("root-cause")

    assert result.exit_code == 0
    assert "root cause: step write  ✗ rejected" in result.stdout
    assert "tool plot  ✗ failed" in result.stdout
    assert "next: spandag node" in result.stderr
    found = answer(ask("root-cause", "last", "--json"))
    assert set(found) == {"run", "cause", "before", "others", "rejected"}
    assert found["cause"]["failed_the_run"]

    well()
    result = ask("root-cause", "last")
    assert result.stdout.endswith("\nnothing failed\n")
    assert result.stderr == "no node of this run failed, and no step was left without an accepted attempt\n"
    assert answer(ask("root-cause", "--json"))["cause"] is None


def test_rates(ask: Ask) -> None:
    well()
    nothing(ask("rates"), "no step was tried")
    nothing(ask("rates", "--days", "7"), "no step was tried in the last 7 days (UTC)")
    assert answer(ask("rates", "--json")) == []

    report()
    heading, first, *_ = ask("rates").stdout.splitlines()
    assert heading.split()[:5] == ["step", "steps", "attempts", "redos", "redone"]
    assert first.split()[:5] == ["fit", "1", "2", "1", "100%"]
    [engineer, nobody] = answer(ask("rates", "--by", "agent", "--days", "2", "--json"))
    assert (engineer["agent_name"], engineer["redo_success_rate"]) == ("engineer", 1.0)
    assert nobody["agent_name"] is None


def test_costs(ask: Ask) -> None:
    well()
    nothing(ask("costs"), "no model was called")
    nothing(ask("costs", "--days", "1"), "no model was called today (UTC)")
    assert answer(ask("costs", "--json")) == []

    run_id = report()
    assert ask("costs", "--by", "run").stdout.splitlines()[1].split() == [
        run_id[:8],
        "report",
        "2",
        "2.0k",
        "400",
        "2.4k",
        "$0.0200",
    ]
    for by, key in (("agent", "agent_name"), ("model", "model"), ("session", "session_id"), ("day", "day")):
        [cost] = answer(ask("costs", "--by", by, "--json"))
        assert cost[key]
        assert (cost["calls"], cost["cost_usd"]) == (2, 0.02)


def test_lineage(ask: Ask) -> None:
    run_id = report()

    result = ask("lineage")

    assert result.stdout.startswith(f"{run_id[:8]} report  ✗ failed")
    assert result.stderr.startswith("no run was forked from this one\n")
    [only] = answer(ask("lineage", run_id, "--json"))["runs"]
    assert (only["run"]["id"], only["level"], only["parent_run_id"]) == (run_id, 0, None)


def test_trajectories(ask: Ask) -> None:
    report()

    result = ask("trajectories", "engineer")

    assert "rejected: “try a power law” asked by reviewer" in result.stdout
    assert "did: FAILED: plot (ValueError: no axes)" in result.stdout
    assert "next: spandag node" in result.stderr
    [newest] = answer(ask("trajectories", "engineer", "-n", "1", "--json"))
    assert (newest["agent_name"], newest["outcome"], newest["attempt"]) == ("engineer", "accepted", 2)
    nothing(ask("trajectories", "nobody"), "no agent 'nobody' has run; these have: engineer")
    assert answer(ask("trajectories", "nobody", "--json")) == []


@pytest.mark.parametrize("command", ["waste", "unresolved", "root-cause", "lineage"])
def test_an_unknown_run_is_said_in_one_line(ask: Ask, command: str) -> None:
    run_id = report()

    result = ask(command, "zz", "--json")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"spandag: no run starts with 'zz'; newest runs: {run_id[:8]} (report)\n"
