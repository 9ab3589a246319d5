"""Which runs are there?"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter, neg

from sqlalchemy import ColumnElement, Connection, case, func, select

from spandag.query.asked import at_least
from spandag.query.liveness import load_tree, runs_with_standings
from spandag.query.spent import Spent, total
from spandag.query.text import decoded
from spandag.semconv import NodeType
from spandag.store import Store, TreeRows, schema
from spandag.store.records import TREE_COLUMNS, RunRecord
from spandag.store.text import storable

UNCOUNTED_TYPES = (NodeType.SPAN, NodeType.BRANCH_POINT)
"""Node types that are not counted as nodes of a run: spans of other libraries, and what stands for a redo."""

_NODE_TYPE = TREE_COLUMNS.index("node_type")

REDO = "redo"
"""The kind of a branch that is a redo."""

# How many runs are asked about in one statement.
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Run:
    """One run; the fields up to `root_run_id` are columns of ``workflow_runs``.

    Attributes:
        id: The trace id.
        name: Of the workflow; None for a trace without GenAI spans.
        task: What it was asked to do.
        status: ``completed``, ``failed`` or ``cancelled``; of one that has not ended ``running``,
            ``interrupted`` where the process that ran it is gone, ``open`` where nobody knows.
        started_at: Unix nanoseconds.
        ended_at: Unix nanoseconds; None where it has not ended.
        session_id: The session that it belongs to.
        user_id: The user it ran for.
        root_node_id: The node that it takes its name and status from.
        branch_parent_id: The run that it was forked from.
        is_branch: Whether it is a fork.
        branch_depth: How many forks deep.
        root_run_id: First run of its chain of forks.
        nodes: How many nodes it has, without spans of other libraries.
        redos: How many redos it has.
        spent: Tokens, cost and model calls of the whole run.
    """

    id: str
    name: str | None
    task: str | None
    status: str | None
    started_at: int | None
    ended_at: int | None
    session_id: str | None
    user_id: str | None
    root_node_id: str | None
    branch_parent_id: str | None
    is_branch: bool
    branch_depth: int
    root_run_id: str | None
    nodes: int
    redos: int
    spent: Spent


def runs(store: Store, *, limit: int | None = 20, session: str | None = None) -> list[Run]:
    """The newest runs, newest first.

    Traces without any GenAI or spandag span are stored but are no runs.

    Args:
        store: Where they are.
        limit: How many at most; None for all.
        session: The id of a session, to have only the runs that belong to it.

    Raises:
        QueryError: The limit makes no sense.
    """
    at_least(0, limit, "the limit")
    with store.connection() as connection:
        return newest(connection, limit, session=session)


def is_run(connection: Connection, run_id: str) -> bool:
    """Whether a trace is a run: it has a node that is no span of another library."""
    nodes = schema.dag_nodes
    found = select(nodes.c.id).where(nodes.c.run_id == run_id, nodes.c.node_type.not_in(UNCOUNTED_TYPES))
    return connection.execute(found.limit(1)).first() is not None


def newest(connection: Connection, limit: int | None, *, session: str | None = None) -> list[Run]:
    """As `runs`, on an open connection."""
    table = schema.workflow_runs
    wanted: list[ColumnElement[bool]] = [table.c.root_node_id.is_not(None)]
    may_be: list[ColumnElement[bool]] = [~schema.IS_SETTLED]
    if session is not None:
        named, nodes = storable(session), schema.dag_nodes
        wanted.append(table.c.session_id == named)
        # Whether its topmost node says so has to be derived.
        says = select(nodes.c.id).where(nodes.c.run_id == table.c.id, nodes.c.session_id == named)
        may_be.append(says.exists())
    rows = connection.execute(
        select(*(table.c[name] for name in RunRecord._fields))
        .where(schema.IS_SETTLED, *wanted)
        .order_by(table.c.started_at.desc(), table.c.id)
        .limit(limit)
    )
    found = _with_sums(connection, runs_with_standings(connection, [RunRecord._make(row) for row in rows]))
    # What is still being written: derived here and now, as far as it can be among the newest.
    latest = (
        select(func.max(schema.dag_nodes.c.started_at))
        .where(schema.dag_nodes.c.run_id == table.c.id)
        .scalar_subquery()
        .label("latest")
    )
    behind = connection.execute(
        select(table.c.id, latest).where(*may_be).order_by(latest.desc(), table.c.id)
    ).all()
    starts = sorted((run.started_at or 0 for run in found), reverse=True)
    for run_id, latest_start in behind:
        # A run starts with one of its nodes.
        if limit is not None and len(starts) >= limit and (latest_start or 0) < starts[limit - 1]:
            break
        loaded = load_tree(connection, run_id)
        if loaded is None or loaded.run.root_node_id is None:
            continue
        if session is None or decoded(loaded.run.session_id) == session:
            found.append(summary(loaded))
            bisect.insort(starts, loaded.run.started_at or 0, key=neg)
    found.sort(key=lambda run: (-(run.started_at or 0), run.id))
    return found[:limit]


def node_types(rows: TreeRows) -> Counter[str]:
    """How many nodes a run has of each type."""
    return Counter(map(itemgetter(_NODE_TYPE), rows.nodes))


def summary(rows: TreeRows, types: Counter[str] | None = None) -> Run:
    """A run from all of its rows, with what is known of what has not ended.

    Args:
        rows: Of the run.
        types: Its `node_types`, where they are known.
    """
    if types is None:
        types = node_types(rows)
    return _run(
        rows.run,
        nodes=len(rows.nodes) - sum(types[node_type] for node_type in UNCOUNTED_TYPES),
        redos=sum(branch.kind == REDO for branch in rows.branches),
        spent=total(rows.costs),
    )


def _run(record: RunRecord, *, nodes: int, redos: int, spent: Spent) -> Run:
    return Run(
        id=record.id,
        name=decoded(record.name),
        task=decoded(record.task),
        status=record.status,
        started_at=record.started_at,
        ended_at=record.ended_at,
        session_id=decoded(record.session_id),
        user_id=decoded(record.user_id),
        root_node_id=record.root_node_id,
        branch_parent_id=record.branch_parent_id,
        is_branch=record.is_branch,
        branch_depth=record.branch_depth,
        root_run_id=record.root_run_id,
        nodes=nodes,
        redos=redos,
        spent=spent,
    )


def _with_sums(connection: Connection, records: list[RunRecord]) -> list[Run]:
    """The runs with what the database sums for each."""
    ids = [record.id for record in records]
    nodes, costs, branches = schema.dag_nodes, schema.cost_records, schema.branches
    node_counts = {
        row.run_id: row.number
        for row in connection.execute(
            select(nodes.c.run_id, func.count().label("number"))
            .where(nodes.c.run_id.in_(ids), nodes.c.node_type.not_in(UNCOUNTED_TYPES))
            .group_by(nodes.c.run_id)
        )
    }
    redo_counts = {
        row.run_id: row.number
        for row in connection.execute(
            select(branches.c.run_id, func.count().label("number"))
            .where(branches.c.run_id.in_(ids), branches.c.kind == REDO)
            .group_by(branches.c.run_id)
        )
    }
    sums = {
        row.run_id: Spent(
            # PostgreSQL sums to Decimal.
            row.calls,
            int(row.input_tokens or 0),
            int(row.output_tokens or 0),
            row.cost_usd,
            int(row.unpriced),
        )
        for row in connection.execute(
            select(
                costs.c.run_id,
                func.count().label("calls"),
                func.sum(costs.c.input_tokens).label("input_tokens"),
                func.sum(costs.c.output_tokens).label("output_tokens"),
                func.sum(costs.c.cost_usd).label("cost_usd"),
                func.sum(case((costs.c.cost_usd.is_(None), 1), else_=0)).label("unpriced"),
            )
            .where(costs.c.run_id.in_(ids), costs.c.counted)
            .group_by(costs.c.run_id)
        )
    }
    return [
        _run(
            record,
            nodes=node_counts.get(record.id, 0),
            redos=redo_counts.get(record.id, 0),
            spent=sums.get(record.id, Spent()),
        )
        for record in records
    ]


def summaries(connection: Connection, run_ids: Sequence[str]) -> dict[str, Run]:
    """Runs by their ids; those that are not stored, or are no runs, are left out.

    Args:
        connection: Of the store.
        run_ids: Whole ids.
    """
    table = schema.workflow_runs
    found: dict[str, Run] = {}
    for start in range(0, len(run_ids), _AT_ONCE):
        some = run_ids[start : start + _AT_ONCE]
        records = [
            RunRecord._make(row)
            for row in connection.execute(
                select(*(table.c[name] for name in RunRecord._fields)).where(table.c.id.in_(some))
            )
        ]
        settled = [each for each in records if each.is_settled]
        known = [each for each in settled if each.root_node_id is not None]
        found.update((run.id, run) for run in _with_sums(connection, runs_with_standings(connection, known)))
        for record in records:
            loaded = None if record.is_settled else load_tree(connection, record.id)
            if loaded is not None and loaded.run.root_node_id is not None:
                found[record.id] = summary(loaded)
    return found
