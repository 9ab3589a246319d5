from __future__ import annotations

import re
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
from spandag.query.render import Page, render_waste, to_text

from .conftest import Recording, call, kepler
from .stories import fall_behind, report
from .test_render import normal

GOLDEN = Path(__file__).parent / "golden"


def test_waste_is_told_by_step_with_its_share_and_why(recording: Recording) -> None:
    run_id = report()

    [waste] = query.waste(recording.store)

    assert (waste.run.id, waste.by) == (run_id, "step")
    assert waste.spent == Spent(3, 2600, 300, 0.002, 2)
    assert waste.token_share == pytest.approx(2900 / 4600)
    # A share of what is not known is not known.
    assert waste.cost_share is None
    by_step = {(item.step, item.disposition): item for item in waste.items}
    assert next(iter(by_step)) == ("fit", "superseded")
    assert set(by_step) == {("fit", "superseded"), ("plot", "superseded"), ("plot", "abandoned")}
    fit = by_step["fit", "superseded"]
    assert (fit.step_number, fit.attempts, fit.spent) == (1, 1, Spent(1, 1000, 100, 0.002, 0))
    assert fit.token_share == pytest.approx(1100 / 4600)
    [why] = fit.reasons
    assert (why.step, why.attempt, why.outcome) == ("fit", 1, "rejected")
    assert (why.hypothesis, why.requested_by) == ("try a power law", "reviewer")
    left = by_step["plot", "abandoned"]
    assert [(why.attempt, why.hypothesis, why.requested_by) for why in left.reasons] == [
        (2, "the axes have no units", "human")
    ]
    assert left.spent == Spent(1, 800, 100, None, 1)


def test_waste_is_told_by_agent_and_by_model(recording: Recording) -> None:
    report()

    [by_agent] = query.waste(recording.store, "last", by="agent")
    [by_model] = query.waste(recording.store, "last", by="model")

    assert {(item.agent_name, item.disposition, item.attempts) for item in by_agent.items} == {
        ("engineer", "superseded", 1),
        ("artist", "superseded", 1),
        ("artist", "abandoned", 1),
    }
    assert {(item.provider, item.model, item.disposition) for item in by_model.items} == {
        ("openai", "gpt-5-mini", "superseded"),
        ("nobody", "house-model", "superseded"),
        ("nobody", "house-model", "abandoned"),
    }
    for waste in (by_agent, by_model):
        assert sum(item.spent.tokens for item in waste.items) == waste.spent.tokens == 2900


def test_time_that_was_wasted_in_parallel_counts_once(recording: Recording) -> None:
    report()

    [waste] = query.waste(recording.store)

    assert 0 < waste.duration_ms <= sum(item.duration_ms for item in waste.items) + 0.001
    assert waste.run.ended_at is not None
    assert waste.run.started_at is not None
    assert waste.duration_ms * 1e6 <= waste.run.ended_at - waste.run.started_at


def test_an_attempt_within_one_that_was_redone_has_the_outer_reason(recording: Recording) -> None:
    with spandag.run("nested"):
        for outer in spandag.step("outer").attempts():
            with outer:
                with spandag.step("inner"):
                    call()
                if outer.number == 1:
                    outer.reject("once more", "ann")

    [waste] = query.waste(recording.store)

    items = {item.step: item for item in waste.items}
    assert items["inner"].spent.calls == 1
    assert [why.hypothesis for why in items["inner"].reasons] == ["once more"]
    assert [why.step for why in items["inner"].reasons] == ["outer"]
    assert items["outer"].spent == Spent()


def test_an_attempt_that_failed_says_with_what(recording: Recording) -> None:
    with pytest.raises(ValueError), spandag.run("r"), spandag.step("fit"):
        call()
        raise ValueError("singular matrix")

    [waste] = query.waste(recording.store)
    [item] = waste.items

    assert item.disposition == "abandoned"
    assert [(why.outcome, why.error_type, why.error_message) for why in item.reasons] == [
        ("failed", "ValueError", "singular matrix")
    ]


@pytest.mark.parametrize("by", ["step", "agent", "model"])
def test_waste_is_that_of_the_view(recording: Recording, by: Any) -> None:
    run_id = report()
    columns = {"step": ["step_node_id"], "agent": ["agent_name"], "model": ["model"]}[by]
    recording.store.settle()
    expected: dict[tuple[Any, ...], Spent] = defaultdict(Spent)
    with connected(recording.url) as connection:
        for row in connection.execute(text("SELECT * FROM v_waste WHERE run_id = :run"), {"run": run_id}):
            key = (row.disposition, *(getattr(row, column) for column in columns))
            spent = Spent(row.calls, row.input_tokens, row.output_tokens, row.cost_usd, row.unpriced_calls)
            expected[key] = expected[key].plus(spent)

    [waste] = query.waste(recording.store, by=by)

    assert {
        (item.disposition, *(getattr(item, column) for column in columns)): item.spent
        for item in waste.items
        if item.spent.calls
    } == expected


def test_of_all_runs_those_without_waste_are_left_out(recording: Recording) -> None:
    first, second = report(), kepler()
    with spandag.run("without"):
        call()

    assert [waste.run.id for waste in query.waste(recording.store)] == [second, first]
    assert [waste.run.id for waste in query.waste(recording.store, limit=1)] == [second]
    assert query.waste(recording.store, "last") == []


def test_waste_is_the_same_of_runs_that_are_behind(recording: Recording) -> None:
    report()
    kepler()
    recording.store.settle()
    settled = query.waste(recording.store)

    fall_behind(recording.url)

    assert query.waste(recording.store) == settled
    assert query.waste(recording.store, limit=1) == settled[:1]


def test_json_is_flat_beside_the_run(recording: Recording) -> None:
    report()

    [waste] = as_json(query.waste(recording.store))

    spent = {"calls", "input_tokens", "output_tokens", "cost_usd", "unpriced_calls"}
    assert set(waste) == {"run", "by", "duration_ms", "token_share", "cost_share", "items", *spent}
    assert set(waste["items"][0]) == {
        "disposition",
        "step_node_id",
        "step",
        "step_number",
        "agent_name",
        "provider",
        "model",
        "attempts",
        "duration_ms",
        "token_share",
        "cost_share",
        "reasons",
        *spent,
    }


def test_waste_is_drawn_as_in_the_golden_file(recording: Recording) -> None:
    report()

    drawn = to_text(render_waste(query.waste(recording.store, by="agent"), Page()))

    assert re.sub(" +", " ", normal(drawn)) == (GOLDEN / "waste.txt").read_text(encoding="utf-8")
