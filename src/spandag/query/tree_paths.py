"""What is above some nodes, without loading the trees that they are in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from spandag.query.text import named
from spandag.semconv import NodeType
from spandag.store import load_tree, schema
from spandag.store.records import TREE_COLUMNS

_LEFT_OUT = (NodeType.RUN, NodeType.BRANCH_POINT, NodeType.SPAN)
_ID, _PARENT, _NODE_TYPE, _NAME, _STEP_NUMBER = map(
    TREE_COLUMNS.index, ("id", "parent_node_id", "node_type", "name", "step_number")
)

Above = tuple[str | None, str, str]
"""Of a node its parent, its type and what it is called."""


def paths(connection: Connection, nodes: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """What is above each node, from the top, without runs, branch points and spans of other libraries.

    Args:
        connection: Of the store.
        nodes: Each by its run and its id.
    """
    by_run: defaultdict[str, list[str]] = defaultdict(list)
    for run_id, node_id in nodes:
        by_run[run_id].append(node_id)
    runs = schema.workflow_runs.c
    behind = set(
        connection.execute(select(runs.id).where(runs.id.in_(list(by_run)), ~schema.IS_SETTLED)).scalars()
    )
    result = {}
    for run_id, ids in by_run.items():
        known = _derived(connection, run_id) if run_id in behind else _climbed(connection, run_id, ids)
        for node_id in ids:
            result[run_id, node_id] = _path(node_id, known)
    return result


def _climbed(connection: Connection, run_id: str, ids: Sequence[str]) -> dict[str, Above]:
    table = schema.dag_nodes.c
    known: dict[str, Above] = {}
    wanted = set(ids)
    while wanted:
        rows: Any = connection.execute(
            select(table.id, table.parent_node_id, table.node_type, table.name, table.step_number).where(
                table.run_id == run_id, table.id.in_(sorted(wanted))
            )
        )
        known.update(
            (node_id, (parent, kind, named(kind, name, number)))
            for node_id, parent, kind, name, number in rows
        )
        parents = {known[node_id][0] for node_id in wanted if node_id in known}
        wanted = {parent for parent in parents if parent is not None and parent not in known}
    return known


def _derived(connection: Connection, run_id: str) -> dict[str, Above]:
    loaded = load_tree(connection, run_id)
    if loaded is None:
        return {}
    return {
        row[_ID]: (row[_PARENT], row[_NODE_TYPE], named(row[_NODE_TYPE], row[_NAME], row[_STEP_NUMBER]))
        for row in loaded.nodes
    }


def _path(node_id: str, known: dict[str, Above]) -> list[str]:
    names: list[str] = []
    at = known[node_id][0] if node_id in known else None
    seen = {node_id}
    while at is not None and at in known and at not in seen:
        seen.add(at)
        at, kind, name = known[at]
        if kind not in _LEFT_OUT:
            names.append(name)
    return names[::-1]
