"""Tool calls: one ``execute_tool`` span for each call that a model asks for.

The span is around the dispatch of the call, outside of every middleware: waiting for an
approval is within it, a tool that does not exist gets one too, and calls of one response
that run at the same time have each their own. Tools that the provider runs itself are
part of the model call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import ag2.tools.executor
from ag2.events import ToolCallEvent, ToolErrorEvent, ToolResultEvent
from opentelemetry import context as otel_context
from opentelemetry.trace import Tracer

from spandag._guard import guard
from spandag.instrumentation._base import Patches
from spandag.instrumentation.ag2.messages import tool_result
from spandag.instrumentation.ag2.model import DESCRIPTIONS_KEY
from spandag.spans.content import parsed
from spandag.spans.node import Node
from spandag.spans.operations import set_tool_result, start_tool


def patch(tracer: Tracer, patches: Patches) -> None:
    """Trace the calls of tools."""

    async def execute(
        wrapped: Callable[..., Awaitable[Any]], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call: ToolCallEvent | None = None
        with guard("read a tool call"):
            call = _bound(*args, **kwargs)
        if call is None:
            return await wrapped(*args, **kwargs)
        with _start(tracer, call) as node:
            outcome = await wrapped(*args, **kwargs)
            with guard("read a tool's result"):
                _finish(node, outcome)
            return outcome

    patches.wrap(ag2.tools.executor, "_execute_call", execute)


def _bound(context: Any, call: ToolCallEvent) -> ToolCallEvent:
    """The call among the arguments, however they were passed."""
    return call


def _start(tracer: Tracer, call: ToolCallEvent) -> Node:
    descriptions = otel_context.get_value(DESCRIPTIONS_KEY)
    return start_tool(
        tracer,
        call.name,
        description=descriptions.get(call.name) if isinstance(descriptions, dict) else None,
        call_id=call.id,
        arguments=lambda: parsed(call.arguments),
    )


def _finish(node: Node, outcome: Any) -> None:
    # The third outcome is a call that a remote client is to execute; it has no result yet.
    if isinstance(outcome, ToolResultEvent):
        set_tool_result(node, lambda: tool_result(outcome))
    if isinstance(outcome, ToolErrorEvent):
        # The framework hands the error to the model and goes on, so no step hears a rejection either.
        node.fail(outcome.error)
