"""A store with a million nodes: three runs to measure among copies of a smaller one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from _spans import Run, in_batches
from sqlalchemy import make_url

from spandag.export.project import project
from spandag.store import Writer, schema

_COPIED = (schema.dag_nodes, schema.dag_edges, schema.execution_events, schema.cost_records, schema.branches)
_AT_ONCE = 20


class Million:
    """The store.

    Attributes:
        url: Its URL.
        nodes: How many nodes it has.
        runs: The id of the run of each size.
    """

    def __init__(self, url: str, kind: str, nodes: int, sizes: Sequence[int]) -> None:
        self.url = url
        self.nodes = 0
        self.runs: dict[int, str] = {}
        self._kind = kind
        self._copies = 0
        rest = nodes - sum(sizes)
        # Older runs, the runs that are measured, newer runs.
        self._add(sizes[0])
        self._copy(self.runs[sizes[0]], sizes[0], rest // 2)
        for size in sizes[1:]:
            self._add(size)
        self._copy(self.runs[sizes[0]], sizes[0], rest // 2)
        with self.connected() as connection:
            connection.execute("ANALYZE")
            connection.commit()
            if kind == "postgresql":
                connection.autocommit = True
                connection.execute("VACUUM ANALYZE")

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """The bare driver's connection."""
        if self._kind == "sqlite":
            connection: Any = sqlite3.connect(str(make_url(self.url).database))
        else:
            import psycopg

            connection = psycopg.connect(self.url)
            connection.execute("SET jit = off")
        try:
            yield connection
        finally:
            connection.close()

    def touch(self, run_id: str) -> None:
        """Have a run derived again, though nothing of it has changed."""
        with self.connected() as connection:
            connection.execute(f"UPDATE workflow_runs SET derived_version = 0 WHERE id = '{run_id}'")
            connection.commit()

    def forget(self, run_id: str) -> None:
        """Take everything from a run that is derived."""
        with self.connected() as connection:
            for table in (schema.dag_nodes, schema.cost_records):
                some = [column for column in table.columns if column.info.get("derived") and column.nullable]
                nothing = ", ".join(f"{column.name} = NULL" for column in some)
                connection.execute(f"UPDATE {table.name} SET {nothing} WHERE run_id = '{run_id}'")
            connection.execute(
                f"DELETE FROM dag_edges WHERE run_id = '{run_id}' AND dependency_type <> 'conditional'"
            )
            connection.execute(f"DELETE FROM execution_events WHERE run_id = '{run_id}' AND seq < 0")
            connection.commit()
        self.touch(run_id)

    def _add(self, size: int) -> None:
        """A run through the writer, as a program's own."""
        run = Run()
        # Two are still open; branch points are nodes as well.
        count = size - 2
        while (nodes := len(project(run.spans(count)).dag_nodes) + 2) > size:
            count -= nodes - size
        writer = Writer(self.url)
        for batch in in_batches([*run.spans(count), *run.finish()[-2:]]):
            writer.write(project(batch))
        writer.settle()
        writer.close()
        self.runs[size] = f"{run.root.get_span_context().trace_id:032x}"
        self.nodes += size

    def _copy(self, run_id: str, size: int, nodes: int) -> None:
        """So many nodes of runs like this one."""
        with self.connected() as connection:
            originals = {
                table: [row[1:] for row in connection.execute(_select(table, "run_id", run_id)).fetchall()]
                for table in _COPIED
            }
            [run] = connection.execute(_select(schema.workflow_runs, "id", run_id)).fetchall()
            for _ in range(nodes // size // _AT_ONCE):
                ids = [f"{self._copies + number + 1:032x}" for number in range(_AT_ONCE)]
                self._copies += _AT_ONCE
                self._insert(connection, schema.workflow_runs, [(new, *run[1:]) for new in ids])
                for table, rows in originals.items():
                    self._insert(connection, table, [(new, *row) for new in ids for row in rows])
                connection.commit()
                self.nodes += _AT_ONCE * size

    def _insert(self, connection: Any, table: Any, rows: list[tuple[Any, ...]]) -> None:
        names = ", ".join(column.name for column in table.columns)
        if self._kind == "sqlite":
            marks = ", ".join("?" for _ in table.columns)
            connection.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", rows)
            return
        with connection.cursor().copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def _select(table: Any, key: str, run_id: str) -> str:
    # JSON as text, so that it can be written back as it is.
    names = ", ".join(
        f"CAST({column.name} AS TEXT)" if column.name in ("attributes", "meta") else column.name
        for column in table.columns
    )
    return f"SELECT {names} FROM {table.name} WHERE {key} = '{run_id}'"
