from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from opentelemetry import trace
from spandag_test_databases import connected
from sqlalchemy import text

import spandag
from spandag import query, semconv
from spandag.query import Spent
from spandag.query.as_json import as_json
from spandag.query.render import Page, render_trajectories, to_text
from spandag.query.trajectories import agents

from .conftest import Recording, call
from .stories import failing_tool, fall_behind, report
from .test_render import normal

GOLDEN = Path(__file__).parent / "golden"


def test_the_last_runs_of_an_agent_come_newest_first_with_what_became_of_them(recording: Recording) -> None:
    run_id = report()

    found = query.recent_trajectories(recording.store, "engineer")

    assert [(each.run_id, each.run_name, each.step, each.attempt, each.outcome) for each in found] == [
        (run_id, "report", "fit", 2, "accepted"),
        (run_id, "report", "fit", 1, "rejected"),
    ]
    accepted, rejected = found
    assert (accepted.hypothesis, accepted.requested_by) == (None, None)
    assert (rejected.hypothesis, rejected.requested_by) == ("try a power law", "reviewer")
    assert rejected.spent == Spent(1, 1000, 100, 0.002, 0)
    assert [(action.name, action.status) for action in rejected.actions] == [
        ("read_csv", "failed"),
        ("fit_line", "completed"),
        ("fit_line", "completed"),
        ("fit_line", "completed"),
        ("plot", "completed"),
    ]
    assert (rejected.actions[0].error_type, rejected.actions[0].error_message) == (
        "FileNotFoundError",
        "planets.csv",
    )
    assert query.recent_trajectories(recording.store, "engineer", 1) == [accepted]


def test_an_agent_that_failed_says_with_what(recording: Recording) -> None:
    with pytest.raises(ValueError), spandag.run("r"), spandag.agent("a"):
        raise ValueError("broken")

    [found] = query.recent_trajectories(recording.store, "a")

    assert (found.status, found.error_type, found.error_message, found.step) == (
        "failed",
        "ValueError",
        "broken",
        None,
    )


def test_what_other_agents_did_for_it_is_theirs_but_was_spent_for_it(recording: Recording) -> None:
    with spandag.run("r"), spandag.agent("boss"):
        call()
        with spandag.agent("helper"):
            call()
            failing_tool("search", ValueError("offline"))
        with spandag.tool("write"):
            pass

    [boss] = query.recent_trajectories(recording.store, "boss")
    [helper] = query.recent_trajectories(recording.store, "helper")

    assert [(action.node_type, action.name) for action in boss.actions] == [
        ("sub_agent", "helper"),
        ("tool", "write"),
    ]
    assert boss.spent.calls == 2
    assert [(action.name, action.status) for action in helper.actions] == [("search", "failed")]
    assert helper.spent.calls == 1


def test_code_is_told_by_the_tools_in_it_unless_it_failed(recording: Recording) -> None:
    tracer = recording.provider.get_tracer("spandag.tests")

    def code(*, fails: bool, tool: str | None) -> None:
        attributes = {semconv.SPANDAG_NODE_TYPE: "code", semconv.GEN_AI_TOOL_NAME: "python_interpreter"}
        with tracer.start_as_current_span("code", attributes=attributes) as span:
            if tool is not None:
                with spandag.tool(tool):
                    pass
            if fails:
                span.set_status(trace.StatusCode.ERROR, "no such name")

    with spandag.run("r"), spandag.agent("coder"):
        for number in (1, 2, 3):
            attributes = {semconv.SPANDAG_NODE_TYPE: "iteration", semconv.SPANDAG_STEP_NUMBER: number}
            with tracer.start_as_current_span("iteration", attributes=attributes):
                code(fails=number == 2, tool=None if number == 3 else "read_csv")

    [found] = query.recent_trajectories(recording.store, "coder")

    assert found.iterations == 3
    assert [(action.node_type, action.status) for action in found.actions] == [
        ("tool", "completed"),
        ("code", "failed"),
        ("tool", "completed"),
        ("code", "completed"),
    ]


def test_an_agent_at_work_can_ask_for_itself(recording: Recording) -> None:
    report()
    with spandag.run("r"), spandag.agent("engineer"):
        failing_tool("read_csv", FileNotFoundError("planets.csv"))
        recording.provider.force_flush()
        found = query.recent_trajectories(recording.store, "engineer")

    # What it does itself is among them.
    assert [(each.status, each.attempt) for each in found] == [
        ("running", None),
        ("completed", 2),
        ("completed", 1),
    ]
    assert [action.name for action in found[0].actions] == ["read_csv"]


def test_trajectories_are_the_same_of_runs_that_are_behind(recording: Recording) -> None:
    report()
    recording.store.settle()
    settled = query.recent_trajectories(recording.store, "engineer")

    fall_behind(recording.url)

    assert query.recent_trajectories(recording.store, "engineer") == settled


@pytest.mark.parametrize("name", ["日本 agent", "nul \x00 and ␛", "x" * 600])
def test_agents_of_any_name_are_found(recording: Recording, name: str) -> None:
    with spandag.run("r"), spandag.agent(name):
        pass

    [found] = query.recent_trajectories(recording.store, name)

    assert found.agent_name == name


def test_an_agent_that_has_not_run_has_no_trajectories(recording: Recording) -> None:
    report()

    assert as_json(query.recent_trajectories(recording.store, "nobody")) == []
    assert agents(recording.store) == ["artist", "engineer", "planner"]


def test_they_are_found_by_an_index(recording: Recording) -> None:
    """However many runs there are, those of the agent are read, and no others."""
    report()
    statement = (
        "SELECT id FROM dag_nodes WHERE name = 'engineer' AND dag_nodes.node_type IN ('agent', 'sub_agent') "
        "AND length(dag_nodes.name) <= 512 ORDER BY started_at DESC LIMIT 5"
    )
    with connected(recording.url) as connection:
        if connection.dialect.name == "sqlite":
            plan = [row[-1] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {statement}"))]
            assert plan == ["SEARCH dag_nodes USING INDEX ix_dag_nodes_agents (name=?)"]
        else:
            connection.execute(text("SET enable_seqscan = off"))
            plan = [row[0] for row in connection.execute(text(f"EXPLAIN {statement}"))]
            assert any("ix_dag_nodes_agents" in line for line in plan)
            assert not any("Sort" in line for line in plan)


def test_json_is_flat(recording: Recording) -> None:
    report()

    [found] = as_json(query.recent_trajectories(recording.store, "planner"))

    assert {"run_id", "node_id", "agent_name", "calls", "cost_usd", "actions", "iterations"} <= set(found)


def test_trajectories_are_drawn_as_in_the_golden_file(recording: Recording) -> None:
    report()

    drawn = to_text(render_trajectories(query.recent_trajectories(recording.store, "engineer"), Page()))

    assert normal(drawn) == (GOLDEN / "trajectories.txt").read_text(encoding="utf-8")


def drawn(recording: Recording, agent: str) -> str:
    return to_text(render_trajectories(query.recent_trajectories(recording.store, agent), Page()))


def test_work_that_was_accepted_within_work_that_was_rejected_is_told_from_what_counted(
    recording: Recording,
) -> None:
    with spandag.run("r"):
        for outer in spandag.step("outer").attempts():
            with outer:
                with spandag.step("inner"), spandag.agent("a"):
                    pass
                if outer.number == 1:
                    outer.reject("use metres", "ann")

    kept, thrown_away = query.recent_trajectories(recording.store, "a")

    assert (kept.outcome, kept.disposition, kept.reason) == (thrown_away.outcome, "active", None)
    assert (thrown_away.step, thrown_away.disposition) == ("inner", "superseded")
    assert (thrown_away.hypothesis, thrown_away.requested_by) == (None, None)
    assert thrown_away.reason is not None
    assert (thrown_away.reason.step, thrown_away.reason.attempt, thrown_away.reason.outcome) == (
        "outer",
        1,
        "rejected",
    )
    of_kept, of_thrown_away = drawn(recording, "a").split("\n\n")
    assert "a  ✓ " in of_kept
    assert "thrown away" not in of_kept
    assert "a  ■ thrown away  " in of_thrown_away
    assert "  thrown away: the work around it was rejected: “use metres” asked by ann\n" in of_thrown_away
    assert "✓" not in of_thrown_away


def test_an_agent_that_did_its_part_in_a_step_that_failed_says_with_what_the_step_did(
    recording: Recording,
) -> None:
    with pytest.raises(ValueError), spandag.run("r"), spandag.step("s"):
        with spandag.agent("a"):
            pass
        raise ValueError("no such unit")

    [found] = query.recent_trajectories(recording.store, "a")

    assert (found.status, found.outcome, found.error_type, found.disposition) == (
        "completed",
        "failed",
        None,
        "abandoned",
    )
    assert found.reason is not None
    assert (found.reason.error_type, found.reason.error_message) == ("ValueError", "no such unit")
    assert "a  ✗ failed  " in drawn(recording, "a")
    assert "  the step failed: ValueError: no such unit\n" in drawn(recording, "a")


def test_an_agent_that_failed_and_whose_attempt_was_rejected_says_both(recording: Recording) -> None:
    with spandag.run("r"):
        for attempt in spandag.step("s").attempts():
            with attempt:
                with contextlib.suppress(ValueError), spandag.agent("a"):
                    if attempt.number == 1:
                        raise ValueError("broken")
                if attempt.number == 1:
                    attempt.reject("do better", "critic")

    _, of_rejected = drawn(recording, "a").split("\n\n")

    assert "a  ✗ rejected  " in of_rejected
    assert "  rejected: “do better” asked by critic\n  failed: ValueError: broken\n" in of_rejected
