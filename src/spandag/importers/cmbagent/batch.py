"""The rows of one CMBAgent run: by way of the spans that it would have been."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from spandag import semconv
from spandag.export.project import project
from spandag.export.values import attributes_json, text
from spandag.importers.cmbagent.nodes import Node, RunNodes, nodes_of
from spandag.importers.cmbagent.records import (
    Record,
    RunRecords,
    mapping,
    number,
    parsed,
    span_id,
    time_ns,
    trace_id,
)
from spandag.scrub import redacted_value
from spandag.semconv import LinkType, NodeType, Operation
from spandag.store.rows import RECORDED, Batch, BranchRow, EdgeRow, EventRow
from spandag.store.text import to_json

_SCOPE = InstrumentationScope("cmbagent")
_RESOURCE = Resource({semconv.SERVICE_NAME: "cmbagent"})

_OPERATIONS = {
    NodeType.RUN: Operation.INVOKE_WORKFLOW,
    NodeType.PHASE: Operation.RUN_STEP,
    NodeType.STEP: Operation.RUN_STEP,
    NodeType.AGENT: Operation.INVOKE_AGENT,
    NodeType.SUB_AGENT: Operation.INVOKE_AGENT,
    NodeType.APPROVAL: Operation.HUMAN_INPUT,
}
# Columns that have become something else; the rest is kept as attributes.
_TOLD = {
    NodeType.RUN: {"id", "session_id", "status", "started_at", "completed_at", "task_description"},
    "node": {"id", "run_id", "session_id", "parent_node_id", "agent", "status", "depth"},
    "step": {"id", "run_id", "session_id", "step_number", "goal", "status", "started_at", "completed_at"}
    | {"summary", "inputs", "outputs", "error_message"},
    "event": {
        "id",
        "run_id",
        "node_id",
        "session_id",
        "event_type",
        "event_subtype",
        "agent_name",
        "timestamp",
    },
}
_BRANCH_STATUS = {"active": "active", "completed": "accepted", "merged": "accepted"}
_USERS = frozenset({"user", "human"})


def batch_of(records: RunRecords) -> Batch:
    """The rows of a run, always the same for the same records."""
    nodes = nodes_of(records)
    trace = trace_id(records.run["id"])
    messages = _by_node(nodes, records.messages)
    said = _conversation(messages.get(nodes.root.span_id, []))
    spans = [_span(trace, nodes.root, _run_attributes(records) | said, _links(records))]
    for node in nodes.nodes:
        links = []
        if node.before is not None:
            links = [
                Link(_context(trace, node.before.span_id), {semconv.SPANDAG_LINK_TYPE: LinkType.REDO_OF})
            ]
        attributes = _attributes(node, records, messages.get(node.span_id, []))
        spans.append(_span(trace, node, attributes, links))
    spans += [_call(trace, nodes, cost) for cost in records.costs if _has_usage(cost)]

    batch = project(spans)
    # Ended spans are completed, failed or cancelled; a node can also never have been begun.
    status = {format(node.span_id, "016x"): node.status for node in nodes.nodes}
    batch.dag_nodes = [row._replace(status=status.get(row.span_id, row.status)) for row in batch.dag_nodes]
    run_id = format(trace, "032x")
    batch.execution_events += _events(run_id, nodes, records)
    batch.dag_edges += _edges(run_id, nodes, records)
    if records.run.get("branch_parent_id"):
        # What there is to say of a fork stands in tables, not on its span.
        batch.branches = [_fork(row, nodes, records) if row.kind == "fork" else row for row in batch.branches]
    return batch


def _context(trace: int, span: int) -> SpanContext:
    return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _span(trace: int, node: Node, attributes: Mapping[str, Any], links: Iterable[Link]) -> ReadableSpan:
    operation = _OPERATIONS.get(node.node_type)
    named = {semconv.SPANDAG_NODE_TYPE: node.node_type, semconv.GEN_AI_OPERATION_NAME: operation}
    status = Status(StatusCode.UNSET)
    if node.status in ("failed", "cancelled"):
        message = node.result.get("error_message") or mapping(node.record.get("meta")).get("error")
        status = Status(StatusCode.ERROR, str(message) if message else None)
        named[semconv.ERROR_TYPE] = "CancelledError" if node.status == "cancelled" else None
    return ReadableSpan(
        name=f"{operation} {node.name}" if operation else node.name,
        context=_context(trace, node.span_id),
        parent=None if node.parent is None else _context(trace, node.parent.span_id),
        resource=_RESOURCE,
        attributes={key: value for key, value in {**named, **attributes}.items() if value is not None},
        links=list(links),
        status=status,
        instrumentation_scope=_SCOPE,
        start_time=node.start,
        end_time=node.end if node.is_ended else None,
    )


def _run_attributes(records: RunRecords) -> dict[str, Any]:
    run, session = records.run, records.session or {}
    return {
        semconv.GEN_AI_WORKFLOW_NAME: str(run.get("mode") or "cmbagent"),
        semconv.SPANDAG_RUN_TASK: _text(run.get("task_description")),
        semconv.SESSION_ID: _text(run.get("session_id")),
        semconv.USER_ID: _text(session.get("user_id")),
        **_fork_attributes(records),
        **_rest(run, _TOLD[NodeType.RUN]),
    }


def _attributes(node: Node, records: RunRecords, messages: list[Record]) -> dict[str, Any]:
    record, step = node.record, node.step
    attributes: dict[str, Any] = _rest(record, _TOLD["node"]) | _rest(step, _TOLD["step"])
    attributes |= _conversation(messages)
    attributes[semconv.CMBAGENT_ID] = _text(record.get("id") or step.get("id"))
    attributes[semconv.GEN_AI_AGENT_NAME] = _text(
        record.get("agent") if node.before is None else _agent(node)
    )
    if node.node_type in (NodeType.STEP, NodeType.PHASE):
        attributes[semconv.GEN_AI_STEP_NAME] = node.name
    if node.node_type == NodeType.STEP:
        first = node.source or node
        attributes |= {
            semconv.SPANDAG_STEP_ID: format(first.span_id, "016x"),
            semconv.SPANDAG_STEP_NUMBER: node.number,
            semconv.SPANDAG_STEP_ATTEMPT: node.attempt,
            semconv.SPANDAG_ATTEMPT_OUTCOME: node.outcome if node.is_ended else None,
            semconv.SPANDAG_REDO_HYPOTHESIS: node.hypothesis,
            # Its redos are asked for in the review after a step, by whoever sits there.
            semconv.SPANDAG_REDO_REQUESTED_BY: "human" if node.before is not None else None,
            semconv.SPANDAG_INPUT: _content(step.get("goal"), step.get("inputs")),
            semconv.SPANDAG_OUTPUT: _content(node.result.get("outputs"), node.result.get("summary")),
        }
    before = [
        str(edge["from_node_id"])
        for edge in records.edges
        if str(edge["to_node_id"]) == str(record.get("id")) and edge["dependency_type"] != "conditional"
    ]
    attributes[semconv.CMBAGENT_DEPENDS_ON] = before or None
    return attributes


def _agent(node: Node) -> object:
    """Who did a redo: a branch point's own agent is only the name of the branch."""
    if node.record.get("node_type") != "branch_point":
        return node.record.get("agent")
    return None if node.source is None else node.source.record.get("agent")


def _rest(record: Record, told: set[str]) -> dict[str, Any]:
    """What else a row says, under its own names; what its JSON holds is scrubbed field by field."""
    return {
        semconv.CMBAGENT_PREFIX + name: _plain(value)
        for name, value in record.items()
        if name not in told and value is not None
    }


def _plain(value: object) -> object:
    if isinstance(value, bool | int | float):
        return value
    value = redacted_value(parsed(value))
    return value if isinstance(value, str) else to_json(value)


def _text(value: object) -> str | None:
    return None if value is None or value == "" else str(value)


def _content(*values: object) -> str | None:
    """The last of some values that there is, as text."""
    for value in reversed([parsed(value) for value in values]):
        if value:
            return value if isinstance(value, str) else to_json(redacted_value(value))
    return None


def _conversation(messages: list[Record]) -> dict[str, Any]:
    if not messages:
        return {}
    said = [
        {
            "role": "user" if str(message.get("sender")).lower() in _USERS else "assistant",
            "name": message.get("sender"),
            "recipient": message.get("recipient"),
            "parts": [{"type": "text", "content": str(message.get("content") or "")}],
        }
        for message in messages
    ]
    return {
        semconv.GEN_AI_OUTPUT_MESSAGES: to_json(
            [{key: value for key, value in message.items() if value is not None} for message in said]
        )
    }


def _by_node(nodes: RunNodes, records: list[Record]) -> dict[int, list[Record]]:
    """Of nodes that are over: what goes on may yet get more, and is written once."""
    found: dict[int, list[Record]] = {}
    for record in sorted(records, key=_when):
        node = nodes.of(record)
        if node.is_ended:
            found.setdefault(node.span_id, []).append(record)
    return found


def _when(record: Record) -> tuple[int, int, str]:
    return (
        number(record.get("execution_order")) or 0,
        time_ns(record.get("timestamp")) or 0,
        str(record["id"]).zfill(20),
    )


def _events(run_id: str, nodes: RunNodes, records: RunRecords) -> Iterator[EventRow]:
    told = {str(event["id"]) for event in records.events}
    others = [message for message in records.messages if str(message.get("event_id")) not in told]
    by_node = _by_node(nodes, records.events)
    messages = _by_node(nodes, others)
    for span in sorted({*by_node, *messages}):
        rows = [*by_node.get(span, []), *messages.get(span, [])]
        for seq, row in enumerate(rows):
            is_message = "event_type" not in row
            kind = "message" if is_message else row["event_type"]
            agent = row.get("sender") if is_message else row.get("agent_name")
            told_elsewhere = _TOLD["event"] | {"content", "sender", "step_id"}
            meta = {
                name: redacted_value(parsed(value), name)
                for name, value in row.items()
                if name not in told_elsewhere and value is not None
            }
            yield EventRow(
                run_id,
                format(span, "016x"),
                seq,
                text(kind) or "event",
                text(row.get("event_subtype")),
                text(agent),
                time_ns(row.get("timestamp")),
                RECORDED,
                attributes_json({**meta, semconv.CMBAGENT_ID: str(row["id"])}, scrub=False),
            )


def _edges(run_id: str, nodes: RunNodes, records: RunRecords) -> Iterator[EdgeRow]:
    """Edges that do not follow from times; those to a branch point follow from the redo."""
    for edge in records.edges:
        source = nodes.of_node.get(str(edge["from_node_id"]))
        target = nodes.of_node.get(str(edge["to_node_id"]))
        kind = str(edge["dependency_type"])
        if source is None or target is None or kind not in ("conditional", "optional"):
            continue
        if str(edge["to_node_id"]) not in nodes.branch_points:
            ends = (format(source.span_id, "016x"), format(target.span_id, "016x"))
            yield EdgeRow(run_id, *ends, kind, text(edge.get("condition")))


def _has_usage(cost: Record) -> bool:
    return any(cost.get(name) for name in ("prompt_tokens", "completion_tokens", "cost_usd"))


def _call(trace: int, nodes: RunNodes, cost: Record) -> ReadableSpan:
    """The model calls that a cost record sums up.

    It knows its step but not the attempt. Where a step was done again, it stands beside the
    attempts: it must not look as if all of it had been wasted on the first.
    """
    step = nodes.of_step.get(str(cost.get("step_id")), nodes.root)
    was_redone = any(node.source is step for node in nodes.nodes)
    at = time_ns(cost.get("timestamp")) or step.start
    usd = float(cost.get("cost_usd") or 0)
    node = Node(
        span_id(trace, "cost", cost["id"]),
        NodeType.LLM,
        str(cost.get("model") or "unknown"),
        "completed",
        parent=step.parent if was_redone else step,
        start=at,
        end=at,
    )
    return _span(
        trace,
        node,
        {
            semconv.GEN_AI_OPERATION_NAME: Operation.CHAT,
            semconv.GEN_AI_REQUEST_MODEL: _text(cost.get("model")),
            semconv.GEN_AI_AGENT_NAME: _text(cost.get("agent_name")),
            semconv.GEN_AI_USAGE_INPUT_TOKENS: number(cost.get("prompt_tokens")),
            semconv.GEN_AI_USAGE_OUTPUT_TOKENS: number(cost.get("completion_tokens")),
            # Nought there also means that no price was known.
            semconv.GEN_AI_USAGE_COST: usd or None,
            semconv.CMBAGENT_ID: str(cost["id"]),
        },
        [],
    )


def _fork_attributes(records: RunRecords) -> dict[str, Any]:
    parent = records.run.get("branch_parent_id")
    if not parent:
        return {}
    first = records.ancestors[-1] if records.ancestors else {"id": parent}
    return {
        # Its own parent may be gone.
        semconv.SPANDAG_FORK_ROOT_RUN_ID: format(
            trace_id(first.get("branch_parent_id") or first["id"]), "032x"
        ),
        semconv.SPANDAG_FORK_DEPTH: number(records.run.get("branch_depth")) or max(len(records.ancestors), 1),
    }


def _links(records: RunRecords) -> list[Link]:
    links = []
    run = records.run
    if run.get("branch_parent_id"):
        target = _context(trace_id(run["branch_parent_id"]), _fork_source(records))
        links.append(Link(target, {semconv.SPANDAG_LINK_TYPE: LinkType.FORK_OF}))
    if run.get("parent_run_id"):
        parent = run["parent_run_id"]
        target = _context(trace_id(parent), span_id(parent, "run", parent))
        links.append(Link(target, {semconv.SPANDAG_LINK_TYPE: LinkType.STARTED_BY}))
    return links


def _fork_source(records: RunRecords) -> int:
    """The node that a run branched off at: as its meta says, else the run as a whole."""
    parent = records.run["branch_parent_id"]
    node = mapping(records.run.get("meta")).get("branched_from_node")
    return span_id(parent, "node", node) if node else span_id(parent, "run", parent)


def _fork(row: BranchRow, nodes: RunNodes, records: RunRecords) -> BranchRow:
    """The branch of a fork with what the tables say of it."""
    meta = mapping(records.run.get("meta"))
    [branch] = records.branches[:1] or [{}]
    status = str(branch.get("status") or "active")
    racing = branch.get("racing_status")
    return row._replace(
        branch_name=text(branch.get("branch_name") or meta.get("branch_name")),
        hypothesis=text(branch.get("hypothesis") or meta.get("hypothesis")),
        status=_BRANCH_STATUS.get(status, "abandoned"),
        group_id=text(branch.get("racing_group_id")),
        won=None if racing not in ("won", "lost") else racing == "won",
        started_at=time_ns(branch.get("created_at")) or row.started_at,
        ended_at=nodes.root.end if nodes.root.is_ended and status != "active" else None,
    )
