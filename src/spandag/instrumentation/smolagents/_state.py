"""What is known about an agent's run while it goes on, carried by the context."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from spandag.spans.node import Node

_RUN_KEY = otel_context.create_key("spandag-smolagents-run")
_CALL_KEY = otel_context.create_key("spandag-smolagents-tool-call")


class OpenStep:
    """A step or plan whose span is open.

    The framework leaves its step generators before it has finished with the step:
    answers are checked and callbacks are called afterwards. So the span is ended by
    the run, not by the generator.

    Attributes:
        node: Its node.
        error: What left the framework's step generator, if anything did.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.error: BaseException | None = None
        self._calls: list[Any] = []
        self._lock = threading.Lock()

    def expect(self, tool_calls: Iterable[Any] | None) -> None:
        """Remember the calls that the model asked for; the framework passes on all but their ids."""
        with self._lock:
            self._calls = list(tool_calls or ())

    def take_call_id(self, name: str, arguments: object) -> str | None:
        """The id of the call with these very arguments, or else of the next one of that name."""
        with self._lock:
            named = [call for call in self._calls if call.function.name == name]
            # Empty arguments are replaced by the framework, so that their identity is lost.
            call = next((c for c in named if c.function.arguments is arguments), next(iter(named), None))
            if call is None:
                return None
            self._calls.remove(call)
            return str(call.id) if call.id else None


class AgentRun:
    """A run of an agent.

    Attributes:
        agent: The agent.
        node: Its node.
        step: The step or plan that is open.
        stopped_by: What the consumer of a streamed run threw in, `GeneratorExit` if it was closed.
        answer: The last item of the run.
        steps_spent: Whether the answer was forced because no step was left.
    """

    def __init__(self, agent: Any, node: Node) -> None:
        self.agent = agent
        self.node = node
        self.step: OpenStep | None = None
        self.stopped_by: BaseException | None = None
        self.answer: Any = None
        self.steps_spent = False
        node.context = otel_context.set_value(_RUN_KEY, self, node.context)

    def open_step(self, node: Node) -> OpenStep:
        """Make a step the open one."""
        self.close_step()
        self.step = OpenStep(node)
        return self.step

    def close_step(self, error: BaseException | None = None) -> None:
        """End the open step, if there is one, with its own error before the one of the run."""
        step, self.step = self.step, None
        if step is not None:
            step.node.end(step.error or error)
            # Its traceback leads back here: no cycle.
            step.error = None


def current_run(agent: Any) -> AgentRun | None:
    """The run of this agent that goes on here."""
    run = otel_context.get_value(_RUN_KEY)
    return run if isinstance(run, AgentRun) and run.agent is agent else None


def in_a_run() -> bool:
    """Whether an agent is at work here: it hands what a tool raises to its model, so nobody above hears it."""
    return isinstance(otel_context.get_value(_RUN_KEY), AgentRun)


class ToolCall:
    """A call that an agent is about to make of a tool or a managed agent.

    Attributes:
        id: The model's id for it.
        begun: Whether the tool or agent has been reached.
    """

    def __init__(self, call_id: str | None) -> None:
        self.id = call_id
        self.begun = False

    def context(self) -> Context:
        """The context in which to make the call."""
        return otel_context.set_value(_CALL_KEY, self)


def begin_call() -> str | None:
    """Say that the tool or agent that is being called has been reached; gives the call's id."""
    call = otel_context.get_value(_CALL_KEY)
    if not isinstance(call, ToolCall) or call.begun:
        return None
    call.begun = True
    return call.id
