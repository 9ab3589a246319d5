"""Agents in a network: turns that a hub runs get the right parent.

A hub's client handles what arrives in a task of its own, which keeps the context in which
the client was opened, for as long as it is connected. A span of then that has ended since
is nobody's parent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace

from spandag.instrumentation._base import Patches


def patch(patches: Patches) -> None:
    """Let envelopes be handled below a span only while it is open."""
    patches.when_imported("ag2.network.client.hub_client", lambda module: _patch(module, patches))


def _patch(module: ModuleType, patches: Patches) -> None:
    async def dispatch(
        wrapped: Callable[..., Awaitable[Any]], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if not _has_ended(trace.get_current_span()):
            return await wrapped(*args, **kwargs)
        token = otel_context.attach(trace.set_span_in_context(trace.INVALID_SPAN))
        try:
            return await wrapped(*args, **kwargs)
        finally:
            otel_context.detach(token)

    patches.wrap(module.HubClient, "_dispatch_notify_safe", dispatch)


def _has_ended(span: trace.Span) -> bool:
    # Remote and unsampled parents do not record either; they are of another class.
    return not span.is_recording() and not isinstance(span, trace.NonRecordingSpan)
