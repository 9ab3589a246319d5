"""The facts of a run, page by page: a run can have 100,000 nodes, which nobody has to hold at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import JSON, ColumnElement, Connection, Select, Table, Text, cast, select, tuple_

from spandag.store import schema
from spandag.store.rows import DERIVED_EDGES, RECORDED

AT_ONCE = 1000
"""Rows of a page."""

Row = tuple[Any, ...]


@lru_cache(maxsize=16)
def _columns(table: Table) -> tuple[ColumnElement[Any], ...]:
    """The columns of facts; JSON as its text, so that no number is read and written anew."""
    return tuple(
        cast(table.c[name], Text).label(name) if isinstance(table.c[name].type, JSON) else table.c[name]
        for name in schema.fact_columns(table)
    )


def _facts(table: Table, run_id: str) -> Select[Any]:
    statement = select(*_columns(table)).where(table.c.run_id == run_id)
    # The rest of both follows from the facts, and belongs to the derivation.
    if table is schema.dag_edges:
        return statement.where(table.c.dependency_type.not_in(DERIVED_EDGES))
    if table is schema.execution_events:
        return statement.where(table.c.origin == RECORDED)
    return statement


def rows_of_run(connection: Connection, table: Table, run_id: str) -> Iterator[Row]:
    """The facts of a table, sorted by their key.

    Args:
        connection: Of the store, in one snapshot.
        table: One of `spandag.store.statements.FACT_TABLES`.
        run_id: The whole trace id.
    """
    # Page by page rather than by one cursor: PostgreSQL's driver reads all of an answer into memory.
    names = schema.fact_columns(table)
    keys = [name for name in schema.key_columns(table) if name != "run_id"]
    places = [names.index(key) for key in keys]
    columns = [table.c[key] for key in keys]
    ordered = _facts(table, run_id).order_by(*columns).limit(AT_ONCE)
    statement = ordered
    while True:
        page = [tuple(row) for row in connection.execute(statement)]
        yield from page
        if len(page) < AT_ONCE:
            return
        statement = ordered.where(tuple_(*columns) > tuple_(*(page[-1][place] for place in places)))


def rows_of_nodes(connection: Connection, table: Table, run_id: str, node_ids: Sequence[str]) -> list[Row]:
    """The facts of some nodes, in no particular order.

    Args:
        connection: Of the store.
        table: One with a column ``node_id``, or ``dag_nodes``.
        run_id: The whole trace id.
        node_ids: Not more than some thousand.
    """
    node_id = table.c.id if table is schema.dag_nodes else table.c.node_id
    found = connection.execute(_facts(table, run_id).where(node_id.in_(node_ids)))
    return [tuple(row) for row in found]


def run_ids(connection: Connection) -> list[str]:
    """The ids of all runs, traces without any agent included."""
    runs = schema.workflow_runs
    return list(connection.execute(select(runs.c.id).order_by(runs.c.started_at, runs.c.id)).scalars())
