"""The exporter: into the store, and never into the program's way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from sqlalchemy import select

from spandag import pricing
from spandag.export import SpandagSpanExporter
from spandag.store import StoreError, load_run, open_store
from spandag.store.schema import workflow_runs
from spandag.store.spool import Spool, folder_of


@pytest.fixture
def provider() -> Iterator[TracerProvider]:
    made = TracerProvider()
    yield made
    made.shutdown()


@pytest.fixture
def new_spans(recorder: Any) -> Callable[[], Any]:
    """Call it for the span of another run."""

    def run() -> Any:
        recorder.clear()
        with recorder.provider.get_tracer("spandag.x").start_as_current_span(
            "invoke_workflow r", attributes={"spandag.node.type": "run", "gen_ai.workflow.name": "r"}
        ):
            pass
        return recorder.spans

    return run


@pytest.fixture
def spans(new_spans: Callable[[], Any]) -> Any:
    return new_spans()


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while True:
        with suppress(StoreError):
            if condition():
                return
        assert time.monotonic() < until
        time.sleep(0.05)


def names(url: str) -> list[str]:
    with open_store(url) as store, store.connection() as connection:
        return list(connection.execute(select(workflow_runs.c.name)).scalars())


def test_a_traced_run_is_in_the_store_when_it_has_ended(provider: TracerProvider, store_url: str) -> None:
    provider.add_span_processor(SimpleSpanProcessor(SpandagSpanExporter(store_url)))
    tracer = provider.get_tracer("spandag.x")
    with (
        tracer.start_as_current_span(
            "invoke_workflow r", attributes={"spandag.node.type": "run", "gen_ai.workflow.name": "r"}
        ) as run,
        tracer.start_as_current_span(
            "invoke_agent a", attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}
        ),
    ):
        pass
    with open_store(store_url) as store, store.connection() as connection:
        rows = load_run(connection, f"{run.get_span_context().trace_id:032x}")
    assert rows is not None
    assert (rows.run.name, rows.run.status, rows.run.derived_version) == (
        "r",
        "completed",
        rows.run.facts_version,
    )
    assert [(node.name, node.depth) for node in sorted(rows.nodes, key=lambda n: n.started_at)] == [
        ("r", 0),
        ("a", 1),
    ]


def test_batches_are_flushed_from_any_thread(provider: TracerProvider, store_url: str) -> None:
    provider.add_span_processor(BatchSpanProcessor(SpandagSpanExporter(store_url), schedule_delay_millis=20))
    tracer = provider.get_tracer("spandag.x")
    for number in range(20):
        tracer.start_span(
            "r", attributes={"spandag.node.type": "run", "gen_ai.workflow.name": str(number)}
        ).end()
        provider.force_flush()
    assert sorted(map(int, names(store_url))) == list(range(20))


def test_the_environment_names_the_store(spans: Any, store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_SPANDAG_URL", store_url)
    exporter = SpandagSpanExporter()
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    assert exporter.force_flush()
    exporter.shutdown()
    assert names(store_url) == ["r"]


def test_it_is_an_exporter_class_that_configuration_finds_by_name() -> None:
    [entry] = entry_points(group="opentelemetry_traces_exporter", name="spandag")
    assert entry.load() is SpandagSpanExporter
    assert issubclass(SpandagSpanExporter, SpanExporter)


def test_keywords_that_are_unknown_are_said_and_ignored(
    store_url: str, spans: Any, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = SpandagSpanExporter(url=store_url, headers={"a": "b"})
    assert [r.message for r in caplog.records] == [
        "the spandag exporter takes url, prices and secrets, not headers"
    ]
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    exporter.shutdown()


def test_a_price_file_of_the_exporter_prices_calls_without_a_price(
    tmp_path: Path, store_url: str, recorder: Any
) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text(json.dumps({"m": {"input": 1_000_000, "output": 0}}))
    recorder.provider.get_tracer("foreign").start_span(
        "chat m",
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "m",
            "gen_ai.usage.input_tokens": 3,
        },
    ).end()
    try:
        exporter = SpandagSpanExporter(store_url, prices=str(prices))
        exporter.export(recorder.spans)
        exporter.shutdown()
    finally:
        pricing.use_price_file(None)
    with open_store(store_url) as store, store.connection() as connection:
        run_id = connection.execute(select(workflow_runs.c.id)).scalar_one()
        rows = load_run(connection, run_id)
    assert rows is not None
    assert [(cost.cost_usd, cost.price_source) for cost in rows.costs] == [(3.0, "user")]


def test_nothing_is_opened_before_the_first_span(tmp_path: Path) -> None:
    SpandagSpanExporter(f"sqlite:///{tmp_path / 'new' / 'spandag.db'}").shutdown()
    assert list(tmp_path.iterdir()) == []


def test_after_shutdown_nothing_is_taken(store_url: str, spans: Any) -> None:
    exporter = SpandagSpanExporter(store_url)
    exporter.shutdown()
    exporter.shutdown()
    assert exporter.export(spans) is SpanExportResult.FAILURE


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("sqlite:///{folder}/file/spandag.db", "cannot write the store"),
        ("sqlite:///{folder}/file", "is not a SQLite database"),
        ("postgresql://me:secret@127.0.0.1:1/db", "cannot reach the store postgresql://me@127.0.0.1:1/db"),
    ],
)
def test_a_store_that_cannot_be_written_is_said_once_and_spans_are_kept(
    broken: str,
    said: str,
    tmp_path: Path,
    own_spool: Path,
    new_spans: Callable[[], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_text("something else entirely, long enough to be no header " * 10)
    exporter = SpandagSpanExporter(url := broken.format(folder=tmp_path))
    assert [exporter.export(new_spans()) for _ in range(3)] == [SpanExportResult.SUCCESS] * 3
    exporter.shutdown()
    [message] = (record.message for record in caplog.records if record.levelname == "WARNING")
    assert said in message
    assert message.endswith("until it can be used (said once; the program goes on)")
    assert "secret" not in message
    assert "\n" not in message
    assert Spool(folder_of(url, own_spool), 1).waiting().spans == 3


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("mysql://me:secret@nowhere/db", "runs cannot be kept in 'mysql'"),
        ("sqlite://host:port/x", "is not a store's URL"),
        ("sqlite:///:memory:", "a store in memory could not be read"),
    ],
)
def test_what_can_never_be_a_store_is_said_once_and_spans_are_counted(
    broken: str, said: str, own_spool: Path, new_spans: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    exporter = SpandagSpanExporter(broken)
    assert [exporter.export(new_spans()) for _ in range(3)] == [SpanExportResult.FAILURE] * 3
    exporter.shutdown()
    first, last = (record.message for record in caplog.records if record.levelname == "WARNING")
    assert said in first
    assert "secret" not in first
    assert last == "spandag: 3 spans in all were lost"
    assert not own_spool.exists()


def test_a_store_that_comes_back_is_used_again(tmp_path: Path, spans: Any) -> None:
    blocked = tmp_path / "folder"
    blocked.touch()
    exporter = SpandagSpanExporter(f"sqlite:///{blocked}/spandag.db")
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    blocked.unlink()
    wait_until(lambda: names(f"sqlite:///{blocked}/spandag.db") == ["r"])
    exporter.shutdown()


def test_a_program_whose_store_cannot_be_written_returns_its_own_result(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    program = (
        "from opentelemetry import trace\n"
        "with trace.get_tracer('x').start_as_current_span('s', attributes={'big': 'x' * 10_000_000}): print('result')\n"
        "raise SystemExit(7)\n"
    )
    done = subprocess.run(
        [str(Path(sys.executable).parent / "opentelemetry-instrument"), sys.executable, "-c", program],
        env={
            **os.environ,
            "OTEL_TRACES_EXPORTER": "spandag",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_EXPORTER_SPANDAG_URL": f"sqlite:///{tmp_path}/file/spandag.db",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (7, "result\n")
    assert done.stderr.count("cannot write the store") == 1
