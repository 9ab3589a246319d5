"""What a process does for its store beside writing spans."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanContext, TraceFlags
from spandag_test_databases import connected
from sqlalchemy import func, select

from spandag import semconv
from spandag.export import SpandagSpanExporter, counters, storing
from spandag.export.fates import Fates
from spandag.export.project import project
from spandag.export.storing import Storing
from spandag.store import StoreError, Writer, schema
from spandag.store.errors import is_of_the_store
from spandag.store.retention import set_retention
from spandag.store.spool import Spool


def old_run(number: int) -> ReadableSpan:
    """A run of the day on which Unix time began."""
    return ReadableSpan(
        name="r",
        context=SpanContext(number, number, is_remote=False, trace_flags=TraceFlags(1)),
        attributes={semconv.SPANDAG_NODE_TYPE: "run", semconv.GEN_AI_WORKFLOW_NAME: f"run {number}"},
        start_time=1,
        end_time=2,
    )


def recent_run(number: int) -> ReadableSpan:
    """A run that has just ended."""
    old = old_run(number)
    return ReadableSpan(
        name=old.name,
        context=old.get_span_context(),
        attributes=old.attributes,
        start_time=time.time_ns() - 1,
        end_time=time.time_ns(),
    )


def run_ids(url: str) -> list[str]:
    with connected(url) as connection:
        return sorted(connection.execute(select(schema.workflow_runs.c.id)).scalars())


def run_names(url: str) -> list[str]:
    with connected(url) as connection:
        return sorted(connection.execute(select(schema.workflow_runs.c.name)).scalars())


def test_what_no_store_can_take_is_set_aside_whatever_fails(store_url: str, tmp_path: Path) -> None:
    """SQLite's driver does not say that it is the data's fault; what waits behind it must not wait for good."""
    spool = Spool(tmp_path / "spool", 10**6)
    poison = project([old_run(1)])
    poison.dag_nodes[0] = poison.dag_nodes[0]._replace(started_at=2**70)
    assert spool.put(poison, 1)
    assert spool.put(project([old_run(2)]), 1)
    here = Storing(store_url, "w", spool, Fates())
    for _ in range(3):
        here.tend(has_open=False)
    here.close(10)
    assert run_names(store_url) == ["run 2"]
    assert len(list(spool.folder.rglob("*.bad"))) == 1


def test_a_process_removes_runs_that_are_kept_no_longer(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "_FIRST_TIDY_S", 0.0)
    here = Storing(store_url, "w", Spool(tmp_path / "spool", 10**6), Fates())
    assert here.write(project([old_run(1)]), has_open=False)
    here.tend(has_open=False)
    assert run_names(store_url) == ["run 1"]
    set_retention(store_url, 30, None)
    here._tidy_at = 0.0
    here.tend(has_open=False)
    assert run_names(store_url) == []
    # Nor does it come back.
    here.write(project([old_run(1)]), has_open=False)
    here.close(10)
    assert run_names(store_url) == []


def test_a_process_that_is_over_soon_removes_runs_at_its_end(store_url: str, tmp_path: Path) -> None:
    """Where all programs are short there is nobody else who would."""
    first = Storing(store_url, "first", Spool(tmp_path / "spool", 10**6), Fates())
    first.write(project([old_run(1)]), has_open=False)
    first.close(10)
    set_retention(store_url, 30, None)
    second = Storing(store_url, "second", Spool(tmp_path / "spool", 10**6), Fates())
    second.write(project([recent_run(2)]), has_open=False)
    second.close(10)
    assert run_names(store_url) == ["run 2"]
    # Once a day is enough.
    third = Storing(store_url, "third", Spool(tmp_path / "spool", 10**6), Fates())
    third.write(project([old_run(3)]), has_open=False)
    third.close(10)
    assert run_names(store_url) == ["run 2", "run 3"]


def test_a_process_that_has_no_time_left_at_its_end_removes_nothing(store_url: str, tmp_path: Path) -> None:
    here = Storing(store_url, "w", Spool(tmp_path / "spool", 10**6), Fates())
    here.write(project([old_run(1)]), has_open=False)
    set_retention(store_url, 30, None)
    here.close(0)
    assert run_ids(store_url) == [f"{1:032x}"]


def test_a_process_that_always_has_something_to_write_removes_runs_in_between(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Storing(store_url, "w", Spool(tmp_path / "spool", 10**6), Fates())
    here.write(project([old_run(1)]), has_open=False)
    set_retention(store_url, 30, None)
    here.write(project([recent_run(2)]), has_open=False)
    # Not at once: there may be nothing to write in a moment.
    assert run_ids(store_url) == [f"{1:032x}", f"{2:032x}"]
    here._tidy_at -= storing._FIRST_TIDY_S + storing._OVERDUE_S
    here.write(project([recent_run(3)]), has_open=False)
    assert run_ids(store_url) == [f"{2:032x}", f"{3:032x}"]
    here.close(10)


def test_a_process_settles_what_another_left_behind(store_url: str, tmp_path: Path) -> None:
    killed = Writer(store_url)
    for number in (1, 2):
        killed.write(project([old_run(1)]))
        killed.write(project([old_run(1), old_run(number)]))
    with connected(store_url) as connection:
        connection.execute(schema.workflow_runs.update().values(derived_version=0, name=None))
    here = Storing(store_url, "w", Spool(tmp_path / "spool", 10**6), Fates())
    here.write(project([old_run(3)]), has_open=False)
    here.tend(has_open=False)
    here.close(10)
    assert run_names(store_url) == ["run 1", "run 2", "run 3"]


def test_what_ends_while_it_is_looked_at_keeps_its_end_for_the_next_time() -> None:
    """An end that brings attributes is either stored with all of them, or not yet."""

    class Ending(ReadableSpan):
        @property
        def attributes(self) -> Any:
            said = super().attributes
            self._end_time, self._attributes = 2, {**dict(said or {}), "answer": 42}
            return said

    span = Ending(
        name="r",
        context=SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(1)),
        attributes={},
        start_time=1,
    )
    [first] = project([span]).dag_nodes
    [second] = project([span]).dag_nodes
    assert (first.ended_at, second.ended_at) == (None, 2)
    assert "42" in (second.attributes or "")


@pytest.mark.parametrize(
    ("of_the_store", "cause"),
    [
        (True, sqlite3.OperationalError("database is locked")),
        (True, sqlite3.OperationalError("database or disk is full")),
        (True, sqlite3.DatabaseError("file is not a database")),
        (True, OSError("no such folder")),
        (False, sqlite3.IntegrityError("datatype mismatch")),
        (False, sqlite3.InterfaceError("Error binding parameter")),
    ],
)
def test_only_what_a_batch_brings_with_it_sets_it_aside(of_the_store: bool, cause: Exception) -> None:
    error = StoreError("the store cannot be used")
    error.__cause__ = cause
    assert is_of_the_store(error) is of_the_store


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_shutdown_ends_in_time_though_many_runs_are_to_be_derived(store_url: str, tmp_path: Path) -> None:
    here = Storing(store_url, "w", Spool(tmp_path / "spool", 10**6), Fates())
    for start in range(1, 3_001, 500):
        here.write(project([old_run(number) for number in range(start, start + 500)]), has_open=False)
    here.close(0.3)
    with connected(store_url) as connection:
        assert connection.execute(select(func.count()).select_from(schema.dag_nodes)).scalar_one() == 3_000
        behind = schema.workflow_runs.c.facts_version != schema.workflow_runs.c.derived_version
        assert connection.execute(select(func.count()).where(behind)).scalar_one() > 0


def test_what_waits_and_what_is_lost_is_told_as_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics, "get_meter", lambda name: provider.get_meter(name))
    monkeypatch.setattr(counters, "_counters", {})
    monkeypatch.setenv("OTEL_EXPORTER_SPANDAG_SPOOL_SIZE", "1500")
    (tmp_path / "file").touch()
    exporter = SpandagSpanExporter(f"sqlite:///{tmp_path}/file/spandag.db")
    tracer = TracerProvider().get_tracer("spandag.x")
    for _ in range(10):
        span: Any = tracer.start_span("s")
        span.end()
        exporter.export([span])
    exporter.shutdown()
    data = reader.get_metrics_data()
    assert data is not None
    told = {
        metric.name: sum(point.value for point in metric.data.data_points)  # type: ignore[union-attr, misc]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert set(told) == {"spandag.exporter.dropped_spans", "spandag.exporter.spooled_spans"}
    assert all(told.values())
    assert sum(told.values()) == 10
