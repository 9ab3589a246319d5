from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from spandag_test_databases import connected
from sqlalchemy import text, update

import spandag
from spandag import query
from spandag.query import AmbiguousError, QueryError, Spent
from spandag.query.as_json import as_json
from spandag.query.render import Page, render_attempts, to_text
from spandag.store import schema

from .conftest import Recording, call, kepler
from .test_render import normal

GOLDEN = Path(__file__).parent / "golden"


def node_of(recording: Recording, node_type: str, place: int = 0) -> query.TreeNode:
    return [n for n in query.tree(recording.store, "last").nodes if n.node_type == node_type][place]


def test_every_attempt_is_told_with_what_led_to_it_and_what_it_took(recording: Recording) -> None:
    run_id = kepler()

    first, second = query.attempts(recording.store, "fit")

    assert (first.run_id, first.run_name, first.phase, first.step, first.step_number) == (
        run_id,
        "kepler",
        "control",
        "fit",
        2,
    )
    assert (first.attempt, first.outcome, first.disposition, first.hypothesis, first.branch_node_id) == (
        1,
        "rejected",
        "superseded",
        None,
        None,
    )
    assert (second.attempt, second.outcome, second.disposition) == (2, "accepted", "active")
    assert (second.hypothesis, second.requested_by) == ("fit in log space", "reviewer")
    assert second.branch_node_id == f"bp:{second.node_id}"
    assert first.step_node_id == second.step_node_id == first.node_id
    assert [attempt.spent for attempt in (first, second)] == [
        Spent(1, 2000, 300, 0.002, 0),
        Spent(1, 2000, 300, 0.004, 0),
    ]


def test_the_function_and_the_view_agree(recording: Recording) -> None:
    kepler()

    found = query.attempts(recording.store, "fit") + query.attempts(recording.store, "load")

    with recording.store.connection() as connection:
        rows = [dict(row) for row in connection.execute(text("SELECT * FROM v_attempts")).mappings()]
    by_id = {row["node_id"]: row for row in rows}
    assert len(found) == len(rows)
    for attempt in as_json(found):
        assert attempt == {name: by_id[attempt["node_id"]][name] for name in attempt}


def test_a_step_is_meant_by_its_name_or_by_anything_that_is_part_of_it(recording: Recording) -> None:
    older, _ = kepler(), kepler()
    expected = query.attempts(recording.store, "fit")

    call_in_redo, branch_point = node_of(recording, "llm", 3), node_of(recording, "branch_point")
    for step in ("FIT", expected[0].node_id, expected[1].node_id[:12], branch_point.id, call_in_redo.id):
        assert query.attempts(recording.store, step) == expected
    assert query.attempts(recording.store, f"last/{call_in_redo.id[:12]}") == expected
    assert query.attempts(recording.store, call_in_redo.id[:12], run="last") == expected
    assert [a.run_id for a in query.attempts(recording.store, "fit", run=older[:12])] == [older, older]


def test_a_step_whose_name_could_be_an_id_is_meant_by_its_name(recording: Recording) -> None:
    with spandag.run("r"), spandag.step("add"):
        pass

    assert [attempt.step for attempt in query.attempts(recording.store, "add")] == ["add"]


def test_a_name_of_several_steps_is_told_with_what_tells_them_apart(recording: Recording) -> None:
    with spandag.run("r"):
        for phase in ("planning", "control"):
            with spandag.phase(phase), spandag.step("fit"):
                pass
    one, two = node_of(recording, "step", 0), node_of(recording, "step", 1)

    with pytest.raises(AmbiguousError) as error:
        query.attempts(recording.store, "fit")

    assert str(error.value) == (
        f"'fit' is ambiguous: 2 steps of run {query.runs(recording.store)[0].id[:8]} have this name, ask by node: "
        f"{one.id[:8]} (phase planning, step 1), {two.id[:8]} (phase control, step 1)"
    )


def test_a_step_that_is_there_in_each_attempt_of_another_is_told_with_that_attempt(
    recording: Recording,
) -> None:
    with spandag.run("r"):
        for attempt in spandag.step("outer").attempts():
            with attempt:
                with spandag.agent("engineer"), spandag.step("deep"):
                    pass
                if attempt.number == 1:
                    attempt.reject("again")

    with pytest.raises(AmbiguousError) as error:
        query.attempts(recording.store, "deep")

    said = str(error.value)
    assert "(outer attempt 1, step " in said
    assert "(outer attempt 2, step " in said


def test_what_is_no_step_says_which_there_are(recording: Recording) -> None:
    run_id = kepler()
    in_planning = node_of(recording, "llm")

    def said(step: str, **options: Any) -> str:
        with pytest.raises(QueryError) as error:
            query.attempts(recording.store, step, **options)
        return str(error.value)

    run = f"run {run_id[:8]}"
    assert said("fitt") == f"no step or node of {run} is called 'fitt'; did you mean 'fit'?"
    assert said("zz") == f"no step or node of {run} is called 'zz'; steps of it: load, fit"
    assert said(in_planning.id) == f"llm gpt-5-mini is part of no step; steps of {run}: load, fit"
    assert said("fit", run="zz").startswith("no run starts with 'zz'; newest runs: ")
    assert said("0123456789abcdef").startswith("no node starts with '0123456789abcdef'")


def test_attempts_are_told_while_the_run_goes_on_and_where_attempt_1_is_lost(recording: Recording) -> None:
    with spandag.run("r"):
        for attempt in spandag.step("fit").attempts():
            with attempt:
                call()
                if attempt.number == 1:
                    attempt.reject("again")
                else:
                    first = query.attempts(recording.store, "fit")[0]
                    assert (first.attempt, first.outcome) == (1, "rejected")
    both = query.attempts(recording.store, "fit")
    nodes = schema.dag_nodes
    with connected(recording.url) as connection:
        connection.execute(nodes.delete().where(nodes.c.id == both[0].node_id))
        connection.execute(update(schema.workflow_runs).values(derived_version=0))

    [second] = query.attempts(recording.store, "fit")

    assert (second.attempt, second.hypothesis, second.step_node_id) == (2, "again", both[0].node_id)
    assert query.attempts(recording.store, second.node_id) == [second]
    for lost in (both[0].node_id, both[0].node_id[:8], f"last/{both[0].node_id}"):
        assert query.attempts(recording.store, lost) == [second]
    assert query.attempts(recording.store, both[0].node_id, run="last") == [second]


def test_attempts_are_drawn_as_in_the_golden_file(recording: Recording) -> None:
    with spandag.run("kepler"), spandag.phase("control"), pytest.raises(ValueError):
        for attempt in spandag.step("fit").attempts(max_redos=2):
            with attempt:
                call(cost=0.001 if attempt.number == 1 else None)
                if attempt.number == 2:
                    raise ValueError("no such column: period")
                attempt.reject("fit in log space", requested_by="reviewer")

    found = query.attempts(recording.store, "fit")

    assert normal(to_text(render_attempts(found, Page(80)))) == (GOLDEN / "attempts.txt").read_text("utf-8")
    assert render_attempts([], Page()) == []
