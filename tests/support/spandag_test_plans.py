"""From the plan of a run to its spans: parts within parts get ids and times, then things go wrong.

The plans themselves are drawn in `spandag_test_runs`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from spandag import semconv
from spandag.semconv import LinkType

TICK = 1_000_000_000

# What a span does not have yet when it starts.
_LATE = frozenset(
    {
        semconv.ERROR_TYPE,
        semconv.GEN_AI_OUTPUT_MESSAGES,
        semconv.GEN_AI_RESPONSE_FINISH_REASONS,
        semconv.GEN_AI_RESPONSE_MODEL,
        semconv.GEN_AI_TOOL_CALL_RESULT,
        semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
        semconv.GEN_AI_USAGE_COST,
        semconv.GEN_AI_USAGE_INPUT_TOKENS,
        semconv.GEN_AI_USAGE_OUTPUT_TOKENS,
        semconv.SPANDAG_ATTEMPT_OUTCOME,
        semconv.SPANDAG_OUTPUT,
        semconv.SPANDAG_PRICE_SOURCE,
        semconv.SPANDAG_REDO_EXHAUSTED,
    }
)

COMPLETED = "completed"
FAILED = "failed"
CANCELLED = "cancelled"

_STATUSES: dict[str, tuple[Status, str | None]] = {
    COMPLETED: (Status(), None),
    FAILED: (Status(StatusCode.ERROR, "no such column"), "builtins.KeyError"),
    CANCELLED: (Status(StatusCode.ERROR), "asyncio.exceptions.CancelledError"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A span to be, with what is below it.

    Attributes:
        name: The span's name.
        attributes: With those that it gets at its end.
        below: Its children, in the order of their starts.
        after: Ticks from the start of the sibling before it, of its parent for the first.
        takes: Ticks from its start to its end, whatever is below it.
        ends: `COMPLETED`, `FAILED` or `CANCELLED`.
        scope: The instrumentation that records it.
        events: Names and attributes, a tick apart.
    """

    name: str
    attributes: Mapping[str, Any]
    below: Sequence[Part | Step] = ()
    after: int = 1
    takes: int = 1
    ends: str = COMPLETED
    scope: str = "spandag.story"
    events: Sequence[tuple[str, Mapping[str, Any]]] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt of a step.

    Attributes:
        part: The attempt itself.
        told: What says that it is one: its ``attributes``, its ``link``, ``both`` or its bare ``number``.
        slip: How far the attempt that it claims to be is from the one that it is.
        elsewhere: Whether a redo is started at the top of the trace rather than where the step was.
    """

    part: Part
    told: str = "both"
    slip: int = 0
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A step with its redos.

    Attributes:
        attempts: From the first.
    """

    attempts: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class Mishaps:
    """What goes wrong with the spans of a trace; each is named by its place in the plan.

    Attributes:
        lost: Never arrive.
        open: Never end.
        strangers: Belong to another process, which only knows the id of their parent.
        reparented: Say that another span is their parent.
    """

    lost: frozenset[int] = frozenset()
    open: frozenset[int] = frozenset()
    strangers: frozenset[int] = frozenset()
    reparented: Mapping[int, int] = field(default_factory=dict)


class Told(ReadableSpan):
    """A span that shows what it is about where an example fails."""

    def __repr__(self) -> str:
        assert self.context is not None
        parent = (
            "top" if self.parent is None else f"{self.parent.is_remote * 'remote '}{self.parent.span_id:x}"
        )
        end = "…" if self.end_time is None else (self.end_time or 0) // TICK
        links = [f"{link.context.span_id:x} {dict(link.attributes or {})}" for link in self.links]
        return (
            f"<{self.context.trace_id:x}/{self.context.span_id:x} below {parent}: {self.name} "
            f"{(self.start_time or 0) // TICK}-{end} {dict(self.attributes or {})} {links or ''}>"
        )


@dataclass(slots=True)
class Draft:
    """A span that can still be changed."""

    part: Part
    trace_id: int
    span_id: int
    parent_id: int | None
    start: int
    attributes: dict[str, Any]
    links: list[Link] = field(default_factory=list)
    remote: bool = False
    service: str = "story"
    never_ends: bool = False

    @property
    def context(self) -> SpanContext:
        return _context(self.trace_id, self.span_id)

    def link(self, other: Draft, link_type: str) -> None:
        self.links.append(Link(other.context, {semconv.SPANDAG_LINK_TYPE: link_type}))

    def span(self) -> Told:
        part = self.part
        status, error_type = _STATUSES[part.ends]
        events = [*part.events]
        if error_type is not None:
            self.attributes[semconv.ERROR_TYPE] = error_type
            events.append((semconv.EXCEPTION_EVENT, {semconv.EXCEPTION_TYPE: error_type}))
        span = Told(
            name=part.name,
            context=self.context,
            parent=None
            if self.parent_id is None
            else _context(self.trace_id, self.parent_id, remote=self.remote),
            resource=_resource(self.service),
            attributes=self.attributes,
            events=[
                Event(name, attributes, (self.start + tick) * TICK)
                for tick, (name, attributes) in enumerate(events)
            ],
            links=self.links,
            kind=SpanKind.INTERNAL,
            status=status,
            start_time=self.start * TICK,
            end_time=(self.start + part.takes) * TICK,
            instrumentation_scope=InstrumentationScope(part.scope, "1"),
        )
        return as_started(span) if self.never_ends else span


def as_started(span: ReadableSpan) -> Told:
    """The span as it was when it started."""
    return Told(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={name: value for name, value in (span.attributes or {}).items() if name not in _LATE},
        links=span.links,
        kind=span.kind,
        start_time=span.start_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def lay_out(
    plan: Sequence[Part | Step], *, trace_id: int, limit: int, start: int, count_down: bool
) -> list[Draft]:
    """The spans of a trace in the order of the plan.

    Args:
        plan: What is at the top.
        trace_id: The trace.
        limit: Of how many spans; the rest of the plan is left out.
        start: Of the first, in ticks.
        count_down: Whether what comes later has the smaller id.
    """
    numbers = itertools.count(0xFF, -1) if count_down else itertools.count(1)
    layout = _Layout(trace_id, limit, lambda: next(numbers))
    layout.add_all(plan, None, start)
    return layout.drafts


def damage(drafts: Sequence[Draft], mishaps: Mishaps) -> list[Draft]:
    """What is left of a trace once all has gone wrong that goes wrong."""
    for place, draft in enumerate(drafts):
        if place in mishaps.strangers and draft.parent_id is not None:
            draft.remote, draft.service = True, "elsewhere"
        if place in mishaps.open:
            draft.never_ends = True
        parent = mishaps.reparented.get(place, len(drafts))
        if parent < len(drafts):
            draft.parent_id = drafts[parent].span_id
    return [draft for place, draft in enumerate(drafts) if place not in mishaps.lost]


class _Layout:
    def __init__(self, trace_id: int, limit: int, next_id: Callable[[], int]) -> None:
        self.drafts: list[Draft] = []
        self._trace_id = trace_id
        self._limit = limit
        self._next_id = next_id

    def add_all(self, parts: Sequence[Part | Step], parent: Draft | None, at: int) -> None:
        for part in parts:
            if isinstance(part, Step):
                at = self._add_step(part, parent, at)
            else:
                at += part.after
                self._add(part, parent, at)

    def _add_step(self, step: Step, parent: Draft | None, at: int) -> int:
        attempts: list[Draft] = []
        for index, attempt in enumerate(step.attempts):
            at += attempt.part.after
            above = self.drafts[0] if attempt.elsewhere and attempts else parent
            draft = self._add(attempt.part, above, at)
            if draft is None:
                break
            attempts.append(draft)
            number = index + 1 + (attempt.slip if index else 0)
            _tell_attempt(draft, attempt.told, number, attempts)
        return at

    def _add(self, part: Part, parent: Draft | None, at: int) -> Draft | None:
        if len(self.drafts) == self._limit:
            return None
        parent_id = parent.span_id if parent is not None else None
        draft = Draft(part, self._trace_id, self._next_id(), parent_id, at, dict(part.attributes))
        self.drafts.append(draft)
        self.add_all(part.below, draft, at)
        return draft


def _tell_attempt(draft: Draft, told: str, number: int, attempts: Sequence[Draft]) -> None:
    first = attempts[0]
    if told != "link":
        draft.attributes[semconv.SPANDAG_STEP_ATTEMPT] = number
    if told in ("attributes", "both"):
        draft.attributes[semconv.SPANDAG_STEP_ID] = f"{first.span_id:016x}"
        draft.attributes[semconv.SPANDAG_STEP_NUMBER] = 1
    if told in ("link", "both") and draft is not first:
        draft.link(attempts[-2], LinkType.REDO_OF)


def _context(trace_id: int, span_id: int, *, remote: bool = False) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=remote, trace_flags=TraceFlags(TraceFlags.SAMPLED))


_RESOURCES: dict[str, Resource] = {}


def _resource(service: str) -> Resource:
    return _RESOURCES.setdefault(service, Resource({semconv.SERVICE_NAME: service}))
