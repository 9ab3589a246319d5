"""Spans to rows: pure, and the same rows whoever brings the spans."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, StatusCode

from spandag import pricing, semconv
from spandag._guard import guard, logger, say_once, strict
from spandag.export.branches import add_fork, add_redo, fork_of, redo_of
from spandag.export.classify import name_of, node_type_of
from spandag.export.content import Content, content_of
from spandag.export.foreign import in_conventions
from spandag.export.values import (
    MAX_KEY,
    MAX_TEXT,
    amount,
    attributes_json,
    copied,
    count,
    integer,
    shown,
    text,
    text_without_secrets,
    time_ns,
)
from spandag.scrub import redacted, redacted_value
from spandag.semconv import OUTCOMES, NodeType, Outcome
from spandag.store.messages import Meanings
from spandag.store.rows import (
    RECORDED,
    Batch,
    CostRow,
    EventRow,
    LinkRow,
    MessageRow,
    NodeMessagesRow,
    NodeRow,
)
from spandag.store.text import to_json

PRICE_SOURCE_SPAN = "span"

_CONTENT = frozenset(semconv.CONTENT_ATTRIBUTES)
_OWN_ATTRIBUTES = semconv.OWN_ATTRIBUTES
_NO_CONTENT = Content({}, None, None)
_OWN_SCOPE = "spandag."
_meanings = Meanings()
# Exceptions that mean that the work was called off; error.type may carry a module before the name.
_CANCELLATIONS = frozenset({"CancelledError", "KeyboardInterrupt", "GeneratorExit"})


def project(spans: Iterable[ReadableSpan], *, writer_id: str | None = None) -> Batch:
    """The rows of spans, ended or still open.

    Never fails: what cannot be read of a span is left out and said once.

    Args:
        spans: In any order.
        writer_id: Who holds those open that have not ended.
    """
    projection = _Projection(writer_id)
    for span in spans:
        try:
            projection.add(span)
        except Exception as error:
            if strict():
                raise
            say_once(
                logging.WARNING,
                f"project:{type(error).__name__}",
                "spandag could not read all of a span (%s: %s); the rest is stored",
                type(error).__name__,
                error,
            )
            logger.debug("could not read all of a span", exc_info=True)
    return projection.batch


class _Origin(NamedTuple):
    """Where a span comes from.

    Attributes:
        meta: For ``dag_nodes.meta``.
        scope: Name of the instrumentation scope.
        scrub: Whether secrets may be in it.
    """

    meta: str
    scope: str | None
    scrub: bool


class _Projection:
    """The projection of one batch; what is the same for many spans is worked out once."""

    def __init__(self, writer_id: str | None) -> None:
        self.batch = Batch()
        self._writer_id = writer_id
        # With what the key names by identity, so that no other object takes its place in memory.
        self._origins: dict[tuple[object, ...], tuple[_Origin, tuple[object, ...]]] = {}
        self._run_ids: dict[int, str] = {}

    def add(self, span: ReadableSpan) -> None:
        context = span.get_span_context()
        if context is None:
            return
        run_id = self._run_ids.get(context.trace_id)
        if run_id is None:
            run_id = self._run_ids[context.trace_id] = f"{context.trace_id:032x}"
        node_id = f"{context.span_id:016x}"
        # First: a span that ends while it is looked at is one that has not ended yet, and will come again.
        ended_at = time_ns(span.end_time)
        attributes = copied(span.attributes)
        meta, scope, scrub = self._origin_of(span, context)
        if not scrub and not _OWN_ATTRIBUTES.issuperset(attributes):
            for key in attributes.keys() - _OWN_ATTRIBUTES:
                attributes[key] = redacted_value(attributes[key], key)
        named = text_without_secrets if scrub else text

        parent = span.parent
        # What it says; `attributes` are what it recorded, and in the end without content.
        said = in_conventions(attributes, span.name, top=parent is None) if scrub else attributes

        content = _NO_CONTENT
        if not _CONTENT.isdisjoint(said):
            values = {key: said[key] for key in _CONTENT & said.keys()}
            for key in values:
                attributes.pop(key, None)
            with guard("read what a span says"):
                content = content_of(values, scrub=scrub)

        node_type = node_type_of(said)
        started_at = time_ns(span.start_time)
        status, error_type, error_message = _outcome(span, said, ended_at)
        get = said.get
        agent = get(semconv.GEN_AI_AGENT_NAME)
        model = get(semconv.GEN_AI_REQUEST_MODEL) or get(semconv.GEN_AI_RESPONSE_MODEL)
        provider = get(semconv.GEN_AI_PROVIDER_NAME)
        session = get(semconv.SESSION_ID) or get(semconv.GEN_AI_CONVERSATION_ID)
        redo = step_id = number = attempt = outcome = None
        if node_type == NodeType.STEP:
            redo = redo_of(span, said)
            step_id = named(get(semconv.SPANDAG_STEP_ID), MAX_KEY) if redo is None else redo.step_id
            number = integer(get(semconv.SPANDAG_STEP_NUMBER))
            attempt = integer(get(semconv.SPANDAG_STEP_ATTEMPT)) if redo is None else redo.attempt
            said_outcome = get(semconv.SPANDAG_ATTEMPT_OUTCOME)
            # Anything else stays what it is: an attribute.
            outcome = said_outcome if said_outcome in OUTCOMES else None
        elif node_type == NodeType.ITERATION:
            number = integer(get(semconv.SPANDAG_ITERATION_NUMBER))
        node = NodeRow(
            run_id,
            node_id,
            node_id,
            f"{parent.span_id:016x}" if parent is not None and parent.span_id else None,
            node_type,
            named(name_of(node_type, said, span.name)) or node_type,
            named(span.name),
            None if agent is None else named(agent),
            status,
            step_id,
            number,
            attempt,
            outcome,
            started_at if started_at is not None else ended_at or 0,
            ended_at,
            None if model is None else named(model),
            None if provider is None else named(provider),
            None if session is None else named(session, MAX_KEY),
            named(get(semconv.USER_ID)),
            error_type,
            error_message,
            text_without_secrets(get(semconv.SPANDAG_RUN_TASK)) or content.input_preview,
            content.output_preview,
            attributes_json(attributes, scrub=scrub),
            meta,
            scope,
            self._writer_id if ended_at is None else None,
        )
        batch = self.batch
        batch.run_ids.add(run_id)
        batch.dag_nodes.append(node)
        if redo is not None:
            add_redo(batch, node, redo, said)
        links = span.links
        if links:
            _add_links(batch, node, links, scrub=scrub)
            source = fork_of(span)
            if source is not None:
                add_fork(batch, node, source, said)
        if ended_at is None:
            return
        # The rest belongs to the end alone, so that no row is written in two versions.
        events = span.events
        if events:
            _add_events(batch, node, events)
        if node_type == NodeType.LLM:
            _add_cost(batch, node, said)
        if content.entries:
            _add_messages(batch, node, content, said)
        if parent is None or parent.is_remote or node_type == NodeType.RUN:
            batch.ended_runs.add(run_id)

    def _origin_of(self, span: ReadableSpan, context: SpanContext) -> _Origin:
        parent, resource, scope = span.parent, span.resource, span.instrumentation_scope
        remote = parent is not None and parent.is_remote
        kind, state = span.kind, context.trace_state
        # By identity: comparing their values takes longer than the rest.
        key = (id(resource), id(scope), id(kind), id(state), context.trace_flags, remote)
        known = self._origins.get(key)
        if known is not None:
            return known[0]
        name = scope.name if scope is not None else None
        values = {
            "kind": getattr(kind, "name", "").lower() or None,
            "flags": int(context.trace_flags),
            "remote_parent": remote or None,
            "trace_state": state.to_header() if state else None,
            "service": resource.attributes.get(semconv.SERVICE_NAME),
            "scope_version": getattr(scope, "version", None) or None,
        }
        origin = _Origin(
            to_json({name: value for name, value in values.items() if value is not None}),
            text(name),
            # What spandag records was scrubbed before the span had it; but anybody can add to a span.
            name is None or not f"{name}.".startswith(_OWN_SCOPE),
        )
        self._origins[key] = (origin, (resource, scope, kind, state))
        return origin


def _outcome(
    span: ReadableSpan, attributes: Mapping[str, Any], ended_at: int | None
) -> tuple[str, str | None, str | None]:
    """Status, error type and error message of a node."""
    error_type = attributes.get(semconv.ERROR_TYPE)
    if error_type is not None:
        error_type = text_without_secrets(error_type)
    cancelled = attributes.get(semconv.SPANDAG_ATTEMPT_OUTCOME) == Outcome.CANCELLED
    if span.status.status_code is not StatusCode.ERROR:
        if ended_at is None:
            return "running", error_type, None
        return "cancelled" if cancelled else "completed", error_type, None
    message = span.status.description
    for event in reversed(span.events):
        if event.name == semconv.EXCEPTION_EVENT:
            said = event.attributes or {}
            error_type = error_type or text_without_secrets(said.get(semconv.EXCEPTION_TYPE))
            message = shown(said.get(semconv.EXCEPTION_MESSAGE) or message or "")
            break
    if error_type is not None and error_type.rpartition(".")[2] in _CANCELLATIONS:
        cancelled = True
    status = "running" if ended_at is None else "cancelled" if cancelled else "failed"
    return status, error_type, text(redacted(message[:MAX_TEXT])) if message else None


def _add_links(batch: Batch, node: NodeRow, links: Sequence[Any], *, scrub: bool) -> None:
    for seq, link in enumerate(links):
        attributes = copied(link.attributes)
        batch.span_links.append(
            LinkRow(
                node.run_id,
                node.id,
                seq,
                f"{link.context.trace_id:032x}",
                f"{link.context.span_id:016x}",
                text_without_secrets(attributes.get(semconv.SPANDAG_LINK_TYPE)),
                attributes_json(attributes, scrub=scrub),
            )
        )


def _add_events(batch: Batch, node: NodeRow, events: Sequence[Any]) -> None:
    for seq, event in enumerate(events):
        attributes = copied(event.attributes)
        kind, subtype, agent = event.name, None, attributes.get(semconv.GEN_AI_AGENT_NAME)
        if kind == semconv.EXCEPTION_EVENT:
            kind, subtype = "error", attributes.get(semconv.EXCEPTION_TYPE)
        elif kind == semconv.EVENT_HANDOFF:
            subtype, agent = "transfer", attributes.get(semconv.HANDOFF_FROM)
        batch.execution_events.append(
            EventRow(
                node.run_id,
                node.id,
                seq,
                text_without_secrets(kind) or "event",
                text_without_secrets(subtype),
                text_without_secrets(agent) or node.agent,
                time_ns(event.timestamp),
                RECORDED,
                # Also ours: the SDK writes the exception's message and traceback as they are.
                attributes_json(attributes, scrub=True),
            )
        )


def _add_cost(batch: Batch, node: NodeRow, attributes: Mapping[str, Any]) -> None:
    get = attributes.get
    usage = pricing.Usage(
        count(get(semconv.GEN_AI_USAGE_INPUT_TOKENS)),
        count(get(semconv.GEN_AI_USAGE_OUTPUT_TOKENS)),
        count(get(semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS)),
        count(get(semconv.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS)),
        count(get(semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS)),
    )
    cost = amount(get(semconv.GEN_AI_USAGE_COST))
    if cost is None:
        cost = amount(get(semconv.OPERATION_COST))
    is_known = cost is not None or usage.input_tokens is not None or usage.output_tokens is not None
    if not is_known and node.status != "completed":
        # It gave no answer to pay for. One that did has cost something, though nobody knows what.
        return
    source = None
    if cost is not None:
        source = text(get(semconv.SPANDAG_PRICE_SOURCE)) or PRICE_SOURCE_SPAN
    elif is_known:
        # The model that answered is the one that is billed; routers answer with names of their own.
        answered = text(get(semconv.GEN_AI_RESPONSE_MODEL))
        price = None
        with guard("price a model call"):
            price = pricing.price(answered, node.provider, usage) or pricing.price(
                node.model, node.provider, usage
            )
        if price is not None:
            cost, source = price.cost, price.source
    batch.cost_records.append(
        CostRow(
            node.run_id,
            node.id,
            node.model,
            node.provider,
            *usage,
            cost,
            source,
            node.ended_at or node.started_at,
        )
    )


def _add_messages(batch: Batch, node: NodeRow, content: Content, said: Mapping[str, Any]) -> None:
    run_id = node.run_id
    sender = text_without_secrets(said.get(semconv.SPANDAG_MESSAGE_SENDER))
    recipient = text_without_secrets(said.get(semconv.SPANDAG_MESSAGE_RECIPIENT))
    between = {"input": (sender, recipient), "output": (recipient, sender)}
    for direction, entries in content.entries.items():
        for entry in entries:
            batch.messages[run_id, entry.hash] = MessageRow(run_id, *entry)
        hashes = b"".join(entry.hash for entry in entries)
        meaning = _meanings.of_list([(entry.hash, entry.format, entry.content) for entry in entries])
        batch.node_messages.append(
            NodeMessagesRow(
                run_id, node.id, direction, hashes, *between.get(direction, (None, None)), meaning
            )
        )
