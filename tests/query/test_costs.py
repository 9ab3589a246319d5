from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from spandag_test_databases import connected
from sqlalchemy import text

import spandag
from spandag import query
from spandag.query import Spent
from spandag.query.as_json import as_json
from spandag.query.over_runs import day_of
from spandag.query.render import Page, render_costs, to_text

from .conftest import Recording, call, kepler
from .stories import fall_behind, report

GOLDEN = Path(__file__).parent / "golden"
DAY = 86_400 * 10**9


def test_costs_by_agent_have_the_dearest_first(recording: Recording) -> None:
    report()

    costs = query.costs(recording.store)

    assert [(cost.agent_name, cost.spent) for cost in costs] == [
        ("engineer", Spent(2, 2000, 200, 0.004, 0)),
        ("planner", Spent(1, 500, 100, 0.001, 0)),
        # What nobody knows the price of has not cost nothing.
        ("artist", Spent(2, 1600, 200, None, 2)),
    ]


def test_costs_by_session_day_and_run(recording: Recording) -> None:
    first, second = report(), kepler()
    with spandag.run("without a session") as third:
        call()
    third_id = format(third.span.get_span_context().trace_id, "032x")

    sessions = query.costs(recording.store, by="session")
    days = query.costs(recording.store, by="day")
    runs = query.costs(recording.store, by="run")

    assert [(cost.session_id, cost.spent.calls) for cost in sessions] == [("alice", 9), (None, 1)]
    newest = query.runs(recording.store)[0].ended_at
    assert newest is not None
    assert days[-1].day == day_of(newest)
    assert sum(cost.spent.calls for cost in days) == 10
    assert {(cost.run_id, cost.run_name, cost.spent.calls) for cost in runs} == {
        (first, "report", 5),
        (second, "kepler", 4),
        (third_id, "without a session", 1),
    }


def half_told() -> str:
    """An agent that is not told the tokens of a call, one that knows those of the call within it; a call fails."""
    with spandag.run("half told") as run:
        call(tokens=(10, 1), cost=0.5)
        with spandag.agent("silent"), spandag.chat("m", provider="p"):
            pass
        with spandag.agent("router"), spandag.chat("any"), spandag.agent("worker"):
            call(tokens=(20, 2), cost=0.25)
        with pytest.raises(OSError), spandag.agent("offline"), spandag.chat("m", provider="p"):
            raise OSError("no route")
    assert run.run_id
    return run.run_id


@pytest.mark.parametrize("behind", [False, True])
def test_a_call_of_unknown_usage_is_a_call_that_makes_a_lower_bound_of_the_sum(
    recording: Recording, behind: bool
) -> None:
    half_told()
    if behind:
        fall_behind(recording.url)
    store = recording.store
    whole, silent = Spent(3, 30, 3, 0.75, 1), Spent(calls=1, unpriced_calls=1)

    assert [run.spent for run in query.runs(store)] == [query.tree(store, "last").run.spent] == [whole]
    assert query.show(store, "last").run.spent == whole
    assert {cost.agent_name: cost.spent for cost in query.costs(store)} == {
        None: Spent(1, 10, 1, 0.5, 0),
        "silent": silent,
        "worker": Spent(1, 20, 2, 0.25, 0),
    }
    [trajectory] = query.recent_trajectories(store, "silent")
    assert trajectory.spent == silent
    assert [each.spent for each in query.recent_trajectories(store, "offline")] == [Spent()]


def test_what_nobody_knows_the_tokens_of_has_none_in_the_tree_and_in_its_view(recording: Recording) -> None:
    half_told()
    recording.store.settle()
    with connected(recording.url) as connection:
        rows = connection.execute(
            text("SELECT node_id, input_tokens FROM v_run_tree WHERE node_type = 'llm'")
        )
        by_view = {row.node_id: row.input_tokens for row in rows}

    nodes = as_json(query.tree(recording.store, "last").nodes)

    by_id = {node["id"]: node["input_tokens"] for node in nodes if node["node_type"] == "llm"}
    [router] = [n["id"] for n in nodes if n["node_type"] == "llm" and n["model"] == "any"]
    # What is below a node counts for it in the tree; the view has it where it was said.
    assert by_id.pop(router) == 20
    assert by_view.pop(router) is None
    assert by_id == by_view
    assert sorted(map(str, by_id.values())) == ["10", "20", "None", "None"]


@pytest.mark.parametrize(
    ("by", "view", "keys"),
    [("agent", "v_cost_by_agent", ["agent_name"]), ("model", "v_cost_by_model", ["provider", "model"])],
)
def test_costs_are_those_of_the_views(recording: Recording, by: Any, view: str, keys: list[str]) -> None:
    half_told()
    report()
    kepler()
    recording.store.settle()
    expected: dict[tuple[Any, ...], Spent] = defaultdict(Spent)
    with connected(recording.url) as connection:
        for row in connection.execute(text(f"SELECT * FROM {view}")):
            spent = Spent(row.calls, row.input_tokens, row.output_tokens, row.cost_usd, row.unpriced_calls)
            key = tuple(getattr(row, name) for name in keys)
            expected[key] = expected[key].plus(spent)

    found = {
        tuple(getattr(cost, name) for name in keys): cost.spent
        for cost in query.costs(recording.store, by=by)
    }

    assert found.keys() == expected.keys()
    for key, spent in expected.items():
        assert found[key]._replace(cost_usd=None) == spent._replace(cost_usd=None)
        assert found[key].cost_usd == pytest.approx(spent.cost_usd)


@pytest.mark.parametrize("by", ["agent", "model", "session", "day", "run"])
def test_costs_are_the_same_of_runs_that_are_behind(recording: Recording, by: Any) -> None:
    report()
    kepler()
    recording.store.settle()
    settled = as_json(query.costs(recording.store, by=by))

    fall_behind(recording.url)

    behind = as_json(query.costs(recording.store, by=by))
    for rows in (settled, behind):
        for row in rows:
            row["cost_usd"] = row["cost_usd"] and round(row["cost_usd"], 9)
    assert behind == settled


def test_costs_of_the_last_days(recording: Recording) -> None:
    report()
    [run] = query.runs(recording.store)
    assert run.ended_at is not None

    def calls(days: int, now: int) -> int:
        return sum(cost.spent.calls for cost in query.costs(recording.store, days=days, now=now))

    assert calls(2, run.ended_at) == 5
    assert calls(3, run.ended_at + DAY) == 5
    assert calls(1, run.ended_at + 2 * DAY) == 0
    assert query.costs(recording.store, days=1, now=run.ended_at + 2 * DAY) == []


def test_costs_are_drawn_as_in_the_golden_file(recording: Recording) -> None:
    report()
    kepler()

    drawn = to_text(render_costs(query.costs(recording.store, by="model"), Page(), by="model"))

    assert drawn == (GOLDEN / "costs.txt").read_text(encoding="utf-8")
