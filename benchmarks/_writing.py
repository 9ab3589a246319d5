"""The exporter beside the bare driver: the same rows into the same tables."""

from __future__ import annotations

import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import Any

from _databases import NewUrl
from _report import Report
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


@dataclass(slots=True)
class Side:
    """What one side of a round took.

    Attributes:
        batches: Seconds of each batch.
        cpu: Seconds of this process, its threads included.
    """

    batches: list[float] = field(default_factory=list)
    cpu: float = 0.0

    def add(self, work: Callable[[], None]) -> None:
        """Do something and note what it took."""
        cpu, start = time.process_time(), time.perf_counter()
        work()
        self.batches.append(time.perf_counter() - start)
        self.cpu += time.process_time() - cpu


def write(report: Report, kind: str, new_url: NewUrl, options: Namespace) -> None:
    """The exporter beside the driver's own upserts of the same rows, a transaction for each batch."""
    # Both sides write one batch first: connections, prepared statements, and the derivation that
    # the first rows of a run ask for.
    spans = in_batches(Run().spans(BATCH + options.spans))
    finished = [_finished_rows(batch) for batch in spans]
    nodes = sum(len(rows["dag_nodes"]) for rows in finished)

    def one_round(bare_first: bool) -> tuple[Side, Side, bool]:
        bare_url, our_url = _created(new_url), _created(new_url)
        base, ours = Side(), Side()
        with _driver(bare_url, kind) as upsert, _exporter(our_url) as export:
            upsert(finished[0])
            export(spans[0])
            before = _derived_version(our_url)
            # Batch by batch: what else the machine does changes within a second.
            for number in range(1, len(spans)):
                sides = [(base, partial(upsert, finished[number])), (ours, partial(export, spans[number]))]
                for side, work in sides if bare_first == bool(number % 2) else reversed(sides):
                    side.add(work)
            # Before the shutdown, which derives and brings whatever still waits: SUCCESS may also
            # mean that a batch is on disk.
            for url in (bare_url, our_url):
                _require(url, nodes)
            return base, ours, _derived_version(our_url) != before

    one_round(True)
    measured = [one_round(number % 2 == 0) for number in range(3 * options.rounds)]
    clean = [(base, ours) for base, ours, derived in measured if not derived]
    if len(clean) < len(measured):
        sys.stdout.write(f"{kind}: {len(measured) - len(clean)} rounds do not count, they derived\n")
    if not clean:
        raise RuntimeError("every round took so long that it derived; the machine is too busy")
    rows = sum(len(some) for batch in finished[1:] for some in batch.values())
    _tell(report, kind, clean, options.spans, rows)


@contextmanager
def _driver(url: str, kind: str) -> Iterator[Callable[[Rows], None]]:
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
        yield upsert
    finally:
        connection.close()
        database.engine.dispose()


@contextmanager
def _exporter(url: str) -> Iterator[Callable[[list[ReadableSpan]], None]]:
    exporter = SpandagSpanExporter(url=url)

    def export(batch: list[ReadableSpan]) -> None:
        if exporter.export(batch) is not SpanExportResult.SUCCESS:
            raise RuntimeError("the exporter lost spans")

    try:
        yield export
    finally:
        exporter.shutdown()


def _tell(report: Report, kind: str, measured: list[tuple[Side, Side]], spans: int, rows: int) -> None:
    # On PostgreSQL a batch of either side now and then waits 200 ms for a timer of the network, idle. A
    # side with one more of these would win or lose by them alone, so its target is for the usual batch.
    # What SQLite now and then does beside, which is to move the log into the file, is a part of writing.
    of_whole = kind == "sqlite"
    usual = [(statistics.median(base.batches), statistics.median(ours.batches)) for base, ours in measured]
    ratios = [base / ours for base, ours in usual]
    wholes = [sum(base.batches) / sum(ours.batches) for base, ours in measured]
    met = sum(ratio >= AT_LEAST[kind] for ratio in (wholes if of_whole else ratios))
    # All batches are full.
    batches = len(measured[0][0].batches)
    base_s, ours_s = (batches * statistics.median(pair[side] for pair in usual) for side in (0, 1))
    report.add(
        f"{kind}: exporter, its median batch",
        ratios,
        "of the bare driver's speed",
        at_least=None if of_whole else AT_LEAST[kind],
        beside=("" if of_whole else f"in {met} of {len(ratios)} rounds; ")
        + f"{spans / ours_s:,.0f}/s spans, {rows / ours_s:,.0f}/s rows; bare {rows / base_s:,.0f}/s rows",
    )
    report.add(
        f"{kind}: exporter, whole rounds",
        wholes,
        "of the bare driver's speed",
        at_least=AT_LEAST[kind] if of_whole else None,
        beside=(f"in {met} of {len(wholes)} rounds; " if of_whole else "")
        + f"batches over three times the median: {_stalled([base for base, _ in measured])} bare, "
        f"{_stalled([ours for _, ours in measured])} ours, of {batches * len(measured)} each",
    )
    base_cpu, ours_cpu = (statistics.median(pair[side].cpu for pair in measured) for side in (0, 1))
    report.add(
        f"{kind}: exporter, processor time of the client",
        [ours.cpu / base.cpu for base, ours in measured],
        "× the bare driver's",
        beside=f"{ours_cpu / spans * 1e6:.1f} µs a span beside {base_cpu / spans * 1e6:.1f} µs",
    )


def _stalled(sides: list[Side]) -> int:
    return sum(taken > 3 * statistics.median(side.batches) for side in sides for taken in side.batches)


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
