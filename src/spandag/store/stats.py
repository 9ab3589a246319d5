"""How much a store holds: rows and bytes of each table, altogether and day by day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Table, inspect, text
from sqlalchemy.exc import OperationalError

from spandag.store import schema, text_index
from spandag.store.admin import inspected
from spandag.store.size import row_bytes

_DAY_NS = 86_400_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# A row's own time; rows of other tables belong to the day on which their run started.
_TIMES = {
    "sessions": "t.started_at",
    "workflow_runs": "t.started_at",
    "dag_nodes": "t.started_at",
    "execution_events": "coalesce(t.timestamp, r.started_at)",
    "cost_records": "t.timestamp",
    "branches": "t.started_at",
    "writers": "t.started_at",
    "settings": "NULL",
    "tombstones": "t.pruned_at",
}
_TIME_OF_RUN = "r.started_at"


@dataclass(frozen=True)
class TableStats:
    """One table.

    Attributes:
        table: Its name.
        rows: How many rows it has.
        bytes: What they say, without the database's own overhead.
        bytes_on_disk: What it takes with its indexes; None where the database does not tell.
    """

    table: str
    rows: int
    bytes: int
    bytes_on_disk: int | None


@dataclass(frozen=True)
class DayStats:
    """One table's rows of one day.

    Attributes:
        day: In UTC, as 2026-11-21; None for rows without a time.
        table: Its name.
        rows: How many.
        bytes: What they say.
    """

    day: str | None
    table: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Stats:
    """How much a store holds.

    Attributes:
        store: How messages name it.
        bytes_on_disk: What the whole database takes.
        tables: All tables, in alphabetical order.
        days: Each day's rows of each table, newest day first.
    """

    store: str
    bytes_on_disk: int
    tables: list[TableStats]
    days: list[DayStats]


def stats(url: str) -> Stats:
    """Count rows and bytes; reads everything once.

    Raises:
        StoreError: There is no store, it is another program's, or cannot be read.
    """
    with inspected(url) as store:
        connection = store.connection
        # A store of an older revision does not have all tables.
        tables_there = sorted(set(schema.metadata.tables).intersection(inspect(connection).get_table_names()))
        days = [day for name in tables_there for day in _days(connection, schema.metadata.tables[name])]
        sizes = _sizes(connection)
        tables = [
            TableStats(
                name,
                sum(day.rows for day in days if day.table == name),
                sum(day.bytes for day in days if day.table == name),
                None if sizes is None else sizes.get(name, 0),
            )
            for name in tables_there
        ]
        tables += _index(connection, sizes)
        days.sort(key=lambda day: day.day or "", reverse=True)
        return Stats(store.database.label, _whole(connection), tables, days)


def _index(connection: Connection, sizes: dict[str, int] | None) -> list[TableStats]:
    """The text index as one table, where there is one."""
    if not text_index.exists(connection):
        return []
    if connection.dialect.name == "sqlite":
        count = f"SELECT count(*) FROM {text_index.INDEX}_docsize"
        size = f"SELECT coalesce(sum(length(block)), 0) FROM {text_index.INDEX}_data"
    else:
        count = f"SELECT count(*) FROM {text_index.INDEX}"
        size = f"SELECT coalesce(sum(pg_column_size(text)), 0) FROM {text_index.INDEX}"
    rows, said = (int(connection.execute(text(query)).scalar_one()) for query in (count, size))
    on_disk = None if sizes is None else sum(sizes.get(name, 0) for name in text_index.TABLES)
    return [TableStats(text_index.INDEX, rows, said, on_disk)]


def _days(connection: Connection, table: Table) -> list[DayStats]:
    size = row_bytes(connection, table)
    time = _TIMES.get(table.name, _TIME_OF_RUN)
    joined = "LEFT JOIN workflow_runs AS r ON r.id = t.run_id" if "r." in time else ""
    rows = connection.execute(
        text(
            f"SELECT CAST({time} AS BIGINT) / {_DAY_NS} AS day, count(*), sum({size}) "
            f"FROM {table.name} AS t {joined} GROUP BY 1"
        )
    )
    return [
        DayStats(None if day is None else _date(int(day)), table.name, count, int(size))
        for day, count, size in rows
    ]


def _date(day: int) -> str:
    return f"{_EPOCH + timedelta(days=day):%Y-%m-%d}"


def _sizes(connection: Connection) -> dict[str, int] | None:
    """What each table takes with its indexes."""
    if connection.dialect.name == "sqlite":
        query = (
            "SELECT m.tbl_name, sum(s.pgsize) FROM sqlite_master AS m JOIN dbstat('main', 1) AS s "
            "ON s.name = m.name GROUP BY 1"
        )
        try:
            return {name: int(size) for name, size in connection.execute(text(query))}
        except OperationalError:
            # An optional part of SQLite.
            return None
    query = (
        "SELECT relname, pg_total_relation_size(oid) FROM pg_class "
        "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
    )
    return {name: int(size) for name, size in connection.execute(text(query))}


def _whole(connection: Connection) -> int:
    if connection.dialect.name == "sqlite":
        query = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    else:
        query = (
            "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        )
    return int(connection.execute(text(query)).scalar_one())
