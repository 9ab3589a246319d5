"""How fast the store is written and read, each beside the bare driver in the same run.

``make bench-store``, or with options::

    python benchmarks/store.py --quick --database sqlite --only write
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from _databases import NewUrl, databases
from _million import Million
from _report import Report, pairs, seconds, versions
from _spans import Run, in_batches, loop
from _writing import write
from opentelemetry.sdk.trace import ReadableSpan
from sqlalchemy import text

from spandag import query
from spandag.export.project import project
from spandag.query.tree import siblings_in_order
from spandag.store import TreeRows, Writer, open_store
from spandag.store.connect import Database
from spandag.store.derive import derive
from spandag.store.facts import read_header, read_nodes, read_run
from spandag.store.records import TREE_COLUMNS
from spandag.store.writer import open_for_writing


def projection(report: Report, options: argparse.Namespace) -> None:
    """Spans to rows, beside one copy of each span's attributes."""
    spans = Run().spans(options.spans)
    batches = in_batches(spans)
    copies, projections = pairs(
        lambda: seconds(lambda: [dict(span.attributes or {}) for span in spans]),
        lambda: seconds(lambda: [project(batch) for batch in batches]),
        options.rounds,
    )
    report.add(
        "projection of a span",
        [ours / base for base, ours in zip(copies, projections, strict=True)],
        "× copying its attributes",
        beside=f"{_micro(projections, len(spans))} beside {_micro(copies, len(spans))}",
    )


def content(report: Report, kind: str, new_url: NewUrl, options: argparse.Namespace) -> None:
    """What the messages of a loop take, beside storing those of each call whole."""
    silent = list(loop(50, 500, content=False))
    telling = list(loop(50, 500, content=True))

    def size(spans: list[ReadableSpan], whole: Sequence[tuple[Any, ...]] = ()) -> int:
        writer = Writer(url := new_url())
        writer.write(project(spans))
        writer.close()
        database = open_for_writing(url)
        try:
            with database.engine.connect() as connection:
                if whole:
                    connection.execute(
                        text("CREATE TABLE whole (node_id TEXT, direction TEXT, content TEXT)")
                    )
                    connection.connection.cursor().executemany(
                        f"INSERT INTO whole VALUES ({', '.join([_mark(kind)] * 3)})", whole
                    )
                connection.commit()
            return _bytes(database, kind)
        finally:
            database.engine.dispose()

    said = [
        (f"{span.context.span_id:016x}", name, value)
        for span in telling
        for name, value in (span.attributes or {}).items()
        if name.endswith(".messages")
    ]
    nothing = size(silent)
    ours, whole = size(telling) - nothing, size(silent, said) - nothing
    report.add(
        f"{kind}: messages of a 50-call loop",
        [ours / whole],
        "of storing them whole",
        at_most=0.25,
        beside=f"{ours:,} bytes beside {whole:,}",
    )


def trees(report: Report, kind: str, new_url: NewUrl, options: argparse.Namespace) -> None:
    """Runs out of a million nodes: as trees, by the recursive views, and derived anew."""
    million = Million(new_url(), kind, options.nodes, options.sizes)
    with open_store(million.url) as store, million.connected() as connection:
        for size, run_id in million.runs.items():
            select = f"SELECT {', '.join(TREE_COLUMNS)} FROM dag_nodes WHERE run_id = {_mark(kind)}"

            def bare(select: str = select, run_id: str = run_id) -> float:
                return seconds(lambda: connection.execute(select, (run_id,)).fetchall())

            def in_place(run_id: str = run_id) -> float:
                with store.connection() as reading:
                    run = read_header(reading, run_id)
                    assert run is not None
                    return seconds(
                        lambda: siblings_in_order(TreeRows(run=run, nodes=read_nodes(reading, run_id)))
                    )

            def tree(run_id: str = run_id) -> float:
                return seconds(lambda: query.tree(store, run_id))

            def view(name: str, run_id: str = run_id) -> float:
                statement = f"SELECT * FROM {name} WHERE run_id = {_mark(kind)}"
                return seconds(lambda: connection.execute(statement, (run_id,)).fetchall())

            rounds = max(3, options.rounds if size > 10_000 else 3 * options.rounds)
            # The question itself is what has a target; the rows in their places are a part of it, and
            # show what reading costs before nodes are made.
            for what, ours, at_most in (
                ("query.tree", tree, 2),
                ("rows of nodes in their places", in_place, None),
            ):
                selects, found = pairs(bare, ours, rounds)
                report.add(
                    f"{kind}: {size:,} of {million.nodes:,} nodes, {what}",
                    [taken / base for base, taken in zip(selects, found, strict=True)],
                    "× the indexed select",
                    at_most=at_most,
                    beside=f"{_milli(found)} beside {_milli(selects)}",
                )
            if size == options.sizes[1]:
                for name in ("v_run_tree", "v_active_path"):
                    taken = [1000 * view(name) for _ in range(options.rounds)]
                    target = 500 if name == "v_run_tree" else None
                    report.add(f"{kind}: {name} of {size:,} nodes", taken, "ms", at_most=target)
            if size > options.sizes[0]:
                derivation(report, kind, million, size, bare)


def derivation(report: Report, kind: str, million: Million, size: int, bare: Callable[[], float]) -> None:
    """What follows from a run's facts: the function by itself, and with reading and writing what changed."""
    run_id = million.runs[size]
    with open_store(million.url) as store, store.connection() as connection:
        rows = read_run(connection, run_id)
    assert rows is not None
    selects, pure = pairs(bare, lambda: seconds(lambda: derive(rows)), 3)
    report.add(
        f"{kind}: derivation of {size:,} nodes",
        [ours / base for base, ours in zip(selects, pure, strict=True)],
        "× the indexed select",
        beside=f"{_milli(pure)} beside {_milli(selects)}",
    )
    writer = Writer(million.url)
    writer.settle()
    for what, prepare in (("all of it new", million.forget), ("nothing changed", million.touch)):
        prepare(run_id)
        taken = seconds(lambda: writer.settle(run_id))
        report.add(
            f"{kind}: {size:,} nodes settled, {what}",
            [taken / statistics.median(selects)],
            "× the indexed select",
            beside=f"{1000 * taken:,.0f} ms",
        )
    writer.close()


def _bytes(database: Database, kind: str) -> int:
    with database.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        if kind == "sqlite":
            driver.execute("VACUUM")
            [[pages]], [[page]] = (
                driver.execute(f"PRAGMA page_{what}").fetchall() for what in ("count", "size")
            )
            return int(pages * page)
        return int(
            connection.execute(
                text(
                    "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
                    "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
                )
            ).scalar_one()
        )


def _mark(kind: str) -> str:
    return "?" if kind == "sqlite" else "%s"


def _micro(taken: list[float], count: int) -> str:
    return f"{statistics.median(taken) / count * 1e6:.1f} µs"


def _milli(taken: list[float]) -> str:
    return f"{statistics.median(taken) * 1000:,.1f} ms"


def main() -> None:
    """Measure what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, to see that the script works")
    parser.add_argument("--only", choices=["projection", "write", "content", "trees"], help="one part of it")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], help="one of them; both by default")
    options = parser.parse_args()
    quick, wanted = options.quick, options.only
    options.rounds = 2 if quick else 7
    options.spans = 2_048 if quick else 3_072
    options.nodes = 20_000 if quick else 1_000_000
    options.sizes = (100, 1_000, 5_000) if quick else (1_000, 10_000, 100_000)
    report = Report("store", versions())
    if wanted in (None, "projection"):
        projection(report, options)
    kinds = [options.database] if options.database else ["sqlite", "postgresql"]
    with databases(kinds, report.versions) as urls, tempfile.TemporaryDirectory() as spool:
        # Not in the user's own folder, should a store be unable to take something at once.
        os.environ["OTEL_EXPORTER_SPANDAG_SPOOL"] = spool
        for kind, new_url in urls.items():
            for name, measure in (("write", write), ("content", content), ("trees", trees)):
                if wanted in (None, name):
                    measure(report, kind, new_url, options)
    # A part of it must not take the place of the whole.
    if not quick and wanted is None and options.database is None:
        report.write()


if __name__ == "__main__":
    main()
