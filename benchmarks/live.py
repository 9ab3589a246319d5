"""What recording costs the program, and how soon a span is in the store.

``make bench-live``, or with options::

    python benchmarks/live.py --quick --database sqlite
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable

from _databases import NewUrl, databases
from _report import Report, versions
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer, set_span_in_context
from sqlalchemy import NullPool, create_engine, make_url, text

from spandag import semconv
from spandag.export import SpandagSpanExporter, live

_ATTRIBUTES = {
    semconv.SPANDAG_NODE_TYPE: "tool",
    semconv.GEN_AI_OPERATION_NAME: "execute_tool",
    semconv.GEN_AI_TOOL_NAME: "read_csv",
    semconv.GEN_AI_AGENT_NAME: "engineer",
    semconv.GEN_AI_TOOL_CALL_ID: "call_187afca770f7da80",
}


class Recorded:
    """A provider with our exporter and the live view, as `spandag.init` sets them up."""

    def __init__(self, url: str) -> None:
        self.provider = TracerProvider(shutdown_on_exit=False)
        exporter = SpandagSpanExporter(url)
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        live.join(self.provider, exporter)
        self.tracer = self.provider.get_tracer("spandag.benchmark")
        spans(self.tracer, 10)
        self.provider.force_flush()


def spans(tracer: Tracer, count: int, context: Context | None = None) -> float:
    """Microseconds that each of so many spans takes the thread that makes it."""
    start = time.perf_counter()
    for _ in range(count):
        tracer.start_span("execute_tool read_csv", context=context, attributes=_ATTRIBUTES).end()
    return (time.perf_counter() - start) / count * 1e6


def on_the_callers_thread(report: Report, kind: str, url: str, rounds: int) -> None:
    """A span of the bare SDK and one of ours, in turn."""
    bare = TracerProvider(shutdown_on_exit=False).get_tracer("spandag.benchmark")
    recorded = Recorded(url)
    alone, ours = [], []
    run = recorded.tracer.start_span("invoke_workflow r", attributes={semconv.SPANDAG_NODE_TYPE: "run"})
    for _ in range(rounds):
        alone.append(spans(bare, 500, set_span_in_context(run)))
        ours.append(spans(recorded.tracer, 500, set_span_in_context(run)))
        # As in a program that waits for models: the other threads have had their time.
        recorded.provider.force_flush()
    recorded.provider.shutdown()
    report.add(
        f"{kind}: a span takes its thread, beyond the bare SDK",
        [one - other for one, other in zip(ours, alone, strict=True)],
        "µs",
        at_most=25,
        beside=f"{statistics.median(ours):.1f} µs beside {statistics.median(alone):.1f} µs",
    )


def share_of_a_core(report: Report, kind: str, url: str, seconds: float) -> None:
    """Processor time of a thousand spans a second, beyond that of the bare SDK."""

    def used(tracer: Tracer, flush: Callable[[], object]) -> float:
        # As the steps of an agent, all of one run.
        run = tracer.start_span("invoke_workflow r", attributes={semconv.SPANDAG_NODE_TYPE: "run"})
        within = set_span_in_context(run)
        cpu = time.process_time()
        began = time.perf_counter()
        for number in range(int(seconds * 100)):
            spans(tracer, 10, within)
            time.sleep(max(0.0, began + (number + 1) / 100 - time.perf_counter()))
        run.end()
        flush()
        return (time.process_time() - cpu) / (time.perf_counter() - began)

    bare = TracerProvider(shutdown_on_exit=False)
    recorded = Recorded(url)
    alone = used(bare.get_tracer("spandag.benchmark"), lambda: None)
    ours = used(recorded.tracer, recorded.provider.force_flush)
    recorded.provider.shutdown()
    report.add(
        f"{kind}: share of a core at 1,000 spans a second, beyond the SDK",
        [100 * (ours - alone)],
        "%",
        beside=f"{100 * ours:.1f} % beside {100 * alone:.1f} %",
    )


def until_it_is_stored(report: Report, kind: str, url: str, seconds: float) -> None:
    """From the end of a span to the moment at which another connection sees it."""
    recorded = Recorded(url)
    ended: dict[str, float] = {}
    seen: dict[str, float] = {}
    done = threading.Event()

    def look() -> None:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        engine = create_engine(parsed, poolclass=NullPool)
        with engine.connect() as connection:
            while not done.is_set():
                found = connection.execute(text("SELECT id FROM dag_nodes WHERE ended_at IS NOT NULL"))
                ids, now = set(found.scalars()), time.perf_counter()
                connection.rollback()
                for span_id in ids - seen.keys():
                    seen[span_id] = now
                time.sleep(0.005)

    watching = threading.Thread(target=look)
    watching.start()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        span = recorded.tracer.start_span("execute_tool read_csv", attributes=_ATTRIBUTES)
        time.sleep(0.01)
        span.end()
        ended[f"{span.get_span_context().span_id:016x}"] = time.perf_counter()
    time.sleep(2)
    done.set()
    watching.join()
    recorded.provider.shutdown()
    waits = sorted(1000 * (seen[span_id] - at) for span_id, at in ended.items() if span_id in seen)
    assert len(waits) == len(ended)
    report.add(f"{kind}: from a span's end to its row, median", [statistics.median(waits)], "ms")
    report.add(
        f"{kind}: from a span's end to its row, 99th percentile",
        [waits[int(len(waits) * 0.99)]],
        "ms",
        at_most=1000,
        beside=f"{len(waits):,} spans",
    )


def measure(report: Report, kind: str, new_url: NewUrl, *, quick: bool) -> None:
    """All of it, on one database."""
    on_the_callers_thread(report, kind, new_url(), 5 if quick else 40)
    share_of_a_core(report, kind, new_url(), 2 if quick else 20)
    until_it_is_stored(report, kind, new_url(), 3 if quick else 20)


def main() -> None:
    """Measure what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="shorter, to see that the script works")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], help="one of them; both by default")
    options = parser.parse_args()
    report = Report("live", versions())
    kinds = [options.database] if options.database else ["sqlite", "postgresql"]
    with databases(kinds) as urls, tempfile.TemporaryDirectory() as folder:
        os.environ["OTEL_EXPORTER_SPANDAG_SPOOL"] = folder
        for kind, new_url in urls.items():
            measure(report, kind, new_url, quick=options.quick)
    if not options.quick and options.database is None:
        report.write()


if __name__ == "__main__":
    main()
