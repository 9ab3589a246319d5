"""Spans for smolagents: agents, their steps and plans, model calls, tools, and the code they write."""

from __future__ import annotations

from typing import ClassVar

from opentelemetry.trace import Tracer

from spandag.instrumentation._base import FrameworkInstrumentor, Patches


class SmolagentsInstrumentor(FrameworkInstrumentor):
    """Instruments smolagents 1.20 and newer.

    Example:
        >>> SmolagentsInstrumentor().instrument()
    """

    module: ClassVar[str] = "smolagents"
    supported: ClassVar[tuple[tuple[int, int], tuple[int, int]]] = ((1, 20), (2, 0))
    requirements: ClassVar[tuple[str, ...]] = ("smolagents >= 1.20, < 2",)

    def _patch(self, tracer: Tracer, patches: Patches) -> None:
        # Imported once smolagents is: these modules need it.
        from spandag.instrumentation.smolagents import code, model, planning, run, step, threads, tool

        models = model.install(tracer, patches)
        tools = tool.install(tracer, patches)
        executors = code.install(tracer, patches)
        steps = step.install(tracer, patches)
        planning.install(tracer, patches)
        run.install(tracer, patches, run.Parts(models=models, tools=tools, executors=executors, steps=steps))
        threads.install(patches)
