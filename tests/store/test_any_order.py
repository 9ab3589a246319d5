"""Whatever way the spans of a run arrive, the tables are the same once the store has settled."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link
from sqlalchemy import select

from spandag import semconv
from spandag.export.project import project
from spandag.semconv import LinkType, NodeType
from spandag.store import Writer, open_store
from spandag.store.schema import workflow_runs

Tables = dict[str, list[dict[str, Any]]]
ReadTables = Callable[[str], Tables]
GOLDEN = Path(__file__).parent / "golden" / "two_redos.json"


def stored(url: str, batches: list[list[ReadableSpan]]) -> None:
    """Write batches, each by one of two writers in turn, and settle."""
    writers = [Writer(url), Writer(url)]
    for number, batch in enumerate(batches):
        writers[number % 2].write(project(batch))
    writers[0].settle()
    for writer in writers:
        writer.close()


@pytest.fixture
def whole(store_url: str, redone_run: list[ReadableSpan], read_tables: ReadTables) -> Tables:
    """The tables after the run came as one batch."""
    stored(store_url, [redone_run])
    return read_tables(store_url)


def test_rows_of_a_run_with_two_redos_are_as_written_down(whole: Tables) -> None:
    readable = json.loads(json.dumps(whole, default=bytes.hex))
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    for row in golden["dag_nodes"] + golden["execution_events"] + golden["span_links"]:
        # SQLite keeps JSON as text, PostgreSQL does not.
        row.update({name: json.loads(row[name]) for name in ("attributes", "meta") if row.get(name)})
    assert readable == golden


@pytest.mark.parametrize("seed", range(12))
def test_any_permutation_split_and_repetition_gives_identical_tables(
    seed: int,
    whole: Tables,
    new_store_url: Callable[[], str],
    redone_run: list[ReadableSpan],
    as_started: Callable[[ReadableSpan], ReadableSpan],
    read_tables: ReadTables,
) -> None:
    choose = random.Random(seed)
    # Some spans twice, and some also as they were when they started, before or after their end.
    spans = redone_run + choose.sample(redone_run, 6) + [as_started(s) for s in choose.sample(redone_run, 8)]
    choose.shuffle(spans)
    cuts = sorted(choose.sample(range(1, len(spans)), choose.randint(0, len(spans) - 2)))
    batches = [spans[a:b] for a, b in zip([0, *cuts], [*cuts, len(spans)], strict=True)]
    url = new_store_url()
    stored(url, batches)
    assert read_tables(url) == whole


def test_writers_in_threads_give_identical_tables(
    whole: Tables,
    new_store_url: Callable[[], str],
    redone_run: list[ReadableSpan],
    read_tables: ReadTables,
) -> None:
    url = new_store_url()
    shared = Writer(url)
    failures: list[BaseException] = []

    def write(writer: Writer, spans: list[ReadableSpan]) -> None:
        try:
            for span in spans:
                writer.write(project([span]))
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=write, args=(shared, redone_run[0::3])),
        threading.Thread(target=write, args=(shared, redone_run[1::3])),
        threading.Thread(target=write, args=(Writer(url), redone_run[2::3])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.settle()
    assert failures == []
    assert read_tables(url) == whole


def test_the_same_again_changes_not_even_a_counter(
    writer: Writer, store_url: str, redone_run: list[ReadableSpan]
) -> None:
    def counters() -> list[tuple[int, int]]:
        runs = workflow_runs.c
        with open_store(store_url) as store, store.connection() as connection:
            return [
                tuple(row) for row in connection.execute(select(runs.facts_version, runs.derived_version))
            ]

    writer.write(project(redone_run))
    before = counters()
    writer.write(project(redone_run))
    assert counters() == before == [(1, 1)]


def test_a_start_never_touches_what_has_ended(
    writer: Writer,
    store_url: str,
    redone_run: list[ReadableSpan],
    as_started: Callable[[ReadableSpan], ReadableSpan],
    read_tables: ReadTables,
) -> None:
    writer.write(project(redone_run))
    before = read_tables(store_url)
    writer.write(project([as_started(span) for span in redone_run]))
    assert read_tables(store_url) == before


def test_a_redo_that_tells_its_step_late_has_one_edge(
    story: Any, new_store_url: Callable[[], str], read_tables: ReadTables
) -> None:
    run = story.span(NodeType.RUN, "r", 0, 99)
    first = story.step("fit", 1, 2, parent=run)
    second = story.step("fit", 3, 4, parent=run, first=first, attempt=2)
    redo_of = Link(second.get_span_context(), {semconv.SPANDAG_LINK_TYPE: LinkType.REDO_OF})
    third = story.start(NodeType.STEP, "fit", 5, parent=run, links=(redo_of,))
    started = project([third])
    third.set_attribute(semconv.SPANDAG_STEP_ID, trace.format_span_id(first.get_span_context().span_id))
    third.set_attribute(semconv.SPANDAG_STEP_ATTEMPT, 3)
    story.end(third, 6)
    tables = []
    for batches in ([started, story.batch()], [story.batch(), started], [story.batch()]):
        writer = Writer(url := new_store_url())
        for batch in batches:
            writer.write(batch)
        writer.close()
        tables.append(read_tables(url))
    assert tables[0] == tables[1] == tables[2]


def test_a_redo_that_has_only_started_is_an_active_branch(
    writer: Writer,
    store_url: str,
    redone_run: list[ReadableSpan],
    as_started: Callable[[ReadableSpan], ReadableSpan],
    read_tables: ReadTables,
) -> None:
    redo = next(span for span in redone_run if span.context.span_id == 0xD)
    writer.write(project([as_started(redo)]))
    tables = read_tables(store_url)
    [branch] = tables["branches"]
    assert (branch["status"], branch["branch_name"], branch["hypothesis"], branch["ended_at"]) == (
        "active",
        "redo_1",
        "in log space",
        None,
    )
    assert [(e["from_node_id"], e["to_node_id"], e["condition"]) for e in tables["dag_edges"]] == [
        ("0000000000000007", "bp:000000000000000d", "branch_redo_1")
    ]
    assert {node["id"]: node["status"] for node in tables["dag_nodes"]} == {
        "000000000000000d": "running",
        "bp:000000000000000d": "running",
    }
