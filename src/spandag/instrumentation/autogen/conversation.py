"""``initiate_chat`` and its relatives: a conversation of two agents, of a group, or several in a row."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from autogen.agentchat.conversable_agent import ConversableAgent
from autogen.agentchat.groupchat import GroupChatManager
from opentelemetry import context as otel_context
from opentelemetry.trace import Tracer

from spandag import semconv
from spandag._guard import guard
from spandag.instrumentation._base import Patches
from spandag.instrumentation._overrides import Overrides
from spandag.instrumentation.autogen import speaker, threads
from spandag.instrumentation.autogen.turn import begin_within_turn
from spandag.spans.content import Message, message, openai_message, text_part
from spandag.spans.node import Node
from spandag.spans.operations import set_output_messages, start_conversation

_MANAGER = otel_context.create_key("spandag-autogen-manager")

# The functions are imported by name into each of these.
_WITH_INITIATE_CHATS = (
    "autogen.agentchat.chat",
    "autogen.agentchat.conversable_agent",
    "autogen.agentchat",
    "autogen",
)


def install(tracer: Tracer, patches: Patches) -> None:
    """Open ``invoke_workflow`` spans for conversations."""

    def begin(
        wrapped: Callable[..., Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Node | None:
        return begin_within_turn(
            "start a conversation", lambda: _start_chat(tracer, wrapped, sender, args, kwargs)
        )

    def initiate_chat(
        wrapped: Callable[..., Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        node = begin(wrapped, sender, args, kwargs)
        if node is None:
            return wrapped(*args, **kwargs)
        with node:
            result = wrapped(*args, **kwargs)
            _record_result(node, result)
            return result

    async def a_initiate_chat(
        wrapped: Callable[..., Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        node = begin(wrapped, sender, args, kwargs)
        if node is None:
            return await wrapped(*args, **kwargs)
        with node:
            result = await wrapped(*args, **kwargs)
            _record_result(node, result)
            return result

    Overrides(patches, {"initiate_chat": initiate_chat, "a_initiate_chat": a_initiate_chat}).follow(
        ConversableAgent
    )
    _install_queues(tracer, patches)


def _install_queues(tracer: Tracer, patches: Patches) -> None:
    """Keep the conversations of one queue together in one trace."""

    def begin(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Node | None:
        queue = kwargs.get("chat_queue", args[0] if args else ())
        if len(queue) < 2:
            return None
        return begin_within_turn("start a queue of conversations", lambda: start_conversation(tracer, name))

    def initiate_chats(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        node = begin("initiate_chats", args, kwargs)
        if node is None:
            return wrapped(*args, **kwargs)
        with node:
            return wrapped(*args, **kwargs)

    async def a_initiate_chats(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        node = begin("initiate_chats", args, kwargs)
        if node is None:
            return await wrapped(*args, **kwargs)
        with node:
            return await wrapped(*args, **kwargs)

    def sequential_run(
        wrapped: Callable[..., Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        node = begin("sequential_run", args, kwargs)
        if node is None:
            return wrapped(*args, **kwargs)
        threads.end_with_thread(node)
        try:
            with node.activate():
                return wrapped(*args, **kwargs)
        except BaseException as error:
            node.end(error)
            raise

    for name in _WITH_INITIATE_CHATS:
        module = import_module(name)
        patches.wrap(module, "initiate_chats", initiate_chats)
        patches.wrap(module, "a_initiate_chats", a_initiate_chats)
    patches.wrap(ConversableAgent, "sequential_run", sequential_run)


def start_group_chat(tracer: Tracer, manager: Any) -> Node | None:
    """Start a group chat's conversation when its manager is asked to reply.

    None where `initiate_chat` has started it already.
    """
    if otel_context.get_value(_MANAGER) is manager:
        return None
    return _managed_by(manager, start_conversation(tracer, manager.name))


def _start_chat(
    tracer: Tracer,
    wrapped: Callable[..., Any],
    sender: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Node | None:
    arguments = inspect.signature(wrapped).bind_partial(*args, **kwargs).arguments
    recipient = arguments.get("recipient")
    if recipient is None or speaker.is_selecting(sender, recipient):
        return None
    first = arguments.get("message")
    in_group = isinstance(recipient, GroupChatManager)
    node = start_conversation(
        tracer,
        recipient.name if in_group else f"{sender.name} and {recipient.name}",
        input_messages=_first_message(first),
        attributes={
            semconv.SPANDAG_MESSAGE_SENDER: sender.name,
            semconv.SPANDAG_MESSAGE_RECIPIENT: recipient.name,
        },
    )
    return _managed_by(recipient, node) if in_group else node


def _managed_by(manager: Any, node: Node) -> Node:
    node.context = otel_context.set_value(_MANAGER, manager, node.context)
    return node


def _first_message(first: Any) -> Callable[[], list[Message]] | None:
    if isinstance(first, dict):
        return lambda: [openai_message({"role": "user", **first})]
    if isinstance(first, str):
        return lambda: [message("user", [text_part(first)])]
    # A function of the user's that makes the message; it is not called twice for our sake.
    return None


def _record_result(node: Node, result: Any) -> None:
    with guard("record a conversation's result"):
        history = getattr(result, "chat_history", None) or ()
        # Read now: the list is the agent's own and grows with its next conversation.
        last = [openai_message({**m, "role": "assistant"}) for m in history[-1:]]
        if last:
            set_output_messages(node, lambda: last)
