"""Finished spans of made-up agent runs, as the instrumentors record them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from _said import Conversation, message
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util.types import AnyValue

from spandag import semconv
from spandag.semconv import NodeType, Operation

MS = 1_000_000
BATCH = 512
"""As many as a `BatchSpanProcessor` hands over at once."""

Attributes = Mapping[str, AnyValue] | None

_CALL: dict[str, AnyValue] = {
    semconv.SPANDAG_NODE_TYPE: NodeType.LLM,
    semconv.GEN_AI_OPERATION_NAME: Operation.CHAT,
    semconv.GEN_AI_PROVIDER_NAME: "openai",
    semconv.GEN_AI_REQUEST_MODEL: "gpt-4o-mini",
    semconv.GEN_AI_REQUEST_TEMPERATURE: 0.2,
    semconv.GEN_AI_REQUEST_MAX_TOKENS: 4096,
    semconv.GEN_AI_REQUEST_STOP_SEQUENCES: ("Observation:", "Calling tools:"),
    semconv.GEN_AI_OUTPUT_TYPE: "text",
    semconv.GEN_AI_AGENT_NAME: "engineer",
    semconv.SERVER_ADDRESS: "api.openai.com",
    semconv.SERVER_PORT: 443,
    semconv.GEN_AI_RESPONSE_MODEL: "gpt-4o-mini-2024-07-18",
    semconv.GEN_AI_RESPONSE_FINISH_REASONS: ("tool_calls",),
    semconv.GEN_AI_USAGE_INPUT_TOKENS: 2311,
    semconv.GEN_AI_USAGE_OUTPUT_TOKENS: 127,
    semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: 2048,
    semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: 64,
    semconv.GEN_AI_USAGE_COST: 0.00026925,
    semconv.OPERATION_COST: 0.00026925,
    semconv.SPANDAG_PRICE_SOURCE: "genai-prices",
}
_TOTALS: dict[str, AnyValue] = {
    semconv.SPANDAG_TOTAL_INPUT_TOKENS: 9244,
    semconv.SPANDAG_TOTAL_OUTPUT_TOKENS: 508,
    semconv.SPANDAG_TOTAL_COST: 0.001077,
}


class Run:
    """One run that goes on and on: steps with an agent of four iterations each, every fourth redone.

    Its root never ends, so that writing its spans derives nothing.

    Args:
        saying: Which of several runs that say much the same; None where it has no content.
    """

    def __init__(self, saying: int | None = None) -> None:
        self._saying = saying
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(resource=Resource({semconv.SERVICE_NAME: "benchmark"}))
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._tracer = provider.get_tracer("spandag.benchmark", "1.0")
        self._now = 1_764_000_000_000 * MS
        self._number = 0
        self.root = self._start(NodeType.RUN, Operation.INVOKE_WORKFLOW, "report", None)
        self._phase = self._start(NodeType.PHASE, Operation.RUN_STEP, "control", self.root)

    def spans(self, count: int) -> list[ReadableSpan]:
        """So many finished spans, in the order of their end."""
        while len(self._exporter.get_finished_spans()) < count:
            for _ in range(50):
                self._step()
        return list(self._exporter.get_finished_spans())[:count]

    def finish(self) -> list[ReadableSpan]:
        """What is still open, ended."""
        self._exporter.clear()
        self._end(self._phase)
        self._end(self.root)
        return list(self._exporter.get_finished_spans())

    def _step(self) -> None:
        self._number += 1
        first: Span | None = None
        for attempt in (1, 2) if self._number % 4 == 0 else (1,):
            links = []
            said: dict[str, AnyValue] = {
                semconv.SPANDAG_STEP_NUMBER: self._number,
                semconv.SPANDAG_STEP_ATTEMPT: attempt,
            }
            if first is not None:
                links = [trace.Link(first.get_span_context(), {semconv.SPANDAG_LINK_TYPE: "redo_of"})]
                said |= {
                    semconv.SPANDAG_STEP_ID: f"{first.get_span_context().span_id:016x}",
                    semconv.SPANDAG_REDO_HYPOTHESIS: "The residuals are curved; try a power law.",
                    semconv.SPANDAG_REDO_REQUESTED_BY: "reviewer",
                }
            step = self._start(NodeType.STEP, Operation.RUN_STEP, "fit", self._phase, said, links)
            if first is None:
                step.set_attribute(semconv.SPANDAG_STEP_ID, f"{step.get_span_context().span_id:016x}")
            agent = self._start(NodeType.AGENT, Operation.INVOKE_AGENT, "engineer", step)
            saying = self._saying
            said_here = None if saying is None else Conversation(saying, self._number, attempt)
            for iteration in range(1, 5):
                named = {semconv.SPANDAG_ITERATION_NUMBER: iteration}
                turn = self._start(NodeType.ITERATION, Operation.RUN_STEP, "engineer", agent, named)
                call = self._start(NodeType.LLM, Operation.CHAT, "gpt-4o-mini", turn, _CALL)
                call.set_attribute(semconv.GEN_AI_RESPONSE_ID, f"chatcmpl-{self._now:x}")
                call_id = f"call_{call.get_span_context().span_id:024x}"
                if said_here is not None:
                    said_here.go_on(iteration, call_id)
                self._end(call, None if said_here is None else said_here.call)
                used = {
                    semconv.GEN_AI_TOOL_NAME: "read_csv",
                    semconv.GEN_AI_TOOL_TYPE: "function",
                    semconv.GEN_AI_TOOL_DESCRIPTION: "Reads a table of planets and their periods.",
                    semconv.GEN_AI_TOOL_CALL_ID: call_id,
                }
                tool = self._start(NodeType.TOOL, Operation.EXECUTE_TOOL, "read_csv", turn, used)
                self._end(tool, None if said_here is None else said_here.tool)
                self._end(turn, _TOTALS)
            if said_here is not None:
                agent.set_attribute(semconv.SPANDAG_INPUT, said_here.task)
                agent.set_attribute(semconv.SPANDAG_OUTPUT, said_here.result)
                step.set_attribute(semconv.SPANDAG_OUTPUT, said_here.result)
            self._end(agent, _TOTALS)
            outcome = "accepted" if self._number % 4 or attempt == 2 else "rejected"
            self._end(step, {**_TOTALS, semconv.SPANDAG_ATTEMPT_OUTCOME: outcome})
            first = step

    def _start(
        self,
        node_type: str,
        operation: str,
        name: str,
        parent: Span | None,
        attributes: Attributes = None,
        links: list[trace.Link] | None = None,
    ) -> Span:
        self._now += 3 * MS
        named = {
            Operation.INVOKE_WORKFLOW: semconv.GEN_AI_WORKFLOW_NAME,
            Operation.RUN_STEP: semconv.GEN_AI_STEP_NAME,
            Operation.INVOKE_AGENT: semconv.GEN_AI_AGENT_NAME,
        }.get(operation, semconv.GEN_AI_AGENT_NAME)
        said: dict[str, AnyValue] = {
            semconv.SPANDAG_NODE_TYPE: node_type,
            semconv.GEN_AI_OPERATION_NAME: operation,
            named: name,
        }
        if operation == Operation.CHAT:
            del said[named]
        context = trace.set_span_in_context(parent) if parent is not None else Context()
        span = self._tracer.start_span(
            f"{operation} {name}",
            context=context,
            attributes={**said, **(attributes or {})},
            links=links,
            start_time=self._now,
        )
        assert isinstance(span, Span)
        return span

    def _end(self, span: Span, attributes: Attributes = None) -> None:
        for key, value in (attributes or {}).items():
            span.set_attribute(key, value)
        self._now += 5 * MS
        span.end(end_time=self._now)


def in_batches(spans: list[ReadableSpan]) -> list[list[ReadableSpan]]:
    """Spans as a `BatchSpanProcessor` hands them over."""
    return [spans[start : start + BATCH] for start in range(0, len(spans), BATCH)]


def loop(calls: int, size: int, *, content: bool) -> Iterator[ReadableSpan]:
    """The calls of one agent, each of which sends everything that was said before.

    Args:
        calls: How many.
        size: Characters of a message.
        content: Whether the messages are on the spans.
    """
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({semconv.SERVICE_NAME: "benchmark"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("spandag.benchmark", "1.0")
    with tracer.start_as_current_span(
        "invoke_agent engineer", attributes={semconv.SPANDAG_NODE_TYPE: NodeType.AGENT}
    ):
        history = [message("user", 0, size)]
        for number in range(calls):
            answer = message("assistant", 2 * number + 1, size)
            with tracer.start_as_current_span("chat gpt-4o-mini", attributes=_CALL) as span:
                if content:
                    span.set_attribute(semconv.GEN_AI_INPUT_MESSAGES, json.dumps(history))
                    span.set_attribute(semconv.GEN_AI_OUTPUT_MESSAGES, json.dumps([answer]))
            history += [answer, message("user", 2 * number + 2, size)]
    yield from exporter.get_finished_spans()
