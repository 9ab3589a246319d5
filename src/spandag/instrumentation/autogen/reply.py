"""``generate_reply``: an agent's turn, or the group chat that a manager's reply is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autogen.agentchat.conversable_agent import ConversableAgent
from autogen.agentchat.groupchat import GroupChatManager
from opentelemetry.trace import Tracer

from spandag._guard import guard
from spandag.instrumentation._base import Patches
from spandag.instrumentation._overrides import Overrides
from spandag.instrumentation.autogen import conversation, speaker
from spandag.instrumentation.autogen.turn import Turn, begin_within_turn, is_taking, watched
from spandag.spans.node import Node


def install(tracer: Tracer, patches: Patches) -> None:
    """Open ``invoke_agent`` spans for the turns of agents."""

    def begin(agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Node | Turn | None:
        def start() -> Node | Turn | None:
            return _begin(tracer, agent, args, kwargs)

        with guard("look whose turn it is"):
            if is_taking(agent):
                return None
        return begin_within_turn("start an agent's turn", start)

    def generate_reply(
        wrapped: Callable[..., Any], agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        turn = begin(agent, args, kwargs)
        if turn is None:
            return wrapped(*args, **kwargs)
        if isinstance(turn, Node):
            with turn:
                return wrapped(*args, **kwargs)
        with turn:
            reply = wrapped(*args, **kwargs)
            turn.replied(reply)
            return reply

    async def a_generate_reply(
        wrapped: Callable[..., Any], agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        turn = begin(agent, args, kwargs)
        if turn is None:
            return await wrapped(*args, **kwargs)
        if isinstance(turn, Node):
            with turn:
                return await wrapped(*args, **kwargs)
        with turn:
            reply = await wrapped(*args, **kwargs)
            turn.replied(reply)
            return reply

    def try_reply_functions(
        wrapped: Callable[..., Any], agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        with guard("follow an agent's turn"):
            args, kwargs = watched(agent, args, kwargs)
        return wrapped(*args, **kwargs)

    # The framework's own, which a subclass's may call or not.
    patches.wrap(ConversableAgent, "generate_reply", try_reply_functions)
    patches.wrap(ConversableAgent, "a_generate_reply", try_reply_functions)
    Overrides(patches, {"generate_reply": generate_reply, "a_generate_reply": a_generate_reply}).follow(
        ConversableAgent
    )


def _begin(tracer: Tracer, agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Node | Turn | None:
    if isinstance(agent, GroupChatManager):
        # What a manager replies is the group chat, which is no turn but a conversation.
        return conversation.start_group_chat(tracer, agent)
    if speaker.is_selecting(agent):
        return None
    messages = kwargs.get("messages", args[0] if args else None)
    sender = kwargs.get("sender", args[1] if len(args) > 1 else None)
    return Turn(tracer, agent, messages, sender)
