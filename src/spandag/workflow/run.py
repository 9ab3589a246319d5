"""Runs and phases: what the rest of a workflow hangs below."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span

from spandag import semconv
from spandag._guard import guard, say_once
from spandag.spans.node import Node, current
from spandag.spans.operations import start_phase, start_run
from spandag.workflow.scope import Scope, check_name, tracer
from spandag.workflow.section import Section


def run(
    name: str,
    *,
    task: str | None = None,
    session: str | None = None,
    user: str | None = None,
    new_trace: bool | None = None,
    attributes: Mapping[str, object] | None = None,
) -> Scope[Section]:
    """A run of a workflow: a trace of its own, or a part of the run around it.

    Below a span of another library (a web request, a job) it starts a new trace
    that is linked to that span. Below a run, an agent or any other GenAI span, and
    below a remote parent, it is a nested run in the same trace and session.

    Args:
        name: The workflow's name; the same for every run of it.
        task: What this run is to achieve; always recorded.
        session: The session or conversation that the run belongs to.
        user: The user it runs for.
        new_trace: False joins the current trace in any case, True never does.
        attributes: Further span attributes.

    Returns:
        A context manager (sync and async) and decorator; entering it gives the node.
    """
    check_name("run", name)

    def open_node() -> Section:
        context, links = _placement(new_trace)
        node = start_run(
            tracer(),
            name,
            task=task,
            session=session,
            user=user,
            links=links,
            context=context,
            attributes=attributes,
            node_class=Section,
        )
        _warn_if_unsampled(node)
        return node

    return Scope("spandag.run(...)", open_node)


def phase(name: str, *, attributes: Mapping[str, object] | None = None) -> Scope[Section]:
    """A phase of a run, such as planning or control; steps are counted within it.

    Args:
        name: The phase's name.
        attributes: Further span attributes.

    Returns:
        A context manager (sync and async) and decorator; entering it gives the node.
    """
    check_name("phase", name)
    return Scope(
        "spandag.phase(...)", lambda: start_phase(tracer(), name, attributes=attributes, node_class=Section)
    )


def run_of_step(name: str, context: Context) -> Section | None:
    """A run for a step that is in none, so that its redos are beside it, in one trace.

    Args:
        name: The step's name, which is the run's as well.
        context: Where the step is about to start.

    Returns:
        The run; None where there is anything that the step is below.
    """
    with guard("look what is around a step"):
        if not trace.get_current_span(context).get_span_context().is_valid:
            node = start_run(tracer(), name, context=context, node_class=Section)
            _warn_if_unsampled(node)
            return node
    return None


def _placement(new_trace: bool | None) -> tuple[Context | None, list[Link]]:
    """Where a run starts: the context to start it in, None for the current one, and its links."""
    with guard("place a run"):
        span = trace.get_current_span()
        span_context = span.get_span_context()
        if not span_context.is_valid or new_trace is False:
            return None, []
        if new_trace is None and (span_context.is_remote or current() is not None or _is_genai(span)):
            return None, []
        # Everything else in the context (baggage, suppression) stays; only the parent goes.
        detached = trace.set_span_in_context(trace.INVALID_SPAN, otel_context.get_current())
        link = Link(span_context, {semconv.SPANDAG_LINK_TYPE: semconv.LinkType.STARTED_BY})
        return detached, [link]
    return None, []


def _is_genai(span: Span) -> bool:
    attributes = getattr(span, "attributes", None) or {}
    return any(name.startswith(("gen_ai.", "spandag.")) for name in attributes)


def _warn_if_unsampled(node: Node) -> None:
    with guard("look whether a run is sampled"):
        context = node.span.get_span_context()
        if context.is_valid and not node.span.is_recording() and not context.trace_flags.sampled:
            say_once(
                logging.WARNING,
                "unsampled",
                "spandag: run %r is not sampled and will not be recorded (this is said once); see OTEL_TRACES_SAMPLER",
                node.name,
            )
