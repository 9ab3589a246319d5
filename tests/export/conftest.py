"""Spans of a real SDK, one at a time, and the rows that become of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import Span

from spandag.export.project import project
from spandag.store.rows import Batch

Project = Callable[..., Batch]


@pytest.fixture
def projected(recorder: Any) -> Project:
    """Call it with attributes to have one span recorded and projected."""

    def record(
        attributes: dict[str, Any] | None = None,
        *,
        name: str = "a span",
        scope: str = "foreign",
        fill: Callable[[Span], None] | None = None,
        **options: Any,
    ) -> Batch:
        recorder.clear()
        tracer = recorder.provider.get_tracer(scope, "1.2")
        span = tracer.start_span(
            name, context=options.pop("context", trace.Context()), attributes=attributes, **options
        )
        if fill is not None:
            fill(span)
        span.end()
        return project(recorder.spans)

    return record
