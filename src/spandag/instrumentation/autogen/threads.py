"""Context carrying: what the framework runs in a thread belongs to who started it.

``run``, ``run_group_chat``, ``sequential_run`` and asynchronous tools in a
synchronous chat start a thread, asynchronous model calls go through an executor,
and neither takes the OpenTelemetry context along. The names that these functions
look up in their modules are replaced by ones that do, in those modules alone.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from opentelemetry import context as otel_context

from spandag._guard import logger
from spandag.instrumentation._base import Patches
from spandag.spans.node import Node

_ENDS_WITH_THREAD = otel_context.create_key("spandag-autogen-ends-with-thread")

# What a version does not have (0.14 has no swarm_agent) is passed over.
_STARTS_THREADS = (
    "autogen.agentchat.conversable_agent",
    "autogen.agentchat.group.multi_agent_chat",
    "autogen.agentchat.contrib.swarm_agent",
)


def install(patches: Patches) -> None:
    """Replace ``threading`` and ``functools`` in the modules that start threads."""
    for name in _STARTS_THREADS:
        module = sys.modules.get(name)
        if module is None:
            logger.debug("there is no %s; not instrumented", name)
            continue
        if vars(module).get("threading") is threading:
            patches.replace(module, "threading", _Stand(threading, Thread=_CarryingThread))
        # `a_generate_oai_reply` hands its executor a `functools.partial`.
        if vars(module).get("functools") is functools:
            patches.replace(module, "functools", _Stand(functools, partial=_carrying_partial))


def end_with_thread(node: Node) -> None:
    """Let the thread that is started next below a node end it."""
    node.context = otel_context.set_value(_ENDS_WITH_THREAD, node, node.context)


class _Stand(ModuleType):
    """Stands in for a module, with a few names of its own."""

    def __init__(self, original: ModuleType, **names: object) -> None:
        super().__init__(original.__name__, original.__doc__)
        self._original = original
        vars(self).update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


class _CarryingThread(threading.Thread):
    """A thread that runs in the context in which it was started."""

    def start(self) -> None:
        self._carried = otel_context.get_current()
        super().start()

    def run(self) -> None:
        node = self._carried.get(_ENDS_WITH_THREAD)
        token = otel_context.attach(otel_context.set_value(_ENDS_WITH_THREAD, None, self._carried))
        try:
            super().run()
        except BaseException as error:
            if isinstance(node, Node):
                node.end(error)
            raise
        finally:
            otel_context.detach(token)
            if isinstance(node, Node):
                node.end()


def _carrying_partial(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    context = otel_context.get_current()

    @functools.wraps(function)
    def carried(*args: Any, **kwargs: Any) -> Any:
        token = otel_context.attach(context)
        try:
            return function(*args, **kwargs)
        finally:
            otel_context.detach(token)

    return functools.partial(carried, *args, **kwargs)
