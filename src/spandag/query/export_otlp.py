"""Runs as OTLP JSON: the spans that they came as, for Jaeger's UI, a Collector, or another store.

What spans carry comes along; what the store worked out for itself (prices by its own price list) is
worked out anew by whoever takes the spans. Branch points are no spans: they follow from the redos.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from spandag import semconv
from spandag.query.export_content import Said, content_attributes
from spandag.query.export_rows import AT_ONCE, rows_of_nodes
from spandag.query.text import decoded, json_text, parsed
from spandag.semconv import NodeType, Outcome
from spandag.store import Store, schema
from spandag.store.messages import hashes_of
from spandag.store.rows import RECORDED, EventRow, LinkRow, NodeMessagesRow, NodeRow

FIRST_LINE = '{"resourceSpans":['
LAST_LINE = "]}"

CONTEXT_HAS_IS_REMOTE = 0x100
CONTEXT_IS_REMOTE = 0x200
"""Bits of a span's flags, beside those of the trace."""

STATUS_ERROR = 2

KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
"""Numbers of span kinds, by ``dag_nodes.meta``'s names."""

_MAX_INT = 2**63
_Group = tuple[str, str, str]


@dataclass(slots=True)
class Exported:
    """What an export has written so far.

    Attributes:
        spans: How many.
        open: Of them those that have not ended.
    """

    spans: int = 0
    open: int = 0


@dataclass(slots=True)
class _Details:
    """What belongs to some nodes, by node."""

    events: defaultdict[str, list[EventRow]] = field(default_factory=lambda: defaultdict(list))
    links: defaultdict[str, list[LinkRow]] = field(default_factory=lambda: defaultdict(list))
    said: defaultdict[str, dict[str, list[Said]]] = field(default_factory=lambda: defaultdict(dict))


def export_otlp(store: Store, run_ids: Sequence[str], exported: Exported | None = None) -> Iterator[str]:
    """Runs as one JSON document in lines without their line ends; each between the first and last is an item.

    Args:
        store: Where they are.
        run_ids: Whole ids.
        exported: Counts along.
    """
    counts = exported if exported is not None else Exported()
    yield FIRST_LINE
    before: str | None = None
    for run_id in run_ids:
        with store.connection() as connection:
            for resource_spans in _of_run(connection, run_id, counts):
                if before is not None:
                    yield before + ","
                before = json_text(resource_spans)
    if before is not None:
        yield before
    yield LAST_LINE


def _of_run(connection: Connection, run_id: str, counts: Exported) -> Iterator[dict[str, Any]]:
    known = _last_known(connection, run_id)
    for group, node_ids in _groups(connection, run_id).items():
        for start in range(0, len(node_ids), AT_ONCE):
            some = node_ids[start : start + AT_ONCE]
            rows = [NodeRow._make(row) for row in rows_of_nodes(connection, schema.dag_nodes, run_id, some)]
            rows.sort(key=lambda row: (row.started_at, row.id))
            details = _details(connection, run_id, some)
            counts.spans += len(rows)
            counts.open += sum(row.ended_at is None for row in rows)
            yield _resource_spans(group, [_span(row, details, known) for row in rows])


def _last_known(connection: Connection, run_id: str) -> int:
    """The last moment of which something is recorded, in Unix nanoseconds; after the start of all."""
    nodes, events = schema.dag_nodes, schema.execution_events
    # What takes no time at all, Jaeger takes for a mistake.
    last = func.max(func.coalesce(nodes.c.ended_at, nodes.c.started_at + 1))
    last_event = func.max(events.c.timestamp)
    recorded = events.c.origin == RECORDED
    moments = (
        connection.execute(select(last).where(nodes.c.run_id == run_id)).scalar(),
        connection.execute(select(last_event).where(events.c.run_id == run_id, recorded)).scalar(),
    )
    return max((int(moment) for moment in moments if moment is not None), default=0)


def _groups(connection: Connection, run_id: str) -> dict[_Group, list[str]]:
    """The nodes by what OTLP says once for many spans: service, scope and its version, as JSON."""
    nodes = schema.dag_nodes
    found = connection.execute(
        select(nodes.c.id, nodes.c.scope, nodes.c.meta)
        .where(nodes.c.run_id == run_id, nodes.c.node_type != NodeType.BRANCH_POINT)
        .order_by(nodes.c.started_at, nodes.c.id)
    )
    groups: defaultdict[_Group, list[str]] = defaultdict(list)
    for node_id, scope, meta in found:
        said = meta if isinstance(meta, dict) else {}
        groups[
            json.dumps(said.get("service")), json.dumps(scope), json.dumps(said.get("scope_version"))
        ].append(node_id)
    return groups


def _resource_spans(group: _Group, spans: list[dict[str, Any]]) -> dict[str, Any]:
    service, name, version = map(parsed, group)
    scope = {"name": name, "version": version}
    return {
        "resource": {"attributes": [] if service is None else _key_values({semconv.SERVICE_NAME: service})},
        "scopeSpans": [
            {"scope": {key: value for key, value in scope.items() if value is not None}, "spans": spans}
        ],
    }


def _details(connection: Connection, run_id: str, node_ids: Sequence[str]) -> _Details:
    details = _Details()
    for row in rows_of_nodes(connection, schema.execution_events, run_id, node_ids):
        event = EventRow._make(row)
        details.events[event.node_id].append(event)
    for row in rows_of_nodes(connection, schema.span_links, run_id, node_ids):
        link = LinkRow._make(row)
        details.links[link.node_id].append(link)
    of_nodes = list(
        map(NodeMessagesRow._make, rows_of_nodes(connection, schema.node_messages, run_id, node_ids))
    )
    messages = _messages(connection, run_id, of_nodes)
    for of_node in of_nodes:
        details.said[of_node.node_id][of_node.direction] = [
            messages[digest] for digest in hashes_of(of_node.hashes) if digest in messages
        ]
    return details


def _messages(connection: Connection, run_id: str, of_nodes: Iterable[NodeMessagesRow]) -> dict[bytes, Said]:
    table = schema.messages
    wanted = sorted({digest for row in of_nodes for digest in hashes_of(row.hashes)})
    found: dict[bytes, Said] = {}
    for start in range(0, len(wanted), AT_ONCE):
        rows = connection.execute(
            select(table.c.hash, table.c.format, table.c.content).where(
                table.c.run_id == run_id, table.c.hash.in_(wanted[start : start + AT_ONCE])
            )
        )
        found.update((bytes(digest), Said(kind, content)) for digest, kind, content in rows)
    return found


def _span(row: NodeRow, details: _Details, known: int) -> dict[str, Any]:
    attributes: dict[str, Any] = _object(row.attributes)
    meta = _object(row.meta)
    previews = {
        # A run's task stands in an attribute of its own.
        "input": None if attributes.get(semconv.SPANDAG_RUN_TASK) else row.input_preview,
        "output": row.output_preview,
    }
    content = content_attributes(row.node_type, details.said.get(row.id, {}), previews)
    end = row.ended_at
    unfinished: dict[str, Any] = {}
    if end is None:
        # OTLP would leave the end out, which Jaeger takes for the year 1970: the span, and the whole picture
        # with it, would last for millennia.
        end = known
        unfinished = {semconv.SPANDAG_UNFINISHED: True}
    events = sorted(details.events.get(row.id, ()), key=lambda event: event.seq)
    said = meta.get("flags")
    flags = (said if isinstance(said, int) else 0) & 0xFF | CONTEXT_HAS_IS_REMOTE
    if meta.get("remote_parent"):
        flags |= CONTEXT_IS_REMOTE
    span: dict[str, Any] = {
        "traceId": row.run_id,
        "spanId": row.span_id,
        "traceState": meta.get("trace_state"),
        "parentSpanId": row.parent_span_id,
        "flags": flags,
        "name": decoded(row.span_name or ""),
        "kind": KINDS.get(str(meta.get("kind")), 0),
        "startTimeUnixNano": str(row.started_at),
        "endTimeUnixNano": str(end),
        "attributes": _key_values({**attributes, **content, **unfinished}),
        "events": [_event(event) for event in events] or _error_of_open(row, attributes),
        "links": [_link(link) for link in sorted(details.links.get(row.id, ()), key=lambda link: link.seq)],
        "status": _status(row, attributes),
    }
    return {name: value for name, value in span.items() if value is not None and value != []}


def _status(row: NodeRow, attributes: Mapping[str, Any]) -> dict[str, Any]:
    message = decoded(row.error_message)
    # Work that its own outcome says was called off need not be an error.
    called_off = (
        row.status == "cancelled"
        and attributes.get(semconv.SPANDAG_ATTEMPT_OUTCOME) == Outcome.CANCELLED
        and message is None
        and decoded(row.error_type) == attributes.get(semconv.ERROR_TYPE)
    )
    if message is None and (row.status not in ("failed", "cancelled") or called_off):
        return {}
    return {"code": STATUS_ERROR} if message is None else {"code": STATUS_ERROR, "message": message}


def _error_of_open(row: NodeRow, attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a span has failed with that goes on: its events are not stored yet."""
    if row.ended_at is not None or row.error_type is None or semconv.ERROR_TYPE in attributes:
        return []
    said = {semconv.EXCEPTION_TYPE: decoded(row.error_type)}
    return [
        {
            "timeUnixNano": str(row.started_at),
            "name": semconv.EXCEPTION_EVENT,
            "attributes": _key_values(said),
        }
    ]


def _event(event: EventRow) -> dict[str, Any]:
    attributes = _object(event.meta)
    name = decoded(event.event_type)
    # Also anybody's own event can be called "error"; what stands there as its type is not read.
    recorded = event.event_subtype is not None or (
        semconv.EXCEPTION_TYPE not in attributes and any(key.startswith("exception.") for key in attributes)
    )
    if name == "error" and recorded:
        name = semconv.EXCEPTION_EVENT
    result = {"timeUnixNano": str(event.timestamp or 0), "name": name}
    return {**result, "attributes": _key_values(attributes)} if attributes else result


def _link(link: LinkRow) -> dict[str, Any]:
    attributes = _object(link.attributes)
    result: dict[str, Any] = {"traceId": link.linked_run_id, "spanId": link.linked_span_id}
    return {**result, "attributes": _key_values(attributes)} if attributes else result


def _object(stored: str | None) -> dict[str, Any]:
    value = None if stored is None else parsed(stored)
    return value if isinstance(value, dict) else {}


def _key_values(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _any_value(value)} for key, value in values.items()]


def _any_value(value: Any) -> dict[str, Any]:
    match value:
        case None:
            return {}
        case bool():
            return {"boolValue": value}
        case int():
            fits = -_MAX_INT <= value < _MAX_INT
            return {"intValue": str(value)} if fits else {"stringValue": str(value)}
        case float():
            return {"doubleValue": value}
        case dict():
            return {"kvlistValue": {"values": _key_values(value)}}
        case list():
            return {"arrayValue": {"values": [_any_value(item) for item in value]}}
    return {"stringValue": str(value)}
