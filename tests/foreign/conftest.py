"""Real instrumentations of others, on real frameworks, and what becomes of their spans in a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest
from spandag_test_databases import connected
from sqlalchemy import text

from spandag import query
from spandag.export.project import project
from spandag.store import Writer, open_store
from spandag.testing import Actor, Counted, ModelServer

# AG2 1.x and AG2 Classic cannot share an environment; where one is, the tests of the other are not.
collect_ignore_glob = [f"test_{module}.py" for module in ("ag2", "autogen") if find_spec(module) is None]


class Stored:
    """A store with the spans of one test."""

    def __init__(self, url: str) -> None:
        self.url = url

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with connected(self.url) as connection:
            return [tuple(row) for row in connection.execute(text(sql))]

    def tree(self) -> list[str]:
        """The nodes as indented types and names, children in order; a call that is not counted says so."""
        nodes = self.rows(
            "SELECT n.id, n.parent_node_id, n.depth, n.node_type, n.name, c.counted FROM dag_nodes AS n"
            " LEFT JOIN cost_records AS c ON c.run_id = n.run_id AND c.node_id = n.id"
            " ORDER BY n.order_index"
        )
        lines: list[str] = []

        def walk(parent: str | None) -> None:
            for node, above, depth, node_type, name, counted in nodes:
                if above == parent:
                    # A number on SQLite, a truth on PostgreSQL; NULL where there is no cost.
                    note = " (not counted)" if counted == 0 else ""
                    lines.append(f"{'  ' * depth}{node_type} {name}{note}")
                    walk(node)

        walk(None)
        assert len(lines) == len(nodes)
        return lines

    def spent(self) -> tuple[int, int, int]:
        """Calls, input and output tokens that are counted."""
        [row] = self.rows(
            "SELECT count(*), sum(input_tokens), sum(output_tokens) FROM cost_records WHERE counted"
        )
        return row

    def details(self, node_type: str) -> list[query.NodeDetail]:
        """The nodes of a type, in order of time, with their content."""
        ids = self.rows(
            f"SELECT run_id || '/' || id FROM dag_nodes WHERE node_type = '{node_type}' ORDER BY started_at"
        )
        with open_store(self.url) as store:
            return [query.node(store, node) for (node,) in ids]

    def hashes(self, direction: str) -> list[list[bytes]]:
        """The messages of a direction of every model call, in order of time."""
        rows = self.rows(
            "SELECT m.hashes FROM node_messages AS m JOIN dag_nodes AS n ON n.run_id = m.run_id"
            f" AND n.id = m.node_id WHERE n.node_type = 'llm' AND m.direction = '{direction}'"
            " ORDER BY n.started_at"
        )
        return [[row[i : i + 16] for i in range(0, len(row), 16)] for (row,) in rows]


@pytest.fixture
def stored(recorder: Any, store_url: str) -> Callable[[], Stored]:
    """Put what was recorded into a store."""

    def store() -> Stored:
        writer = Writer(store_url)
        writer.write(project(recorder.spans))
        writer.settle()
        writer.close()
        return Stored(store_url)

    return store


@pytest.fixture
def serve() -> Iterator[Callable[..., ModelServer]]:
    """Start a server for the actors named by keyword."""
    servers: list[ModelServer] = []

    def start(**actors: Actor) -> ModelServer:
        servers.append(ModelServer(actors).__enter__())
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture
def served() -> Callable[[Counted], tuple[int, int, int]]:
    """What a server counted, in the form of `Stored.spent`."""
    return lambda counted: (counted.calls, counted.input_tokens, counted.output_tokens)


@pytest.fixture
def instrument(recorder: Any) -> Iterator[Callable[..., None]]:
    """Instrument with instrumentors, in that order, until the test is over."""
    active: list[Any] = []

    def start(*instrumentors: Any) -> None:
        for instrumentor in instrumentors:
            instrumentor.instrument(tracer_provider=recorder.provider)
            active.append(instrumentor)

    yield start
    for instrumentor in reversed(active):
        instrumentor.uninstrument()


@pytest.fixture(autouse=True)
def smolagents_stays_as_it_was() -> Iterator[None]:
    """Put back what other instrumentors leave patched when they are done, so that no later test meets it."""
    smolagents = pytest.importorskip("smolagents")
    owners = [smolagents.models, smolagents.tools, smolagents.agents, smolagents.local_python_executor]
    owners += [value for module in owners for value in vars(module).values() if isinstance(value, type)]
    owners = [
        owner for owner in owners if getattr(owner, "__module__", "smolagents").startswith("smolagents")
    ]
    before = [(owner, dict(vars(owner))) for owner in owners]
    yield
    for owner, attributes in before:
        for name, value in attributes.items():
            # Of names that are Python's, calls are patched too; each layer left on one makes it ever slower.
            is_patched = name == "__call__" or not name.startswith("__")
            if is_patched and vars(owner).get(name) is not value:
                setattr(owner, name, value)
        for name in vars(owner).keys() - attributes.keys():
            if callable(vars(owner)[name]):
                delattr(owner, name)
