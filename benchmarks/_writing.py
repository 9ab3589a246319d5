"""The exporter beside the bare driver: the same rows into the same tables."""

from __future__ import annotations

import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

from _databases import NewUrl
from _report import Report, pairs
from _spans import BATCH, Run, in_batches
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from sqlalchemy import text

from spandag.export import SpandagSpanExporter
from spandag.export.project import project
from spandag.store import Writer
from spandag.store.statements import FACT_TABLES, Statements
from spandag.store.writer import open_for_writing

AT_LEAST = {"sqlite": 0.5, "postgresql": 0.6}

Rows = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Round:
    """One side of a round.

    Attributes:
        batches: Seconds of each batch.
        cpu: Seconds of this process, its threads included.
        derived: Whether a derivation fell into it, so that it is not of writing alone.
    """

    batches: list[float]
    cpu: float
    derived: bool = False


def write(report: Report, kind: str, new_url: NewUrl, options: Namespace) -> None:
    """The exporter beside the driver's own upserts of the same rows, a transaction for each batch."""
    # Both sides write one batch first: connections, prepared statements, and the derivation that
    # the first rows of a run ask for.
    warm, *batches = in_batches(Run().spans(BATCH + options.spans))
    warm_rows, *finished = [_finished_rows(batch) for batch in (warm, *batches)]
    nodes = sum(len(rows["dag_nodes"]) for rows in (warm_rows, *finished))
    rows = sum(len(some) for batch in finished for some in batch.values())

    def bare() -> Round:
        url = _created(new_url)
        database = open_for_writing(url)
        statements = Statements.of(database.engine.dialect).facts
        connection = database.engine.raw_connection()
        cursor = connection.cursor()

        def upsert(batch: Rows) -> None:
            if kind == "sqlite":
                cursor.execute("BEGIN IMMEDIATE")
            for table, some in batch.items():
                cursor.executemany(statements[table], some)
            connection.commit()

        try:
            upsert(warm_rows)
            taken = _timed([partial(upsert, batch) for batch in finished])
        finally:
            connection.close()
            database.engine.dispose()
        _require(url, nodes)
        return taken

    def exporter() -> Round:
        url = _created(new_url)
        exporter = SpandagSpanExporter(url=url)

        def export(batch: list[ReadableSpan]) -> None:
            if exporter.export(batch) is not SpanExportResult.SUCCESS:
                raise RuntimeError("the exporter lost spans")

        try:
            export(warm)
            before = _derived_version(url)
            taken = _timed([partial(export, batch) for batch in batches])
            # Before the shutdown, which derives and brings whatever still waits: SUCCESS may also
            # mean that a batch is on disk.
            _require(url, nodes)
            return Round(taken.batches, taken.cpu, _derived_version(url) != before)
        finally:
            exporter.shutdown()

    measured = list(zip(*pairs(bare, exporter, 2 * options.rounds), strict=True))
    clean = [pair for pair in measured if not pair[1].derived]
    if len(clean) < len(measured):
        sys.stdout.write(f"{kind}: {len(measured) - len(clean)} rounds do not count, they derived\n")
    if not clean:
        raise RuntimeError("every round took so long that it derived; the machine is too busy")
    _tell(report, kind, clean, options.spans, rows)


def _tell(report: Report, kind: str, measured: list[tuple[Round, Round]], spans: int, rows: int) -> None:
    # A batch of either side now and then waits 200 ms for a timer of the network, idle, or for
    # others on the machine. A side with one more of these would win or lose by them alone.
    usual = [(statistics.median(base.batches), statistics.median(ours.batches)) for base, ours in measured]
    # Of full batches, as all are.
    batches = len(measured[0][0].batches)
    base_s, ours_s = (batches * statistics.median(pair[side] for pair in usual) for side in (0, 1))
    report.add(
        f"{kind}: exporter, its median batch",
        [base / ours for base, ours in usual],
        "of the bare driver's speed",
        at_least=AT_LEAST[kind],
        beside=f"{spans / ours_s:,.0f}/s spans, {rows / ours_s:,.0f}/s rows; bare {rows / base_s:,.0f}/s rows",
    )
    report.add(
        f"{kind}: exporter, whole rounds",
        [sum(base.batches) / sum(ours.batches) for base, ours in measured],
        "of the bare driver's speed",
        beside=f"batches over three times the median: {_stalled(base for base, _ in measured)} bare, "
        f"{_stalled(ours for _, ours in measured)} ours, of {batches * len(measured)} each",
    )
    base_cpu, ours_cpu = (statistics.median(pair[side].cpu for pair in measured) for side in (0, 1))
    report.add(
        f"{kind}: exporter, processor time of the client",
        [ours.cpu / base.cpu for base, ours in measured],
        "× the bare driver's",
        beside=f"{ours_cpu / spans * 1e6:.1f} µs a span beside {base_cpu / spans * 1e6:.1f} µs",
    )


def _stalled(rounds: Any) -> int:
    return sum(taken > 3 * statistics.median(each.batches) for each in rounds for taken in each.batches)


def _timed(work: list[Callable[[], None]]) -> Round:
    taken = []
    cpu = time.process_time()
    for each in work:
        start = time.perf_counter()
        each()
        taken.append(time.perf_counter() - start)
    return Round(taken, time.process_time() - cpu)


def _created(new_url: NewUrl) -> str:
    """A new store with its tables, made by a connection that neither side goes on with."""
    url = new_url()
    writer = Writer(url)
    writer.settle()
    writer.close()
    return url


def _require(url: str, nodes: int) -> None:
    """Nothing was measured unless all of it is there."""
    found = _scalar(url, "SELECT count(*) FROM dag_nodes")
    if found != nodes:
        raise RuntimeError(f"{found} of {nodes} nodes are in the store")


def _derived_version(url: str) -> int:
    return _scalar(url, "SELECT coalesce(max(derived_version), 0) FROM workflow_runs")


def _scalar(url: str, query: str) -> int:
    database = open_for_writing(url)
    try:
        with database.engine.connect() as connection:
            return int(connection.execute(text(query)).scalar_one())
    finally:
        database.engine.dispose()


def _finished_rows(batch: list[ReadableSpan]) -> Rows:
    """The rows of a batch as they go into the tables, in the writer's order."""
    rows = project(batch)
    result = {}
    for table in FACT_TABLES:
        some = getattr(rows, table.name)
        some = list(some.values() if isinstance(some, dict) else some)
        if some:
            result[table.name] = sorted(some, key=itemgetter(0, 1))
    return result
