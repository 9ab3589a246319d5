"""How the SQL of the two databases differs, as far as the views need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import indent

from spandag.store.heartbeat import now_ns_sql


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that a correlated query gives for each row on its left."""

    join: str
    columns: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.columns[name]

    def select(self, *names: str) -> str:
        """The columns under their names; all by default."""
        return ",\n       ".join(f"{self.columns[name]} AS {name}" for name in names or self.columns)


class Dialect:
    """PostgreSQL."""

    now_ns = now_ns_sql("postgresql")

    def utc(self, ns: str) -> str:
        """Unix nanoseconds as a time that tools understand."""
        return f"to_timestamp(CAST({ns} AS DOUBLE PRECISION) / 1000000000.0)"

    def attribute(self, column: str, name: str) -> str:
        """A value within JSON, as text."""
        return f"{column} ->> '{name}'"

    def small_number(self, column: str, name: str) -> str:
        """A whole number within JSON; NULL where something else is there, which must not end the query."""
        value = self.attribute(column, name)
        return f"CASE WHEN {value} ~ '^[0-9]{{1,9}}$' THEN CAST({value} AS INTEGER) END"

    def is_true(self, column: str, name: str) -> str:
        """Whether a value within JSON is true; never NULL."""
        return f"coalesce({self.attribute(column, name)} = 'true', FALSE)"

    def bytewise(self, text: str) -> str:
        """Text that is compared by its bytes."""
        return f'{text} COLLATE "C"'

    def each(
        self,
        alias: str,
        columns: Mapping[str, str],
        tables: str,
        *,
        cte: str = "",
        sums: bool = False,
        order_by: str | None = None,
    ) -> Rows:
        """Join the rows of a query that may name what is on its left.

        Args:
            alias: Name of the rows.
            columns: Their columns.
            tables: What follows ``FROM``.
            cte: A ``WITH`` clause.
            sums: Whether it is one row of aggregates.
            order_by: By what text the rows are counted, from 0, in another column ``position``.
        """
        if order_by is not None:
            columns = {"position": f"row_number() OVER (ORDER BY {self.bytewise(order_by)}) - 1", **columns}
        values = ", ".join(f"{value} AS {name}" for name, value in columns.items())
        query = f"{cte}SELECT {values}\nFROM {tables}"
        return Rows(
            f"CROSS JOIN LATERAL (\n{indent(query, '    ')}\n) AS {alias}",
            {name: f"{alias}.{name}" for name in columns},
        )

    join_back = "JOIN"
    """How to join tables to such rows: not the other way round."""


class Sqlite(Dialect):
    """SQLite."""

    now_ns = now_ns_sql("sqlite")

    def utc(self, ns: str) -> str:
        """As text in ISO 8601."""
        return f"strftime('%Y-%m-%dT%H:%M:%fZ', {ns} / 1000000000.0, 'unixepoch')"

    def attribute(self, column: str, name: str) -> str:
        """By a path: a bare name with dots would be one."""
        return f"{column} ->> '$.\"{name}\"'"

    def small_number(self, column: str, name: str) -> str:
        """By the characters as well: GLOB knows no count of them."""
        value = self.attribute(column, name)
        return (
            f"CASE WHEN length({value}) BETWEEN 1 AND 9 AND {value} NOT GLOB '*[^0-9]*' "
            f"THEN CAST({value} AS INTEGER) END"
        )

    def is_true(self, column: str, name: str) -> str:
        """JSON's true is 1 here."""
        return f"coalesce({self.attribute(column, name)} = 1, FALSE)"

    def bytewise(self, text: str) -> str:
        """As text always is here."""
        return text

    def each(
        self,
        alias: str,
        columns: Mapping[str, str],
        tables: str,
        *,
        cte: str = "",
        sums: bool = False,
        order_by: str | None = None,
    ) -> Rows:
        """As JSON, which becomes a table again."""
        row = f"json_array({', '.join(columns.values())})"
        rows = f"json_array({row})" if sums else f"json_group_array({row})"
        if order_by is not None:
            tables = f"(SELECT * FROM {tables} ORDER BY {order_by}) AS {alias}"
        query = f"{cte}SELECT {rows}\nFROM {tables}"
        place = {name: f"{alias}.value ->> {index}" for index, name in enumerate(columns)}
        return Rows(
            f"CROSS JOIN json_each((\n{indent(query, '    ')}\n)) AS {alias}",
            place if order_by is None else {"position": f"{alias}.key", **place},
        )

    # The planner must not run the recursion once for each row of another table.
    join_back = "CROSS JOIN"


DIALECTS = {"postgresql": Dialect(), "sqlite": Sqlite()}
