"""The store is away, locked, full or newer: the program goes on, and nothing is lost."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import spandag_test_postgres
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer
from spandag_test_databases import connected
from sqlalchemy import func, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError

from spandag.export import SpandagSpanExporter, live
from spandag.export.handed import key_of
from spandag.export.project import project
from spandag.export.storing import HEARTBEAT_S
from spandag.store import StoreError, Writer, schema
from spandag.store.errors import is_of_the_store
from spandag.store.spool import Spool, folder_of

BACK_S = 40
"""A store that is back is noticed within half a minute at most, mostly much sooner."""


class Program:
    """What a program sees: a provider with our exporter and the live view."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.exporter = SpandagSpanExporter(url)
        self.provider.add_span_processor(BatchSpanProcessor(self.exporter))
        live.join(self.provider, self.exporter)
        self.spans = 0
        self.longest_s = 0.0

    @property
    def tracer(self) -> Tracer:
        return self.provider.get_tracer("spandag.x")

    def work(self, spans: int = 100) -> None:
        """Some spans; none may take long."""
        for _ in range(spans):
            start = time.perf_counter()
            self.tracer.start_span(f"s{self.spans}").end()
            self.longest_s = max(self.longest_s, time.perf_counter() - start)
            self.spans += 1

    def flush(self, seconds: float) -> float:
        """How long it takes."""
        start = time.monotonic()
        self.provider.force_flush(int(seconds * 1000))
        return time.monotonic() - start

    def stored(self) -> int:
        table = schema.dag_nodes
        with suppress(SQLAlchemyError), connected(self.url) as connection:
            query = select(func.count()).select_from(table).where(table.c.ended_at.is_not(None))
            return connection.execute(query).scalar_one()
        return -1

    def wait_until_all_is_stored(self) -> None:
        until = time.monotonic() + BACK_S
        while self.stored() != self.spans and time.monotonic() < until:
            time.sleep(0.1)
        assert self.stored() == self.spans


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Program]]:
    started: list[Program] = []

    def program(url: str) -> Program:
        started.append(Program(url))
        return started[-1]

    yield program
    for one in started:
        one.provider.shutdown()


@pytest.fixture
def spool_of(own_spool: Path) -> Callable[[str], Spool]:
    return lambda url: Spool(folder_of(url, own_spool), 10**9)


@pytest.fixture
def slow_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that takes its time for each batch, and little room to wait in memory."""
    write = Writer.write

    def slowly(self: Writer, *batch: Any, **how: Any) -> None:
        time.sleep(0.01)
        write(self, *batch, **how)

    monkeypatch.setattr(Writer, "write", slowly)
    monkeypatch.setenv("OTEL_EXPORTER_SPANDAG_BACKLOG", "50kB")


@pytest.mark.usefixtures("slow_writer")
def test_a_flush_waits_for_what_had_no_room_in_memory(
    store_url: str, start: Callable[[str], Program]
) -> None:
    program = start(store_url)
    with program.tracer.start_as_current_span("one run"):
        for _ in range(3):
            program.work(2_000)
            program.flush(30)
            assert program.stored() == program.spans
    assert program.exporter._opened()._storing.spool._has_put


@pytest.fixture
def own_files_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """So much waits on disk that others have put that what is ours has no turn."""
    monkeypatch.setattr(Spool, "drain", lambda self, write, for_s: 0)


@pytest.mark.usefixtures("slow_writer", "own_files_stay")
@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_flush_waits_only_while_what_it_waits_for_moves(
    store_url: str, start: Callable[[str], Program]
) -> None:
    program = start(store_url)
    program.work(2_000)
    assert 2 < program.flush(30) < 15
    assert program.exporter._opened()._storing.spool.own()


@pytest.mark.usefixtures("slow_writer", "own_files_stay")
def test_a_shutdown_that_cannot_bring_all_of_it_says_that_it_has_ended(
    store_url: str, start: Callable[[str], Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_SPANDAG_TIMEOUT", "2500")
    program = start(store_url)
    with program.tracer.start_as_current_span("one run"):
        program.work(2_000)
        program.flush(0.5)
        pipeline = program.exporter._opened()
        time.sleep(HEARTBEAT_S)
    program.provider.shutdown()
    assert not any(thread.is_alive() for thread in pipeline._threads)
    assert pipeline._storing.spool.own()
    with connected(store_url) as connection:
        [meta] = connection.execute(select(schema.writers.c.meta)).scalars()
    assert meta["closed"]


@pytest.mark.usefixtures("slow_writer", "own_files_stay")
@pytest.mark.parametrize("backend", ["sqlite"])
def test_the_end_of_a_program_and_the_shutdown_after_it_take_the_time_of_one(
    store_url: str, start: Callable[[str], Program]
) -> None:
    program = start(store_url)
    program.work(2_000)
    pipeline = program.exporter._opened()
    began = time.monotonic()
    pipeline.finish(4)
    pipeline.close(4)
    assert time.monotonic() - began < 5


def ended_span() -> Any:
    span = TracerProvider(shutdown_on_exit=False).get_tracer("spandag.x").start_span("s")
    span.end()
    return span


def path_of(url: str) -> str:
    return str(make_url(url).database)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What we say; the driver has words of its own."""
    return [r.message for r in caplog.records if r.levelno >= logging.WARNING and r.name == "spandag"]


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_locked_file_holds_up_nobody(
    store_url: str,
    monkeypatch: pytest.MonkeyPatch,
    start: Callable[[str], Program],
    spool_of: Callable[[str], Spool],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_SPANDAG_TIMEOUT", "1000")
    program = start(store_url)
    program.work()
    program.flush(30)
    other = sqlite3.connect(path_of(store_url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    program.work()
    assert program.flush(1) < 5
    # SQLite itself waits for ten seconds.
    time.sleep(12)
    program.work()
    assert program.flush(1) < 5
    assert spool_of(store_url).waiting().spans >= 100
    other.execute("COMMIT")
    other.close()
    program.wait_until_all_is_stored()
    program.provider.shutdown()
    assert program.longest_s < 1
    assert spool_of(store_url).is_empty()
    locked, back = messages(caplog)
    assert "is locked by another program" in locked
    assert back == "spandag: the store can be used again"


@pytest.mark.parametrize("backend", ["sqlite"])
def test_what_waits_for_a_locked_file_is_soon_on_disk(
    store_url: str, start: Callable[[str], Program], spool_of: Callable[[str], Spool]
) -> None:
    """Whatever had ended a second before a kill must outlive the process."""
    program = start(store_url)
    program.work()
    program.flush(30)
    other = sqlite3.connect(path_of(store_url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    program.work()
    until = time.monotonic() + 8
    while spool_of(store_url).waiting().spans < 100 and time.monotonic() < until:
        time.sleep(0.05)
    # SQLite itself waits for ten seconds.
    assert spool_of(store_url).waiting().spans == 100
    other.execute("COMMIT")
    other.close()
    program.wait_until_all_is_stored()
    program.provider.shutdown()
    assert spool_of(store_url).is_empty()


@pytest.mark.parametrize("backend", ["sqlite"])
def test_what_comes_after_the_last_flush_is_on_disk_as_well(
    store_url: str,
    spool_of: Callable[[str], Spool],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("spandag.x")
    exporter = SpandagSpanExporter(store_url)
    pipeline = exporter._opened()

    def work() -> None:
        span = tracer.start_span("s")
        span.end()
        pipeline.add(span)  # type: ignore[arg-type]

    work()
    assert pipeline.flush(30)
    other = sqlite3.connect(path_of(store_url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    work()
    flush = pipeline.flush
    monkeypatch.setattr(pipeline, "flush", lambda timeout_s: (flush(timeout_s), work())[0])
    pipeline.close(1)
    other.close()
    assert spool_of(store_url).waiting().spans == 2
    assert pipeline.dropped == 0
    assert not any("lost" in message for message in messages(caplog))


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_shutdown_waits_no_longer_than_was_said_whatever_its_caller_allows(
    store_url: str, spool_of: Callable[[str], Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch processor would let an exporter have half a minute; here no live view stands beside it."""
    monkeypatch.setenv("OTEL_EXPORTER_SPANDAG_TIMEOUT", "500")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(SpandagSpanExporter(store_url)))
    tracer = provider.get_tracer("foreign")
    tracer.start_span("before").end()
    provider.force_flush()
    other = sqlite3.connect(path_of(store_url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tracer.start_span("meanwhile").end()
    start = time.monotonic()
    provider.shutdown()
    # SQLite itself waits for ten seconds.
    assert time.monotonic() - start < 5
    other.close()
    assert spool_of(store_url).waiting().spans == 1


@pytest.mark.parametrize("backend", ["sqlite"])
def test_where_no_thread_can_be_started_a_flush_ends_in_time(
    store_url: str, spool_of: Callable[[str], Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the end of an interpreter; whoever waits no longer finds everything on disk."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("spandag.x")
    monkeypatch.setattr(threading.Thread, "start", refuse)
    exporter = SpandagSpanExporter(store_url)
    pipeline = exporter._opened()
    for number in range(3):
        span = tracer.start_span(f"s{number}")
        span.end()
        pipeline.add(span)  # type: ignore[arg-type]
    assert pipeline.flush(0)
    assert not Path(path_of(store_url)).exists()
    assert spool_of(store_url).waiting().spans == 3
    exporter.shutdown()


def test_a_server_that_is_stopped_and_started(
    start: Callable[[str], Program], spool_of: Callable[[str], Spool], caplog: pytest.LogCaptureFixture
) -> None:
    with spandag_test_postgres.restartable() as server:
        program = start(server.url)
        program.work()
        program.flush(30)
        assert program.stored() == 100
        server.stop()
        for _ in range(5):
            program.work()
            time.sleep(0.3)
        assert program.flush(2) < 10
        assert spool_of(server.url).waiting().spans == 500
        server.start()
        program.work()
        program.wait_until_all_is_stored()
        program.provider.shutdown()
        assert program.stored() == 700
    assert spool_of(server.url).is_empty()
    assert program.longest_s < 1
    assert len(messages(caplog)) == 2


def test_a_connection_that_is_cut_in_the_middle_of_a_batch(
    postgres: Any, postgres_url: str, start: Callable[[str], Program], caplog: pytest.LogCaptureFixture
) -> None:
    program = start(postgres_url)
    for _ in range(10):
        program.work()
        postgres.disconnect(postgres_url)
        time.sleep(0.1)
    program.flush(30)
    program.wait_until_all_is_stored()
    assert messages(caplog) == []


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_store_that_is_full(
    store_url: str,
    start: Callable[[str], Program],
    spool_of: Callable[[str], Spool],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # SQLite's own limit, of each connection, stands for the disk.
    limit = {"pages": 110}
    connect = sqlite3.connect

    def limited(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.execute(f"PRAGMA max_page_count = {limit['pages']}")
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", limited)
        program = start(store_url)
        until = time.monotonic() + 6
        while time.monotonic() < until:
            # Some of it is small enough to find room, most of it is not.
            for spans in (100, 1):
                program.work(spans)
                program.flush(30)
            time.sleep(0.2)
        assert program.exporter._opened()._storing._writer is not None
        assert spool_of(store_url).waiting().spans > 0
        assert 0 < program.stored() < program.spans
    limit["pages"] = 100_000
    program.exporter._opened()._storing._writer.close()
    program.wait_until_all_is_stored()
    program.provider.shutdown()
    # It can be read all the time, which is no reason to say that it can be used.
    full, back = messages(caplog)
    assert "no space left for the store" in full
    assert back == "spandag: the store can be used again"


def test_a_store_of_a_newer_version_is_waited_for(
    store_url: str,
    start: Callable[[str], Program],
    spool_of: Callable[[str], Spool],
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = start(store_url)
    first.work(1)
    first.provider.shutdown()
    with connected(store_url) as connection:
        connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'"))
    program = start(store_url)
    program.work()
    program.flush(10)
    program.provider.shutdown()
    assert spool_of(store_url).waiting().spans == 100
    [message] = messages(caplog)
    assert "was written by a newer version of spandag" in message
    # Whoever comes next, with a version that knows it, brings what waits.
    with connected(store_url) as connection:
        connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '{schema.REVISION}'"))
    following = start(store_url)
    following.work(1)
    following.flush(30)
    following.spans = 102
    following.wait_until_all_is_stored()
    assert spool_of(store_url).is_empty()


def test_a_store_that_becomes_newer_while_it_is_written_is_waited_for(
    store_url: str,
    start: Callable[[str], Program],
    spool_of: Callable[[str], Spool],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def set_version(version: str) -> None:
        with connected(store_url) as connection:
            connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '{version}'"))

    program = start(store_url)
    program.work()
    program.flush(10)
    set_version("9999")
    # As long as the tables are taken for what they were.
    time.sleep(2.5)
    program.work()
    program.flush(10)
    assert program.stored() == 100
    assert spool_of(store_url).waiting().spans == 100
    [message] = messages(caplog)
    assert "was written by a newer version of spandag" in message
    set_version(schema.REVISION)
    program.wait_until_all_is_stored()


def test_what_fails_because_the_store_has_become_newer_is_told_as_that(store_url: str) -> None:
    span = TracerProvider(shutdown_on_exit=False).get_tracer("spandag.x").start_span("s")
    span.end()
    batch = project([span])  # type: ignore[list-item]
    writer = Writer(store_url)
    writer.write(batch)
    with connected(store_url) as connection:
        connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'"))
        with_views = " CASCADE" if connection.dialect.name == "postgresql" else ""
        connection.execute(text(f"DROP TABLE workflow_runs{with_views}"))
    with pytest.raises(StoreError, match="was written by a newer version of spandag") as refused:
        writer.write(batch)
    # So that what was to be written is kept for it.
    assert is_of_the_store(refused.value)
    writer.close()


@pytest.mark.parametrize("backend", ["sqlite"])
def test_the_next_process_brings_what_another_could_not(store_url: str, own_spool: Path) -> None:
    program = """
import sys, spandag
spandag.init(url=sys.argv[1], capture_content=False)
with spandag.run(sys.argv[2]):
    pass
"""

    def run(name: str) -> None:
        done = subprocess.run(
            [sys.executable, "-c", program, store_url, name], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr

    folder = Path(path_of(store_url)).parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.touch()
    run("while it was away")
    assert list(own_spool.rglob("*.batch"))
    folder.unlink()
    run("when it was back")
    with connected(store_url) as connection:
        names = set(connection.execute(select(schema.workflow_runs.c.name)).scalars())
    assert names == {"while it was away", "when it was back"}
    assert not list(own_spool.rglob("*.batch"))


@pytest.mark.parametrize("backend", ["sqlite"])
def test_what_no_longer_fits_is_counted_and_said_once(
    store_url: str,
    start: Callable[[str], Program],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_SPANDAG_SPOOL_SIZE", "20kB")
    folder = Path(path_of(store_url)).parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.touch()
    program = start(store_url)
    for _ in range(20):
        program.work()
        program.flush(10)
    pipeline = program.exporter._opened()
    assert pipeline.dropped > 0
    folder.unlink()
    until = time.monotonic() + BACK_S
    while program.stored() + pipeline.dropped != program.spans and time.monotonic() < until:
        time.sleep(0.1)
    assert program.stored() + pipeline.dropped == program.spans
    program.provider.shutdown()
    away, lost, *_ = messages(caplog)
    assert "cannot write the store" in away
    assert "spans were lost" in lost
    assert sum("were lost:" in message for message in messages(caplog)) == 1
    with connected(store_url) as connection:
        [meta] = connection.execute(select(schema.writers.c.meta)).scalars()
    assert meta == {"dropped_spans": pipeline.dropped, "closed": True}


@pytest.mark.parametrize("flushed_after", ["nothing", "spans"])
def test_a_flush_that_has_no_time_costs_nothing_where_there_is_no_room_on_disk(
    store_url: str, monkeypatch: pytest.MonkeyPatch, start: Callable[[str], Program], flushed_after: str
) -> None:
    """Whoever does not wait has not learnt that the store does not answer."""
    monkeypatch.setenv("OTEL_EXPORTER_SPANDAG_SPOOL_SIZE", "1")
    program = start(store_url)
    program.work(1)
    program.flush(30)
    pipeline = program.exporter._opened()
    for _ in range(5):
        if flushed_after == "spans":
            program.work(1)
        pipeline.flush(0)
        program.work(1)
        # Rows are made of it, for the writer to bring to the store.
        time.sleep(0.6)
    program.wait_until_all_is_stored()
    assert pipeline.dropped == 0


def test_a_store_that_does_not_answer_is_asked_again_when_it_does(
    store_url: str, monkeypatch: pytest.MonkeyPatch, start: Callable[[str], Program]
) -> None:
    """Meanwhile everything goes to disk; afterwards nothing does."""
    program = start(store_url)
    program.work(1)
    program.flush(30)
    pipeline = program.exporter._opened()
    answers = threading.Event()
    write = pipeline._storing.write
    monkeypatch.setattr(
        pipeline._storing, "write", lambda *batch, **how: answers.wait(BACK_S) and write(*batch, **how)
    )
    program.work(1)
    assert program.flush(0.2) < 5
    assert pipeline._backlog.is_stuck
    program.work(1)
    assert program.flush(5) < 4
    answers.set()
    program.wait_until_all_is_stored()
    puts: list[Any] = []
    monkeypatch.setattr(pipeline._storing.spool, "put", lambda *batch: puts.append(batch))
    program.work(1)
    program.flush(30)
    program.wait_until_all_is_stored()
    assert puts == []


def test_a_failure_of_ours_in_writing_loses_no_span(
    store_url: str, monkeypatch: pytest.MonkeyPatch, spool_of: Callable[[str], Spool]
) -> None:
    """One that is none of the store's: the batch waits on disk, and nobody takes it for being on its way."""
    monkeypatch.delenv("SPANDAG_STRICT", raising=False)
    exporter = SpandagSpanExporter(store_url)
    pipeline = exporter._opened()
    failures = [ZeroDivisionError("a mistake of ours")]
    write = pipeline._storing.write

    def fails_once(*batch: Any, **how: Any) -> bool:
        if failures:
            raise failures.pop()
        return write(*batch, **how)

    monkeypatch.setattr(pipeline._storing, "write", fails_once)
    span = ended_span()
    assert pipeline.export([span], 30, is_live=False)
    assert spool_of(store_url).waiting().spans == 1
    assert key_of(span) in pipeline._fates.stored
    assert pipeline._fates._underway == set()
    exporter.shutdown()


def test_what_neither_the_store_nor_the_disk_takes_by_a_failure_of_ours_is_counted(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPANDAG_STRICT", raising=False)
    exporter = SpandagSpanExporter(store_url)
    pipeline = exporter._opened()

    def fail(*batch: Any, **how: Any) -> Any:
        raise ZeroDivisionError("a mistake of ours")

    with monkeypatch.context() as patched:
        patched.setattr(pipeline._storing, "write", fail)
        patched.setattr(pipeline._storing.spool, "put", fail)
        span = ended_span()
        assert not pipeline.export([span], 30, is_live=False)
        assert pipeline.dropped == 1
    # Its second copy is not taken for stored or under way.
    assert pipeline.export([span], 30, is_live=False)
    assert pipeline.dropped == 0
    exporter.shutdown()


def test_what_is_brought_again_is_lost_once_and_no_longer_when_it_is_stored(
    store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The live view and a batch processor bring the same spans, at different times."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("spandag.x")
    spans = [tracer.start_span(name) for name in ("a", "b")]
    for span in spans:
        span.end()
    exporter = SpandagSpanExporter(store_url)
    pipeline = exporter._opened()
    for _ in range(2):
        pipeline._fates.are_lost([key_of(span) for span in spans], "there is no room")  # type: ignore[arg-type]
    assert pipeline.dropped == 2
    assert pipeline.export(spans[:1], 30, is_live=False)  # type: ignore[arg-type]
    assert pipeline.dropped == 1
    exporter.shutdown()
    assert messages(caplog) == [
        "spandag: 2 spans were lost: there is no room (said once; the program goes on)"
    ]
    with connected(store_url) as connection:
        [meta] = connection.execute(select(schema.writers.c.meta)).scalars()
    assert meta == {"dropped_spans": 1, "closed": True}


def test_a_batch_that_the_store_refuses_holds_up_no_other(
    store_url: str,
    start: Callable[[str], Program],
    spool_of: Callable[[str], Spool],
    caplog: pytest.LogCaptureFixture,
) -> None:
    from spandag.store.rows import Batch, LinkRow

    bad = Batch(span_links=[LinkRow("r", "n", "no number", None, None, None, None)], run_ids={"r"})  # type: ignore[arg-type]
    spool_of(store_url).put(bad, 7)
    program = start(store_url)
    program.work()
    program.wait_until_all_is_stored()
    until = time.monotonic() + BACK_S
    while not spool_of(store_url).waiting().bad and time.monotonic() < until:
        program.work(1)
        time.sleep(0.2)
    waiting = spool_of(store_url).waiting()
    assert (waiting.batches, waiting.bad) == (0, 1)
    program.wait_until_all_is_stored()
    assert any("is set aside" in message for message in messages(caplog))
