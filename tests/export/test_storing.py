"""What a process does for its store beside writing spans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanContext, TraceFlags
from spandag_test_databases import connected
from sqlalchemy import select

from spandag import semconv
from spandag.export import SpandagSpanExporter, counters, storing
from spandag.export.project import project
from spandag.export.storing import Storing
from spandag.store import Writer, schema
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


def run_names(url: str) -> list[str]:
    with connected(url) as connection:
        return sorted(connection.execute(select(schema.workflow_runs.c.name)).scalars())


def test_a_process_removes_runs_that_are_kept_no_longer(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "_FIRST_TIDY_S", 0.0)
    here = Storing(store_url, "w", Spool(tmp_path / "spool", 10**6))
    assert here.write(project([old_run(1)]), has_open=False)
    here.tend(has_open=False)
    assert run_names(store_url) == ["run 1"]
    set_retention(store_url, 30, None)
    here._tidy_at = 0.0
    here.tend(has_open=False)
    assert run_names(store_url) == []
    # Nor does it come back.
    here.write(project([old_run(1)]), has_open=False)
    here.close(0, 10)
    assert run_names(store_url) == []


def test_a_process_settles_what_another_left_behind(store_url: str, tmp_path: Path) -> None:
    killed = Writer(store_url)
    for number in (1, 2):
        killed.write(project([old_run(1)]))
        killed.write(project([old_run(1), old_run(number)]))
    with connected(store_url) as connection:
        connection.execute(schema.workflow_runs.update().values(derived_version=0, name=None))
    here = Storing(store_url, "w", Spool(tmp_path / "spool", 10**6))
    here.write(project([old_run(3)]), has_open=False)
    here.tend(has_open=False)
    here.close(0, 10)
    assert run_names(store_url) == ["run 1", "run 2", "run 3"]


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
