"""What is left of runs that were removed: enough to keep late spans from bringing them back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import Connection, delete

from spandag.store import schema
from spandag.store.rows import BRANCH_POINT_PREFIX, Batch
from spandag.store.text import to_json

AGE, SIZE, ASKED = "age", "size", "asked"
"""Values of ``tombstones.reason``."""

# With each batch that is written, so it goes to the driver as it is.
_SQL = {
    "sqlite": "SELECT run_id FROM tombstones WHERE run_id IN (SELECT value FROM json_each(?))",
    "postgresql": "SELECT run_id FROM tombstones WHERE run_id = ANY(%s)",
}


def tombstoned(connection: Connection, run_ids: Collection[str]) -> set[str]:
    """Those of some runs that were removed.

    Args:
        connection: In a transaction.
        run_ids: Trace ids.
    """
    name = connection.dialect.name
    ids = list(run_ids)
    cursor = connection.connection.cursor()
    try:
        cursor.execute(_SQL[name], (to_json(ids) if name == "sqlite" else ids,))
        return {str(run_id) for (run_id,) in cursor.fetchall()}
    finally:
        cursor.close()


def forget(connection: Connection, run_ids: Collection[str]) -> None:
    """Take away the tombstones of runs that somebody wants back.

    Args:
        connection: In a transaction.
        run_ids: Trace ids.
    """
    tombstones = schema.tombstones
    connection.execute(delete(tombstones).where(tombstones.c.run_id.in_(sorted(run_ids))))


def without_late(connection: Connection, batch: Batch) -> tuple[Batch, int]:
    """What of a batch is of runs that were not removed.

    To be called when the transaction has touched the runs: that is what it and the removal of a run wait
    for each other by, so that either this finds the tombstone or the removal finds the rows.

    Args:
        connection: In the transaction that writes the batch.
        batch: What is to be written.

    Returns:
        The batch, itself where nothing is late, and how many spans are.
    """
    late = tombstoned(connection, batch.run_ids)
    if not late:
        return batch, 0
    # Touched is what made them anew.
    connection.execute(delete(schema.workflow_runs).where(schema.workflow_runs.c.id.in_(sorted(late))))
    spans = sum(
        node.run_id in late and not node.id.startswith(BRANCH_POINT_PREFIX) for node in batch.dag_nodes
    )
    kept = replace(
        batch,
        dag_nodes=[row for row in batch.dag_nodes if row.run_id not in late],
        dag_edges=[row for row in batch.dag_edges if row.run_id not in late],
        execution_events=[row for row in batch.execution_events if row.run_id not in late],
        cost_records=[row for row in batch.cost_records if row.run_id not in late],
        branches=[row for row in batch.branches if row.run_id not in late],
        messages={key: row for key, row in batch.messages.items() if row.run_id not in late},
        node_messages=[row for row in batch.node_messages if row.run_id not in late],
        span_links=[row for row in batch.span_links if row.run_id not in late],
        run_ids=batch.run_ids - late,
        ended_runs=batch.ended_runs - late,
    )
    return kept, spans
