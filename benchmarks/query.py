"""How fast questions are answered out of a million nodes, beside the bare indexed select in the same run.

``make bench-query``, or with options::

    python benchmarks/query.py --quick --database sqlite
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable

from _databases import NewUrl, databases
from _million import Million
from _report import Report, pairs, seconds, versions

from spandag import query
from spandag.store import Store, open_store
from spandag.store.records import TREE_COLUMNS

_AGENT = "engineer"
"""Of the benchmarks' runs."""


def questions(report: Report, kind: str, new_url: NewUrl, options: argparse.Namespace) -> None:
    """One run asked about out of a million nodes, each question beside the select of the run's nodes."""
    # Each size four times, almost: what is compared are two runs, with content and without.
    small, large = options.sizes
    telling = [size + more for size in options.sizes for more in (0, 1)]
    silent = [size + more for size in options.sizes for more in (2, 3)]
    million = Million(new_url(), kind, options.nodes, [*telling, *silent], telling=telling)
    mark = "?" if kind == "sqlite" else "%s"
    select = f"SELECT {', '.join(TREE_COLUMNS)} FROM dag_nodes WHERE run_id = {mark}"
    with open_store(million.url) as store, million.connected() as connection:
        for size, at_most in ((small, 50), (large, 300)):
            run = million.runs[size]
            asked = _asked(store, *(million.runs[size + more] for more in range(4)))
            for name, question in asked.items():

                def bare(run: str = run) -> float:
                    return seconds(lambda: connection.execute(select, (run,)).fetchall())

                def ours(question: Callable[[], object] = question) -> float:
                    return seconds(question)

                selects, taken = pairs(bare, ours, options.rounds)
                ratio = statistics.median(taken) / statistics.median(selects)
                report.add(
                    f"{kind}: {name}, of {size:,} of {million.nodes:,} nodes",
                    [1000 * each for each in taken],
                    "ms",
                    at_most=at_most,
                    beside=f"{ratio:.1f} × the indexed select",
                )


def _asked(store: Store, run: str, other: str, silent: str, another: str) -> dict[str, Callable[[], object]]:
    redo = query.redos(store, run)[0]
    if redo.after is None:
        raise RuntimeError("a redo is not stored; nothing was measured")
    attempts = f"{run}/{redo.source_node_id}", f"{run}/{redo.after.node_id}"
    return {
        "tree": lambda: query.tree(store, run),
        "active path": lambda: query.path(store, run),
        "attempts": lambda: query.attempts(store, f"{run}/{redo.source_node_id}"),
        "waste": lambda: query.waste(store, run),
        "diff, two attempts": lambda: query.diff(store, *attempts),
        "diff, two runs without content": lambda: query.diff(store, silent, another),
        "diff, two runs with content": lambda: query.diff(store, run, other),
    }


def trajectories(report: Report, kind: str, new_url: NewUrl, options: argparse.Namespace) -> None:
    """An agent's last turns out of many runs, beside the select of one run's nodes."""
    # Of six to 48 nodes; three templates, copied in turn.
    many = Million(new_url(), kind, options.runs * 22, (24,))
    mark = "?" if kind == "sqlite" else "%s"
    select = f"SELECT {', '.join(TREE_COLUMNS)} FROM dag_nodes WHERE run_id = {mark}"
    [run] = many.runs.values()
    with open_store(many.url) as store, many.connected() as connection:
        [[runs]] = connection.execute("SELECT count(*) FROM workflow_runs").fetchall()
        found = query.recent_trajectories(store, _AGENT)
        if len(found) != 5:
            raise RuntimeError(f"{len(found)} trajectories were found; nothing was measured")
        selects, taken = pairs(
            lambda: seconds(lambda: connection.execute(select, (run,)).fetchall()),
            lambda: seconds(lambda: query.recent_trajectories(store, _AGENT)),
            options.rounds,
        )
        report.add(
            f"{kind}: five trajectories out of {runs:,} runs",
            [1000 * each for each in taken],
            "ms",
            at_most=20,
            beside=f"{statistics.median(taken) / statistics.median(selects):.1f} × the select of one run of 24 nodes",
        )


def start_up(report: Report, url: str, folder: str, options: argparse.Namespace) -> None:
    """How long commands take from the shell, beside a Python that does nothing."""
    # Compiled once, as what is installed is.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ["PYTHONPYCACHEPREFIX"] = folder

    def run(*arguments: str) -> float:
        return seconds(
            lambda: subprocess.run(
                [sys.executable, *arguments], check=True, capture_output=True, timeout=60, env=environ
            )
        )

    for name, arguments in (("--version", ["--version"]), ("runs", ["runs", "--store", url])):
        run("-m", "spandag", *arguments)
        nothing, ours = pairs(
            lambda: run("-c", "pass"),
            lambda arguments=arguments: run("-m", "spandag", *arguments),  # type: ignore[misc]
            options.rounds,
        )
        report.add(
            f"spandag {name}",
            [taken / base for base, taken in zip(nothing, ours, strict=True)],
            "× python -c pass",
            beside=f"{1000 * statistics.median(ours):,.0f} ms beside {1000 * statistics.median(nothing):,.0f} ms",
        )


def main() -> None:
    """Measure what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, to see that the script works")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], help="one of them; both by default")
    options = parser.parse_args()
    quick = options.quick
    options.rounds = 3 if quick else 15
    options.nodes = 20_000 if quick else 1_000_000
    options.runs = 300 if quick else 10_000
    options.sizes = (200, 2_000) if quick else (1_000, 10_000)
    report = Report("query", versions())
    kinds = [options.database] if options.database else ["sqlite", "postgresql"]
    with databases(kinds, report.versions) as urls, tempfile.TemporaryDirectory() as spool:
        # Not in the user's own folder, should a store be unable to take something at once.
        os.environ["OTEL_EXPORTER_SPANDAG_SPOOL"] = spool
        for kind, new_url in urls.items():
            questions(report, kind, new_url, options)
            trajectories(report, kind, new_url, options)
        if "sqlite" in urls:
            url = Million(urls["sqlite"](), "sqlite", 20_000, (1_000,)).url
            start_up(report, url, spool, options)
    # A part of it must not take the place of the whole.
    if not quick and options.database is None:
        report.write()


if __name__ == "__main__":
    main()
