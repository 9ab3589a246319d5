"""One step of an agent's ReAct loop: ``run_step``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Tracer
from smolagents.agents import MultiStepAgent

from spandag._guard import guard
from spandag.instrumentation._base import Patches
from spandag.instrumentation._generators import drive
from spandag.instrumentation._overrides import Overrides
from spandag.instrumentation.smolagents._state import OpenStep, current_run
from spandag.instrumentation.smolagents.run import agent_name
from spandag.spans.node import Node
from spandag.spans.operations import start_iteration


def install(tracer: Tracer, patches: Patches) -> Overrides:
    """Instrument steps; gives what is needed to do the same for classes that are not known yet."""

    def step_stream(wrapped: Callable[..., Any], agent: Any, args: Any, kwargs: Any) -> Any:
        opened: OpenStep | None = None

        def start() -> Node:
            nonlocal opened
            memory_step = args[0] if args else kwargs["memory_step"]
            node = start_iteration(tracer, agent_name(agent), memory_step.step_number)
            run = current_run(agent)
            opened = run.open_step(node) if run is not None else None
            return node

        def end(node: Node, error: BaseException | None) -> None:
            if opened is None:
                # `agent.step()` called by hand: there is no run that would end it.
                node.end(error)
            elif not isinstance(error, GeneratorExit):
                # A step that is dropped is not thereby a failure: an answer that does not pass its
                # checks drops it as well. The run knows which it was.
                opened.error = error

        return drive(wrapped(*args, **kwargs), start, end=end)

    def finalize_step(wrapped: Callable[..., Any], agent: Any, args: Any, kwargs: Any) -> Any:
        run = current_run(agent)
        step = run.step if run is not None else None
        if run is None or step is None:
            return wrapped(*args, **kwargs)
        failure: BaseException | None = None
        try:
            # The step's callbacks belong to it.
            with step.node.activate():
                return wrapped(*args, **kwargs)
        except BaseException as error:
            failure = error
            raise
        finally:
            with guard("end a step"):
                memory_step = args[0] if args else kwargs.get("memory_step")
                # Most failures of a step are kept in it and shown to the model, not raised.
                kept = getattr(memory_step, "error", None)
                run.close_step(failure or (kept if isinstance(kept, BaseException) else run.stopped_by))
            failure = None

    def handle_max_steps(wrapped: Callable[..., Any], agent: Any, args: Any, kwargs: Any) -> Any:
        run = current_run(agent)
        if run is None:
            return wrapped(*args, **kwargs)
        run.steps_spent = True
        # The framework keeps the forced answer as one more step, one that failed.
        step = run.open_step(start_iteration(tracer, agent_name(agent), agent.step_number))
        try:
            with step.node.activate():
                return wrapped(*args, **kwargs)
        except BaseException as error:
            run.close_step(error)
            raise
        finally:
            run.close_step()

    patches.wrap(MultiStepAgent, "_finalize_step", finalize_step)
    patches.wrap(MultiStepAgent, "_handle_max_steps_reached", handle_max_steps)
    steps = Overrides(patches, {"_step_stream": step_stream})
    steps.follow(MultiStepAgent)
    return steps
