"""How long runs are kept, as the store itself says it in its settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, delete, select, text

from spandag.store import schema
from spandag.store.heartbeat import now_ns_sql
from spandag.store.statements import Statements

RETENTION = "retention"
"""Key of ``settings``: `Limits` as an object."""

PRUNED_AT = "pruned_at"
"""Key of ``settings``: when runs were last removed, in Unix ns by the database's clock."""

DAY_NS = 86_400 * 10**9


def days_ago(now: int, days: int) -> int:
    """So many days before a time, in Unix nanoseconds; not before 1970, however many they are."""
    return max(0, now - days * DAY_NS)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept; None for no limit.

    Attributes:
        days: Runs that ended longer ago are removed.
        max_size: Bytes that the store may use; the oldest runs above that are removed.
    """

    days: int | None = None
    max_size: int | None = None

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self.days is not None or self.max_size is not None


def now_ns(connection: Connection) -> int:
    """Unix nanoseconds by the database's clock."""
    return int(connection.execute(text(f"SELECT {now_ns_sql(connection.dialect.name)}")).scalar_one())


def read_limits(connection: Connection) -> Limits:
    """What the store says of how long runs are kept."""
    value = _read(connection, RETENTION)
    if not isinstance(value, dict):
        return Limits()
    return Limits(_positive(value.get("days")), _positive(value.get("max_size")))


def write_limits(connection: Connection, limits: Limits) -> None:
    """Have the store say how long runs are kept."""
    if limits:
        _write(connection, RETENTION, asdict(limits))
    else:
        connection.execute(delete(schema.settings).where(schema.settings.c.key == RETENTION))


def read_pruned_at(connection: Connection) -> int | None:
    """When runs were last removed, in Unix ns."""
    return _positive(_read(connection, PRUNED_AT))


def write_pruned_at(connection: Connection, pruned_at: int | None) -> None:
    """Note when runs were removed; None for never."""
    if pruned_at is not None:
        _write(connection, PRUNED_AT, pruned_at)
    else:
        connection.execute(delete(schema.settings).where(schema.settings.c.key == PRUNED_AT))


def _read(connection: Connection, key: str) -> Any:
    table = schema.settings
    return connection.execute(select(table.c.value).where(table.c.key == key)).scalar()


def _write(connection: Connection, key: str, value: Any) -> None:
    statements = Statements.of(connection.dialect)
    connection.execute(statements.upsert_setting(), {"key": key, "value": value})


def _positive(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
