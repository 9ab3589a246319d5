"""What is exported from one store and imported into another, on whichever databases, is the same there."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import assume, given
from opentelemetry.sdk.trace import ReadableSpan
from spandag_test_databases import Tables, connected, tables
from spandag_test_runs import histories

from spandag import query
from spandag.export.project import project
from spandag.importers.files import ImportedFile, import_file
from spandag.query.export_rows import run_ids
from spandag.store import Writer, open_store
from spandag.store.schema import metadata

WAYS = ["sqlite to postgresql", "postgresql to sqlite", "sqlite to sqlite"]


class Shelf:
    """A store that is emptied for each example: it takes long to make one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.writer = Writer(url)
        self.writer.settle()

    def emptied(self) -> Shelf:
        with connected(self.url) as connection:
            for table in metadata.sorted_tables:
                if table.name != "settings":
                    connection.execute(table.delete())
        return self

    def write(self, spans: Sequence[ReadableSpan]) -> Shelf:
        self.writer.write(project(spans, writer_id="gone"))
        self.writer.settle()
        return self

    def exported(self, kind: str) -> str:
        with open_store(self.url) as store:
            with store.connection() as connection:
                ids = run_ids(connection)
            export = query.export_jsonl if kind == "jsonl" else query.export_otlp
            return "".join(f"{line}\n" for line in export(store, ids))

    def imported(self, text: str, **options: Any) -> ImportedFile:
        return import_file("-", self.url, stdin=io.BytesIO(text.encode()), **options)

    def tables(self) -> dict[str, list[dict[str, str]]]:
        return as_python_has_it(tables(self.url))


@pytest.fixture(scope="module")
def shelves(postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Shelf]]:
    folder = tmp_path_factory.mktemp("shelves")
    url = postgres.create()
    made = {
        "sqlite": Shelf(f"sqlite:///{folder / 'one.db'}"),
        "postgresql": Shelf(url),
        "other": Shelf(f"sqlite:///{folder / 'two.db'}"),
    }
    yield made
    for shelf in made.values():
        shelf.writer.close()
    postgres.give_back(url)


@pytest.fixture(params=WAYS)
def there_and_here(request: pytest.FixtureRequest, shelves: dict[str, Shelf]) -> tuple[Shelf, Shelf]:
    """The store that is exported from, and the one that is imported into."""
    source, target = request.param.split(" to ")
    return shelves[source], shelves["other" if source == target else target]


@given(history=histories().filter(bool))
def test_json_lines_carry_every_row(history: list[ReadableSpan], there_and_here: tuple[Shelf, Shelf]) -> None:
    there, here = there_and_here
    there.emptied().write(history)
    text = there.exported("jsonl")

    here.emptied().imported(text)

    assert here.tables() == there.tables()


@given(history=histories().filter(bool))
def test_otlp_json_carries_what_spans_carry(
    history: list[ReadableSpan], there_and_here: tuple[Shelf, Shelf]
) -> None:
    there, here = there_and_here
    there.emptied().write(history)
    text = there.exported("otlp-json")
    # Two halves of a character that stand beside each other become the character: UTF-8 has no halves.
    assume("␛d83d␛d" not in text)

    here.emptied().imported(text)

    assert here.tables() == there.tables()


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
