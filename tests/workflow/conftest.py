from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from spandag_test_databases import tables

from spandag.export import SpandagSpanExporter
from spandag.store import open_store
from spandag.workflow.scope import use_tracer_provider


@pytest.fixture(autouse=True)
def recording(global_recorder: object) -> None:
    """The workflow API writes to the recorder of the test."""


@pytest.fixture(autouse=True)
def context_stays_clean():
    """Whatever a test does, the context after it is the one before it."""
    before = context.get_current()
    yield
    assert context.get_current() == before


class Stored:
    """What the workflow API has written to a store of the test's own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._provider = TracerProvider(resource=Resource.create({"service.name": "tests"}))
        self._provider.add_span_processor(SimpleSpanProcessor(SpandagSpanExporter(url=url)))
        use_tracer_provider(self._provider)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table, derived columns too."""
        self._provider.force_flush()
        with open_store(self.url) as store:
            store.settle()
        return tables(self.url)[table]

    def nodes(self, node_type: str) -> list[dict[str, Any]]:
        """The nodes of a type, in order of their start."""
        nodes = [row for row in self.rows("dag_nodes") if row["node_type"] == node_type]
        return sorted(nodes, key=lambda row: row["started_at"])

    def ask(self, sql: str) -> list[Any]:
        """The answer of the database itself."""
        self.rows("dag_nodes")
        with open_store(self.url) as store, store.connection() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(sql)]

    def close(self) -> None:
        use_tracer_provider(None)
        self._provider.shutdown()


@pytest.fixture
def stored(store_url: str) -> Iterator[Stored]:
    """The workflow API writes to a store instead, on either database."""
    stored = Stored(store_url)
    yield stored
    stored.close()
