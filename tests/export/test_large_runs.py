"""A run that takes long to derive keeps nobody from storing what ends meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import set_span_in_context
from spandag_test_databases import connected
from sqlalchemy import func, select

from spandag import semconv
from spandag.export import SpandagSpanExporter, live
from spandag.export.project import project
from spandag.store import RunRows, Writer, schema, settling
from spandag.store.derive import Derived
from spandag.store.settling import LARGE

LONG_S = 60


class Thought:
    """Deriving a large run, which takes until the test lets it go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has_begun = threading.Event()
        self.may_end = threading.Event()
        self.threads: list[str] = []
        self._derive = settling.derive
        monkeypatch.setattr(settling, "derive", self)

    def __call__(self, rows: RunRows) -> Derived:
        if len(rows.nodes) > LARGE:
            self.threads.append(threading.current_thread().name)
            self.has_begun.set()
            assert self.may_end.wait(LONG_S)
        return self._derive(rows)


@pytest.fixture
def thought(monkeypatch: pytest.MonkeyPatch) -> Iterator[Thought]:
    thought = Thought(monkeypatch)
    yield thought
    thought.may_end.set()


def provider_to(url: str) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    exporter = SpandagSpanExporter(url)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    live.join(provider, exporter)
    return provider


@pytest.fixture
def provider(store_url: str) -> Iterator[TracerProvider]:
    provider = provider_to(store_url)
    yield provider
    provider.shutdown()


def record(provider: TracerProvider, name: str, steps: int, *, ends: bool = True) -> Span:
    tracer = provider.get_tracer("spandag.x")
    attributes = {semconv.SPANDAG_NODE_TYPE: "run", semconv.GEN_AI_WORKFLOW_NAME: name}
    run = tracer.start_span(f"invoke_workflow {name}", attributes=attributes)
    for number in range(steps):
        tracer.start_span(f"step {number}", context=set_span_in_context(run)).end()
    if ends:
        run.end()
    assert isinstance(run, Span)
    return run


def settled(url: str) -> dict[str | None, bool]:
    """The runs by name, and whether what follows from their facts is stored."""
    runs = schema.workflow_runs
    with connected(url) as connection:
        found = connection.execute(select(runs.c.name, runs.c.facts_version == runs.c.derived_version))
        return {name: bool(is_settled) for name, is_settled in found}


def wait_until_settled(url: str, name: str) -> None:
    until = time.monotonic() + LONG_S
    while not settled(url).get(name) and time.monotonic() < until:
        time.sleep(0.02)
    assert settled(url)[name]


def test_what_ends_while_a_large_run_is_derived_is_stored_and_derived(
    provider: TracerProvider, store_url: str, thought: Thought
) -> None:
    record(provider, "large", LARGE)
    assert thought.has_begun.wait(LONG_S)
    record(provider, "small", 3)
    assert provider.force_flush()
    assert settled(store_url) == {"large": False, "small": True}
    thought.may_end.set()
    wait_until_settled(store_url, "large")
    assert thought.threads == ["spandag-large-runs"]


def test_a_process_is_seen_to_be_alive_while_a_large_run_is_derived(
    provider: TracerProvider, store_url: str, thought: Thought
) -> None:
    open_run = record(provider, "open", 1, ends=False)
    record(provider, "large", LARGE)
    assert thought.has_begun.wait(LONG_S)

    def last_beat() -> int:
        with connected(store_url) as connection:
            return connection.execute(select(func.max(schema.writers.c.heartbeat_at))).scalar_one()

    first, until = last_beat(), time.monotonic() + LONG_S
    while last_beat() == first and time.monotonic() < until:
        time.sleep(0.1)
    assert last_beat() > first
    thought.may_end.set()
    open_run.end()


def test_a_run_that_goes_on_is_derived_however_large_it_is(provider: TracerProvider, store_url: str) -> None:
    run = record(provider, "large", LARGE, ends=False)
    assert provider.force_flush()
    wait_until_settled(store_url, "large")
    run.end()


def test_the_end_of_a_program_waits_for_a_large_run(
    provider: TracerProvider, store_url: str, thought: Thought
) -> None:
    record(provider, "large", LARGE)
    assert thought.has_begun.wait(LONG_S)
    threading.Timer(0.3, thought.may_end.set).start()
    provider.shutdown()
    assert settled(store_url) == {"large": True}


def test_the_end_of_a_program_without_a_shutdown_waits_for_it_as_well(
    provider: TracerProvider, store_url: str, thought: Thought
) -> None:
    record(provider, "large", LARGE)
    assert thought.has_begun.wait(LONG_S)
    threading.Timer(0.3, thought.may_end.set).start()
    [exporter] = SpandagSpanExporter.writing_to(store_url)
    exporter._opened().finish(LONG_S)
    assert settled(store_url) == {"large": True}


def test_the_end_of_a_program_does_not_wait_for_a_large_run_of_another_one(
    new_store_url: Callable[[], str], thought: Thought
) -> None:
    url = new_store_url()
    elsewhere = TracerProvider(shutdown_on_exit=False)
    recorder = InMemorySpanExporter()
    elsewhere.add_span_processor(SimpleSpanProcessor(recorder))
    record(elsewhere, "theirs", LARGE)
    killed = Writer(url)
    killed.write(project(recorder.get_finished_spans()), derive=False)
    provider = provider_to(url)
    record(provider, "ours", 1)
    assert provider.force_flush()
    assert thought.has_begun.wait(LONG_S)
    provider.shutdown()
    assert not thought.may_end.is_set()
    assert settled(url) == {None: False, "ours": True}


def test_the_writer_rests_while_a_large_run_is_derived(
    provider: TracerProvider, store_url: str, thought: Thought
) -> None:
    record(provider, "large", LARGE)
    assert thought.has_begun.wait(LONG_S)
    assert provider.force_flush()
    [exporter] = SpandagSpanExporter.writing_to(store_url)
    assert exporter._opened()._storing.next_s(has_open=False) > 0


def test_what_comes_while_a_large_run_is_derived_is_derived_by_the_end(
    provider: TracerProvider, store_url: str, thought: Thought
) -> None:
    run = record(provider, "large", LARGE)
    assert thought.has_begun.wait(LONG_S)
    late = provider.get_tracer("spandag.x").start_span("late", context=set_span_in_context(run))
    late.end()
    assert provider.force_flush()
    thought.may_end.set()
    provider.shutdown()
    assert settled(store_url) == {"large": True}


def test_where_no_thread_can_be_started_a_large_run_is_derived_at_the_end(
    provider: TracerProvider, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def no_more(thread: threading.Thread) -> None:
        if thread.name == "spandag-large-runs":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", no_more)
    record(provider, "large", LARGE)
    assert provider.force_flush()
    assert settled(store_url) == {"large": False}
    provider.shutdown()
    assert settled(store_url) == {"large": True}
