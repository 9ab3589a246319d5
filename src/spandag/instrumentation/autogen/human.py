"""``get_human_input``: a person is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autogen.agentchat.conversable_agent import ConversableAgent
from opentelemetry.trace import Tracer

from spandag.instrumentation._base import Patches
from spandag.instrumentation._overrides import Overrides
from spandag.instrumentation.autogen.turn import begin_within_turn
from spandag.semconv import NodeType
from spandag.spans.node import Node, current
from spandag.spans.operations import start_human_input


def install(tracer: Tracer, patches: Patches) -> None:
    """Open ``human_input`` spans, whose duration is the time the person took."""

    def begin(agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Node | None:
        return begin_within_turn("start a human input", lambda: _begin(tracer, agent, args, kwargs))

    def get_human_input(
        wrapped: Callable[..., Any], agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        node = begin(agent, args, kwargs)
        if node is None:
            return wrapped(*args, **kwargs)
        with node:
            answer = wrapped(*args, **kwargs)
            node.set_output(answer)
            return answer

    async def a_get_human_input(
        wrapped: Callable[..., Any], agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        node = begin(agent, args, kwargs)
        if node is None:
            return await wrapped(*args, **kwargs)
        with node:
            answer = await wrapped(*args, **kwargs)
            node.set_output(answer)
            return answer

    # Users are told to override these, so every subclass's own is covered.
    Overrides(patches, {"get_human_input": get_human_input, "a_get_human_input": a_get_human_input}).follow(
        ConversableAgent
    )


def _begin(tracer: Tracer, agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Node | None:
    around = current()
    if around is not None and around.type == NodeType.APPROVAL and around.name == agent.name:
        # An asynchronous override that asks by way of the synchronous method: one question.
        return None
    node = start_human_input(tracer, agent.name)
    node.set_input(kwargs.get("prompt", args[0] if args else None))
    return node
