"""How much of its space a store uses, and how much its rows say."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Table, text

from spandag.store import schema, text_index

# Of a table of PostgreSQL, how many blocks are looked at to know how full it is: 16 MB.
_SAMPLE_BLOCKS = 2000

POINTER_BYTES = 4
"""What a row of PostgreSQL takes beside what it says: where it is in its block."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much a store uses.

    Attributes:
        used: Bytes on disk with indexes, without what the database keeps free for new rows.
        rows: Bytes of the rows alone, as `row_bytes` has them; 0 where `used` is known without.
    """

    used: int
    rows: int

    @property
    def factor(self) -> float:
        """Bytes on disk for each byte of a row."""
        return self.used / self.rows if self.rows else 1.0


def row_bytes(connection: Connection, table: Table) -> str:
    """SQL for the bytes of the row ``t`` of a table.

    Args:
        connection: To the store, which may be of an older revision.
        table: The table.
    """
    if connection.dialect.name != "sqlite":
        return "pg_column_size(t)"
    names = connection.execute(
        text("SELECT name FROM pragma_table_info(:name)"), {"name": table.name}
    ).scalars()
    return " + ".join(f"coalesce(length(CAST(t.{name} AS BLOB)), 0)" for name in names)


def size_of(connection: Connection) -> Size:
    """How much a store uses now.

    SQLite counts it. PostgreSQL gives little back to the system, so that what was removed still shows
    in its files: there it is the part of each table that has rows in it, by a sample of its blocks.

    Args:
        connection: To the store.
    """
    if connection.dialect.name == "sqlite":
        return Size(_used_of_file(connection), 0)
    used = rows = 0.0
    for name, blocks, table_bytes, total_bytes in connection.execute(
        text(
            "SELECT relname, pg_relation_size(oid) / current_setting('block_size')::int, pg_table_size(oid), "
            "pg_total_relation_size(oid) FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace AND relname = ANY(:names)"
        ),
        {"names": [*schema.metadata.tables, *sorted(text_index.TABLES)]},
    ).all():
        if blocks == 0:
            continue
        percent = min(100.0, 100.0 * _SAMPLE_BLOCKS / blocks)
        sampled = connection.execute(
            text(
                f"SELECT coalesce(sum(pg_column_size(t) + {POINTER_BYTES}), 0) "
                f"FROM {name} AS t TABLESAMPLE SYSTEM ({percent:f})"
            )
        ).scalar_one()
        live = min(float(table_bytes), float(sampled) * 100.0 / percent)
        rows += live
        used += total_bytes * live / table_bytes
    return Size(int(used), int(rows))


def _used_of_file(connection: Connection) -> int:
    return int(
        connection.exec_driver_sql(
            "SELECT (page_count - freelist_count) * page_size "
            "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
        ).scalar_one()
    )
