"""Does it still run? What is known of work that has not ended.

The store says ``running`` of whatever has started and not ended. Who reads it wants to know
whether there is anybody left to end it:

- ``running``: the process that holds it open is alive: its last heartbeat is young, or it runs on this machine;
- ``interrupted``: that process is gone, so it never will end: it said so, it no longer runs on this machine, or
  nothing was heard of it;
- ``open``: nobody said who holds it open, so nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, literal_column, select

from spandag.query.local_process import is_gone, is_running
from spandag.semconv import NodeType
from spandag.store import TreeRows, schema
from spandag.store import load_tree as load_stored
from spandag.store.heartbeat import PID_SPACE, STALE_NS, now_ns_sql
from spandag.store.records import TREE_COLUMNS, BranchRecord, RunRecord

RUNNING = "running"
INTERRUPTED = "interrupted"
OPEN = "open"

STANDINGS = (RUNNING, INTERRUPTED, OPEN)
"""What a node or run can be that has not ended; where it has several parts, the first of them that any part is."""

NOT_GENAI = frozenset({NodeType.SPAN, NodeType.BRANCH_POINT})
"""Types of nodes that no run takes its status from: spans of other libraries, and what stands for a redo."""

_ACTIVE = "active"

_ID, _PARENT, _NODE_TYPE, _STATUS, _ENDED_AT = map(
    TREE_COLUMNS.index, ("id", "parent_node_id", "node_type", "status", "ended_at")
)
# How many nodes are asked about in one statement.
_AT_ONCE = 10_000


class _OpenNode(NamedTuple):
    """A node that has not ended."""

    id: str
    parent_node_id: str | None
    node_type: str
    writer_id: str | None


Above = Mapping[str, tuple[str | None, str]]
"""By node its parent and its type."""


def load_tree(connection: Connection, run_id: str) -> TreeRows | None:
    """As `spandag.store.load_tree`, with what is known of what has not ended."""
    rows = load_stored(connection, run_id)
    return None if rows is None else with_standings(connection, rows)


def with_standings(connection: Connection, rows: TreeRows) -> TreeRows:
    """The rows of a run with what is known of what has not ended in place of ``running``.

    Args:
        connection: Of the store, in the snapshot that the rows are from.
        rows: As the store has them.
    """
    # Most runs have ended, and the scan must cost nothing beside reading them.
    if None not in map(itemgetter(_ENDED_AT), rows.nodes):
        return rows
    places = [place for place, row in enumerate(rows.nodes) if row[_ENDED_AT] is None]
    writers = _writers(connection, rows.run.id, [rows.nodes[place][_ID] for place in places])
    alive = alive_writers(connection, writers.values())
    nodes = list(rows.nodes)
    standings: dict[str, str] = {}
    open_nodes = []
    for place in places:
        row = nodes[place]
        writer = writers.get(row[_ID])
        standing = standings[row[_ID]] = standing_of(writer, alive)
        open_nodes.append(_OpenNode(row[_ID], row[_PARENT], row[_NODE_TYPE], writer))
        if row[_STATUS] == RUNNING:
            nodes[place] = (*row[:_STATUS], standing, *row[_STATUS + 1 :])

    def above() -> Above:
        return {row[_ID]: (row[_PARENT], row[_NODE_TYPE]) for row in rows.nodes}

    return replace(
        rows,
        run=_run_with_standing(rows.run, open_nodes, above, alive),
        nodes=nodes,
        branches=[_branch_with_standing(branch, standings) for branch in rows.branches],
    )


def runs_with_standings(connection: Connection, runs: Sequence[RunRecord]) -> list[RunRecord]:
    """As `with_standings`, for runs whose nodes are not loaded.

    Args:
        connection: Of the store, in the snapshot that the runs are from.
        runs: As the store has them.
    """
    running = {run.id: run for run in runs if run.status == RUNNING}
    if not running:
        return list(runs)
    table = schema.dag_nodes
    open_nodes: dict[str, list[_OpenNode]] = {run_id: [] for run_id in running}
    for run_id, *columns in connection.execute(
        select(
            table.c.run_id, table.c.id, table.c.parent_node_id, table.c.node_type, table.c.writer_id
        ).where(table.c.run_id.in_(list(running)), table.c.ended_at.is_(None))
    ):
        open_nodes[run_id].append(_OpenNode(*columns))
    alive = alive_writers(connection, (node.writer_id for nodes in open_nodes.values() for node in nodes))

    def above_in(run_id: str) -> Callable[[], Above]:
        def above() -> Above:
            rows = connection.execute(
                select(table.c.id, table.c.parent_node_id, table.c.node_type).where(table.c.run_id == run_id)
            )
            return {node_id: (parent, node_type) for node_id, parent, node_type in rows}

        return above

    return [
        _run_with_standing(run, open_nodes[run.id], above_in(run.id), alive) if run.id in running else run
        for run in runs
    ]


def _run_with_standing(
    run: RunRecord, open_nodes: Sequence[_OpenNode], above: Callable[[], Above], alive: Collection[str]
) -> RunRecord:
    if run.status != RUNNING:
        return run
    standings = {standing_of(part.writer_id, alive) for part in _parts(run, open_nodes, above)}
    return run._replace(status=next((each for each in STANDINGS if each in standings), OPEN))


def _parts(
    run: RunRecord, open_nodes: Sequence[_OpenNode], above: Callable[[], Above]
) -> Sequence[_OpenNode]:
    """Of what a run takes its status from, what has not ended: its root, else whatever is topmost."""
    root = [node for node in open_nodes if node.id == run.root_node_id]
    if root and root[0].node_type == NodeType.RUN:
        return root
    genai = [node for node in open_nodes if node.node_type not in NOT_GENAI]
    if len(genai) == 1:
        return genai
    parents = above()
    return [node for node in genai if not _is_below_genai(node, parents)]


def _is_below_genai(node: _OpenNode, above: Above) -> bool:
    parent = node.parent_node_id
    while parent is not None and parent in above:
        parent, node_type = above[parent]
        if node_type not in NOT_GENAI:
            return True
    return False


def _branch_with_standing(branch: BranchRecord, standings: Mapping[str, str]) -> BranchRecord:
    """A redo whose process is gone is no more active than the node that stands for it."""
    standing = standings.get(branch.branch_node_id, RUNNING)
    if branch.status != _ACTIVE or standing == RUNNING:
        return branch
    return branch._replace(status=standing)


def standing_of(writer_id: str | None, alive: Collection[str]) -> str:
    """What is known of a node that has not ended, by who holds it open and `alive_writers`."""
    if writer_id is None:
        return OPEN
    return RUNNING if writer_id in alive else INTERRUPTED


def all_alive_writers(connection: Connection) -> frozenset[str]:
    """All processes that are alive, by the clock of the database."""
    table = schema.writers
    return alive_writers(connection, connection.execute(select(table.c.id)).scalars())


def _writers(connection: Connection, run_id: str, node_ids: Sequence[str]) -> dict[str, str | None]:
    """By node who holds it open.

    Not read with the other columns of all nodes: it stands behind the large ones, which costs something.
    """
    table = schema.dag_nodes
    found: dict[str, str | None] = {}
    for start in range(0, len(node_ids), _AT_ONCE):
        some = node_ids[start : start + _AT_ONCE]
        rows = connection.execute(
            select(table.c.id, table.c.writer_id).where(table.c.run_id == run_id, table.c.id.in_(some))
        )
        found.update((node_id, writer_id) for node_id, writer_id in rows)
    return found


def alive_writers(connection: Connection, writer_ids: Iterable[str | None]) -> frozenset[str]:
    """Those of these processes that are alive, by the clock of the database."""
    ids = sorted({writer_id for writer_id in writer_ids if writer_id is not None})
    if not ids:
        return frozenset()
    table = schema.writers
    now: Any = literal_column(f"({now_ns_sql(connection.dialect.name)})", BigInteger)
    rows = connection.execute(
        select(
            table.c.id,
            table.c.meta,
            table.c.heartbeat_at >= now - STALE_NS,
            table.c.host,
            table.c.pid,
            table.c.started_at,
        ).where(table.c.id.in_(ids))
    )
    return frozenset(
        writer_id
        for writer_id, meta, is_fresh, *process in rows
        if _is_alive(meta if isinstance(meta, dict) else {}, is_fresh, *process)
    )


def _is_alive(
    meta: dict[str, Any], is_fresh: bool, host: str | None, pid: int | None, started_at: int | None
) -> bool:
    if meta.get("closed") is True:
        return False
    if is_fresh:
        # One that was killed could not say so.
        return not is_gone(host, pid, meta.get(PID_SPACE))
    # One that cannot reach the store for a while has no heartbeat there.
    return is_running(host, pid, started_at)
