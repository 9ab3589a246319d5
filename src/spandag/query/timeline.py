"""What happened in a run, in order of time?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from spandag.query.errors import QueryError
from spandag.query.liveness import with_standings
from spandag.query.resolve import resolve_run
from spandag.query.runs import Run
from spandag.query.text import decoded, decoded_json
from spandag.query.tree import Tree, whole_tree
from spandag.query.tree_node import TreeNode
from spandag.query.undisturbed import undisturbed
from spandag.semconv import EXCEPTION_MESSAGE, NodeType
from spandag.store import Store, load_run
from spandag.store.facts import tree_rows
from spandag.store.records import EventRecord, NodeRecord

START = "start"
COMPLETE = "complete"
ERROR = "error"
CANCELLED = "cancelled"
REDO = "redo"
"""The type of the event that a step is done again."""

OF_SPAN = "span"
"""Origin of starts, ends and redos; that of other events is ``recorded`` or ``derived``."""

EVENT_TYPES = {
    NodeType.AGENT: "agent_call",
    NodeType.SUB_AGENT: "agent_call",
    NodeType.LLM: "llm_call",
    NodeType.TOOL: "tool_call",
    NodeType.CODE: "code_exec",
    NodeType.APPROVAL: "approval",
}
"""What starts and ends of nodes are called in ``v_events``; those of other types are called by the type."""

_AGENTS = frozenset({NodeType.AGENT, NodeType.SUB_AGENT})
_ENDS = {"failed": ERROR, "cancelled": CANCELLED}

# Of what happens at one moment, in the order of the view: what starts, what happens, what ends.
_STARTS, _HAPPENS, _ENDED = range(3)


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """Something that happened, as in the view ``v_events``.

    Attributes:
        run_id: The run.
        node_id: The node that it happened to.
        node_type: Its type; None where it is not stored.
        name: Its name; None where it is not stored.
        depth: How deep in the tree the node is; 0 at the top.
        event_type: ``agent_call``, ``llm_call``, ``tool_call``, ``code_exec`` or ``approval`` for the start and end
            of such nodes, the type of the node for those of others, ``redo`` where a step is done again; else
            the name of the event: ``handoff``, ``model_selected``, ``rejected``, ``error`` for an exception …
        event_subtype: ``start``, and ``complete``, ``error`` or ``cancelled`` at the end; of an exception its type.
        agent_name: The agent it is about.
        timestamp: Unix nanoseconds; None where nobody noted it.
        seq: Of an event its place among those of the node; None for starts and ends.
        duration_ms: At the end how long it took, in milliseconds.
        error_type: What went wrong.
        error_message: The error's message.
        disposition: ``active``, ``abandoned`` or ``superseded``: what the work that it is part of became.
        origin: ``span``, ``recorded`` or ``derived``.
        meta: The event's attributes; of a redo its name, hypothesis and who asked for it.
    """

    run_id: str
    node_id: str
    node_type: str | None
    name: str | None
    depth: int
    event_type: str
    event_subtype: str | None
    agent_name: str | None
    timestamp: int | None
    seq: int | None
    duration_ms: float | None
    error_type: str | None
    error_message: str | None
    disposition: str | None
    origin: str
    meta: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run in order of time.

    Attributes:
        run: The run.
        events: What happened, oldest first; of what happened at one moment starts come before ends.
        hidden: How many spans of other libraries are left out.
        tree: The same run as a tree, which is no part of the JSON.
    """

    run: Run
    events: list[TimelineEvent]
    hidden: int
    tree: Tree = field(repr=False, metadata={"json": False})


def timeline(store: Store, run: str, *, all_spans: bool = False) -> Timeline:
    """Everything that happened in a run, in order of time.

    Args:
        store: Where it is.
        run: As `spandag.query.resolve_run` takes it.
        all_spans: Whether spans of other libraries (HTTP, SQL …) start and end in it as well. Their events
            are there in any case.

    Raises:
        QueryError: No run is meant, or several are.
    """
    with store.connection() as connection, undisturbed():
        run_id = resolve_run(connection, run)
        rows = load_run(connection, run_id)
        if rows is None:
            raise QueryError(f"run {run_id} was removed meanwhile")
        tree = whole_tree(connection, with_standings(connection, tree_rows(rows)), all_spans=all_spans)
        agents = {cost.node_id: decoded(cost.agent_name) for cost in rows.costs}
        nodes = {node.id: node for node in rows.nodes}
        return Timeline(tree.run, _events(run_id, tree, rows.events, nodes, agents), tree.hidden, tree)


_Order = tuple[int, int, int]


def _events(
    run_id: str,
    tree: Tree,
    recorded: list[EventRecord],
    stored: dict[str, NodeRecord],
    agents: dict[str, str | None],
) -> list[TimelineEvent]:
    found: list[tuple[_Order, TimelineEvent]] = []
    places: dict[str, tuple[int, TreeNode]] = {}
    for place, node in enumerate(tree.nodes):
        places[node.id] = place, node
        if node.node_type == NodeType.BRANCH_POINT:
            found.append(((node.started_at, _STARTS, place), _redo(run_id, node)))
            continue
        agent = node.name if node.node_type in _AGENTS else node.agent or agents.get(node.id)
        # What is below starts later and ends earlier, where clocks do not tell.
        found.append(((node.started_at, _STARTS, place), _start(run_id, node, agent)))
        if node.ended_at is not None:
            found.append(((node.ended_at, _ENDED, -place), _end(run_id, node, agent)))
    for event in sorted(recorded, key=lambda event: (event.node_id, event.seq)):
        place, above = _shown(event.node_id, stored, places)
        at = stored.get(event.node_id)
        depth = 0 if above is None else above.depth + (above.id != event.node_id)
        time = event.timestamp if event.timestamp is not None else at.started_at if at else 0
        found.append(((time, _HAPPENS, place), _event(run_id, event, at, depth)))
    # Stable, so that events of a node keep their order.
    found.sort(key=lambda item: item[0])
    return [event for _, event in found]


def _shown(
    node_id: str, stored: dict[str, NodeRecord], places: dict[str, tuple[int, TreeNode]]
) -> tuple[int, TreeNode | None]:
    """The place in the tree of a node, or of the nearest above it that is in the tree."""
    at: str | None = node_id
    # Above a node that is in no tree are only a few others; a broken producer must not make that endless.
    for _ in range(len(stored) + 1):
        if at is None or at in places or at not in stored:
            break
        at = stored[at].parent_node_id
    return places.get(at or "", (0, None))


def _start(run_id: str, node: TreeNode, agent: str | None) -> TimelineEvent:
    return TimelineEvent(
        run_id=run_id,
        node_id=node.id,
        node_type=node.node_type,
        name=node.name,
        depth=node.depth,
        event_type=EVENT_TYPES.get(node.node_type, node.node_type),
        event_subtype=START,
        agent_name=agent,
        timestamp=node.started_at,
        seq=None,
        duration_ms=None,
        error_type=None,
        error_message=None,
        disposition=node.disposition,
        origin=OF_SPAN,
        meta=None,
    )


def _end(run_id: str, node: TreeNode, agent: str | None) -> TimelineEvent:
    assert node.ended_at is not None
    return TimelineEvent(
        run_id=run_id,
        node_id=node.id,
        node_type=node.node_type,
        name=node.name,
        depth=node.depth,
        event_type=EVENT_TYPES.get(node.node_type, node.node_type),
        event_subtype=_ENDS.get(node.status, COMPLETE),
        agent_name=agent,
        timestamp=node.ended_at,
        seq=None,
        duration_ms=(node.ended_at - node.started_at) / 1_000_000,
        error_type=node.error_type,
        error_message=node.error_message,
        disposition=node.disposition,
        origin=OF_SPAN,
        meta=None,
    )


def _redo(run_id: str, node: TreeNode) -> TimelineEvent:
    return TimelineEvent(
        run_id=run_id,
        node_id=node.id,
        node_type=node.node_type,
        name=node.name,
        depth=node.depth,
        event_type=REDO,
        event_subtype=None,
        agent_name=None,
        timestamp=node.started_at,
        seq=None,
        duration_ms=None,
        error_type=None,
        error_message=None,
        disposition=node.disposition,
        origin=OF_SPAN,
        meta={
            "branch_name": node.branch_name,
            "hypothesis": node.hypothesis,
            "requested_by": node.requested_by,
        },
    )


def _event(run_id: str, event: EventRecord, node: NodeRecord | None, depth: int) -> TimelineEvent:
    is_error = event.event_type == ERROR
    meta = decoded_json(event.meta)
    message = meta.get(EXCEPTION_MESSAGE) if is_error and isinstance(meta, dict) else None
    return TimelineEvent(
        run_id=run_id,
        node_id=event.node_id,
        node_type=node.node_type if node else None,
        name=decoded(node.name) if node else None,
        depth=depth,
        event_type=decoded(event.event_type),
        event_subtype=decoded(event.event_subtype),
        agent_name=decoded(event.agent_name),
        timestamp=event.timestamp,
        seq=event.seq,
        duration_ms=None,
        error_type=decoded(event.event_subtype) if is_error else None,
        error_message=None if message is None else str(message),
        disposition=node.disposition if node else None,
        origin=event.origin,
        meta=meta,
    )
