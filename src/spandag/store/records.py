"""A run's rows as they are read: what `derive` works on and what queries read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from spandag.store.rows import EdgeRow


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


class RedoRecord(NamedTuple):
    """That one node is the redo of another one of its run.

    Attributes:
        node_id: The redo.
        before_span_id: The attempt before it, stored or not.
    """

    node_id: str
    before_span_id: str


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

    @property
    def is_settled(self) -> bool:
        """Whether what is derived of it is up to date."""
        return self.facts_version == self.derived_version


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
        redos: One for each link to the attempt before.
    """

    run: RunRecord
    nodes: list[NodeRecord] = field(default_factory=list)
    edges: list[EdgeRow] = field(default_factory=list)
    events: list[EventRecord] = field(default_factory=list)
    costs: list[CostRecord] = field(default_factory=list)
    branches: list[BranchRecord] = field(default_factory=list)
    forks: list[ForkRecord] = field(default_factory=list)
    redos: list[RedoRecord] = field(default_factory=list)


TREE_COLUMNS = (
    "id",
    "parent_node_id",
    "node_type",
    "name",
    "agent",
    "status",
    "step_node_id",
    "branch_id",
    "disposition",
    "step_number",
    "attempt",
    "outcome",
    "started_at",
    "ended_at",
    "model",
    "provider",
    "error_type",
    "error_message",
    "order_index",
    "parent_span_id",
)
"""Columns of ``dag_nodes`` that a tree shows, or is made by."""

COST_COLUMNS = ("node_id", "counted", "input_tokens", "output_tokens", "cost_usd")
"""Columns of ``cost_records`` that are summed."""


@dataclass(slots=True)
class TreeRows:
    """Of one run what its tree takes.

    Plain tuples, as the driver gives them: a run can have 100,000, and records of a class of
    their own take the garbage collector as long as the database takes to read them.

    Attributes:
        run: Its row of ``workflow_runs``.
        nodes: `TREE_COLUMNS` of all nodes.
        costs: `COST_COLUMNS` of all model calls.
        branches: Redos and forks.
    """

    run: RunRecord
    nodes: list[tuple[Any, ...]] = field(default_factory=list)
    costs: list[tuple[Any, ...]] = field(default_factory=list)
    branches: list[BranchRecord] = field(default_factory=list)
