from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

import spandag
from spandag import query
from spandag.query.render import Page, render_path, render_tree, to_text

from .conftest import Recording, call, kepler
from .test_render import normal
from .test_tree import drawn, spans

GOLDEN = Path(__file__).parent / "golden"


def test_what_was_done_again_is_left_out_and_the_redo_has_its_place(recording: Recording) -> None:
    run_id = kepler()

    path = query.path(recording.store, run_id)

    assert drawn(path) == [
        "run kepler",
        "  phase planning",
        "    agent planner",
        "      llm gpt-5-mini",
        "  phase control",
        "    step load",
        "      agent loader",
        "        llm own-model",
        "        tool read_csv",
        "    step fit",
        "      agent analyst",
        "        llm gpt-5-mini",
    ]
    fit = path.nodes[9]
    assert (fit.attempt, fit.depth, fit.parent_node_id) == (2, 2, path.nodes[4].id)
    assert fit.id in path.nodes[4].children
    # Only what counted is summed; the run itself says everything.
    assert (path.nodes[0].spent.calls, path.run.spent.calls) == (3, 4)
    assert path.nodes[0].spent.cost_usd == pytest.approx(0.005)


def test_the_function_and_the_view_agree(recording: Recording) -> None:
    with spandag.run("r"):
        for attempt in spandag.step("outer").attempts():
            with attempt, recording.tracer.start_as_current_span("GET"):
                for inner in spandag.step("inner").attempts():
                    with inner:
                        call()
                        if inner.number == 1:
                            inner.reject("within")
                if attempt.number == 1:
                    attempt.reject("outside")
        with spandag.step("given up") as abandoned:
            call()
            abandoned.reject("never mind")
        with spandag.step("after"):
            call()

    path = query.path(recording.store, "last")

    assert drawn(path) == [
        "run r",
        "  step outer",
        "    step inner",
        "      llm gpt-5-mini",
        "  step after",
        "    llm gpt-5-mini",
    ]
    with recording.store.connection() as connection:
        rows = connection.execute(text("SELECT node_id, level FROM v_active_path ORDER BY position")).all()
    assert [(node.id, node.depth) for node in path.nodes] == [tuple(row) for row in rows]


def test_spans_of_other_libraries_are_on_the_path_when_asked_for(recording: Recording) -> None:
    with spandag.run("r"), recording.tracer.start_as_current_span("GET"):
        call()

    assert drawn(query.path(recording.store, "last")) == ["run r", "  llm gpt-5-mini"]
    assert query.path(recording.store, "last").hidden == 1
    assert drawn(query.path(recording.store, "last", all_spans=True)) == [
        "run r",
        "  span GET",
        "    llm gpt-5-mini",
    ]


def test_without_redos_the_path_is_the_tree(recording: Recording) -> None:
    recording.exporter.export(spans((1, None), (2, 1), (4, 3)))

    assert query.path(recording.store, "last").nodes == query.tree(recording.store, "last").nodes


def test_a_path_is_drawn_as_in_the_golden_file(recording: Recording) -> None:
    kepler()

    path = query.path(recording.store, "last")

    assert normal(to_text(render_path(path, Page()))) == (GOLDEN / "path.txt").read_text("utf-8")


def test_what_people_chose_is_told_of_each_approval(recording: Recording) -> None:
    with spandag.run("r"):
        for attempt in spandag.step("fit").attempts():
            with attempt:
                choice = "redo" if attempt.number == 1 else "continue"
                answer = spandag.ask_human("Go on?", by="ann", ask=lambda question, choice=choice: choice)
                if answer.choice == "redo":
                    attempt.reject("steeper", requested_by=answer.by)
        with pytest.raises(ValueError, match="none of"):
            spandag.ask_human("And now?", by="bob", ask=lambda question: "perhaps")

    whole, path = query.tree(recording.store, "last"), query.path(recording.store, "last")

    assert list(whole.choices.values()) == ["redo", "continue"]
    assert list(path.choices.values()) == ["continue"]
    lines = [line for line in to_text(render_tree(whole, Page(90))).splitlines() if "approval" in line]
    assert [line.split("approval ")[1].split()[:3] for line in lines[:2]] == [
        ["ann", "✓", "redo"],
        ["ann", "✓", "continue"],
    ]
    assert "✗" in lines[2]
    replay = query.replay(recording.store, "last")
    assert (replay.at(0).choices, replay.at(replay.duration).choices) == ({}, whole.choices)
