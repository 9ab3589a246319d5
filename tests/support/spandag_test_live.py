"""A process that holds spans open, told span by span into a store."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.trace import Status, StatusCode
from spandag_test_databases import connected
from sqlalchemy import delete, update

from spandag import semconv
from spandag.export.project import project
from spandag.semconv import NodeType
from spandag.store import Writer, schema
from spandag.store.heartbeat import STALE_NS

_NAMED_BY = {
    NodeType.RUN: semconv.GEN_AI_WORKFLOW_NAME,
    NodeType.PHASE: semconv.GEN_AI_STEP_NAME,
    NodeType.STEP: semconv.GEN_AI_STEP_NAME,
    NodeType.AGENT: semconv.GEN_AI_AGENT_NAME,
    NodeType.LLM: semconv.GEN_AI_REQUEST_MODEL,
    NodeType.TOOL: semconv.GEN_AI_TOOL_NAME,
}


class Process:
    """Writes spans when they start and when they end.

    Args:
        url: Of the store.
        name: Its writer's id; without one, nobody says who holds the spans open.
    """

    def __init__(self, url: str, name: str | None = "process") -> None:
        self.url = url
        self.name = name
        self.writer = Writer(url)
        self._tracer = TracerProvider().get_tracer("spandag.process")
        self.beat()

    def start(
        self, node_type: str | None, name: str, parent: Span | None = None, /, **attributes: Any
    ) -> Span:
        """A span that has started, in the store."""
        values = {key: value for key, value in attributes.items() if value is not None}
        if node_type is not None:
            values[semconv.SPANDAG_NODE_TYPE] = node_type
            values[_NAMED_BY[node_type]] = name
        context = trace.Context() if parent is None else trace.set_span_in_context(parent)
        span = self._tracer.start_span(name, context=context, attributes=values)
        assert isinstance(span, Span)
        self.write(span)
        return span

    def step(
        self, name: str, parent: Span, *, first: Span | None = None, hypothesis: str | None = None
    ) -> Span:
        """An attempt at a step, a redo where `first` is given."""
        return self.start(
            NodeType.STEP,
            name,
            parent,
            **{
                semconv.SPANDAG_STEP_NUMBER: 1,
                semconv.SPANDAG_STEP_ATTEMPT: 1 if first is None else 2,
                semconv.SPANDAG_STEP_ID: None if first is None else span_id(first),
                semconv.SPANDAG_REDO_HYPOTHESIS: hypothesis,
            },
        )

    def end(self, *spans: Span, failed: str | None = None, **attributes: Any) -> None:
        """The spans end, the first one first."""
        for span in spans:
            span.set_attributes(attributes)
            if failed is not None:
                span.set_status(Status(StatusCode.ERROR, failed))
            span.end()
            self.write(span)

    def write(self, *spans: Span) -> None:
        self.writer.write(project(spans, writer_id=self.name))

    def beat(self, *, closed: bool = False) -> None:
        """Say that it is alive, or that it has ended."""
        if self.name is None:
            return
        self.writer.beat(self.name, closed=closed)
        table = schema.writers
        with connected(self.url) as connection:
            # One that fell silent and comes back never was another one.
            connection.execute(update(table).where(table.c.id == self.name).values(pid=os.getpid()))

    def fall_silent(self, *, has_ended: bool = True) -> None:
        """As if it had been killed long enough ago, or could not reach its store since."""
        table = schema.writers
        process: dict[str, int] = {}
        if has_ended:
            with subprocess.Popen([sys.executable, "-c", ""]) as ended:
                process = {"pid": ended.pid}
        with connected(self.url) as connection:
            connection.execute(
                update(table)
                .where(table.c.id == self.name)
                .values(heartbeat_at=table.c.heartbeat_at - STALE_NS - 10**9, **process)
            )

    def be_forgotten(self) -> None:
        """As if its row had been removed."""
        with connected(self.url) as connection:
            connection.execute(delete(schema.writers).where(schema.writers.c.id == self.name))

    def close(self) -> None:
        self.writer.close()


def span_id(span: Span) -> str:
    return trace.format_span_id(span.get_span_context().span_id)


def run_id(span: Span) -> str:
    return trace.format_trace_id(span.get_span_context().trace_id)
