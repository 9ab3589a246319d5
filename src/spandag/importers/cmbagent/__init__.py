"""CMBAgent (and its fork MARS): from its database into a store.

Every id is a hash of CMBAgent's own, so importing the same runs again changes
nothing, and a run that was still going on is completed by the next import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Connection, inspect, text

from spandag.importers.cmbagent.batch import batch_of
from spandag.importers.cmbagent.records import Record, RunRecords
from spandag.importers.imported import Imported
from spandag.store import StoreError, Writer
from spandag.store.connect import open_database
from spandag.store.rows import Batch
from spandag.store.upgrade import State, state_of

_OF_A_RUN = {
    "steps": "SELECT * FROM workflow_steps WHERE run_id = :run",
    "nodes": "SELECT * FROM dag_nodes WHERE run_id = :run",
    "edges": "SELECT * FROM dag_edges WHERE from_node_id IN (SELECT id FROM dag_nodes WHERE run_id = :run)",
    "events": "SELECT * FROM execution_events WHERE run_id = :run",
    "messages": "SELECT * FROM messages WHERE run_id = :run",
    "costs": "SELECT * FROM cost_records WHERE run_id = :run",
    "branches": "SELECT * FROM branches WHERE child_run_id = :run",
}


def import_cmbagent(
    source: str, store: str, *, progress: Callable[[int, int], None] | None = None
) -> Imported:
    """Copy the runs of a CMBAgent database into a store; the database is only read.

    Args:
        source: SQLAlchemy URL of the CMBAgent database.
        store: SQLAlchemy URL of the store; created where it is missing.
        progress: Called after each run with how many have been copied, and how many there are.

    Raises:
        StoreError: The database cannot be read or is not CMBAgent's, or the store cannot be written.
    """
    with _opened(source) as (connection, label):
        imported = Imported(label)
        runs = _rows(connection, "SELECT * FROM workflow_runs")
        sessions = {row["id"]: row for row in _rows(connection, "SELECT * FROM sessions")}
        tables = set(inspect(connection).get_table_names())
        by_id = {run["id"]: run for run in runs}
        seen: set[int] = set()
        writer = Writer(store)
        try:
            for number, run in enumerate(sorted(runs, key=lambda run: str(run["id"])), 1):
                batch = _batch_of(
                    label,
                    RunRecords(
                        run=run,
                        session=sessions.get(run.get("session_id")),
                        ancestors=_ancestors(run, by_id),
                        **{
                            name: _rows(connection, query, run["id"]) if _table_of(query) in tables else []
                            for name, query in _OF_A_RUN.items()
                        },
                    ),
                )
                writer.write(batch)
                for run_id in sorted(batch.run_ids):
                    writer.settle(run_id)
                imported.runs += 1
                imported.count(batch, seen)
                if progress is not None:
                    progress(number, len(runs))
        finally:
            writer.close()
    return imported


def _batch_of(label: str, records: RunRecords) -> Batch:
    try:
        return batch_of(records)
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise StoreError(
            f"{label} is not as CMBAgent makes it: run {records.run['id']} cannot be read "
            f"({type(error).__name__}: {error})"
        ) from error


def _ancestors(run: Record, by_id: Mapping[object, Record]) -> list[Record]:
    """The runs that a run goes back to, nearest first, as far as they are there."""
    found: list[Record] = []
    above = by_id.get(run.get("branch_parent_id"))
    while above is not None and above is not run and above not in found:
        found.append(above)
        above = by_id.get(above.get("branch_parent_id"))
    return found


@contextmanager
def _opened(url: str) -> Iterator[tuple[Connection, str]]:
    database = open_database(url, write=False)
    try:
        with database.explained(), database.engine.connect() as connection:
            if state_of(connection) is not State.CMBAGENT:
                raise StoreError(f"{database.label} is not a database of CMBAgent")
            yield connection, database.label
    finally:
        database.engine.dispose()


def _rows(connection: Connection, query: str, run_id: object = None) -> list[Record]:
    # As the database has them: its versions differ in columns, and SQLite in how it writes times.
    parameters = {} if run_id is None else {"run": run_id}
    return [dict(row) for row in connection.execute(text(query), parameters).mappings()]


def _table_of(query: str) -> str:
    return query.split()[3]
