"""Rows on their way into the store: what the projection makes and the writer writes.

Each class is a plain tuple in the order of its table's fact columns
(`spandag.store.schema.fact_columns`), so that the driver takes it as it is.
Nothing here imports SQLAlchemy: the projection runs in the host's program.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

BRANCH_POINT_PREFIX = "bp:"
"""Begins the id of a branch point; the redo's span id follows."""

RECORDED = "recorded"
DERIVED = "derived"
"""Values of ``execution_events.origin``."""

NODE_STATUSES = ("running", "failed", "cancelled", "pending", "skipped", "completed")
"""Values of ``dag_nodes.status``, worst first: of several parts the run has the first that one of them has."""

BRANCH_KINDS = ("redo", "fork")
"""Values of ``branches.kind``."""

BRANCH_STATUSES = ("active", "accepted", "rejected", "failed", "abandoned", "exhausted")
"""Values of ``branches.status``."""

MESSAGE, TEXT = "message", "text"
MESSAGE_FORMATS = (MESSAGE, TEXT)
"""Values of ``messages.format``."""

HASH_SIZE = 16
"""Bytes of ``messages.hash``, and of each of those in ``node_messages.hashes``."""

DIRECTIONS = ("system", "tools", "input", "output")
"""Values of ``node_messages.direction``."""

RECORDED_EDGES = ("conditional", "optional")
"""Values of ``dag_edges.dependency_type`` that are recorded."""

DERIVED_EDGES = ("sequential", "parallel", "handoff")
"""Values of ``dag_edges.dependency_type`` that belong to the derivation."""


class NodeRow(NamedTuple):
    """A row of ``dag_nodes`` without what is derived."""

    run_id: str
    id: str
    span_id: str
    parent_span_id: str | None
    node_type: str
    name: str
    span_name: str | None
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
    input_preview: str | None
    output_preview: str | None
    attributes: str | None
    meta: str | None
    scope: str | None
    writer_id: str | None


class EdgeRow(NamedTuple):
    """A row of ``dag_edges``."""

    run_id: str
    from_node_id: str
    to_node_id: str
    dependency_type: str
    condition: str | None


class EventRow(NamedTuple):
    """A row of ``execution_events``."""

    run_id: str
    node_id: str
    seq: int
    event_type: str
    event_subtype: str | None
    agent_name: str | None
    timestamp: int | None
    origin: str
    meta: str | None


class CostRow(NamedTuple):
    """A row of ``cost_records`` without what is derived."""

    run_id: str
    node_id: str
    model: str | None
    provider: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: float | None
    price_source: str | None
    timestamp: int


class BranchRow(NamedTuple):
    """A row of ``branches``."""

    run_id: str
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


class MessageRow(NamedTuple):
    """A row of ``messages``."""

    run_id: str
    hash: bytes
    role: str | None
    format: str
    content: str


class NodeMessagesRow(NamedTuple):
    """A row of ``node_messages``."""

    run_id: str
    node_id: str
    direction: str
    hashes: bytes
    sender: str | None
    recipient: str | None
    meaning: bytes | None


class LinkRow(NamedTuple):
    """A row of ``span_links``."""

    run_id: str
    node_id: str
    seq: int
    linked_run_id: str
    linked_span_id: str
    link_type: str | None
    attributes: str | None


@dataclass(slots=True)
class Batch:
    """The rows of some spans, a list for each table.

    Attributes:
        run_ids: The runs touched.
        ended_runs: Those of which a span came that ends the run, or this process's share of it.
    """

    dag_nodes: list[NodeRow] = field(default_factory=list)
    dag_edges: list[EdgeRow] = field(default_factory=list)
    execution_events: list[EventRow] = field(default_factory=list)
    cost_records: list[CostRow] = field(default_factory=list)
    branches: list[BranchRow] = field(default_factory=list)
    messages: dict[tuple[str, bytes], MessageRow] = field(default_factory=dict)
    node_messages: list[NodeMessagesRow] = field(default_factory=list)
    span_links: list[LinkRow] = field(default_factory=list)
    run_ids: set[str] = field(default_factory=set)
    ended_runs: set[str] = field(default_factory=set)
