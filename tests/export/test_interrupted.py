"""A signal handler or a finalizer ends a span in the midst of whatever is done for another: nobody waits for himself."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from spandag_test_databases import connected
from sqlalchemy import func, select

from spandag.export import SpandagSpanExporter
from spandag.export import pipeline as pipeline_module
from spandag.export.fates import Fates
from spandag.export.handed import Bell
from spandag.export.pipeline import Pipeline
from spandag.store import schema
from spandag.store.check import check
from spandag.store.spool import Spool, folder_of

IN_TIME_S = 20


def ended_span() -> Any:
    span = TracerProvider(shutdown_on_exit=False).get_tracer("spandag.x").start_span("s")
    span.end()
    return span


def in_time(work: Callable[[], object]) -> object:
    """What it returns; fails where it hangs."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    thread.join(IN_TIME_S)
    assert not thread.is_alive()
    [result] = results
    return result


def stored(url: str) -> int:
    with connected(url) as connection:
        return connection.execute(select(func.count()).select_from(schema.dag_nodes)).scalar_one()


@pytest.fixture
def exporter(store_url: str) -> SpandagSpanExporter:
    return SpandagSpanExporter(store_url)


@pytest.mark.parametrize("what", ["export", "flush"])
def test_what_comes_while_rows_are_made_on_the_same_thread(
    store_url: str, exporter: SpandagSpanExporter, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    pipeline = exporter._opened()
    project = pipeline_module.project
    interruptions: list[bool] = [True]

    def interrupted(*spans: Any, **how: Any) -> Any:
        if interruptions:
            interruptions.pop()
            pipeline.add(ended_span())
            if what == "export":
                assert pipeline.export([ended_span()], 60, is_live=False)
            else:
                assert pipeline.flush(60)
                assert stored(store_url) == 1
        return project(*spans, **how)

    monkeypatch.setattr(pipeline_module, "project", interrupted)
    assert in_time(lambda: pipeline.export([ended_span()], 60, is_live=False))
    exporter.shutdown()
    assert stored(store_url) == (3 if what == "export" else 2)


def test_what_is_lost_while_others_are_counted_on_the_same_thread() -> None:
    fates = Fates()

    class Interrupting(dict[Any, None]):
        def update(self, *new: Any) -> None:
            super().update(*new)
            if len(self) == 1:
                fates.are_lost([(1, 2)], "a handler comes")

    fates._lost = Interrupting()
    in_time(lambda: fates.are_lost([(1, 1)], "there is no room"))
    assert fates.dropped == 2


def test_who_rings_while_ringing_is_heard() -> None:
    bell = Bell()
    silence = bell._silence

    class Interrupted:
        def locked(self) -> bool:
            there = silence.locked()
            if there:
                silence.release()
            return there

        def release(self) -> None:
            silence.release()

    bell._silence = Interrupted()  # type: ignore[assignment]
    bell.ring()
    bell._silence = silence
    in_time(lambda: bell.wait(None) or True)
    bell.ring()
    bell.silence()
    bell.wait(0.01)
    assert silence.locked()


def test_threads_are_started_once_though_a_handler_comes_meanwhile(
    store_url: str, exporter: SpandagSpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = exporter._opened()
    start = threading.Thread.start
    started: list[str] = []

    def interrupted(thread: threading.Thread) -> None:
        if thread.name.startswith("spandag-"):
            started.append(thread.name)
            if len(started) == 1:
                pipeline.add(ended_span())
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    pipeline.add(ended_span())
    assert pipeline.flush(30)
    exporter.shutdown()
    assert started == ["spandag-rows", "spandag-writer"]
    assert stored(store_url) == 2


HANDLER = """
import signal, sys, time
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from spandag.export import SpandagSpanExporter

provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(SimpleSpanProcessor(SpandagSpanExporter(sys.argv[1])))
tracer = provider.get_tracer("foreign")
made, busy = [0], [False]

def make(*_):
    if not busy[0]:
        busy[0] = True
        tracer.start_span("in a handler").end()
        made[0] += 1
        busy[0] = False

signal.signal(signal.SIGALRM, make)
signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
until = time.monotonic() + 5
while time.monotonic() < until:
    tracer.start_span("x").end()
    made[0] += 1
signal.setitimer(signal.ITIMER_REAL, 0)
provider.shutdown()
print(made[0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no timer that signals")
@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_program_whose_signal_handler_ends_spans(store_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANDLER, store_url], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert stored(store_url) == int(done.stdout)


# --- after the end ---------------------------------------------------------------


@pytest.mark.parametrize("was_used", [False, True])
def test_what_comes_after_the_end_waits_on_disk_and_starts_no_thread(
    store_url: str, exporter: SpandagSpanExporter, own_spool: Path, was_used: bool
) -> None:
    pipeline = exporter._opened()
    if was_used:
        pipeline.add(ended_span())
    exporter.shutdown()
    threads = list(pipeline._threads)
    pipeline.add(ended_span())
    assert pipeline.export([ended_span()], 30, is_live=False)
    assert pipeline._threads == threads
    assert Spool(folder_of(store_url, own_spool), 10**9).waiting().spans == 2
    assert pipeline.dropped == 0


def test_what_comes_after_the_end_and_finds_no_room_is_counted(
    store_url: str, exporter: SpandagSpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline: Pipeline = exporter._opened()
    pipeline.add(ended_span())
    exporter.shutdown()
    monkeypatch.setattr(pipeline._storing.spool, "put", lambda *batch: None)
    pipeline.add(ended_span())
    assert pipeline.dropped == 1
    assert check(store_url).lost_spans == 1
