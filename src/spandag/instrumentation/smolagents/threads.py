"""The threads that smolagents starts keep the context."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from opentelemetry import context as otel_context
from smolagents import agents, local_python_executor

from spandag.instrumentation._base import Patches


def install(patches: Patches) -> None:
    """Carry the context into the interpreter's thread, and into those of parallel tools before 1.23.

    This holds under `suppress_instrumentation` as well: that, too, is said by the context.
    """
    _carry_context(patches, local_python_executor)
    if not hasattr(agents, "copy_context"):
        _carry_context(patches, agents)


def _carry_context(patches: Patches, module: ModuleType) -> None:
    executor: Any = vars(module).get("ThreadPoolExecutor")
    if executor is None:
        return

    def submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return executor.submit(self, _in_current_context(fn), *args, **kwargs)

    def make(*args: Any, **kwargs: Any) -> Any:
        made = executor(*args, **kwargs)
        inner = made.submit
        made.submit = lambda fn, /, *args, **kwargs: inner(_in_current_context(fn), *args, **kwargs)
        return made

    # Another instrumentation may have put a function there that makes executors; nobody derives from that.
    replacement = (
        type(executor.__name__, (executor,), {"submit": submit}) if isinstance(executor, type) else make
    )
    patches.replace(module, "ThreadPoolExecutor", replacement)


def _in_current_context(fn: Callable[..., Any]) -> Callable[..., Any]:
    context = otel_context.get_current()

    def run_in_context(*args: Any, **kwargs: Any) -> Any:
        token = otel_context.attach(context)
        try:
            return fn(*args, **kwargs)
        finally:
            otel_context.detach(token)

    return run_in_context
