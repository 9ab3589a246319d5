from __future__ import annotations

import re
from pathlib import Path

import pytest
from spandag_test_databases import connected
from sqlalchemy import text, update

import spandag
from spandag import query
from spandag.query.as_json import as_json
from spandag.query.render import Page, render_sessions, to_text
from spandag.store import schema

from .conftest import Recording, call, kepler
from .test_render import normal
from .test_tree import spans

GOLDEN = Path(__file__).parent / "golden"


def with_view(recording: Recording) -> None:
    """The function says what the view says."""
    found = query.sessions(recording.store, limit=None)
    with recording.store.connection() as connection:
        rows = {row.session_id: row for row in connection.execute(text("SELECT * FROM v_sessions"))}
    assert len(rows) == len(found)
    for session in found:
        row = rows[session.id]
        for name in ("name", "task", "user_id", "status", "started_at", "last_active_at", "runs"):
            assert getattr(session, name) == getattr(row, name), name
        assert session.spent[:3] == (row.calls, row.input_tokens, row.output_tokens)
        assert session.spent.cost_usd == pytest.approx(row.cost_usd)
        assert session.spent.unpriced_calls == row.unpriced_calls


def test_a_session_sums_up_its_runs(recording: Recording) -> None:
    kepler()
    kepler()
    with spandag.run("other", session="bob"):
        call()
    with spandag.run("without"):
        pass

    bob, alice = query.sessions(recording.store)

    assert (bob.id, bob.runs, bob.redos, bob.status) == ("bob", 1, 0, "idle")
    assert (alice.id, alice.name, alice.task, alice.runs, alice.redos) == (
        "alice",
        "kepler",
        "find the law",
        2,
        2,
    )
    assert (alice.spent.calls, alice.spent.unpriced_calls) == (8, 2)
    assert (alice.started_at or 0) < (alice.last_active_at or 0) < (bob.started_at or 0)
    assert query.sessions(recording.store, limit=1) == [bob]
    with_view(recording)


def test_while_a_run_of_it_goes_on_a_session_is_active(recording: Recording) -> None:
    kepler()
    with spandag.run("going on", session="alice"):
        recording.exporter.export(spans((1, None), trace_id=9))
        call()
        [alice] = query.sessions(recording.store)
        # The root has no row before it ends, and the call says of which session it is.
        assert (alice.id, alice.runs, alice.spent.calls) == ("alice", 2, 5)


def test_sessions_with_runs_that_are_not_derived_yet_are_told_as_the_store_will_have_them(
    recording: Recording,
) -> None:
    kepler()
    with spandag.run("second", session="alice"):
        call()
    with spandag.run("other", session="bob"):
        call()
    expected = query.sessions(recording.store)
    runs = schema.workflow_runs
    for condition in (runs.c.name == "second", runs.c.name == "kepler", runs.c.id.is_not(None)):
        with connected(recording.url) as connection:
            connection.execute(update(runs).where(condition).values(derived_version=0))
            connection.execute(update(runs).values(session_id=None).where(runs.c.derived_version == 0))
        assert query.sessions(recording.store) == expected
        recording.store.settle()
        assert query.sessions(recording.store) == expected
        with_view(recording)


def test_ids_are_told_as_they_were_recorded_and_can_be_asked_for(recording: Recording) -> None:
    strange = "a\x00b ␛"
    with spandag.run("r", session=strange):
        pass
    kepler()

    assert [session.id for session in query.sessions(recording.store)] == ["alice", strange]
    assert [run.name for run in query.runs(recording.store, session=strange)] == ["r"]


def test_runs_of_one_session_are_listed_newest_first(recording: Recording) -> None:
    first = kepler()
    with spandag.run("other", session="bob"):
        pass
    second = kepler()

    assert [run.id for run in query.runs(recording.store, session="alice")] == [second, first]
    assert [run.id for run in query.runs(recording.store, session="alice", limit=1)] == [second]
    assert query.runs(recording.store, session="nobody") == []

    with connected(recording.url) as connection:
        connection.execute(update(schema.workflow_runs).values(derived_version=0))
    assert [run.id for run in query.runs(recording.store, session="alice")] == [second, first]
    assert [run.id for run in query.runs(recording.store, session="alice", limit=1)] == [second]


def test_sessions_are_drawn_as_in_the_golden_file(recording: Recording) -> None:
    kepler()
    with spandag.run("other", session="bob"):
        pass

    drawn = to_text(render_sessions(query.sessions(recording.store), Page()))

    assert re.sub(r" +", " ", normal(drawn)) == (GOLDEN / "sessions.txt").read_text(encoding="utf-8")
    assert render_sessions([], Page()) == []


def test_json_has_the_columns_of_the_store(recording: Recording) -> None:
    kepler()

    [session] = as_json(query.sessions(recording.store))

    assert list(session) == [
        "id",
        "name",
        "task",
        "user_id",
        "status",
        "started_at",
        "last_active_at",
        "runs",
        "redos",
        "calls",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "unpriced_calls",
    ]
