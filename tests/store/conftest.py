"""Runs told as real spans with fixed ids and times."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Link

from spandag import semconv
from spandag.export.project import project
from spandag.semconv import LinkType, NodeType, Operation
from spandag.store import Writer

S = 1_000_000_000


class CountedIds(IdGenerator):
    """Span 1, 2, 3 … so that expected rows can be written down."""

    def __init__(self) -> None:
        self._spans = itertools.count(1)
        self._traces = itertools.count(0xA)

    def generate_span_id(self) -> int:
        return next(self._spans)

    def generate_trace_id(self) -> int:
        return next(self._traces)


class Story:
    """Tells a run in real spans; times in seconds."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(
            resource=Resource({"service.name": "story"}), id_generator=CountedIds()
        )
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def start(
        self,
        node_type: str | None,
        name: str,
        at: float,
        *,
        parent: Span | None = None,
        scope: str = "spandag.story",
        links: tuple[Link, ...] = (),
        **attributes: Any,
    ) -> Span:
        named_by = {
            NodeType.RUN: semconv.GEN_AI_WORKFLOW_NAME,
            NodeType.CONVERSATION: semconv.GEN_AI_WORKFLOW_NAME,
            NodeType.PHASE: semconv.GEN_AI_STEP_NAME,
            NodeType.STEP: semconv.GEN_AI_STEP_NAME,
            NodeType.AGENT: semconv.GEN_AI_AGENT_NAME,
            NodeType.SUB_AGENT: semconv.GEN_AI_AGENT_NAME,
            NodeType.LLM: semconv.GEN_AI_REQUEST_MODEL,
            NodeType.TOOL: semconv.GEN_AI_TOOL_NAME,
        }
        values = dict(attributes.pop("attributes", {}))
        if node_type is not None:
            values[semconv.SPANDAG_NODE_TYPE] = node_type
            if node_type in named_by:
                values[named_by[node_type]] = name
        assert not attributes, attributes
        context = trace.set_span_in_context(parent) if parent is not None else trace.Context()
        span = self.provider.get_tracer(scope).start_span(
            name, context=context, attributes=values, links=links, start_time=int(at * S)
        )
        assert isinstance(span, Span)
        return span

    def end(self, span: Span, at: float) -> Span:
        span.end(end_time=int(at * S))
        return span

    def span(self, node_type: str | None, name: str, start: float, end: float, **options: Any) -> Span:
        """A span that starts and ends; for nodes whose children are told later."""
        return self.end(self.start(node_type, name, start, **options), end)

    def step(
        self,
        name: str,
        start: float,
        end: float,
        *,
        parent: Span,
        first: Span | None = None,
        attempt: int = 1,
        outcome: str | None = "accepted",
        hypothesis: str | None = None,
        **more: Any,
    ) -> Span:
        """One attempt of a step; a redo where `first` is given."""
        attributes: dict[str, Any] = {
            semconv.SPANDAG_STEP_NUMBER: 1,
            semconv.SPANDAG_STEP_ATTEMPT: attempt,
            **more,
        }
        links: tuple[Link, ...] = ()
        if first is not None:
            attributes[semconv.SPANDAG_STEP_ID] = trace.format_span_id(first.get_span_context().span_id)
            links = (Link(first.get_span_context(), {semconv.SPANDAG_LINK_TYPE: LinkType.REDO_OF}),)
        if hypothesis is not None:
            attributes[semconv.SPANDAG_REDO_HYPOTHESIS] = hypothesis
            attributes[semconv.SPANDAG_REDO_REQUESTED_BY] = "reviewer"
        span = self.start(NodeType.STEP, name, start, parent=parent, links=links, attributes=attributes)
        if first is None:
            span.set_attribute(semconv.SPANDAG_STEP_ID, trace.format_span_id(span.get_span_context().span_id))
        if outcome is not None:
            span.set_attribute(semconv.SPANDAG_ATTEMPT_OUTCOME, outcome)
        return self.end(span, end)

    def chat(self, start: float, end: float, *, parent: Span, model: str = "gpt-4o", **more: Any) -> Span:
        """A model call with usage and a price."""
        attributes = {
            semconv.GEN_AI_OPERATION_NAME: Operation.CHAT,
            semconv.GEN_AI_PROVIDER_NAME: "openai",
            semconv.GEN_AI_USAGE_INPUT_TOKENS: 100,
            semconv.GEN_AI_USAGE_OUTPUT_TOKENS: 10,
            semconv.GEN_AI_USAGE_COST: 0.5,
            semconv.SPANDAG_PRICE_SOURCE: "user",
            **more,
        }
        return self.span(NodeType.LLM, model, start, end, parent=parent, attributes=attributes)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def batch(self) -> Any:
        return project(self.spans)


def two_redos(story: Story) -> list[ReadableSpan]:
    """A run whose second step is redone twice, with tools in parallel and another library's spans."""
    run = story.span(
        NodeType.RUN,
        "report",
        0,
        100,
        attributes={semconv.SESSION_ID: "alice", semconv.SPANDAG_RUN_TASK: "find the law"},
    )
    planning = story.span(NodeType.PHASE, "planning", 1, 10, parent=run)
    planner = story.span(NodeType.AGENT, "planner", 2, 9, parent=planning)
    prompt = '[{"role":"user","parts":[{"type":"text","content":"plan it"}]}]'
    story.chat(3, 8, parent=planner, **{semconv.GEN_AI_INPUT_MESSAGES: prompt})
    control = story.span(NodeType.PHASE, "control", 11, 99, parent=run)
    story.step("load", 12, 20, parent=control)
    first = story.step("fit", 21, 40, parent=control, outcome="rejected")
    engineer = story.span(NodeType.AGENT, "engineer", 22, 39, parent=first)
    call = story.chat(23, 30, parent=engineer)
    story.span(None, "POST", 24, 29, parent=call, scope="httpx")
    story.span(NodeType.TOOL, "csv", 31, 35, parent=engineer)
    story.span(NodeType.TOOL, "plot", 32, 38, parent=engineer)
    second = story.step(
        "fit", 41, 60, parent=control, first=first, attempt=2, outcome="rejected", hypothesis="in log space"
    )
    helper = story.span(NodeType.AGENT, "engineer", 42, 59, parent=second)
    story.chat(43, 50, parent=helper, model="gpt-4o-mini")
    third = story.step(
        "fit", 61, 80, parent=control, first=first, attempt=3, hypothesis="without the outlier"
    )
    last = story.span(NodeType.AGENT, "engineer", 62, 79, parent=third)
    story.chat(63, 70, parent=last, model="gpt-4o-mini", **{semconv.GEN_AI_INPUT_MESSAGES: prompt})
    story.step("write", 81, 98, parent=control)
    return story.spans


def opened(span: ReadableSpan) -> ReadableSpan:
    """The span as it was when it started."""
    late = {semconv.SPANDAG_ATTEMPT_OUTCOME, semconv.GEN_AI_USAGE_COST, semconv.GEN_AI_USAGE_INPUT_TOKENS}
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={k: v for k, v in (span.attributes or {}).items() if k not in late},
        links=span.links,
        kind=span.kind,
        start_time=span.start_time,
        instrumentation_scope=span.instrumentation_scope,
    )


@pytest.fixture
def story() -> Iterator[Story]:
    told = Story()
    yield told
    told.provider.shutdown()


@pytest.fixture
def writer(store_url: str) -> Iterator[Writer]:
    opened_writer = Writer(store_url)
    yield opened_writer
    opened_writer.close()


@pytest.fixture
def redone_run() -> list[ReadableSpan]:
    """The spans of a run with two redos."""
    return two_redos(Story())


@pytest.fixture
def as_started() -> Callable[[ReadableSpan], ReadableSpan]:
    return opened


@pytest.fixture
def new_story() -> Callable[..., list[Any]]:
    """Batches of so many runs of one session, one run each, a second each."""

    def batches(*, runs: int) -> list[Any]:
        story = Story()
        result = []
        for number in range(runs):
            story.span(
                NodeType.RUN, f"run {number}", number, number + 1, attributes={semconv.SESSION_ID: "alice"}
            )
            result.append(story.batch())
            story.exporter.clear()
        return result

    return batches
