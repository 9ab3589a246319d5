"""The commands that look at one run: its page, its path, its time, a step's attempts; and sessions."""

from __future__ import annotations

from opentelemetry.sdk.trace import TracerProvider

import spandag as api

from .test_answers import RUN_KEYS, Ask, answer, ask, provider, redone

__all__ = ["ask", "provider", "redone"]


def test_sessions(ask: Ask, redone: str) -> None:
    result = ask("sessions")

    assert result.exit_code == 0
    heading, line = result.stdout.splitlines()
    assert heading.split() == [
        "session",
        "name",
        "status",
        "started",
        "took",
        "runs",
        "redos",
        "tokens",
        "cost",
    ]
    assert line.startswith("alice    report  idle")
    assert result.stderr == "\nnext: spandag runs --session alice  its runs\n"
    [session] = answer(ask("sessions", "--json"))
    assert (session["id"], session["runs"], session["redos"], session["calls"]) == ("alice", 1, 1, 2)


def test_without_sessions_the_answer_is_empty(ask: Ask, provider: TracerProvider) -> None:
    with api.run("r"):
        pass
    # The first span makes the store, which can take a moment.
    provider.force_flush()

    assert answer(ask("sessions", "--json")) == []
    result = ask("sessions")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no run names a session; give it one with: spandag.run(name, session=…)\n"


def test_runs_of_one_session(ask: Ask, redone: str) -> None:
    with api.run("other", session="bob"):
        pass

    assert [run["id"] for run in answer(ask("runs", "--session", "alice", "--json"))] == [redone]
    assert f"next: spandag tree {redone[:8]}" in ask("runs", "--session", "alice").stderr
    assert answer(ask("runs", "--session", "carol", "--json")) == []
    none = ask("runs", "--session", "carol")
    assert (none.exit_code, none.stdout) == (0, "")
    assert none.stderr == "no run belongs to session carol; newest sessions: bob, alice\n"


def test_show(ask: Ask, redone: str) -> None:
    result = ask("show")

    assert result.exit_code == 0
    assert result.stdout.startswith(f"report  ✓ completed\n  run         {redone}\n")
    assert "  ✓ fit ↻ redo_1 asked by reviewer: “try a power law”" in result.stdout
    assert f"next: spandag tree {redone[:8]}" in result.stderr
    assert ask("show", redone[:6]).stdout == result.stdout
    shown = answer(ask("show", "--json"))
    assert set(shown["run"]) == RUN_KEYS
    assert (shown["errors"], shown["forks"], shown["parent"]) == ([], [], None)


def test_path(ask: Ask, redone: str) -> None:
    result = ask("path")

    assert result.exit_code == 0
    assert "counted in the end: 1 of 2 model calls" in result.stdout
    assert "redo_1" not in result.stdout
    assert f"next: spandag tree {redone[:8]}  everything, with what was thrown away\n" in result.stderr
    path = answer(ask("path", redone, "--json"))
    assert set(path) == {"run", "nodes", "hidden", "choices"}
    assert [node["node_type"] for node in path["nodes"]] == ["run", "step", "llm"]


def test_timeline(ask: Ask, redone: str) -> None:
    result = ask("timeline")

    assert result.exit_code == 0
    assert "━" in result.stdout
    assert "↻ redo_1 asked by reviewer: “try a power law”" in result.stdout
    assert f"next: spandag tree {redone[:8]}  the same by what is part of what\n" in result.stderr
    timeline = answer(ask("timeline", "--json"))
    assert set(timeline) == {"run", "events", "hidden"}
    first, last = timeline["events"][0], timeline["events"][-1]
    assert (first["event_type"], first["event_subtype"]) == ("run", "start")
    assert (last["event_type"], last["event_subtype"]) == ("run", "complete")


def test_attempts(ask: Ask, redone: str) -> None:
    result = ask("attempts", "fit")

    assert result.exit_code == 0
    assert result.stdout.startswith(f"step 1 fit  run {redone[:8]} report\n")
    assert "↻ redo_1 asked by reviewer: “try a power law”" in result.stdout
    first, second = answer(ask("attempts", "fit", "--run", redone[:8], "--json"))
    assert (first["outcome"], second["outcome"], second["cost_usd"]) == ("rejected", "accepted", 0.01)
    assert f"next: spandag diff {second['node_id'][:8]}" in result.stderr
    assert ask("attempts", first["node_id"]).stdout == result.stdout
    unknown = ask("attempts", "fitt")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert unknown.stderr == (
        f"spandag: no step or node of run {redone[:8]} is called 'fitt'; did you mean 'fit'?\n"
    )


def test_many_like_nodes_are_one_line_unless_all_are_asked_for(ask: Ask, provider: TracerProvider) -> None:
    with api.run("r") as run:
        for _ in range(30):
            with api.tool("t"):
                pass
    run_id = format(run.span.get_span_context().trace_id, "032x")[:8]

    for command in ("tree", "path", "timeline"):
        result = ask(command)
        assert "… 27 more tool t" in result.stdout
        assert f"spandag {command} {run_id} --all" in result.stderr
        assert "the same with 27 more nodes\n" in result.stderr
        every = ask(command, "--all")
        assert every.stdout.count("tool t") == 30
        assert "--all" not in every.stderr
    assert len(answer(ask("tree", "--json"))["nodes"]) == 31
