from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
from spandag_test_databases import connected
from sqlalchemy import update

import spandag
from spandag import query
from spandag.query import Spent
from spandag.store import load_tree, schema

from .conftest import Recording, call, kepler


def test_runs_are_listed_newest_first(recording: Recording) -> None:
    for name in ("one", "two", "three"):
        with spandag.run(name):
            call()

    assert [run.name for run in query.runs(recording.store)] == ["three", "two", "one"]
    assert [run.name for run in query.runs(recording.store, limit=2)] == ["three", "two"]
    assert [run.name for run in query.runs(recording.store, limit=None)] == ["three", "two", "one"]


def test_a_run_says_what_it_was_and_what_it_took(recording: Recording) -> None:
    run_id = kepler()

    [run] = query.runs(recording.store)

    assert (run.started_at or 0) < (run.ended_at or 0)
    assert replace(run, started_at=0, ended_at=0, root_node_id="") == query.Run(
        id=run_id,
        name="kepler",
        task="find the law",
        status="completed",
        started_at=0,
        ended_at=0,
        session_id="alice",
        user_id=None,
        root_node_id="",
        branch_parent_id=None,
        is_branch=False,
        branch_depth=0,
        root_run_id=run_id,
        nodes=15,
        redos=1,
        spent=Spent(4, 5010, 705, run.spent.cost_usd, 1),
    )


def test_the_list_and_the_tree_agree(recording: Recording) -> None:
    kepler()

    [run] = query.runs(recording.store)

    assert run == query.tree(recording.store, "last").run


def test_traces_without_agents_are_not_listed(recording: Recording) -> None:
    with recording.tracer.start_as_current_span("GET"):
        pass

    assert query.runs(recording.store) == []


def test_a_run_that_is_still_running_is_listed_with_what_has_arrived(recording: Recording) -> None:
    with spandag.run("done"):
        pass
    with spandag.run("r"), spandag.agent("a"):
        call()

        newest, _ = query.runs(recording.store)
        assert (newest.name, newest.spent.calls) == ("r", 1)
        assert len(query.runs(recording.store, limit=1)) == 1


def test_of_runs_that_are_behind_only_those_are_read_that_can_be_among_the_newest(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        with spandag.run(name):
            call()
    runs = schema.workflow_runs
    with connected(recording.url) as connection:
        connection.execute(update(runs).values(derived_version=0))
        connection.execute(
            update(runs).where(runs.c.name == "two").values(derived_version=runs.c.facts_version)
        )
    read: list[str] = []

    def loaded(*arguments: Any) -> Any:
        rows = load_tree(*arguments)
        read.append(str(rows and rows.run.name))
        return rows

    # By its module: the function of that name hides it.
    monkeypatch.setattr(sys.modules["spandag.query.runs"], "load_tree", loaded)
    assert [run.name for run in query.runs(recording.store, limit=1)] == ["three"]
    assert read == ["three"]
    assert [run.name for run in query.runs(recording.store, limit=2)] == ["three", "two"]
    assert read == ["three", "three"]
    assert [run.name for run in query.runs(recording.store)] == ["three", "two", "one"]
