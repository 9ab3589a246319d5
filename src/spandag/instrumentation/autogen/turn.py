"""An agent's turn: its span, and what belongs to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from contextvars import Token
from types import TracebackType
from typing import Any, Self, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from spandag import semconv
from spandag._guard import guard
from spandag.spans.content import Message, message, openai_message, text_part
from spandag.spans.node import Node, current
from spandag.spans.operations import set_output_messages, start_agent
from spandag.spans.plain import as_text

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


def is_taking(agent: Any) -> bool:
    """Whether this is an agent's turn already: one way of replying that goes on to another, such as its async one."""
    turn = otel_context.get_value(_TURN)
    return isinstance(turn, Turn) and turn.agent is agent and turn.is_innermost()


def watched(
    agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the framework's own ``generate_reply``, by which the agent's turn learns what is tried."""
    turn = otel_context.get_value(_TURN)
    return turn.watch(args, kwargs) if isinstance(turn, Turn) and turn.agent is agent else (args, kwargs)


class Turn:
    """A turn, whose span starts when the agent takes the floor.

    Asking an agent for a reply often only finds out that the conversation is over.
    Such turns would be noise, and a span cannot be taken back; so it starts with the
    first reply function that does something, or with the first node below it. An agent
    whose class replies in its own way is known to have had it once there is a reply.
    """

    def __init__(self, tracer: Tracer, agent: Any, messages: Any, sender: Any) -> None:
        self._tracer = tracer
        self.agent = agent
        self._messages = messages
        self._sender = sender
        self._asked_at = 0
        self._above: Node | None = None
        self._node: Node | None = None
        self._context: Context
        self._token: Token[Context]

    def __enter__(self) -> Self:
        self._asked_at = time.time_ns()
        self._above = current()
        self._context = otel_context.set_value(_TURN, self)
        self._token = otel_context.attach(self._context)
        return self

    def open(self, since: int | None = None) -> None:
        """Start the turn's span if there is none yet, and make it the current one.

        Args:
            since: When the turn began, in Unix ns, where it is over already; now by default.
        """
        if self._node is None:
            # Whatever was opened meanwhile (a hook's own span, say) is not what the turn is below.
            otel_context.attach(self._context)
            self._node = self._start(since)
            # Not detached one by one: leaving the turn goes back to what was current before it.
            otel_context.attach(self._node.context)

    def is_innermost(self) -> bool:
        """Whether nothing has begun within this turn that still goes on."""
        return current() is (self._node if self._node is not None else self._above)

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
            if reply is not None:
                self.open(self._asked_at)
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

    def _start(self, since: int | None) -> Node:
        agent = self.agent

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
            attributes={
                semconv.SPANDAG_MESSAGE_SENDER: getattr(self._sender, "name", None),
                semconv.SPANDAG_MESSAGE_RECIPIENT: agent.name,
            },
            start_time=since,
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
    return message("assistant", [text_part(as_text(reply))])
