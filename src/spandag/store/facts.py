"""One run as the store has it: what `derive` works on and what queries read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, and_, select

from spandag import semconv
from spandag.semconv import LinkType
from spandag.store import schema
from spandag.store.rows import EdgeRow

# What fits into the column of a run's depth.
_MAX_DEPTH = 2**31 - 1


class NodeRecord(NamedTuple):
    """A row of ``dag_nodes`` without its run and without what is big or seldom needed.

    Attributes, meta and previews are left out: a run can have 100,000 nodes.
    Whoever needs them selects them for the nodes in question.
    """

    id: str
    span_id: str
    parent_span_id: str | None
    parent_node_id: str | None
    depth: int | None
    order_index: int | None
    step_node_id: str | None
    branch_id: str | None
    disposition: str | None
    node_type: str
    name: str
    agent: str | None
    status: str
    step_id: str | None
    step_number: int | None
    attempt: int | None
    outcome: str | None
    started_at: int
    ended_at: int | None
    model: str | None
    provider: str | None
    session_id: str | None
    user_id: str | None
    error_type: str | None
    error_message: str | None
    scope: str | None


class EventRecord(NamedTuple):
    """A row of ``execution_events`` without its run."""

    node_id: str
    seq: int
    event_type: str
    event_subtype: str | None
    agent_name: str | None
    timestamp: int | None
    origin: str
    meta: dict[str, Any] | None


class CostRecord(NamedTuple):
    """A row of ``cost_records`` without its run."""

    node_id: str
    model: str | None
    provider: str | None
    agent_name: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: float | None
    counted: bool
    price_source: str | None
    timestamp: int


class BranchRecord(NamedTuple):
    """A row of ``branches`` without its run."""

    branch_node_id: str
    kind: str
    source_node_id: str | None
    child_run_id: str | None
    number: int | None
    branch_name: str | None
    hypothesis: str | None
    requested_by: str | None
    status: str
    group_id: str | None
    score: float | None
    won: bool | None
    started_at: int
    ended_at: int | None


class ForkRecord(NamedTuple):
    """What a node says of the run that it was forked from.

    Attributes:
        node_id: The node.
        parent_run_id: The run that it goes on from.
        root_run_id: The first run of the chain of forks, where the node says so.
        depth: How many forks deep, where the node says so.
    """

    node_id: str
    parent_run_id: str
    root_run_id: str | None
    depth: int | None


class RunRecord(NamedTuple):
    """A row of ``workflow_runs``."""

    id: str
    root_node_id: str | None
    name: str | None
    task: str | None
    status: str | None
    started_at: int | None
    ended_at: int | None
    session_id: str | None
    user_id: str | None
    branch_parent_id: str | None
    is_branch: bool
    branch_depth: int
    root_run_id: str | None
    facts_version: int
    derived_version: int
    meta: dict[str, Any] | None


@dataclass(slots=True)
class RunRows:
    """The rows of one run, nodes in no particular order.

    Attributes:
        run: Its row of ``workflow_runs``.
        nodes: All nodes, branch points and foreign spans included.
        edges: All edges.
        events: Recorded and derived events.
        costs: One for each model call that says its tokens or price.
        branches: Redos and forks.
        forks: One for each link to a run that this one was forked from.
    """

    run: RunRecord
    nodes: list[NodeRecord] = field(default_factory=list)
    edges: list[EdgeRow] = field(default_factory=list)
    events: list[EventRecord] = field(default_factory=list)
    costs: list[CostRecord] = field(default_factory=list)
    branches: list[BranchRecord] = field(default_factory=list)
    forks: list[ForkRecord] = field(default_factory=list)


def read_run(connection: Connection, run_id: str) -> RunRows | None:
    """The rows of a run as they are stored, derived columns possibly out of date.

    Args:
        connection: Of the store.
        run_id: The whole trace id.

    Returns:
        None where the store has no such run.
    """
    table = schema.workflow_runs
    row = connection.execute(
        select(*_columns(table, RunRecord._fields)).where(table.c.id == run_id)
    ).one_or_none()
    if row is None:
        return None
    # The run first and its nodes last: where others write meanwhile, its counter is that of the oldest
    # facts, and whatever refers to a node finds it.
    rows = RunRows(
        run=RunRecord._make(row),
        edges=[EdgeRow._make(r) for r in _select(connection, schema.dag_edges, EdgeRow._fields, run_id)],
        events=[
            EventRecord._make(r)
            for r in _select(connection, schema.execution_events, EventRecord._fields, run_id)
        ],
        costs=[
            CostRecord._make(r) for r in _select(connection, schema.cost_records, CostRecord._fields, run_id)
        ],
        branches=[
            BranchRecord._make(r) for r in _select(connection, schema.branches, BranchRecord._fields, run_id)
        ],
        forks=_read_forks(connection, run_id),
    )
    rows.nodes = [
        NodeRecord._make(r) for r in _select(connection, schema.dag_nodes, NodeRecord._fields, run_id)
    ]
    return rows


def _read_forks(connection: Connection, run_id: str) -> list[ForkRecord]:
    links, nodes = schema.span_links, schema.dag_nodes
    found = connection.execute(
        select(links.c.node_id, links.c.linked_run_id, nodes.c.attributes)
        .join(nodes, and_(nodes.c.run_id == links.c.run_id, nodes.c.id == links.c.node_id))
        .where(links.c.run_id == run_id, links.c.link_type == LinkType.FORK_OF)
        .order_by(links.c.node_id, links.c.seq)
    )
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
    table = schema.dag_nodes
    return connection.execute(
        select(table.c.input_preview).where(table.c.run_id == run_id, table.c.id == root_node_id)
    ).scalar_one_or_none()


def _columns(table: Table, names: Sequence[str]) -> list[Any]:
    return [table.c[name] for name in names]


def _select(connection: Connection, table: Table, names: Sequence[str], run_id: str) -> Sequence[Any]:
    return connection.execute(select(*_columns(table, names)).where(table.c.run_id == run_id)).all()
