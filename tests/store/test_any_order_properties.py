"""However the spans of whatever runs arrive, and whoever writes them, the tables end up the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from opentelemetry.sdk.trace import ReadableSpan
from spandag_test_databases import Tables, connected, empty, tables
from spandag_test_runs import Arrival, arrivals, histories

from spandag.export.project import project
from spandag.store import RunRows, Writer, load_run, open_store
from spandag.store.schema import metadata

Batches = Sequence[Sequence[ReadableSpan]]

WRITERS = 3


class Shelf:
    """A store with several connections for writing, emptied for each example."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.writers = [Writer(url) for _ in range(WRITERS)]
        self.writers[0].settle()

    def emptied(self) -> Shelf:
        empty(self.url)
        return self

    def write(self, batches: Batches) -> Shelf:
        """Write, each batch by the next connection."""
        for number, batch in enumerate(batches):
            self.writers[number % WRITERS].write(project(batch))
        return self

    def write_at_once(self, batches: Batches) -> Shelf:
        """Write, each connection its share in a thread of its own."""
        together = threading.Barrier(WRITERS)

        def write(number: int) -> None:
            share = [project(batch) for batch in batches[number::WRITERS]]
            together.wait()
            for batch in share:
                self.writers[number].write(batch)

        with ThreadPoolExecutor(WRITERS) as threads:
            list(threads.map(write, range(WRITERS)))
        return self

    def settled(self) -> Tables:
        """The tables, once nothing is out of date."""
        self.writers[-1].settle()
        return tables(self.url)

    def runs(self) -> dict[str, RunRows]:
        """Every run as queries read it."""
        with open_store(self.url) as store, store.connection() as connection:
            ids = connection.execute(metadata.tables["workflow_runs"].select()).scalars().all()
            return {run_id: in_order(load_run(connection, run_id)) for run_id in ids}

    def close(self) -> None:
        for writer in self.writers:
            writer.close()


def in_order(rows: RunRows | None) -> RunRows:
    """The rows of a run, sorted, without what counts writes."""
    assert rows is not None
    return RunRows(
        run=rows.run._replace(facts_version=0, derived_version=0),
        nodes=sorted(rows.nodes, key=lambda row: row.id),
        edges=sorted(rows.edges, key=lambda row: row[:4]),
        events=sorted(rows.events, key=lambda row: (row.node_id, row.seq)),
        costs=sorted(rows.costs, key=lambda row: row.node_id),
        branches=sorted(rows.branches, key=lambda row: row.branch_node_id),
    )


@pytest.fixture
def new_shelf(new_store_url: Callable[[], str]) -> Iterator[Callable[[], Shelf]]:
    made: list[Shelf] = []

    def make() -> Shelf:
        made.append(Shelf(new_store_url()))
        return made[-1]

    yield make
    for shelf in made:
        shelf.close()


@pytest.fixture
def reference(new_shelf: Callable[[], Shelf]) -> Shelf:
    """Where all of a history comes as one batch."""
    return new_shelf()


@pytest.fixture
def shelf(new_shelf: Callable[[], Shelf]) -> Shelf:
    """Where it comes in another way."""
    return new_shelf()


@given(arrival=arrivals())
def test_any_order_any_split_and_any_number_of_times_give_the_tables_of_one_batch(
    arrival: Arrival, reference: Shelf, shelf: Shelf
) -> None:
    whole = reference.emptied().write([arrival.spans]).settled()
    assert shelf.emptied().write(arrival.batches).settled() == whole


@given(arrival=arrivals())
def test_writers_at_once_give_the_tables_of_one_batch(
    arrival: Arrival, reference: Shelf, shelf: Shelf
) -> None:
    whole = reference.emptied().write([arrival.spans]).settled()
    assert shelf.emptied().write_at_once(arrival.batches).settled() == whole


@given(arrival=arrivals())
def test_what_was_derived_from_half_of_a_run_leaves_no_trace(
    arrival: Arrival, reference: Shelf, shelf: Shelf
) -> None:
    whole = reference.emptied().write([arrival.spans]).settled()
    shelf.emptied()
    for batch in arrival.batches:
        shelf.write([batch]).settled()
    assert tables(shelf.url) == whole


@given(arrival=arrivals())
def test_a_run_reads_the_same_before_and_after_its_tables_are_settled(arrival: Arrival, shelf: Shelf) -> None:
    shelf.emptied()
    # The first half too: a run is read while it comes.
    middle = len(arrival.batches) // 2
    for batches in (arrival.batches[:middle], arrival.batches[middle:]):
        before = shelf.write(batches).runs()
        shelf.settled()
        assert shelf.runs() == before


@given(history=histories())
def test_writing_again_what_is_there_changes_not_even_a_counter(
    history: list[ReadableSpan], shelf: Shelf
) -> None:
    def versions() -> list[tuple[str, int, int]]:
        with connected(shelf.url) as connection:
            runs = connection.execute(metadata.tables["workflow_runs"].select())
            return sorted((run.id, run.facts_version, run.derived_version) for run in runs)

    shelf.emptied().write([history]).settled()
    before = versions()
    shelf.write([history[::-1], *([span] for span in history)]).settled()
    assert versions() == before


@pytest.fixture
def one_of_each(tmp_path: Path, postgres_url: str) -> Iterator[tuple[Shelf, Shelf]]:
    shelves = Shelf(f"sqlite:///{tmp_path / 'one.db'}"), Shelf(postgres_url)
    yield shelves
    for shelf in shelves:
        shelf.close()


@given(history=histories())
def test_both_databases_keep_the_same(history: list[ReadableSpan], one_of_each: tuple[Shelf, Shelf]) -> None:
    on_sqlite, on_postgres = (shelf.emptied().write([history]).settled() for shelf in one_of_each)
    assert as_python_has_it(on_sqlite) == as_python_has_it(on_postgres)


def as_python_has_it(found: Tables) -> dict[str, list[dict[str, str]]]:
    """With 1, 1.0 and True apart."""
    return {
        table: [{name: repr(ordered(value)) for name, value in row.items()} for row in rows]
        for table, rows in found.items()
    }


def ordered(value: Any) -> Any:
    """JSON with its objects' keys sorted: PostgreSQL has an order of its own."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    return [ordered(item) for item in value] if isinstance(value, list) else value
