"""A node: an open span, its place among the nodes of this process, and its totals."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
)

from spandag import pricing, semconv
from spandag._guard import guard
from spandag.scrub import scrub_attribute, scrub_text
from spandag.semconv import NodeType
from spandag.spans import providers
from spandag.spans.content import content_json, message, text_part
from spandag.spans.errors import describe, is_normal_exit, qualified_name
from spandag.spans.plain import as_text
from spandag.spans.totals import Totals

_NODE_KEY = otel_context.create_key("spandag-node")

NodeT = TypeVar("NodeT", bound="Node")

_WITH_TOTALS = frozenset(
    {
        NodeType.RUN,
        NodeType.PHASE,
        NodeType.STEP,
        NodeType.ITERATION,
        NodeType.PLANNING,
        NodeType.AGENT,
        NodeType.SUB_AGENT,
        NodeType.TOOL,
        NodeType.CODE,
        NodeType.CONVERSATION,
        NodeType.HANDOFF,
    }
)


def _as_is(role: str, value: object) -> object:
    return value() if callable(value) else value


def _as_messages(role: str, value: object) -> object:
    content = _as_is(role, value)
    if content is None or isinstance(content, list):
        return content  # messages in the GenAI JSON already
    return [message(role, [text_part(as_text(content))])]


# Where a type's content goes, and in which form; every other type has `spandag.input` and `.output`.
_INPUT = {
    NodeType.LLM: (semconv.GEN_AI_INPUT_MESSAGES, _as_messages),
    NodeType.AGENT: (semconv.GEN_AI_INPUT_MESSAGES, _as_messages),
    NodeType.SUB_AGENT: (semconv.GEN_AI_INPUT_MESSAGES, _as_messages),
    NodeType.TOOL: (semconv.GEN_AI_TOOL_CALL_ARGUMENTS, _as_is),
    NodeType.CODE: (semconv.GEN_AI_TOOL_CALL_ARGUMENTS, _as_is),
}
_OUTPUT = {
    NodeType.LLM: (semconv.GEN_AI_OUTPUT_MESSAGES, _as_messages),
    NodeType.AGENT: (semconv.GEN_AI_OUTPUT_MESSAGES, _as_messages),
    NodeType.SUB_AGENT: (semconv.GEN_AI_OUTPUT_MESSAGES, _as_messages),
    NodeType.TOOL: (semconv.GEN_AI_TOOL_CALL_RESULT, _as_is),
    NodeType.CODE: (semconv.GEN_AI_TOOL_CALL_RESULT, _as_is),
}


class Node:
    """An open operation, for example a run, a phase, an agent, a model call or a tool call.

    As a context manager (sync or async) a node is the current one within the
    block and ends with it, taking the exception that leaves the block as its
    error. Code that cannot hold a context (generators, callbacks) uses
    `activate` for each stretch of work and `end` once.

    Attributes:
        span: The OpenTelemetry span.
        type: One of `spandag.semconv.NodeType`.
        name: What the node is called, for example the agent's or tool's name.
        agent_name: The agent at work in this node, if any.
        parent: The enclosing node of this process, if any.
        context: The context in which work below this node runs, while it is open.
        totals: What was spent below this node so far.
        failed: Whether it is marked as failed.
    """

    __slots__ = (
        "_around",
        "_ended",
        "_recorded",
        "_tokens",
        "agent_name",
        "context",
        "failed",
        "name",
        "parent",
        "span",
        "totals",
        "type",
    )

    def __init__(
        self,
        span: Span,
        node_type: str,
        name: str,
        *,
        agent_name: str | None,
        parent: Node | None,
        base_context: Context,
    ) -> None:
        self.span = span
        self.type = node_type
        self.name = name
        self.agent_name = agent_name
        self.parent = parent
        self.totals = Totals()
        self._around = base_context
        self.context = otel_context.set_value(_NODE_KEY, self, trace.set_span_in_context(span, base_context))
        self._ended = False
        self._recorded: tuple[int, str, str] | None = None
        self.failed = False
        self._tokens: list[object] = []

    # -- what users and instrumentors add -------------------------------------

    def set_attribute(self, name: str, value: object) -> None:
        """Set an attribute; None is left out, secrets are scrubbed.

        Args:
            name: The attribute's name.
            value: A string, number, bool, or a sequence of one of these.
        """
        if value is None:
            return
        with guard("set an attribute"):
            self.span.set_attribute(name, scrub_attribute(name, value))

    def set_attributes(self, attributes: Mapping[str, object]) -> None:
        """Set several attributes, as `set_attribute` does."""
        for name, value in attributes.items():
            self.set_attribute(name, value)

    def add_event(self, name: str, attributes: Mapping[str, object] | None = None) -> None:
        """Add an event, for example ``approval``, ``model_selected`` or ``policy_decision``.

        Args:
            name: The event's name.
            attributes: Its attributes; None values are left out.
        """
        with guard("add an event"):
            self.span.add_event(name, clean(attributes or {}))

    def set_input(self, value: object) -> None:
        """Record what this node works on, where content is recorded.

        Args:
            value: Any value that JSON can hold, or a function that gives it when it is wanted.
        """
        with guard("record content"):
            name, as_content = _INPUT.get(self.type, (semconv.SPANDAG_INPUT, _as_is))
            self.set_attribute(name, content_json(lambda: as_content("user", value)))

    def set_output(self, value: object) -> None:
        """Record what came out of this node, where content is recorded.

        Args:
            value: Any value that JSON can hold, or a function that gives it when it is wanted.
        """
        with guard("record content"):
            name, as_content = _OUTPUT.get(self.type, (semconv.SPANDAG_OUTPUT, _as_is))
            self.set_attribute(name, content_json(lambda: as_content("assistant", value)))

    # -- what it is called in a store ---------------------------------------------

    @property
    def run_id(self) -> str | None:
        """``workflow_runs.id`` of its run, which is its trace id; None where it is not recorded."""
        here = self.span.get_span_context()
        return format_trace_id(here.trace_id) if here.is_valid and here.trace_flags.sampled else None

    @property
    def id(self) -> str | None:
        """``dag_nodes.id``, which is its span id; None where it is not recorded."""
        here = self.span.get_span_context()
        # Where nothing could be started, the context is that of the span above.
        is_own = here.is_valid and not isinstance(self.span, NonRecordingSpan)
        return format_span_id(here.span_id) if is_own and here.trace_flags.sampled else None

    # -- lifecycle --------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether the span has ended."""
        return self._ended

    @contextmanager
    def activate(self) -> Iterator[Self]:
        """Make this node the current one for a stretch of work, without ending it."""
        token = otel_context.attach(self.context)
        try:
            yield self
        finally:
            otel_context.detach(token)

    def end(self, error: BaseException | None = None) -> None:
        """End the node; only the first call counts.

        Args:
            error: The exception that leaves it. One that goes no further than the caller is said with `fail`.
        """
        if self._ended:
            return
        self._ended = True
        # The work is over now; what follows (pricing, content) is ours and not part of it.
        end_time = time.time_ns()
        try:
            with guard("record an error"):
                if error is not None and self.is_failure(error):
                    self.fail(error, end_time)
            with guard("finish a span"):
                self._finish()
        finally:
            with guard("end a span"):
                self.span.end(end_time)
            self._let_go()

    def is_failure(self, error: BaseException) -> bool:
        """Whether an exception that leaves this node means that something failed.

        It does not where that is a normal end, or where a node above takes it for an answer on its way.
        """
        if is_normal_exit(error):
            return False
        return not any(not node.ended and node.hears(error) for node in self.ancestors())

    def hears(self, error: BaseException) -> bool:
        """Whether an exception from below tells this node something, and that nothing failed."""
        return False

    def fail(self, error: BaseException, at: int | None = None) -> None:
        """Mark the span as failed by an exception, recorded once on its way up.

        Args:
            error: The exception.
            at: When, in Unix ns; now by default.
        """
        error_type = qualified_name(type(error))
        message = scrub_text(describe(error))
        self.failed = True
        self.span.set_status(Status(StatusCode.ERROR, message))
        self.span.set_attribute(semconv.ERROR_TYPE, error_type)
        # The identity of the exception, not the exception: keeping it would keep the
        # host's frames alive for as long as the enclosing node is open.
        mark = (id(error), error_type, message)
        if self._recorded != mark:
            self.span.add_event(
                semconv.EXCEPTION_EVENT,
                {
                    semconv.EXCEPTION_TYPE: error_type,
                    semconv.EXCEPTION_MESSAGE: message,
                    # Not `record_exception`: the message in its stack trace would not be scrubbed.
                    semconv.EXCEPTION_STACKTRACE: scrub_text("".join(traceback.format_exception(error))),
                },
                at,
            )
        if self.parent is not None:
            self.parent._recorded = mark

    def fail_as(self, error_type: str, message: str) -> None:
        """Mark the span as failed where no exception says so, such as by an exit code.

        Args:
            error_type: The value of ``error.type``: one of few.
            message: What went wrong.
        """
        self.failed = True
        self.span.set_status(Status(StatusCode.ERROR, scrub_text(message)))
        self.span.set_attribute(semconv.ERROR_TYPE, error_type)

    def _let_go(self) -> None:
        """Break the cycle with the context, so that what instrumentors put in goes with the last reference to us."""
        with guard("let go of a context"):
            self.context = trace.set_span_in_context(self.span, self._around)

    def _finish(self) -> None:
        """Set what is only known at the end."""
        if self.type in _WITH_TOTALS:
            for name, value in self.totals.attributes().items():
                self.span.set_attribute(name, value)

    def ancestors(self) -> Iterator[Node]:
        """The enclosing nodes of this process, innermost first."""
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    def __enter__(self) -> Self:
        self._tokens.append(otel_context.attach(self.context))
        return self

    def step_out(self) -> None:
        """Be current no more, without ending, until it is entered again."""
        if self._tokens:
            otel_context.detach(self._tokens.pop())  # type: ignore[arg-type]

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        trace_back: TracebackType | None,
    ) -> bool | None:
        self.step_out()
        self.end(error)
        return None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        trace_back: TracebackType | None,
    ) -> bool | None:
        return self.__exit__(exc_type, error, trace_back)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.type} {self.name!r}>"


def current(node_type: str | None = None) -> Node | None:
    """The node that runs here, or the nearest enclosing one of a type.

    Args:
        node_type: One of `spandag.semconv.NodeType`; None for the innermost node.
    """
    node = otel_context.get_value(_NODE_KEY)
    # Where somebody went on in another trace (a remote parent was attached, say), it is not below us.
    if not isinstance(node, Node) or not _same_trace(node.span, trace.get_current_span()):
        return None
    if node_type is None or node.type == node_type:
        return node
    return next((n for n in node.ancestors() if n.type == node_type), None)


def context_below(parent: SpanContext) -> Context:
    """The context for work that goes on below a span, wherever that is running.

    Args:
        parent: The span. Where it is that of a node around here, the node's own context is given; else
            the nodes of this process are not around the work, whatever runs here.
    """
    around = current()
    for node in [] if around is None else [around, *around.ancestors()]:
        here = node.span.get_span_context()
        if not node.ended and (here.trace_id, here.span_id) == (parent.trace_id, parent.span_id):
            return node.context
    span = trace.NonRecordingSpan(parent) if parent.is_valid else trace.INVALID_SPAN
    return otel_context.set_value(_NODE_KEY, None, trace.set_span_in_context(span))


def _same_trace(one: Span, other: Span) -> bool:
    with guard("compare two spans"):
        return one.get_span_context().trace_id == other.get_span_context().trace_id
    return False


def unrecorded(node_type: str, node_class: type[NodeT]) -> NodeT:
    """A node that records nothing and is below nothing."""
    return node_class(trace.INVALID_SPAN, node_type, "", agent_name=None, parent=None, base_context=Context())


def start_node(
    tracer: Tracer,
    span_name: str,
    node_type: str,
    name: str,
    *,
    attributes: Mapping[str, object] | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    links: Sequence[Link] = (),
    agent_name: str | None = None,
    context: Context | None = None,
    start_time: int | None = None,
    node_class: type[NodeT],
) -> NodeT:
    """Start a span and make it a node; it is not made current yet.

    Never raises: what cannot be started becomes a node on a non-recording span.

    Args:
        tracer: The tracer of the caller's instrumentation scope.
        span_name: The span's name, ``{operation} {name}``.
        node_type: One of `spandag.semconv.NodeType`.
        name: What the node is called.
        attributes: Set at span start, so that samplers and live views see them.
        kind: The span's kind.
        links: Span links.
        agent_name: The agent at work below; the parent's by default.
        context: The parent context; the current one by default.
        start_time: When it started, in Unix ns; now by default.
        node_class: The class of the node.
    """
    parent_context = otel_context.get_current() if context is None else context
    parent = parent_context.get(_NODE_KEY)
    parent = parent if isinstance(parent, Node) else None
    if parent is None and node_type in _WITH_TOTALS and "opentelemetry.sdk.trace" in sys.modules:
        # Before anything is timed: the first model call below would take the time on behalf of what
        # is around it. Without the SDK nothing is recorded, so nothing will be priced.
        pricing.load()
    span: Span = trace.INVALID_SPAN
    with guard("start a span"):
        providers.in_use()
        span = tracer.start_span(
            scrub_text(span_name),
            context=parent_context,
            kind=kind,
            attributes=clean({semconv.SPANDAG_NODE_TYPE: node_type, **(attributes or {})}),
            links=list(links),
            start_time=start_time,
            record_exception=False,
            set_status_on_exception=False,
        )
    if span is trace.INVALID_SPAN:
        # What runs below shall still find its parent, not this hole.
        with guard("go on below a span"):
            span = trace.NonRecordingSpan(trace.get_current_span(parent_context).get_span_context())
    if parent is not None and not _same_trace(parent.span, span):
        parent = None
    return node_class(
        span,
        node_type,
        name,
        agent_name=agent_name or (parent.agent_name if parent is not None else None),
        parent=parent,
        base_context=parent_context,
    )


def clean(attributes: Mapping[str, object]) -> dict[str, Any]:
    """Attributes without None and without secrets; one that cannot be shown does not take the others along."""
    cleaned: dict[str, Any] = {}
    for name, value in attributes.items():
        if value is not None:
            with guard("clean an attribute"):
                cleaned[name] = scrub_attribute(name, value)
    return cleaned
