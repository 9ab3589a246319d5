"""An agent's run: ``invoke_agent``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from opentelemetry.trace import Tracer
from smolagents.agents import MultiStepAgent

from spandag import semconv
from spandag._guard import guard
from spandag.instrumentation._base import Patches
from spandag.instrumentation._generators import drive
from spandag.instrumentation._overrides import Overrides
from spandag.instrumentation.smolagents._content import answer_part
from spandag.instrumentation.smolagents._state import AgentRun, begin_call
from spandag.spans.content import Message, media_part, message, text_part
from spandag.spans.node import Node
from spandag.spans.operations import set_output_messages, start_agent
from spandag.spans.plain import as_text

MAX_STEPS = "max_steps"
"""The finish reason of a run whose steps were spent, as the official instrumentation spells it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The classes an agent works with; what its own have is covered when it runs."""

    models: Overrides
    tools: Overrides
    executors: Overrides
    steps: Overrides

    def cover(self, agent: Any) -> None:
        """Instrument the model, tools and interpreter of an agent, whatever they derive from."""
        self.steps.cover(type(agent))
        self.models.cover(type(agent.model))
        for tool in agent.tools.values():
            self.tools.cover(type(tool))
        if (executor := getattr(agent, "python_executor", None)) is not None:
            self.executors.cover(type(executor))


def install(tracer: Tracer, patches: Patches, parts: Parts) -> None:
    """Instrument the generator through which every run goes, streamed or not."""

    def run_stream(wrapped: Callable[..., Any], agent: Any, args: Any, kwargs: Any) -> Any:
        with guard("instrument an agent's parts"):
            parts.cover(agent)
        run: AgentRun | None = None

        def start() -> Node:
            nonlocal run
            begin_call()
            node = _start(tracer, agent, *args, **kwargs)
            run = AgentRun(agent, node)
            return node

        def on_item(item: Any) -> None:
            if run is not None:
                run.answer = item

        def on_stop(reason: BaseException) -> None:
            if run is not None:
                run.stopped_by = reason

        def end(node: Node, error: BaseException | None) -> None:
            if run is not None:
                _end(run, error)

        return drive(wrapped(*args, **kwargs), start, end=end, on_item=on_item, on_stop=on_stop)

    Overrides(patches, {"_run_stream": run_stream}).follow(MultiStepAgent)


def agent_name(agent: Any) -> str:
    """What an agent is called: its own name, or that of its class."""
    return str(agent.name or type(agent).__name__)


def _start(
    tracer: Tracer,
    agent: Any,
    /,
    task: object = "",
    max_steps: object = None,
    images: Any = None,
    **further: object,
) -> Node:
    model = getattr(agent.model, "model_id", None)
    return start_agent(
        tracer,
        agent_name(agent),
        description=agent.description,
        model=str(model) if model else None,
        input_messages=partial(_task_messages, task, images),
    )


def _end(run: AgentRun, error: BaseException | None) -> None:
    try:
        # Left open where a run is closed early, or a subclass does without the framework's own ending.
        run.close_step(error)
        if error is None:
            if run.steps_spent:
                run.node.set_attribute(semconv.GEN_AI_RESPONSE_FINISH_REASONS, [MAX_STEPS])
            reason = MAX_STEPS if run.steps_spent else "stop"
            set_output_messages(run.node, lambda: _answer_messages(run.answer, reason))
    finally:
        run.node.end(error)
        # Its traceback leads back here: no cycle. Agent and answer are the program's.
        run.stopped_by = run.agent = run.answer = None


def _task_messages(task: object, images: Any) -> list[Message]:
    return [message("user", [text_part(as_text(task)), *(media_part("image") for _ in images or ())])]


def _answer_messages(answer: Any, finish_reason: str) -> list[Message]:
    part = answer_part(getattr(answer, "output", None))
    return [message("assistant", [part], finish_reason=finish_reason)]
