"""Who is alive: processes that hold spans open say so, by the database's clock."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

STALE_NS = 15 * 10**9
"""Nanoseconds without a heartbeat after which a process is taken for dead: longer than one waits for a locked SQLite file."""

DROPPED = "dropped_spans"
"""Key of ``writers.meta``: spans that the process could not keep."""

PID_SPACE = "pid_space"
"""Key of ``writers.meta``: within what the process's number is its own, see `pid_space`."""

_NOW_NS = {
    # By the millisecond; days since noon of a day 4,713 years before our era.
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000",
    # Of the statement: a function that changes within one would keep views from being merged with what reads them.
    "postgresql": "CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT) * 1000",
}


def now_ns_sql(dialect_name: str) -> str:
    """SQL for now in Unix nanoseconds, by the database's clock: writers' own may differ.

    Args:
        dialect_name: ``sqlite`` or ``postgresql``.
    """
    return _NOW_NS[dialect_name]


def pid_space() -> str | None:
    """Within what this process's number means it: the start of the system and the namespace of numbers.

    Containers have namespaces of their own, also where they share the name of a host.

    Returns:
        None where the system does not say; only Linux does.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except (OSError, ValueError):
        return None


def beat(connection: Connection, writer_id: str, *, dropped: int, closed: bool) -> None:
    """Note that a process is alive, or that it has ended.

    Args:
        connection: In a transaction for writing.
        writer_id: Of the process.
        dropped: Spans that it had to drop so far.
        closed: Whether it holds no span open any more.
    """
    now = now_ns_sql(connection.dialect.name)
    meta: dict[str, Any] = {}
    if dropped:
        meta[DROPPED] = dropped
    if closed:
        meta["closed"] = True
    elif (space := pid_space()) is not None:
        meta[PID_SPACE] = space
    kind = "JSONB" if connection.dialect.name == "postgresql" else "TEXT"
    connection.execute(
        text(
            f"INSERT INTO writers (id, host, pid, started_at, heartbeat_at, meta) "
            f"VALUES (:id, :host, :pid, {now}, {now}, CAST(:meta AS {kind})) "
            f"ON CONFLICT (id) DO UPDATE SET heartbeat_at = {now}, meta = excluded.meta"
        ),
        {
            "id": writer_id,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "meta": _json(meta),
        },
    )


def _json(meta: dict[str, Any]) -> str | None:
    from spandag.store.text import to_json

    return to_json(meta) if meta else None
