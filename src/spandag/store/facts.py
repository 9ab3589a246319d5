"""Reads a run as the store has it."""

from __future__ import annotations

from contextlib import ExitStack
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Dialect, Select, Table, and_, bindparam, select

from spandag import semconv
from spandag.semconv import LinkType
from spandag.store import schema
from spandag.store.records import (
    COST_COLUMNS,
    TREE_COLUMNS,
    BranchRecord,
    CostRecord,
    EventRecord,
    ForkRecord,
    NodeRecord,
    RedoRecord,
    RunRecord,
    RunRows,
    TreeRows,
)
from spandag.store.rows import EdgeRow

RecordT = TypeVar("RecordT")

# What fits into the column of a run's depth.
_MAX_DEPTH = 2**31 - 1


def read_run(connection: Connection, run_id: str) -> RunRows | None:
    """The rows of a run as they are stored, derived columns possibly out of date.

    Args:
        connection: Of the store.
        run_id: The whole trace id.

    Returns:
        None where the store has no such run.
    """
    run = read_header(connection, run_id)
    return None if run is None else read_rows(connection, run)


def read_rows(connection: Connection, run: RunRecord) -> RunRows:
    """The rows of a run whose own row is read already."""
    run_id = run.id
    # The run first and its nodes last: where others write meanwhile, its counter is that of the oldest
    # facts, and whatever refers to a node finds it.
    rows = RunRows(
        run=run,
        edges=_records(connection, schema.dag_edges, EdgeRow, run_id),
        events=[
            EventRecord._make(row)
            for row in connection.execute(
                _of_run(schema.execution_events, EventRecord._fields), {"run_id": run_id}
            )
        ],
        costs=_read_costs(connection, run_id),
        branches=_read_branches(connection, run_id),
        forks=_read_forks(connection, run_id),
        redos=[RedoRecord._make(row) for row in connection.execute(_REDOS, {"run_id": run_id})],
    )
    rows.nodes = _records(connection, schema.dag_nodes, NodeRecord, run_id)
    return rows


def read_nodes(connection: Connection, run_id: str) -> list[tuple[Any, ...]]:
    """`TREE_COLUMNS` of the nodes of a run, in no particular order."""
    return _rows(connection, schema.dag_nodes, TREE_COLUMNS, run_id)


def read_meanings(connection: Connection, run_id: str) -> list[tuple[str, str, bytes | None]]:
    """For each node and direction what its messages mean; None where the store does not know it."""
    rows = _rows(connection, schema.node_messages, ("node_id", "direction", "meaning"), run_id)
    return cast("list[tuple[str, str, bytes | None]]", rows)


def read_tree(connection: Connection, run: RunRecord) -> TreeRows:
    """What it takes to show the tree of a run whose derived columns are up to date."""
    rows = TreeRows(
        run=run,
        costs=_rows(connection, schema.cost_records, COST_COLUMNS, run.id),
        branches=_read_branches(connection, run.id),
    )
    rows.nodes = read_nodes(connection, run.id)
    return rows


_IS_DERIVED = "EXISTS (SELECT 1 FROM workflow_runs WHERE id = %s AND facts_version = derived_version)"


def read_tree_at_once(connection: Connection, run_id: str) -> TreeRows | None:
    """As `read_header` and `read_tree` in one round trip, where the driver can do that.

    Of a run whose derived columns are out of date no nodes are read.

    Args:
        connection: To PostgreSQL, in a transaction of its own.
        run_id: The whole trace id.

    Returns:
        None where the store has no such run.
    """
    dialect, driver = connection.dialect, cast(Any, connection.connection.driver_connection)
    tables = (
        (schema.workflow_runs, RunRecord._fields),
        (schema.cost_records, COST_COLUMNS),
        (schema.branches, BranchRecord._fields),
        (schema.dag_nodes, TREE_COLUMNS),
    )
    with ExitStack() as stack:
        cursors = [stack.enter_context(driver.cursor()) for _ in tables]
        with driver.pipeline():
            for cursor, (table, names) in zip(cursors, tables, strict=True):
                sql = _sql_of_run(dialect, table, names)
                if table is schema.dag_nodes:
                    cursor.execute(f"{sql} AND {_IS_DERIVED}", (run_id, run_id))
                else:
                    cursor.execute(sql, (run_id,))
        found, costs, branches, nodes = (cursor.fetchall() for cursor in cursors)
    if not found:
        return None
    return TreeRows(RunRecord._make(found[0]), nodes, costs, list(map(BranchRecord._make, branches)))


def tree_rows(rows: RunRows) -> TreeRows:
    """Of a whole run what it takes to show its tree."""
    return TreeRows(
        run=rows.run,
        nodes=list(map(attrgetter(*TREE_COLUMNS), rows.nodes)),
        costs=list(map(attrgetter(*COST_COLUMNS), rows.costs)),
        branches=rows.branches,
    )


def read_header(connection: Connection, run_id: str) -> RunRecord | None:
    """A run's own row; None where the store has no such run."""
    found = connection.execute(_of_run(schema.workflow_runs, RunRecord._fields), {"run_id": run_id})
    row = found.one_or_none()
    return None if row is None else RunRecord._make(row)


def _read_costs(connection: Connection, run_id: str) -> list[CostRecord]:
    costs = _records(connection, schema.cost_records, CostRecord, run_id)
    if connection.dialect.name != "sqlite":
        return costs
    # It has no booleans.
    place = CostRecord._fields.index("counted")
    return [CostRecord._make((*cost[:place], bool(cost[place]), *cost[place + 1 :])) for cost in costs]


def _read_branches(connection: Connection, run_id: str) -> list[BranchRecord]:
    rows = connection.execute(_of_run(schema.branches, BranchRecord._fields), {"run_id": run_id})
    return [BranchRecord._make(row) for row in rows]


_LINKS, _NODES = schema.span_links, schema.dag_nodes
_FORKS = (
    select(_LINKS.c.node_id, _LINKS.c.linked_run_id, _NODES.c.attributes)
    .join(_NODES, and_(_NODES.c.run_id == _LINKS.c.run_id, _NODES.c.id == _LINKS.c.node_id))
    .where(_LINKS.c.run_id == bindparam("run_id"), _LINKS.c.link_type == LinkType.FORK_OF)
    .order_by(_LINKS.c.node_id, _LINKS.c.seq)
)
_REDOS = (
    select(_LINKS.c.node_id, _LINKS.c.linked_span_id)
    .where(
        _LINKS.c.run_id == bindparam("run_id"),
        _LINKS.c.linked_run_id == bindparam("run_id"),
        _LINKS.c.link_type == LinkType.REDO_OF,
    )
    .order_by(_LINKS.c.node_id, _LINKS.c.seq)
)
_PREVIEW = select(_NODES.c.input_preview).where(
    _NODES.c.run_id == bindparam("run_id"), _NODES.c.id == bindparam("node_id")
)


def _read_forks(connection: Connection, run_id: str) -> list[ForkRecord]:
    found = connection.execute(_FORKS, {"run_id": run_id})
    forks = []
    for node_id, parent_run_id, attributes in found:
        said = attributes if isinstance(attributes, dict) else {}
        root_run_id, depth = said.get(semconv.SPANDAG_FORK_ROOT_RUN_ID), said.get(semconv.SPANDAG_FORK_DEPTH)
        forks.append(
            ForkRecord(
                node_id,
                parent_run_id,
                root_run_id if isinstance(root_run_id, str) and root_run_id else None,
                depth if type(depth) is int and 0 < depth <= _MAX_DEPTH else None,
            )
        )
    return forks


def read_task(connection: Connection, run_id: str, root_node_id: str | None) -> str | None:
    """What a run was asked to do: the input preview of its root node."""
    if root_node_id is None:
        return None
    return connection.execute(_PREVIEW, {"run_id": run_id, "node_id": root_node_id}).scalar_one_or_none()


def _records(connection: Connection, table: Table, kind: type[RecordT], run_id: str) -> list[RecordT]:
    rows = _rows(connection, table, kind._fields, run_id)  # type: ignore[attr-defined]
    return list(map(kind._make, rows))  # type: ignore[attr-defined]


def _rows(connection: Connection, table: Table, names: tuple[str, ...], run_id: str) -> list[tuple[Any, ...]]:
    """Rows as the driver itself gives them, of tables that can have 100,000 a run.

    SQLAlchemy's own rows take twice as long. The connection is within its transaction already.
    """
    cursor = connection.connection.cursor()
    try:
        cursor.execute(_sql_of_run(connection.dialect, table, names), (run_id,))
        return cursor.fetchall()  # type: ignore[return-value]
    finally:
        cursor.close()


@lru_cache(maxsize=32)
def _of_run(table: Table, names: tuple[str, ...]) -> Select[Any]:
    """Columns of the rows of the run ``:run_id``; made once, since making it takes as long as running it."""
    run_id = table.c.id if table is schema.workflow_runs else table.c.run_id
    return select(*[table.c[name] for name in names]).where(run_id == bindparam("run_id"))


@lru_cache(maxsize=32)
def _sql_of_run(dialect: Dialect, table: Table, names: tuple[str, ...]) -> str:
    return str(_of_run(table, names).compile(dialect=dialect))
