"""What is known about one node?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from spandag.query.errors import QueryError
from spandag.query.liveness import with_standings
from spandag.query.resolve import resolve_node
from spandag.query.runs import Run, summary
from spandag.query.text import decoded, decoded_json, parsed
from spandag.query.tree import tree_of_rows
from spandag.query.tree_node import TreeNode
from spandag.store import Store, load_run, schema
from spandag.store.facts import tree_rows
from spandag.store.messages import hashes_of
from spandag.store.records import CostRecord, EventRecord

_AS_MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class Message:
    """One message, text or set of arguments that went into or came out of a node.

    Attributes:
        direction: ``system``, ``tools``, ``input`` or ``output``.
        role: Of a message that has one.
        format: ``message`` for the JSON of the GenAI conventions, else ``text``.
        content: The parsed JSON of a message, otherwise the text as it was recorded.
        sender: Of a message between agents.
        recipient: Of a message between agents.
    """

    direction: str
    role: str | None
    format: str
    content: Any
    sender: str | None
    recipient: str | None


@dataclass(frozen=True, slots=True)
class SpanLink:
    """A link of the node's span.

    Attributes:
        linked_run_id: Trace id of the target.
        linked_span_id: Span id of the target.
        link_type: ``redo_of``, ``fork_of`` or ``started_by``; None for links of others.
        attributes: The link's attributes.
    """

    linked_run_id: str
    linked_span_id: str
    link_type: str | None
    attributes: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class NodeDetail:
    """One node with its content.

    Attributes:
        run: The run that it is part of.
        node: The node in its place.
        path: What is above it, from the top.
        children: What is directly below it.
        input_preview: The last message that went in, cut.
        output_preview: The last message that came out, cut.
        messages: All content, in order within each direction; empty where it was not asked for.
        attributes: The span's attributes, without content.
        meta: What the store keeps beside them: span kind, service …
        scope: Name of the instrumentation scope.
        events: Events, recorded and derived.
        links: Span links.
        cost: The cost record of a model call.
    """

    run: Run
    node: TreeNode
    path: list[TreeNode]
    children: list[TreeNode]
    input_preview: str | None
    output_preview: str | None
    messages: list[Message]
    attributes: dict[str, Any]
    meta: dict[str, Any]
    scope: str | None
    events: list[EventRecord]
    links: list[SpanLink]
    cost: CostRecord | None


def node(store: Store, node: str, *, content: bool = True) -> NodeDetail:
    """One node with everything that is recorded about it.

    Args:
        store: Where it is.
        node: As `spandag.query.resolve_node` takes it.
        content: Whether to load the whole messages, arguments and results; a history can have
            megabytes. The previews are there in any case.

    Raises:
        QueryError: No node is meant, or several are.
    """
    with store.connection() as connection:
        found = resolve_node(connection, node)
        rows = load_run(connection, found.run_id)
        if rows is None:
            raise QueryError(f"run {found.run_id} was removed meanwhile")
        for_tree = with_standings(connection, tree_rows(rows))
        nodes = {n.id: n for n in tree_of_rows(for_tree, all_spans=True).nodes}
        here = nodes[found.id]
        table = schema.dag_nodes
        big = connection.execute(
            select(
                table.c.input_preview, table.c.output_preview, table.c.attributes, table.c.meta, table.c.scope
            ).where(table.c.run_id == found.run_id, table.c.id == found.id)
        ).one()
        messages = _messages(connection, found.run_id, found.id) if content else []
        links = _links(connection, found.run_id, found.id)
    return NodeDetail(
        run=summary(for_tree),
        node=here,
        path=_path(here, nodes),
        children=[nodes[child] for child in here.children],
        input_preview=decoded(big.input_preview),
        output_preview=decoded(big.output_preview),
        messages=messages,
        attributes=decoded_json(big.attributes or {}),
        meta=decoded_json(big.meta or {}),
        scope=decoded(big.scope),
        events=sorted(
            (
                event._replace(
                    event_type=decoded(event.event_type),
                    event_subtype=decoded(event.event_subtype),
                    agent_name=decoded(event.agent_name),
                    meta=decoded_json(event.meta),
                )
                for event in rows.events
                if event.node_id == found.id
            ),
            key=lambda event: (event.timestamp or 0, event.seq),
        ),
        links=links,
        cost=next((cost for cost in rows.costs if cost.node_id == found.id), None),
    )


def _path(node: TreeNode, nodes: dict[str, TreeNode]) -> list[TreeNode]:
    path = []
    above = nodes.get(node.parent_node_id or "")
    while above is not None:
        path.append(above)
        above = nodes.get(above.parent_node_id or "")
    return path[::-1]


def _messages(connection: Connection, run_id: str, node_id: str) -> list[Message]:
    lists, contents = schema.node_messages, schema.messages
    rows = connection.execute(
        select(lists.c.direction, lists.c.hashes, lists.c.sender, lists.c.recipient).where(
            lists.c.run_id == run_id, lists.c.node_id == node_id
        )
    ).all()
    order = {"system": 0, "tools": 1, "input": 2, "output": 3}
    result = []
    for row in sorted(rows, key=lambda row: order.get(row.direction, len(order))):
        hashes = hashes_of(row.hashes)
        found = {
            bytes(message.hash): message
            for message in connection.execute(
                select(contents.c.hash, contents.c.role, contents.c.format, contents.c.content).where(
                    contents.c.run_id == run_id, contents.c.hash.in_(list(dict.fromkeys(hashes)))
                )
            )
        }
        result += [
            Message(
                direction=row.direction,
                role=decoded(found[digest].role),
                format=found[digest].format,
                content=_content(found[digest].format, found[digest].content),
                sender=decoded(row.sender),
                recipient=decoded(row.recipient),
            )
            for digest in hashes
            if digest in found
        ]
    return result


def _content(kind: str, stored: str) -> Any:
    return parsed(stored) if kind == _AS_MESSAGE else decoded(stored)


def _links(connection: Connection, run_id: str, node_id: str) -> list[SpanLink]:
    table = schema.span_links
    rows = connection.execute(
        select(table.c.linked_run_id, table.c.linked_span_id, table.c.link_type, table.c.attributes)
        .where(table.c.run_id == run_id, table.c.node_id == node_id)
        .order_by(table.c.seq)
    )
    return [
        SpanLink(row.linked_run_id, row.linked_span_id, decoded(row.link_type), decoded_json(row.attributes))
        for row in rows
    ]
