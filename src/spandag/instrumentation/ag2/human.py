"""Questions to people: one ``human_input`` span while an answer, or an approval, is awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ag2.events import HumanInputRequest, HumanMessage
from opentelemetry.trace import Tracer

from spandag.spans.operations import start_human_input


async def traced(
    tracer: Tracer,
    agent_name: str,
    ask: Callable[[HumanInputRequest, Any], Awaitable[HumanMessage]],
    event: HumanInputRequest,
    context: Any,
) -> HumanMessage:
    """Ask in a span."""
    with start_human_input(tracer, agent_name) as node:
        node.set_input(lambda: event.content)
        answer = await ask(event, context)
        node.set_output(lambda: answer.content)
        return answer
