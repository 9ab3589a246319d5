"""Agent turns: one ``invoke_agent`` span for each.

Every way to run an agent (`ask`, `run`, `resume`, a reply's `ask`, sub-tasks, the hub,
protocol servers) opens `Agent._turn_scope`, which gives a function that drives the turn.
The scope and the drive may be in different tasks, so the span is that of the drive: no
context is held from the opening of the scope to its end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from ag2 import Agent
from ag2.events import BaseEvent
from ag2.middleware import BaseMiddleware
from ag2.utils import MODEL_CONFIG_CONTEXT_DEPENDENCY_KEY
from opentelemetry import context as otel_context
from opentelemetry.trace import Tracer

from spandag._guard import guard
from spandag.instrumentation._base import Patches
from spandag.instrumentation.ag2 import human, model
from spandag.instrumentation.ag2.messages import input_messages, output_message, system_instructions
from spandag.spans.node import Node
from spandag.spans.operations import set_output_messages, start_agent

Drive = Callable[[], Awaitable[Any]]


def patch(tracer: Tracer, patches: Patches) -> None:
    """Trace the turns of agents, and put our middleware where it sees their model calls."""

    def turn_scope(
        wrapped: Callable[..., Any], agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        with guard("add a middleware to a turn"):
            # The last one is the innermost: nothing is between it and the client.
            added = (*kwargs.get("additional_middleware", ()), _Middlewares(tracer, agent.name))
            kwargs = {**kwargs, "additional_middleware": added}
        return _TurnScope(tracer, agent, args, kwargs, wrapped(*args, **kwargs))

    patches.wrap(Agent, "_turn_scope", turn_scope)


class _TurnScope:
    """The framework's scope of a turn, whose drive is traced."""

    def __init__(
        self, tracer: Tracer, agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any], scope: Any
    ) -> None:
        self._tracer = tracer
        self._agent = agent
        self._args = args
        self._kwargs = kwargs
        self._scope = scope

    async def __aenter__(self) -> Drive:
        try:
            drive: Drive = await self._scope.__aenter__()
        except BaseException as error:
            # No model is configured, a tool server cannot be reached: a turn that failed before it began.
            self._start().end(error)
            raise

        async def traced() -> Any:
            with self._start() as node:
                reply = await drive()
                set_output_messages(node, lambda: [output_message(reply.response)])
                return reply

        return traced

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        trace_back: TracebackType | None,
    ) -> bool | None:
        suppressed: bool | None = await self._scope.__aexit__(exc_type, error, trace_back)
        return suppressed

    def _start(self) -> Node:
        agent, kwargs = self._agent, self._kwargs
        trigger: BaseEvent | None = None
        prompt: list[str] = []
        model_name = conversation_id = None
        with guard("read an agent turn"):
            [trigger] = self._args or (kwargs["event"],)
            context = kwargs["context"]
            prompt = list(context.prompt)
            config = context.dependencies.get(MODEL_CONFIG_CONTEXT_DEPENDENCY_KEY)
            model_name = model.request_model(kwargs.get("client"), config)
            # A stream is a conversation: replies that are asked on go on in it.
            conversation_id = str(context.stream.id)
        node = start_agent(
            self._tracer,
            agent.name,
            model=model_name,
            conversation_id=conversation_id,
            input_messages=lambda: input_messages([trigger] if trigger is not None else ()),
            system_instructions=lambda: system_instructions(prompt),
        )
        node.context = otel_context.set_value(model.DESCRIPTIONS_KEY, {}, node.context)
        return node


class _Middlewares:
    """Makes a turn's middleware, as AG2 wants it."""

    def __init__(self, tracer: Tracer, agent_name: str) -> None:
        self._tracer = tracer
        self._agent_name = agent_name

    def __call__(self, event: BaseEvent, context: Any) -> BaseMiddleware:
        return _Innermost(event, context, self._tracer, self._agent_name)


class _Innermost(BaseMiddleware):  # type: ignore[misc]
    """Sees the model calls of a turn, whatever client makes them, and its questions to people."""

    def __init__(self, event: BaseEvent, context: Any, tracer: Tracer, agent_name: str) -> None:
        super().__init__(event, context)
        self._tracer = tracer
        self._agent_name = agent_name

    async def on_llm_call(self, call_next: Any, events: Any, context: Any) -> Any:
        # A `functools.partial` of the client with the tools and the schema of the turn.
        client, arguments = getattr(call_next, "func", call_next), getattr(call_next, "keywords", {})
        return await model.traced(self._tracer, client, call_next, (events, context), {}, arguments)

    async def on_human_input(self, call_next: Any, event: Any, context: Any) -> Any:
        return await human.traced(self._tracer, self._agent_name, call_next, event, context)
