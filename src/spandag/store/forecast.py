"""What would be removed, without removing it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import Connection, text

from spandag.store import prunable, schema
from spandag.store.limits import days_ago, now_ns, read_limits
from spandag.store.prunable import EVER
from spandag.store.prune import Pruned
from spandag.store.size import row_bytes, size_of
from spandag.store.statements import FACT_TABLES


@dataclass(slots=True)
class _Rows:
    """What a run has."""

    nodes: int = 0
    rows: int = 1
    bytes: int = 0


def forecast(connection: Connection, label: str, *, now: int | None = None) -> Pruned:
    """What `prune` would remove, and about how much of the store that is; reads everything once.

    Args:
        connection: To the store, for reading.
        label: How messages name the store.
        now: Unix ns; by default the database's clock.
    """
    if now is None:
        now = now_ns(connection)
    limits, used = read_limits(connection), size_of(connection).used
    result = {"runs": 0, "nodes": 0, "rows": 0, "bytes": 0, "too_old": 0, "too_much": 0, "going_on": 0}
    size = used
    if limits:
        rows = _rows_of_runs(connection)
        factor = used / max(1, sum(run.bytes for run in rows.values()))
        before = EVER if limits.days is None else days_ago(now, limits.days)
        spared = prunable.going_on(connection, now)
        newest = prunable.newest(connection)
        for old in prunable.oldest(connection, EVER):
            is_too_old = limits.days is not None and old.time < before
            is_too_much = limits.max_size is not None and size > limits.max_size and old.run_id != newest
            if not (is_too_old or is_too_much):
                break
            if old.run_id in spared:
                result["going_on"] += 1
                continue
            run = rows[old.run_id]
            result["runs"] += 1
            result["too_old" if is_too_old else "too_much"] += 1
            result["nodes"] += run.nodes
            result["rows"] += run.rows
            result["bytes"] += int(run.bytes * factor)
            size = used - result["bytes"]
    return Pruned(
        store=label,
        dry_run=True,
        size=size,
        days=limits.days,
        max_size=limits.max_size,
        is_over=limits.max_size is not None and size > limits.max_size,
        needs_vacuum=False,
        is_finished=True,
        **result,
    )


def _rows_of_runs(connection: Connection) -> dict[str, _Rows]:
    found: dict[str, _Rows] = defaultdict(_Rows)
    for table in FACT_TABLES:
        size = row_bytes(connection, table)
        for run_id, rows, bytes_ in connection.execute(
            text(f"SELECT t.run_id, count(*), sum({size}) FROM {table.name} AS t GROUP BY t.run_id")
        ):
            run = found[run_id]
            run.rows += rows
            run.bytes += int(bytes_)
            if table is schema.dag_nodes:
                run.nodes = rows
    return found
