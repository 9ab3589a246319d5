from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from spandag_test_databases import connected
from sqlalchemy import text, update

import spandag
from spandag import query
from spandag.query import Rate
from spandag.query.as_json import as_json
from spandag.query.render import Page, render_rates, to_text
from spandag.store import schema

from .conftest import Recording, call, kepler
from .stories import fall_behind, report

GOLDEN = Path(__file__).parent / "golden"
DAY = 86_400 * 10**9


def test_redos_and_success_are_counted_by_step(recording: Recording) -> None:
    report()
    kepler()

    rates = {rate.step: rate for rate in query.rates(recording.store)}

    fit, plot, load = rates["fit"], rates["plot"], rates["load"]
    assert (fit.steps, fit.attempts, fit.redos, fit.redone) == (2, 4, 2, 2)
    assert (fit.accepted, fit.rejected, fit.failed, fit.exhausted) == (2, 2, 0, 0)
    assert (fit.mean_attempts, fit.redo_rate) == (2.0, 1.0)
    assert (fit.first_success_rate, fit.redo_success_rate) == (0.0, 1.0)
    assert (plot.rejected, plot.exhausted, plot.redo_success_rate) == (2, 1, 0.0)
    assert (load.redos, load.first_success_rate, load.redo_success_rate) == (0, 1.0, None)


def test_an_attempt_counts_for_each_agent_and_model_in_it(recording: Recording) -> None:
    with spandag.run("r"):
        for outer in spandag.step("outer").attempts():
            with outer:
                with spandag.agent("boss"):
                    call("a")
                    with spandag.agent("helper"):
                        call("b")
                # Who works in a step within it works for that one.
                for inner in spandag.step("inner").attempts():
                    with inner, spandag.agent("worker"):
                        call("c")
                        if inner.number == 1:
                            inner.reject("again")
                if outer.number == 1:
                    outer.reject("again")
        with spandag.step("alone"):
            pass

    agents = {rate.agent_name: rate for rate in query.rates(recording.store, by="agent")}
    models = {rate.model: rate for rate in query.rates(recording.store, by="model")}

    assert {name: (rate.steps, rate.attempts, rate.redos) for name, rate in agents.items()} == {
        "boss": (1, 2, 1),
        "helper": (1, 2, 1),
        "worker": (2, 4, 2),
        None: (1, 1, 0),
    }
    assert {name: (rate.steps, rate.attempts, rate.redos) for name, rate in models.items()} == {
        "a": (1, 2, 1),
        "b": (1, 2, 1),
        "c": (2, 4, 2),
        None: (1, 1, 0),
    }


def test_rates_are_those_of_the_view(recording: Recording) -> None:
    report()
    kepler()
    with pytest.raises(ValueError), spandag.run("failed"), spandag.step("fit"):
        raise ValueError("broken")
    recording.store.settle()
    names = [field.name for field in fields(Rate) if field.name not in ("agent_name", "provider", "model")]
    with connected(recording.url) as connection:
        rows = connection.execute(text(f"SELECT {', '.join(names)} FROM v_rates")).all()

    found = query.rates(recording.store)

    assert {tuple(getattr(rate, name) for name in names) for rate in found} == {tuple(row) for row in rows}


@pytest.mark.parametrize("by", ["step", "agent", "model"])
def test_rates_are_the_same_of_runs_that_are_behind(recording: Recording, by: Any) -> None:
    report()
    kepler()
    recording.store.settle()
    settled = query.rates(recording.store, by=by)

    fall_behind(recording.url)

    assert query.rates(recording.store, by=by) == settled


def test_rates_of_the_last_days(recording: Recording) -> None:
    report()
    [run] = query.runs(recording.store)
    assert run.started_at is not None

    assert len(query.rates(recording.store, days=1, now=run.started_at)) == 2
    assert len(query.rates(recording.store, days=2, now=run.started_at + DAY)) == 2
    assert query.rates(recording.store, days=1, now=run.started_at + DAY) == []
    assert len(query.rates(recording.store, days=10**9)) == 2


def test_without_steps_there_are_no_rates(recording: Recording) -> None:
    with spandag.run("r"):
        call()

    assert as_json(query.rates(recording.store)) == []


def test_rates_are_drawn_as_in_the_golden_file(recording: Recording) -> None:
    report()
    kepler()

    drawn = to_text(render_rates(query.rates(recording.store), Page(), by="step"))

    assert drawn == (GOLDEN / "rates.txt").read_text(encoding="utf-8")


def test_what_became_of_the_attempts_adds_up_to_how_many_there_were(recording: Recording) -> None:
    for error in (ValueError("broken"), asyncio.CancelledError(), None, None):
        with contextlib.suppress(ValueError, asyncio.CancelledError), spandag.run("r"), spandag.step("fit"):
            if error is not None:
                raise error
    last, nodes = query.runs(recording.store)[0].id, schema.dag_nodes
    with connected(recording.url) as connection:
        connection.execute(
            update(nodes)
            .where(nodes.c.run_id == last, nodes.c.node_type == "step")
            .values(status="running", outcome=None, ended_at=None)
        )

    found = query.rates(recording.store)
    heading, line = to_text(render_rates(found, Page(200), by="step")).splitlines()

    assert re.split("  +", heading)[:8] == [
        "step",
        "steps",
        "attempts",
        "redone",
        "accepted",
        "failed",
        "cancelled",
        "unfinished",
    ]
    assert line.split()[:8] == ["fit", "4", "4", "0%", "1", "1", "1", "1"]
    # On a narrow page these are the first to go.
    narrow = to_text(render_rates(found, Page(72), by="step")).splitlines()[0].split()
    assert {"cancelled", "unfinished"}.isdisjoint(narrow)
    assert "failed" in narrow
