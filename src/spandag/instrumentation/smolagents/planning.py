"""An agent's plans: ``plan``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Tracer
from smolagents.agents import MultiStepAgent

from spandag.instrumentation._base import Patches
from spandag.instrumentation._generators import drive
from spandag.instrumentation.smolagents._state import AgentRun, current_run
from spandag.instrumentation.smolagents.run import agent_name
from spandag.spans.node import Node
from spandag.spans.operations import start_planning


def install(tracer: Tracer, patches: Patches) -> None:
    """Instrument planning."""

    def generate_planning_step(wrapped: Callable[..., Any], agent: Any, args: Any, kwargs: Any) -> Any:
        run: AgentRun | None = None

        def start() -> Node:
            nonlocal run
            node = start_planning(tracer, agent_name(agent))
            run = current_run(agent)
            if run is not None:
                run.open_step(node)
            return node

        def on_item(item: Any) -> None:
            # The last item is the plan, those before are what the model streams.
            if run is not None and (plan := getattr(item, "plan", None)) is not None:
                node = run.step.node if run.step is not None else None
                if node is not None:
                    node.set_output(plan)

        def end(node: Node, error: BaseException | None) -> None:
            # A plan that was made is ended by the run, after its callbacks; they may have a human approve it.
            if run is None or error is not None:
                node.end(error)

        return drive(wrapped(*args, **kwargs), start, end=end, on_item=on_item)

    patches.wrap(MultiStepAgent, "_generate_planning_step", generate_planning_step)
