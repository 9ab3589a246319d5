"""What a schema looks like, in words that are the same for every database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.exc import OperationalError

from spandag.store import revisions, schema, text_index

# What reflection calls a type on PostgreSQL, and what it is called here.
_TYPES = {"DOUBLE_PRECISION": "DOUBLE", "BYTEA": "BLOB", "JSONB": "JSON"}


@dataclass(frozen=True)
class Shape:
    """Tables, indexes and views.

    Attributes:
        tables: For each table its columns, each with type and whether it can be NULL.
        keys: For each table the columns of its primary key.
        indexes: For each index its table and columns.
        views: For each view its columns.
    """

    tables: dict[str, dict[str, str]] = field(default_factory=dict)
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    indexes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    views: dict[str, tuple[str, ...]] = field(default_factory=dict)


def shape_of(connection: Connection) -> Shape:
    """The shape of a database, without Alembic's own table and those of a text index."""
    inspector = inspect(connection)
    shape = Shape()
    for table in sorted(set(inspector.get_table_names()) - {schema.VERSION_TABLE} - text_index.TABLES):
        shape.tables[table] = {
            column["name"]: _type(column["type"]) + ("" if column["nullable"] else " NOT NULL")
            for column in inspector.get_columns(table)
        }
        shape.keys[table] = tuple(inspector.get_pk_constraint(table)["constrained_columns"])
        for index in inspector.get_indexes(table):
            shape.indexes[str(index["name"])] = (table, *(str(name) for name in index["column_names"]))
    for view in sorted(inspector.get_view_names()):
        try:
            shape.views[view] = tuple(column["name"] for column in inspector.get_columns(view))
        except OperationalError:
            # What it reads from is gone; of ours that is a difference, of others their own business.
            shape.views[view] = ()
    return shape


def shape_at(revision: str) -> Shape:
    """The shape that a database has at a revision, or at `revisions.BASE`."""
    with create_engine("sqlite://").begin() as connection:
        revisions.migrate(connection, "memory", revision)
        return shape_of(connection)


def differences(actual: Shape, expected: Shape) -> list[str]:
    """What is missing or different, one line each; what there is beside it is others' business."""
    found = []
    for table, columns in expected.tables.items():
        if table not in actual.tables:
            found.append(f"table {table} is missing")
            continue
        there = actual.tables[table]
        for column, kind in columns.items():
            if column not in there:
                found.append(f"column {table}.{column} is missing")
            elif there[column] != kind:
                found.append(f"column {table}.{column} is {there[column]}, not {kind}")
        found += [f"column {table}.{column} is not ours" for column in there if column not in columns]
        if actual.keys[table] != expected.keys[table]:
            found.append(f"the key of {table} is {actual.keys[table]}, not {expected.keys[table]}")
    for index, on in expected.indexes.items():
        if index not in actual.indexes:
            found.append(f"index {index} is missing")
        elif actual.indexes[index] != on:
            found.append(f"index {index} is on {actual.indexes[index]}, not {on}")
    for view, names in expected.views.items():
        if view not in actual.views:
            found.append(f"view {view} is missing")
        elif actual.views[view] != names:
            found.append(f"view {view} has the columns {actual.views[view]}, not {names}")
    return found


def _type(kind: Any) -> str:
    name = str(kind.__visit_name__).upper()
    return _TYPES.get(name, name)
