"""The schema: one source, its migrations, and the rows that fit it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from spandag_test_databases import plain_engine
from sqlalchemy import Connection, Inspector, inspect

from spandag.store import rows, schema
from spandag.store.records import BranchRecord, CostRecord, EventRecord, NodeRecord, RunRecord
from spandag.store.upgrade import alembic_config

TABLES = {
    "sessions",
    "workflow_runs",
    "dag_nodes",
    "dag_edges",
    "execution_events",
    "cost_records",
    "branches",
    "messages",
    "node_messages",
    "span_links",
    "tombstones",
    "writers",
    "settings",
}


@pytest.fixture
def connection(new_empty_url: Callable[[], str]) -> Iterator[Connection]:
    """To a database without tables."""
    with plain_engine(new_empty_url()).connect() as connection:
        yield connection


def test_tables_and_keys_are_those_of_the_design() -> None:
    assert set(schema.metadata.tables) == TABLES
    keys = {name: tuple(schema.key_columns(table)) for name, table in schema.metadata.tables.items()}
    assert keys == {
        "sessions": ("id",),
        "workflow_runs": ("id",),
        "dag_nodes": ("run_id", "id"),
        "dag_edges": ("run_id", "from_node_id", "to_node_id", "dependency_type"),
        "execution_events": ("run_id", "node_id", "seq"),
        "cost_records": ("run_id", "node_id"),
        "branches": ("run_id", "branch_node_id"),
        "messages": ("run_id", "hash"),
        "node_messages": ("run_id", "node_id", "direction"),
        "span_links": ("run_id", "node_id", "seq"),
        "tombstones": ("run_id",),
        "writers": ("id",),
        "settings": ("key",),
    }


def test_every_table_and_column_says_what_it_means() -> None:
    silent = [
        f"{table.name}.{column.name}"
        for table in schema.metadata.tables.values()
        for column in table.columns
        if not column.comment or not table.comment
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (schema.dag_nodes, rows.NodeRow),
        (schema.dag_edges, rows.EdgeRow),
        (schema.execution_events, rows.EventRow),
        (schema.cost_records, rows.CostRow),
        (schema.branches, rows.BranchRow),
        (schema.messages, rows.MessageRow),
        (schema.node_messages, rows.NodeMessagesRow),
        (schema.span_links, rows.LinkRow),
    ],
)
def test_rows_are_the_fact_columns_in_order(table: object, row: type[rows.NodeRow]) -> None:
    assert list(row._fields) == schema.fact_columns(table)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("table", "record", "left_out"),
    [
        (schema.workflow_runs, RunRecord, set()),
        (
            schema.dag_nodes,
            NodeRecord,
            {"run_id", "attributes", "meta", "input_preview", "output_preview", "span_name", "writer_id"},
        ),
        (schema.execution_events, EventRecord, {"run_id"}),
        (schema.cost_records, CostRecord, {"run_id"}),
        (schema.branches, BranchRecord, {"run_id"}),
    ],
)
def test_records_are_the_columns_but_for_what_is_named(
    table: object, record: type[RunRecord], left_out: set[str]
) -> None:
    assert set(record._fields) == set(table.columns.keys()) - left_out  # type: ignore[attr-defined]


def indexes(inspector: Inspector, table: str) -> list[tuple[object, ...]]:
    return [
        # What part of the table it is of comes as an expression, which equals none but itself.
        (
            i["name"],
            i["column_names"],
            i["unique"],
            {k: str(v) for k, v in i.get("dialect_options", {}).items()},
        )
        for i in inspector.get_indexes(table)
    ]


def test_the_migrated_schema_is_the_schema(connection: Connection, new_empty_url: Callable[[], str]) -> None:
    with connection.begin():
        command.upgrade(alembic_config(connection), "head")
    context = MigrationContext.configure(
        connection, opts={"version_table": schema.VERSION_TABLE, "compare_server_default": True}
    )
    assert compare_metadata(context, schema.metadata) == []
    fresh = plain_engine(new_empty_url())
    schema.metadata.create_all(fresh)
    for table in TABLES:
        migrated, created = inspect(connection), inspect(fresh)
        assert [
            (c["name"], str(c["type"]), c["nullable"], c["default"]) for c in migrated.get_columns(table)
        ] == [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in created.get_columns(table)]
        assert migrated.get_pk_constraint(table) == created.get_pk_constraint(table)
        assert indexes(migrated, table) == indexes(created, table)
        if connection.dialect.supports_comments:
            assert migrated.get_table_comment(table) == created.get_table_comment(table)
            assert {c["name"]: c["comment"] for c in migrated.get_columns(table)} == {
                c["name"]: c["comment"] for c in created.get_columns(table)
            }


def test_downgrade_empties(connection: Connection) -> None:
    with connection.begin():
        command.upgrade(alembic_config(connection), "head")
        command.downgrade(alembic_config(connection), "base")
    assert set(inspect(connection).get_table_names()) == {schema.VERSION_TABLE}


def test_the_revision_that_is_checked_by_plain_sql_is_the_newest(connection: Connection) -> None:
    assert ScriptDirectory.from_config(alembic_config(connection)).get_current_head() == schema.REVISION


def test_an_up_to_date_store_is_opened_without_alembic(new_empty_url: Callable[[], str]) -> None:
    url = new_empty_url()
    code = (
        "import sys; from spandag.store import Writer, open_store; "
        f"w = Writer({url!r}); w.settle(); w.close(); open_store({url!r}).close(); "
        "print('alembic' in sys.modules)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert said == ["True", "False"]


def test_the_projection_and_the_exporter_load_no_sqlalchemy() -> None:
    code = (
        "import sys, spandag.export.project; from spandag.export import SpandagSpanExporter; "
        "SpandagSpanExporter(); print('sqlalchemy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
