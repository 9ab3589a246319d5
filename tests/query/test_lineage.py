from __future__ import annotations

import re
from pathlib import Path

import pytest
from spandag_test_databases import connected
from sqlalchemy import select, text, update

import spandag
from spandag import query
from spandag.query.as_json import as_json
from spandag.query.render import Page, render_lineage, to_text
from spandag.store import retention, schema

from .conftest import Recording, call
from .stories import fall_behind, fork, report
from .test_render import normal

GOLDEN = Path(__file__).parent / "golden"


def family(recording: Recording) -> dict[str, str]:
    """A run with two forks, one of which has a fork; runs by name."""
    first = report()
    agent = next(node for node in query.tree(recording.store, first).nodes if node.name == "planner")
    tracer = recording.tracer
    left = fork("left", (first, agent.id), tracer, hypothesis="plan less")
    right = fork("right", (first, agent.id), tracer)
    below = fork("below", left, tracer, depth=2, hypothesis="plan nothing")
    with spandag.run("stranger"):
        call()
    return {"report": first, "left": left[0], "right": right[0], "below": below[0]}


def shape(recording: Recording, run: str) -> list[tuple[str | None, int, str | None]]:
    found = query.lineage(recording.store, run)
    names = {each.run.id: each.run.name for each in found.runs}
    return [(each.run.name, each.level, names.get(each.parent_run_id or "")) for each in found.runs]


def test_the_family_is_told_from_its_first_run_whoever_is_asked_about(recording: Recording) -> None:
    runs = family(recording)

    for run_id in runs.values():
        assert shape(recording, run_id) == [
            ("report", 0, None),
            ("left", 1, "report"),
            ("below", 2, "left"),
            ("right", 1, "report"),
        ]
    assert shape(recording, "last") == [("stranger", 0, None)]


def test_a_fork_says_where_it_goes_on_from_and_why(recording: Recording) -> None:
    runs = family(recording)

    found = query.lineage(recording.store, runs["below"])

    forks = {each.run.name: each for each in found.runs}
    assert (found.run_id, found.root_run_id, found.branch_parent_id) == (runs["below"], runs["report"], None)
    left = forks["left"]
    assert (left.source_node_type, left.source_name, left.hypothesis, left.requested_by) == (
        "agent",
        "planner",
        "plan less",
        "ann",
    )
    assert (forks["below"].source_name, forks["below"].run.branch_depth) == ("left", 2)
    assert (forks["report"].run.status, forks["report"].run.redos, forks["report"].run.spent.calls) == (
        "failed",
        2,
        5,
    )
    assert (left.run.status, left.run.spent.calls) == ("completed", 1)


def test_lineage_is_that_of_the_view(recording: Recording) -> None:
    runs = family(recording)
    recording.store.settle()
    with connected(recording.url) as connection:
        rows = connection.execute(
            text(
                "SELECT run_id, level, source_node_id, hypothesis, status FROM v_branch_tree "
                "WHERE root_run_id = :root AND kind <> 'redo' ORDER BY path"
            ),
            {"root": runs["report"]},
        ).all()

    found = query.lineage(recording.store, runs["left"]).runs

    assert [
        (each.run.id, each.level, each.source_node_id, each.hypothesis, each.run.status) for each in found
    ] == [tuple(row) for row in rows]


def test_a_parent_that_was_removed_is_said(recording: Recording) -> None:
    runs = family(recording)
    recording.store.settle()
    retention.remove(recording.url, [runs["report"]])

    found = query.lineage(recording.store, runs["below"])

    assert (found.root_run_id, found.branch_parent_id, found.parent_pruned) == (
        runs["left"],
        runs["report"],
        True,
    )
    assert shape(recording, runs["below"]) == [("left", 0, None), ("below", 1, "left")]
    drawn = to_text(render_lineage(found, Page()))
    assert drawn.startswith(f"(parent pruned: run {runs['report'][:8]})\n")


def test_a_parent_that_is_elsewhere_is_said(recording: Recording) -> None:
    fork("alone", ("ab" * 16, "cd" * 8), recording.tracer)

    found = query.lineage(recording.store, "last")

    assert (found.branch_parent_id, found.parent_pruned) == ("ab" * 16, False)
    drawn = to_text(render_lineage(found, Page(120)))
    assert drawn.startswith("(parent not stored: run abababab)\n")
    assert "from node cdcdcdcd, not stored" in drawn


@pytest.mark.parametrize("behind", [False, True])
def test_forks_in_a_circle_are_told_once(recording: Recording, behind: bool) -> None:
    runs = family(recording)
    recording.store.settle()
    table, links = schema.workflow_runs, schema.span_links
    with connected(recording.url) as connection:
        connection.execute(
            update(table)
            .where(table.c.id == runs["report"])
            .values(branch_parent_id=runs["below"], is_branch=True)
        )
        if behind:
            root = connection.execute(
                select(table.c.root_node_id).where(table.c.id == runs["report"])
            ).scalar()
            connection.execute(
                links.insert().values(
                    run_id=runs["report"],
                    node_id=root,
                    seq=0,
                    linked_run_id=runs["below"],
                    linked_span_id="ab" * 8,
                    link_type="fork_of",
                )
            )
    if behind:
        fall_behind(recording.url)

    for run_id in runs.values():
        assert [level for _, level, _ in shape(recording, run_id)] == [0, 1, 2, 1]
        assert query.lineage(recording.store, run_id).root_run_id == runs["report"]


def test_a_run_that_was_forked_from_itself(recording: Recording) -> None:
    family(recording)
    table = schema.workflow_runs
    with connected(recording.url) as connection:
        connection.execute(update(table).values(branch_parent_id=table.c.id))

    assert shape(recording, "last") == [("stranger", 0, None)]


def test_lineage_is_the_same_of_runs_that_are_behind(recording: Recording) -> None:
    runs = family(recording)
    recording.store.settle()
    settled = query.lineage(recording.store, runs["left"])

    fall_behind(recording.url)

    assert query.lineage(recording.store, runs["left"]) == settled


def test_json_nests_the_run(recording: Recording) -> None:
    runs = family(recording)

    found = as_json(query.lineage(recording.store, runs["left"]))

    assert set(found) == {"run_id", "root_run_id", "branch_parent_id", "parent_pruned", "runs"}
    assert found["runs"][1]["run"]["id"] == runs["left"]
    assert found["runs"][1]["run"]["branch_parent_id"] == runs["report"]


def test_a_family_is_drawn_as_in_the_golden_file(recording: Recording) -> None:
    runs = family(recording)

    drawn = to_text(render_lineage(query.lineage(recording.store, runs["left"]), Page(140)))

    assert re.sub("(?<=[^ ]) +", " ", normal(drawn)) == (GOLDEN / "lineage.txt").read_text(encoding="utf-8")


def test_a_chain_of_forks_fits_the_page_however_long(recording: Recording) -> None:
    parent = fork("f0", ("ab" * 16, "cd" * 8), recording.tracer)
    for number in range(1, 40):
        parent = fork(f"f{number}", parent, recording.tracer, depth=number + 1)

    lines = to_text(render_lineage(query.lineage(recording.store, "last"), Page(80))).splitlines()

    assert len(lines) == 41
    assert max(map(len, lines)) <= 80
