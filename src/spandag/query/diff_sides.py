"""What is meant by the two sides of a comparison, and their rows."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from spandag.query.asked import as_text
from spandag.query.errors import QueryError
from spandag.query.liveness import load_tree
from spandag.query.resolve import (
    LAST,
    NO_RUNS,
    SHORT_ID,
    NodeId,
    is_run_id,
    resolve_node,
    resolve_run,
)
from spandag.query.tree import Tree, tree_of_rows
from spandag.query.tree_node import Row, TreeNode, rows_of_nodes
from spandag.semconv import NodeType
from spandag.store import TreeRows, schema
from spandag.store.records import TREE_COLUMNS
from spandag.store.rows import BRANCH_POINT_PREFIX
from spandag.store.tombstones import tombstoned

_NODE_DIGITS = 16
_ID = TREE_COLUMNS.index("id")


@dataclass(frozen=True, slots=True)
class Place:
    """A run, or a node of one.

    Attributes:
        run_id: The run.
        node_id: The node; None for the whole run.
    """

    run_id: str
    node_id: str | None


@dataclass(frozen=True, slots=True)
class LoadedSide:
    """One side of a comparison.

    Attributes:
        rows: The rows of its run.
        tree: The tree of its run.
        nodes: What is compared, every node after its parent.
        node: The first of them where not the whole run is compared.
        node_rows: The rows of `nodes`.
    """

    rows: TreeRows
    tree: Tree
    nodes: list[TreeNode]
    node: TreeNode | None
    node_rows: list[Row]


def sides(connection: Connection, a: str, b: str | None) -> tuple[LoadedSide, LoadedSide]:
    """The two sides that are meant.

    Args:
        connection: Of the store.
        a: As `spandag.query.diff` takes it.
        b: The same; None for the last attempt at the step, or the fork, that `a` names.

    Raises:
        QueryError: No run or node is meant, or several are; or there is nothing to compare it with.
    """
    trees: dict[str, _Run] = {}
    place_a = _place(connection, a)
    if b is not None:
        place_b = _place(connection, b)
    elif place_a.node_id is None:
        place_a, place_b = _fork(connection, a, _run(connection, trees, place_a.run_id))
    else:
        place_a, place_b = _attempts(a, _run(connection, trees, place_a.run_id), place_a.node_id)
    return _side(connection, trees, place_a), _side(connection, trees, place_b)


class _Run:
    """A run that is loaded once, however many of its nodes are compared."""

    def __init__(self, rows: TreeRows) -> None:
        self.rows = rows
        self.tree = tree_of_rows(rows)
        self._whole: Tree | None = None

    def tree_with(self, node_id: str) -> Tree:
        """The tree, with spans of other libraries where the node is one."""
        if any(node.id == node_id for node in self.tree.nodes):
            return self.tree
        if self._whole is None:
            self._whole = tree_of_rows(self.rows, all_spans=True)
        return self._whole


def _run(connection: Connection, loaded: dict[str, _Run], run_id: str) -> _Run:
    if run_id not in loaded:
        rows = load_tree(connection, run_id)
        if rows is None:
            raise QueryError(f"run {run_id} is not in the store")
        loaded[run_id] = _Run(rows)
    return loaded[run_id]


def _side(connection: Connection, loaded: dict[str, _Run], place: Place) -> LoadedSide:
    run = _run(connection, loaded, place.run_id)
    if place.node_id is None:
        return _loaded(run, run.tree, run.tree.nodes, None)
    node_id = place.node_id
    if node_id.startswith(BRANCH_POINT_PREFIX):
        # What is compared is the redo that it stands for.
        redo = node_id.removeprefix(BRANCH_POINT_PREFIX)
        node_id = redo if any(row[_ID] == redo for row in run.rows.nodes) else node_id
    tree = run.tree_with(node_id)
    start = next((i for i, node in enumerate(tree.nodes) if node.id == node_id), None)
    if start is None:
        raise QueryError(f"node {node_id} was removed meanwhile")
    end = start + 1
    while end < len(tree.nodes) and tree.nodes[end].depth > tree.nodes[start].depth:
        end += 1
    return _loaded(run, tree, tree.nodes[start:end], tree.nodes[start])


def _loaded(run: _Run, tree: Tree, nodes: list[TreeNode], node: TreeNode | None) -> LoadedSide:
    return LoadedSide(run.rows, tree, nodes, node, rows_of_nodes(nodes))


def _place(connection: Connection, text: str) -> Place:
    wanted = as_text(text, "a side").strip().lower()
    if "/" in wanted or wanted.startswith(BRANCH_POINT_PREFIX):
        return Place(*resolve_node(connection, text))
    # No node has as long an id.
    if wanted.startswith(LAST) or is_run_id(wanted) or len(wanted) > _NODE_DIGITS:
        return Place(resolve_run(connection, text), None)
    run, run_error = _tried_run(connection, text)
    node, node_error = _tried_node(connection, text)
    if run is not None and node is not None:
        raise QueryError(
            f"{text!r} begins both run {run[:SHORT_ID]} and node {node.id[:SHORT_ID]}; "
            f"give more of its digits, or for the node {node.run_id[:SHORT_ID]}/{node.id[:SHORT_ID]}"
        )
    if run is not None:
        return Place(run, None)
    if node is not None:
        return Place(*node)
    for error in (run_error, node_error):
        if "ambiguous" in error:
            raise QueryError(error)
    if run_error == NO_RUNS:
        raise QueryError(NO_RUNS)
    raise QueryError(
        run_error.replace("no run starts", "no run and no node starts", 1)
        + "; nodes' ids are shown by: spandag tree RUN --ids"
    )


def _tried_run(connection: Connection, text: str) -> tuple[str | None, str]:
    try:
        return resolve_run(connection, text), ""
    except QueryError as error:
        return None, str(error)


def _tried_node(connection: Connection, text: str) -> tuple[NodeId | None, str]:
    try:
        return resolve_node(connection, text), ""
    except QueryError as error:
        return None, str(error)


def _fork(connection: Connection, text: str, run: _Run) -> tuple[Place, Place]:
    """The run that a fork goes on from, and the fork."""
    record = run.rows.run
    if record.branch_parent_id is None:
        raise QueryError(
            f"run {record.id[:SHORT_ID]} is no fork: name what to compare it with, as in "
            f"spandag diff {text} {'last~1' if text == LAST else LAST}, or a step that was done again"
        )
    table = schema.workflow_runs
    parent = connection.execute(select(table.c.id).where(table.c.id == record.branch_parent_id)).scalar()
    if parent is None:
        is_pruned = tombstoned(connection, [record.branch_parent_id])
        raise QueryError(
            f"run {record.id[:SHORT_ID]} is a fork of {record.branch_parent_id[:SHORT_ID]}, "
            f"which {'was pruned' if is_pruned else 'is not in the store'}"
        )
    return Place(parent, None), Place(record.id, None)


def _attempts(text: str, run: _Run, node_id: str) -> tuple[Place, Place]:
    """The first and the last attempt of the step that a node is part of."""
    nodes = {node.id: node for node in run.tree_with(node_id).nodes}
    node = nodes[node_id]
    if node.node_type == NodeType.BRANCH_POINT:
        node = nodes.get(node_id.removeprefix(BRANCH_POINT_PREFIX), node)
    step = node.step_node_id
    if step is None:
        raise QueryError(
            f"node {text!r} is not part of a step: name what to compare it with, as in spandag diff {text} NODE"
        )
    # A nested step has attempts of its own.
    attempts = sorted(
        (each for each in nodes.values() if each.node_type == NodeType.STEP and each.step_node_id == step),
        key=lambda each: (each.attempt or 1, each.started_at, each.id),
    )
    if len(attempts) < 2:
        name = attempts[0].name if attempts else node.name
        raise QueryError(f"step {name!r} has one attempt only: name what to compare it with")
    return Place(run.rows.run.id, attempts[0].id), Place(run.rows.run.id, attempts[-1].id)
