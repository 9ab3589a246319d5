"""An agent's turn: its span, and what belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Container
from contextvars import Token
from types import TracebackType
from typing import Any, Self, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from spandag._guard import guard
from spandag.spans.content import Message, message, openai_message, text_part
from spandag.spans.node import Node
from spandag.spans.operations import set_output_messages, start_agent

T = TypeVar("T")

_TURN = otel_context.create_key("spandag-autogen-turn")

# What only decides whether the agent takes the floor at all.
_TERMINATION_CHECKS = frozenset({"check_termination_and_human_reply", "a_check_termination_and_human_reply"})


def begin_within_turn(what: str, start: Callable[[], T]) -> T | None:
    """Start something that belongs to the turn around it, which has its span from now on.

    Args:
        what: What is done, as `guard` says it.
        start: Starts the node; None if there shall be none.
    """
    with guard(what):
        turn = otel_context.get_value(_TURN)
        if isinstance(turn, Turn):
            turn.open()
        return start()
    return None


class Turn:
    """A turn, whose span starts when the agent takes the floor.

    Asking an agent for a reply often only finds out that the conversation is over.
    Such turns would be noise, and a span cannot be taken back; so it starts with the
    first reply function that does something, or with the first node below it.
    """

    def __init__(self, tracer: Tracer, agent: Any, messages: Any, sender: Any) -> None:
        self._tracer = tracer
        self._agent = agent
        self._messages = messages
        self._sender = sender
        self._node: Node | None = None
        self._context: Context
        self._token: Token[Context]

    def __enter__(self) -> Self:
        self._context = otel_context.set_value(_TURN, self)
        self._token = otel_context.attach(self._context)
        return self

    def open(self) -> None:
        """Start the turn's span if there is none yet, and make it the current one."""
        if self._node is None:
            # Whatever was opened meanwhile (a hook's own span, say) is not what the turn is below.
            otel_context.attach(self._context)
            self._node = self._start()
            # Not detached one by one: leaving the turn goes back to what was current before it.
            otel_context.attach(self._node.context)

    def watch(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The call's arguments, with an `exclude` that learns which reply function is next."""
        if len(args) > 2:
            return (*args[:2], _NextReplyFunction(self, args[2]), *args[3:]), kwargs
        return args, {**kwargs, "exclude": _NextReplyFunction(self, kwargs.get("exclude", ()))}

    def before(self, reply_function: object) -> None:
        """See the reply function that the agent tries next."""
        if getattr(reply_function, "__name__", None) in _TERMINATION_CHECKS:
            return
        self.open()
        if self._node is not None and trace.get_current_span() is not self._node.span:
            # A hook's own span has ended since and put back what was current before it.
            otel_context.attach(self._node.context)

    def replied(self, reply: Any) -> None:
        """Record the reply."""
        with guard("record an agent's reply"):
            if self._node is not None and reply is not None:
                set_output_messages(self._node, lambda: [_as_message(reply)])

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        trace_back: TracebackType | None,
    ) -> None:
        with guard("finish an agent's turn"):
            if error is not None:
                self.open()
        otel_context.detach(self._token)
        if self._node is not None:
            self._node.end(error)

    def _start(self) -> Node:
        agent = self._agent

        def input_messages() -> list[Message]:
            messages = agent._oai_messages[self._sender] if self._messages is None else self._messages
            return [openai_message(m) for m in messages[-1:]]

        return start_agent(
            self._tracer,
            agent.name,
            description=_description(agent),
            model=_model(agent),
            input_messages=input_messages,
            system_instructions=lambda: [text_part(agent.system_message)] if agent.system_message else None,
        )


class _NextReplyFunction:
    """``exclude`` of ``generate_reply``: asked about every reply function right before it is tried."""

    def __init__(self, turn: Turn, excluded: Container[Any]) -> None:
        self._turn = turn
        self._excluded = excluded

    def __contains__(self, reply_function: object) -> bool:
        excluded = reply_function in self._excluded
        if not excluded:
            with guard("start an agent's turn"):
                self._turn.before(reply_function)
        return excluded


def _description(agent: Any) -> str | None:
    # Without a description of its own an agent has its system message there, which is content.
    description = getattr(agent, "description", None)
    return description if description != agent.system_message else None


def _model(agent: Any) -> str | None:
    configs = getattr(getattr(agent, "client", None), "_config_list", None)
    return configs[0].get("model") if configs else None


def _as_message(reply: Any) -> Message:
    if isinstance(reply, dict):
        return openai_message({"role": "assistant", **reply})
    return message("assistant", [text_part(str(reply))])
