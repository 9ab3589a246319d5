"""What is going on now: spans reach the store when they start, not only when they end.

OpenTelemetry exports spans that have ended. This processor stands beside the exporter and hands
over starts and ends to the same pipeline, so that the exporter's batches find most of it stored.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import TracerProvider

from spandag.export.pipeline import Pipeline
from spandag.export.shared import pipeline_to, release

if TYPE_CHECKING:
    from spandag.export.exporter import SpandagSpanExporter


class LiveSpanProcessor(SpanProcessor):
    """Hands the sampled spans of a provider to the pipeline of an exporter.

    Args:
        exporter: Whose store it is.
    """

    def __init__(self, exporter: SpandagSpanExporter) -> None:
        self._timeout_s = exporter.settings.timeout / 1000
        self._pipeline: Pipeline | None = pipeline_to(exporter.settings)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Hand over a span that has started."""
        pipeline = self._pipeline
        # What is recorded but not sampled reaches no exporter either.
        if pipeline is not None and span.get_span_context().trace_flags.sampled:
            pipeline.add(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Hand over a span that has ended."""
        pipeline = self._pipeline
        context = span.get_span_context()
        if pipeline is not None and context is not None and context.trace_flags.sampled:
            pipeline.add(span)

    def stop(self) -> None:
        """Take no more spans."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            release(pipeline, self._timeout_s)

    def shutdown(self) -> None:
        """Bring what was handed over into the store."""
        self.stop()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until what was handed over is stored; where the store is away or takes too long, until it is on disk."""
        return self._pipeline is None or self._pipeline.flush(timeout_millis / 1000)


_lock = threading.Lock()
# Which exporters listen to which provider already.
_joined: weakref.WeakKeyDictionary[Any, weakref.WeakSet[Any]] = weakref.WeakKeyDictionary()


def join(provider: TracerProvider, exporter: SpandagSpanExporter) -> None:
    """Have an exporter's store see the spans of a provider live; a second call changes nothing."""
    add = getattr(provider, "add_span_processor", None)
    if add is None:
        return
    with _lock:
        joined = _joined.setdefault(provider, weakref.WeakSet())
        if exporter in joined or exporter.live is not None:
            return
        joined.add(exporter)
        exporter.live = LiveSpanProcessor(exporter)
        exporter.live_resource = getattr(provider, "resource", None)
    add(exporter.live)


def join_all(provider: TracerProvider, exporters: Any) -> None:
    """Have the exporters that nobody has joined yet see the spans of a provider live.

    Which provider an exporter belongs to, it does not know before its first spans. Until then it is the
    one that leads to it; a program may have another one in use whose spans are none of its business.
    """
    resource = getattr(provider, "resource", None)
    for exporter in list(exporters):
        if exporter.live is not None or exporter.is_shut_down:
            continue
        if exporter.resource is resource if exporter.resource is not None else _leads_to(provider, exporter):
            join(provider, exporter)


# Objects of a provider that are looked at: its processors come early, and their exporters with them.
_MOST_OBJECTS = 1_000


def _leads_to(provider: TracerProvider, exporter: SpandagSpanExporter) -> bool:
    """Whether an exporter is among what a provider holds, however deep it is wrapped."""
    waiting: deque[Any] = deque([provider])
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_OBJECTS:
        held = waiting.popleft()
        if held is exporter:
            return True
        if id(held) in seen:
            continue
        seen.add(id(held))
        if isinstance(held, list | tuple | set | frozenset):
            waiting.extend(held)
        elif isinstance(held, dict):
            waiting.extend(held.values())
        elif not isinstance(held, type | ModuleType | FunctionType | threading.Thread):
            # No property is asked: what it holds, not what it can do.
            waiting.extend(getattr(held, "__dict__", {}).values())
    return False
