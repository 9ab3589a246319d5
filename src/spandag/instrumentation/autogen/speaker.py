"""``GroupChat.select_speaker``: who speaks next, and the handoff that it makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autogen.agentchat.groupchat import GroupChat
from autogen.exception_utils import NoEligibleSpeakerError
from opentelemetry.trace import Tracer

from spandag import semconv
from spandag._guard import guard
from spandag.instrumentation._base import Patches
from spandag.instrumentation.autogen.turn import begin_within_turn
from spandag.semconv import NodeType
from spandag.spans.node import Node, current
from spandag.spans.operations import add_handoff, start_speaker_selection

# The agents of the chat by which the framework asks a model for a name.
_INTERNAL = frozenset({"checking_agent", "speaker_selection_agent"})


def install(tracer: Tracer, patches: Patches) -> None:
    """Open ``select_speaker`` spans."""

    def begin(
        chat: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Node, Callable[[Any], None]] | None:
        return begin_within_turn("start a speaker selection", lambda: _begin(tracer, chat, args, kwargs))

    def select_speaker(
        wrapped: Callable[..., Any], chat: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        begun = begin(chat, args, kwargs)
        if begun is None:
            return wrapped(*args, **kwargs)
        node, record = begun
        with node:
            try:
                selected = wrapped(*args, **kwargs)
            except NoEligibleSpeakerError:
                # How a group chat ends, not a failure.
                node.end()
                raise
            record(selected)
            return selected

    async def a_select_speaker(
        wrapped: Callable[..., Any], chat: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        begun = begin(chat, args, kwargs)
        if begun is None:
            return await wrapped(*args, **kwargs)
        node, record = begun
        with node:
            try:
                selected = await wrapped(*args, **kwargs)
            except NoEligibleSpeakerError:
                node.end()
                raise
            record(selected)
            return selected

    patches.wrap(GroupChat, "select_speaker", select_speaker)
    patches.wrap(GroupChat, "a_select_speaker", a_select_speaker)


def is_selecting(*agents: Any) -> bool:
    """Whether agents are those that the framework makes for asking a model who is next.

    Their chat is the selection itself and gets no spans but those of its model calls.
    """
    if any(agent.name not in _INTERNAL for agent in agents):
        return False
    around = current()
    return around is not None and around.type == NodeType.HANDOFF


def _begin(
    tracer: Tracer, chat: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Node, Callable[[Any], None]]:
    last = kwargs.get("last_speaker", args[0] if args else None)
    manager = kwargs.get("selector", args[1] if len(args) > 1 else None)
    node = start_speaker_selection(
        tracer, getattr(manager, "name", "group chat"), [agent.name for agent in chat.agents]
    )

    def record(selected: Any) -> None:
        with guard("record a selected speaker"):
            node.set_attribute(semconv.AG2_SPEAKER_SELECTED, selected.name)
            if last is not None and selected is not last:
                add_handoff(node, last.name, selected.name, _reason(chat, node))

    return node, record


def _reason(chat: Any, node: Node) -> str:
    """How the speaker was found: the chat's method, but ``auto`` where a function left it to a model."""
    if node.totals.calls:
        return "auto"
    method = chat.speaker_selection_method
    return method if isinstance(method, str) else getattr(method, "__name__", type(method).__name__)
