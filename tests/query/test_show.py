from __future__ import annotations

import re
from pathlib import Path

import pytest
from opentelemetry.trace import Link, SpanContext
from spandag_test_databases import connected
from sqlalchemy import text, update

import spandag
from spandag import query, semconv
from spandag.query import QueryError, Spent
from spandag.query.as_json import as_json
from spandag.query.render import Page, render_show, to_text
from spandag.store import schema

from .conftest import Recording, call, kepler
from .test_render import normal

GOLDEN = Path(__file__).parent / "golden"


def drawn_steps(recording: Recording) -> list[str]:
    """The steps of the last run as they are drawn, with what became of them."""
    page = to_text(render_show(query.show(recording.store, "last"), Page()))
    section = re.split(r"\n(?:phases and steps|steps|phases)\n", page)[1].partition("\n\n")[0]
    lines = (re.match(r"  (.*?\S) +([✓✗■○](?: [a-z]+)?)", line) for line in section.splitlines())
    return [f"{line[1]} {line[2]}" for line in lines if line]


def test_a_run_is_told_on_one_page(recording: Recording) -> None:
    kepler()

    shown = query.show(recording.store, "last")

    assert shown.run == query.tree(recording.store, "last").run
    assert shown.node_types == {
        "agent": 4,
        "branch_point": 1,
        "llm": 4,
        "phase": 2,
        "run": 1,
        "step": 3,
        "tool": 1,
    }
    assert [(use.provider, use.model, use.spent.calls, use.spent.cost_usd) for use in shown.models] == [
        ("openai", "gpt-5-mini", 3, pytest.approx(0.007)),
        ("nobody", "own-model", 1, None),
    ]
    assert [(phase.name, phase.status) for phase in shown.phases] == [
        ("planning", "completed"),
        ("control", "completed"),
    ]
    load, fit = shown.steps
    assert (load.phase, load.step, load.attempts, load.outcome) == ("control", "load", 1, "accepted")
    assert (fit.step_number, fit.attempts, fit.outcome, fit.spent.tokens) == (2, 2, "accepted", 4600)
    assert fit.node_id != fit.step_node_id
    assert [redo.hypothesis for redo in shown.redos] == ["fit in log space"]
    assert [(e.node_type, e.name, e.error_message) for e in shown.errors] == [
        ("tool", "read_csv", "no such table: planets")
    ]
    assert [(waste.disposition, waste.spent) for waste in shown.waste] == [
        ("superseded", Spent(1, 2000, 300, 0.002, 0))
    ]
    assert (shown.parent, shown.forks, shown.error_count) == (None, [], 1)


def test_what_was_spent_and_wasted_agrees_with_the_views(recording: Recording) -> None:
    kepler()
    with spandag.run("given up") as run:
        with spandag.step("s") as step:
            call()
            step.reject("never mind")
        call("m2", (7, 3), None)
    run_id = format(run.span.get_span_context().trace_id, "032x")

    for asked in ("last", query.runs(recording.store)[1].id):
        shown = query.show(recording.store, asked)
        with recording.store.connection() as connection:
            of_run = {"run": shown.run.id}
            waste = connection.execute(
                text(
                    "SELECT disposition, sum(calls), sum(input_tokens), sum(output_tokens) FROM v_waste"
                    " WHERE run_id = :run GROUP BY disposition"
                ),
                of_run,
            ).all()
            models = connection.execute(
                text(
                    "SELECT provider, model, calls, input_tokens, output_tokens, unpriced_calls"
                    " FROM v_cost_by_model WHERE run_id = :run"
                ),
                of_run,
            ).all()
        assert {(w.disposition, *w.spent[:3]) for w in shown.waste} == {
            (row[0], *map(int, row[1:])) for row in waste
        }
        assert {(m.provider, m.model, *m.spent[:3], m.spent.unpriced_calls) for m in shown.models} == {
            tuple(row) for row in models
        }
    assert query.show(recording.store, run_id).waste[0].disposition == "abandoned"


def test_steps_stand_below_those_that_they_are_within_and_say_when_these_were_done_again(
    recording: Recording,
) -> None:
    with spandag.run("r"), spandag.phase("p"):
        for outer in spandag.step("outer").attempts():
            with outer:
                with spandag.step("inner"):
                    for _ in range(2):
                        with spandag.step("deep"):
                            call()
                if outer.number == 1:
                    outer.reject("again")
        with spandag.step("next"):
            pass

    found = query.show(recording.store, "last")

    outer_id = found.steps[0].step_node_id
    assert [(step.step, step.disposition, step.spent.calls) for step in found.steps] == [
        ("outer", "active", 4),
        ("inner", "superseded", 2),
        ("deep", "superseded", 1),
        ("deep", "superseded", 1),
        ("inner", "active", 2),
        ("deep", "active", 1),
        ("deep", "active", 1),
        ("next", "active", 0),
    ]
    around = [step.enclosing_step_node_id for step in found.steps]
    assert [around[0], around[1], around[4], around[7]] == [None, outer_id, outer_id, None]
    assert around[2] == around[3] == found.steps[1].step_node_id
    assert drawn_steps(recording) == [
        "phase p ✓",
        "  step 1 outer ✓",
        "    step 1 inner ○ superseded",
        "      step 1 deep ○ superseded",
        "      step 2 deep ○ superseded",
        "    step 1 inner ✓",
        "      step 1 deep ✓",
        "      step 2 deep ✓",
        "  step 2 next ✓",
    ]


def test_a_step_within_another_phase_than_the_one_around_it_stands_in_its_own_phase(
    recording: Recording,
) -> None:
    with spandag.run("r"), spandag.step("outer"), spandag.phase("p"), spandag.step("inner"):
        pass

    assert drawn_steps(recording) == ["phase p ✓", "  step 1 inner ✓", "step 1 outer ✓"]


def test_calls_without_usage_are_said(recording: Recording) -> None:
    with spandag.run("r"), spandag.chat("m", provider="p"):
        pass

    [use] = query.show(recording.store, "last").models

    assert (use.unmeasured_calls, use.spent) == (1, Spent(calls=1, unpriced_calls=1))


def test_a_run_that_goes_on_is_told_as_far_as_it_is(recording: Recording) -> None:
    with spandag.run("r"), spandag.step("s"):
        call()
        shown = query.show(recording.store, "last")
        assert shown.run.spent.calls == 1
        assert shown.run.ended_at is None or shown.run.name != "r"
    with connected(recording.url) as connection:
        connection.execute(update(schema.workflow_runs).values(derived_version=0, name=None))
        connection.execute(update(schema.dag_nodes).values(disposition=None, parent_node_id=None))
    assert [step.step for step in query.show(recording.store, "last").steps] == ["s"]


def test_forks_and_the_run_that_it_was_forked_from_are_told(recording: Recording) -> None:
    original = kepler()
    root = query.tree(recording.store, original).nodes[0]
    context = SpanContext(int(original, 16), int(root.id, 16), is_remote=True)
    link = Link(context, {semconv.SPANDAG_LINK_TYPE: semconv.LinkType.FORK_OF})
    tracer = recording.provider.get_tracer("spandag.tests")
    attributes = {semconv.SPANDAG_NODE_TYPE: "run", semconv.GEN_AI_WORKFLOW_NAME: "again"}
    tracer.start_span("invoke_workflow again", links=[link], attributes=attributes).end()
    fork = query.runs(recording.store)[0]

    assert [(run.run_id, run.name, run.status) for run in query.show(recording.store, original).forks] == [
        (fork.id, "again", "completed")
    ]
    parent = query.show(recording.store, fork.id).parent
    assert parent is not None
    assert (parent.run_id, parent.name) == (original, "kepler")

    with connected(recording.url) as connection:
        runs = schema.workflow_runs
        connection.execute(
            update(runs).where(runs.c.id == fork.id).values(derived_version=0, branch_parent_id=None)
        )
    assert [run.run_id for run in query.show(recording.store, original).forks] == [fork.id]

    with connected(recording.url) as connection:
        connection.execute(schema.workflow_runs.delete().where(runs.c.id == original))
        connection.execute(
            schema.tombstones.insert().values(run_id=original, pruned_at=1, reason="asked", nodes=1)
        )
    parent = query.show(recording.store, fork.id).parent
    assert parent is not None
    assert (parent.run_id, parent.status) == (original, "pruned")
    assert f"fork of     {original[:8]}  pruned" in to_text(
        render_show(query.show(recording.store, fork.id), Page(80))
    )
    for pruned in (original, original[:8]):
        with pytest.raises(
            QueryError, match=rf"^run {original[:8]} was pruned \(on request\); newest runs: "
        ):
            query.tree(recording.store, pruned)
    with pytest.raises(QueryError, match=rf"is a fork of {original[:8]}, which was pruned$"):
        query.diff(recording.store, fork.id)


def test_a_run_is_drawn_as_in_the_golden_file_and_fits(recording: Recording) -> None:
    kepler()

    shown = query.show(recording.store, "last")

    assert normal(to_text(render_show(shown, Page(80)))) == (GOLDEN / "show.txt").read_text("utf-8")
    for width in (40, 80):
        assert max(map(len, to_text(render_show(shown, Page(width))).splitlines())) <= width


def test_json_has_the_columns_of_the_store(recording: Recording) -> None:
    kepler()

    answer = as_json(query.show(recording.store, "last"))

    assert list(answer) == [
        "run",
        "node_types",
        "models",
        "phases",
        "steps",
        "redos",
        "errors",
        "error_count",
        "waste",
        "parent",
        "forks",
    ]
    assert answer["waste"][0] == {
        "disposition": "superseded",
        "calls": 1,
        "input_tokens": 2000,
        "output_tokens": 300,
        "cost_usd": 0.002,
        "unpriced_calls": 0,
    }
