"""Runs as lines of JSON: every fact of them, for another store.

First comes a line that says what follows (``format``, ``version``, ``spandag``, ``run_id``), then a line for
each row under the column names of the store, with the ``table`` that it is of, then one that says how many
there were (``end``, ``rows``). What is NULL is left out. Text is in the form in which the store keeps it
(`spandag.store.text`), hashes are hexadecimal. What is derived, or follows from other columns, is not there: whoever
imports it makes it anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import JSON, Boolean, Connection, LargeBinary, Table, select

from spandag._version import __version__
from spandag.query.export_rows import rows_of_run
from spandag.query.liveness import alive_writers
from spandag.query.text import json_text, safe_json
from spandag.store import Store, schema
from spandag.store.statements import FACT_TABLES

FORMAT = "spandag-jsonl"
"""Value of ``format`` in the first line of a run."""

VERSION = 1
"""Value of ``version``: the newest that this spandag writes and reads."""


def export_jsonl(store: Store, run_ids: Sequence[str]) -> Iterator[str]:
    """Runs as lines of JSON without their line ends.

    Args:
        store: Where they are.
        run_ids: Whole ids.
    """
    for run_id in run_ids:
        with store.connection() as connection:
            yield json_text({"format": FORMAT, "version": VERSION, "spandag": __version__, "run_id": run_id})
            count = 0
            for line in _rows(connection, run_id):
                count += 1
                yield line
            yield json_text({"end": run_id, "rows": count})


def _rows(connection: Connection, run_id: str) -> Iterator[str]:
    for table in FACT_TABLES:
        start = f'{{"table":"{table.name}"'
        columns = [(name, *_kind(table, name)) for name in schema.fact_columns(table)]
        computed = schema.computed_columns(table)
        running = _running_writers(connection, run_id) if table is schema.dag_nodes else frozenset()
        for row in rows_of_run(connection, table, run_id):
            parts = [start]
            for (name, is_json, plain), value in zip(columns, row, strict=True):
                if value is None or name in computed or (name == "writer_id" and value in running):
                    continue
                parts.append(f'"{name}":{value if is_json else json_text(plain(value))}')
            # What is JSON in the store has such characters as they are.
            yield safe_json(",".join(parts) + "}")


def _running_writers(connection: Connection, run_id: str) -> frozenset[str]:
    """Processes that hold nodes of a run open and are alive.

    That they are cannot be known elsewhere; that others are gone stays true.
    """
    nodes = schema.dag_nodes
    found = select(nodes.c.writer_id).where(nodes.c.run_id == run_id, nodes.c.writer_id.is_not(None))
    return alive_writers(connection, connection.execute(found.distinct()).scalars())


def _kind(table: Table, name: str) -> tuple[bool, Any]:
    """Whether a column is JSON already, and what makes a value of it JSON's."""
    kind = table.c[name].type
    if isinstance(kind, LargeBinary):
        return False, lambda value: bytes(value).hex()
    return isinstance(kind, JSON), bool if isinstance(kind, Boolean) else _as_it_is


def _as_it_is(value: Any) -> Any:
    return value
