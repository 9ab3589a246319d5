"""The SQL of the hot path, compiled once for each database from `schema`.

The writer hands rows to the driver itself: SQLAlchemy's own execution takes
twice as long as the database does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Delete,
    Dialect,
    Insert,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    literal_column,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from spandag.store import schema

_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

FACT_TABLES: tuple[Table, ...] = (
    schema.dag_nodes,
    schema.dag_edges,
    schema.execution_events,
    schema.cost_records,
    schema.branches,
    schema.messages,
    schema.node_messages,
    schema.span_links,
)
"""In the order in which every writer writes them, so that none waits for the other crosswise."""


@dataclass(frozen=True)
class Statements:
    """SQL for one database; parameters are tuples in the order given."""

    dialect: Dialect

    @classmethod
    @lru_cache(maxsize=8)
    def of(cls, dialect: Dialect) -> Statements:
        """The statements for a database, compiled at most once."""
        return cls(dialect)

    @cached_property
    def touch_run(self) -> str:
        """(id): make sure that the run exists, and count a write of facts."""
        runs = schema.workflow_runs
        one: ColumnElement[int] = literal_column("1")
        statement = self._insert(runs).values({"id": bindparam("id"), "facts_version": one})
        return self._sql(
            statement.on_conflict_do_update(
                index_elements=["id"], set_={"facts_version": runs.c.facts_version + one}
            ),
            ["id"],
        )

    @cached_property
    def facts(self) -> dict[str, str]:
        """By table: upsert of a row of facts.

        What is recorded stays: only the end of a span replaces what its start
        wrote. So rows are the same in whatever order spans arrive.
        """
        return {table.name: self._upsert(table) for table in FACT_TABLES}

    @cached_property
    def place(self) -> str:
        """(derived columns of a node, run_id, id)."""
        names = schema.derived_columns(schema.dag_nodes)
        return self._update(schema.dag_nodes, names)

    @cached_property
    def charge(self) -> str:
        """(derived columns of a cost record, run_id, node_id)."""
        return self._update(schema.cost_records, schema.derived_columns(schema.cost_records))

    @cached_property
    def delete_edge(self) -> str:
        """(key of an edge)."""
        return self._delete(schema.dag_edges)

    @cached_property
    def delete_event(self) -> str:
        """(key of an event)."""
        return self._delete(schema.execution_events)

    @cached_property
    def upsert_session(self) -> Any:
        """Insert or replace a session, for SQLAlchemy to execute."""
        statement = self._insert(schema.sessions)
        values = {name: statement.excluded[name] for name in schema.derived_columns(schema.sessions)}
        return statement.on_conflict_do_update(index_elements=["id"], set_=values)

    def upsert_setting(self) -> Any:
        """Insert or replace a setting, for SQLAlchemy to execute."""
        statement = self._insert(schema.settings)
        return statement.on_conflict_do_update(
            index_elements=["key"], set_={"value": statement.excluded.value}
        )

    def upsert_tombstone(self) -> Any:
        """Insert or replace a tombstone, for SQLAlchemy to execute."""
        statement = self._insert(schema.tombstones)
        values = {name: statement.excluded[name] for name in ("pruned_at", "reason", "nodes")}
        return statement.on_conflict_do_update(index_elements=["run_id"], set_=values)

    def _insert(self, table: Table) -> Any:
        return _INSERTS[self.dialect.name](table)

    def _upsert(self, table: Table) -> str:
        names = schema.fact_columns(table)
        keys = schema.key_columns(table)
        statement = self._insert(table).values({name: bindparam(name) for name in names})
        if "ended_at" in names:
            statement = statement.on_conflict_do_update(
                index_elements=keys,
                set_={name: statement.excluded[name] for name in names if name not in keys},
                where=and_(table.c.ended_at.is_(None), statement.excluded.ended_at.is_not(None)),
            )
        else:
            statement = statement.on_conflict_do_nothing(index_elements=keys)
        return self._sql(statement, names)

    def _update(self, table: Table, names: Sequence[str]) -> str:
        keys = schema.key_columns(table)
        statement = (
            update(table)
            .where(and_(*(table.c[key] == bindparam(f"key_{key}") for key in keys)))
            .values({name: bindparam(name) for name in names})
        )
        return self._sql(statement, [*names, *(f"key_{key}" for key in keys)])

    def _delete(self, table: Table) -> str:
        keys = schema.key_columns(table)
        statement = delete(table).where(and_(*(table.c[key] == bindparam(f"key_{key}") for key in keys)))
        return self._sql(statement, [f"key_{key}" for key in keys])

    def _sql(self, statement: Insert | Update | Delete, parameters: Sequence[str]) -> str:
        compiled = cast(Any, statement.compile(dialect=self.dialect))
        if compiled.positiontup != list(parameters):
            raise AssertionError(f"parameters {compiled.positiontup} are not {list(parameters)}")
        return str(compiled)
