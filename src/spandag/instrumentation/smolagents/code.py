"""The code that an agent writes and the interpreter runs: ``execute_tool``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Tracer
from smolagents.local_python_executor import LocalPythonExecutor, PythonExecutor

from spandag._guard import guard
from spandag.instrumentation._base import Patches
from spandag.instrumentation._overrides import Overrides
from spandag.semconv import NodeType
from spandag.spans.node import Node
from spandag.spans.operations import set_tool_result, start_tool

INTERPRETER = "python_interpreter"
"""What smolagents itself calls the tool that runs an agent's code."""


def install(tracer: Tracer, patches: Patches) -> Overrides:
    """Instrument the interpreters, local and remote."""

    def execute(wrapped: Callable[..., Any], executor: Any, args: Any, kwargs: Any) -> Any:
        node: Node | None = None
        with guard("start a span of code"):
            code = args[0] if args else kwargs.get("code_action")
            node = start_tool(tracer, INTERPRETER, arguments=lambda: {"code": code}, node_type=NodeType.CODE)
        if node is None:
            return wrapped(*args, **kwargs)
        with node:
            try:
                output = wrapped(*args, **kwargs)
            except BaseException:
                with guard("record what code printed"):
                    _record_prints(node, executor)
                raise
            with guard("record what code returned"):
                set_tool_result(node, lambda: {"output": output.output, "logs": output.logs})
            return output

    executors = Overrides(patches, {"__call__": execute})
    executors.follow(PythonExecutor)
    return executors


def _record_prints(node: Node, executor: Any) -> None:
    if isinstance(executor, LocalPythonExecutor) and "_print_outputs" in executor.state:
        set_tool_result(node, lambda: {"logs": str(executor.state["_print_outputs"])})
