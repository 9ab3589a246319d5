"""A store with a million nodes: three runs to measure among copies of a smaller one."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from _spans import Run, in_batches
from sqlalchemy import make_url

from spandag.export.project import project
from spandag.store import Writer, schema

_COPIED = (schema.dag_nodes, schema.dag_edges, schema.execution_events, schema.cost_records, schema.branches)
_AT_ONCE = 20
# No two runs start at the same time.
_APART_NS = 10**9
_TIMES = frozenset({"started_at", "ended_at", "time", "timestamp"})


class Million:
    """The store.

    Args:
        url: Where it is made; empty.
        kind: ``sqlite`` or ``postgresql``.
        nodes: How many nodes it has at least.
        sizes: How many nodes each of the runs has that are measured.
        telling: Those of them that have messages, arguments and results. They say much the same, one as the other.

    Attributes:
        url: Its URL.
        nodes: How many nodes it has.
        runs: The id of the run of each size.
    """

    def __init__(
        self, url: str, kind: str, nodes: int, sizes: Sequence[int], *, telling: Collection[int] = ()
    ) -> None:
        self.url = url
        self.nodes = 0
        self.runs: dict[int, str] = {}
        self._kind = kind
        self._copies = 0
        self._templates: dict[int, str] = {}
        # Of other sizes than those that are measured, small ones and some larger.
        others = [sizes[0] // 4, sizes[0] // 2, 2 * sizes[0]]
        for size in others:
            self._templates[size] = self._add(size)
        rest = nodes - sum(sizes) - sum(others)
        # Older runs, the runs that are measured, newer runs.
        self._copy(rest // 2)
        for number, size in enumerate(sizes):
            self.runs[size] = self._add(size, number if size in telling else None)
        self._copy(rest - rest // 2)
        with self.connected() as connection:
            connection.execute("ANALYZE")
            connection.commit()
            if kind == "postgresql":
                connection.autocommit = True
                connection.execute("VACUUM ANALYZE")
            self._check(connection, nodes)

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

    def _add(self, size: int, saying: int | None = None) -> str:
        """A run through the writer, as a program's own."""
        run = Run(saying)
        # Two are still open. A redo's span makes its branch point as well.
        room = size - 2
        spans = []
        for span in run.spans(room):
            room -= 2 if span.links else 1
            if room < 0:
                break
            spans.append(span)
        writer = Writer(self.url)
        for batch in in_batches([*spans, *run.finish()[-2:]]):
            writer.write(project(batch))
        writer.settle()
        writer.close()
        return f"{run.root.get_span_context().trace_id:032x}"

    def _copy(self, nodes: int) -> None:
        """At least so many nodes, of runs like the templates; each size has as many runs."""
        with self.connected() as connection:
            originals = {
                size: (
                    connection.execute(_select(schema.workflow_runs, "id", run_id)).fetchone(),
                    {
                        table: [row[1:] for row in connection.execute(_select(table, "run_id", run_id))]
                        for table in _COPIED
                    },
                )
                for size, run_id in self._templates.items()
            }
            while nodes > 0:
                for size, (run, tables) in originals.items():
                    new = [self._new_id() for _ in range(_AT_ONCE)]
                    self._insert(
                        connection,
                        schema.workflow_runs,
                        _at_other_times(schema.workflow_runs, [run[1:]], new),
                    )
                    for table, rows in tables.items():
                        self._insert(connection, table, _at_other_times(table, rows, new))
                    nodes -= _AT_ONCE * size
                connection.commit()

    def _new_id(self) -> tuple[str, int]:
        """Like a trace id, in no order: that decides where in the indexes a run stands; and how much later it ran."""
        self._copies += 1
        return hashlib.blake2b(
            str(self._copies).encode(), digest_size=16
        ).hexdigest(), self._copies * _APART_NS

    def _check(self, connection: Any, nodes: int) -> None:
        """Count what there is; nothing may be left to be derived by whoever reads.

        A redo's span makes two nodes, so that a run may have one less than was asked for.
        """
        [[self.nodes]] = connection.execute("SELECT count(*) FROM dag_nodes").fetchall()
        [[behind]] = connection.execute(
            "SELECT count(*) FROM workflow_runs WHERE facts_version <> derived_version"
        ).fetchall()
        mark = "?" if self._kind == "sqlite" else "%s"
        sizes = {
            size: connection.execute(
                f"SELECT count(*) FROM dag_nodes WHERE run_id = {mark}", (run_id,)
            ).fetchone()[0]
            for size, run_id in self.runs.items()
        }
        if (
            self.nodes < nodes
            or behind
            or any(not size - 1 <= found <= size for size, found in sizes.items())
        ):
            raise RuntimeError(f"{self.nodes} nodes, {behind} runs behind, runs of {sizes}")

    def _insert(self, connection: Any, table: Any, rows: list[tuple[Any, ...]]) -> None:
        names = ", ".join(column.name for column in table.columns)
        if self._kind == "sqlite":
            marks = ", ".join("?" for _ in table.columns)
            connection.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", rows)
            return
        with connection.cursor().copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def _at_other_times(
    table: Any, rows: list[tuple[Any, ...]], new: list[tuple[str, int]]
) -> list[tuple[Any, ...]]:
    """The rows of a run, without its id, once for each new run."""
    times = [place for place, column in enumerate(list(table.columns)[1:]) if column.name in _TIMES]
    made = []
    for run_id, later in new:
        for row in rows:
            copied = [run_id, *row]
            for place in times:
                if row[place] is not None:
                    copied[place + 1] += later
            made.append(tuple(copied))
    return made


def _select(table: Any, key: str, run_id: str) -> str:
    # JSON as text, so that it can be written back as it is.
    names = ", ".join(
        f"CAST({column.name} AS TEXT)" if column.name in ("attributes", "meta") else column.name
        for column in table.columns
    )
    return f"SELECT {names} FROM {table.name} WHERE {key} = '{run_id}'"
