"""Tools: ``execute_tool``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.trace import Tracer
from smolagents import tools as smolagents_tools
from smolagents.agents import ToolCallingAgent
from smolagents.local_python_executor import FinalAnswerException

from spandag._guard import guard
from spandag.instrumentation._base import Patches
from spandag.instrumentation._overrides import Overrides
from spandag.instrumentation.smolagents._state import ToolCall, begin_call, current_run, in_a_run
from spandag.spans.node import Node
from spandag.spans.operations import set_tool_result, start_tool


def install(tracer: Tracer, patches: Patches) -> Overrides:
    """Instrument tools, and how a `ToolCallingAgent` comes to call them."""

    def call_tool(wrapped: Callable[..., Any], tool: Any, args: Any, kwargs: Any) -> Any:
        node: Node | None = None
        with guard("start a span of a tool"):
            node = start_tool(
                tracer,
                str(tool.name),
                description=str(tool.description),
                call_id=begin_call(),
                arguments=lambda: _arguments(tool, args, kwargs),
            )
        if node is None:
            return wrapped(*args, **kwargs)
        error: BaseException | None = None
        try:
            with node.activate():
                result = wrapped(*args, **kwargs)
            set_tool_result(node, lambda: result)
            return result
        except FinalAnswerException:
            # How code says that it is done.
            raise
        except BaseException as failure:
            if in_a_run():
                with guard("record a tool's error"):
                    node.fail(failure)
            else:
                error = failure
            raise
        finally:
            node.end(error)
            error = None

    def process_tool_calls(wrapped: Callable[..., Any], agent: Any, args: Any, kwargs: Any) -> Any:
        with guard("note the calls of a model"):
            run = current_run(agent)
            if run is not None and run.step is not None:
                asked = args[0] if args else kwargs.get("chat_message")
                run.step.expect(asked.tool_calls)
        return wrapped(*args, **kwargs)

    def execute_tool_call(wrapped: Callable[..., Any], agent: Any, args: Any, kwargs: Any) -> Any:
        def named(tool_name: object, arguments: object = None) -> tuple[str, object]:
            return str(tool_name), arguments

        call: ToolCall | None = None
        with guard("find a tool call's id"):
            name, arguments = named(*args, **kwargs)
            run = current_run(agent)
            step = run.step if run is not None else None
            call = ToolCall(step.take_call_id(name, arguments) if step is not None else None)
        if call is None:
            return wrapped(*args, **kwargs)
        token = otel_context.attach(call.context())
        try:
            return wrapped(*args, **kwargs)
        except BaseException as error:
            if not call.begun:
                # An unknown tool or wrong arguments: no tool was reached, but the model did call one.
                with guard("record a call that reached no tool"):
                    start_tool(
                        tracer,
                        name,
                        description=getattr(agent.tools.get(name), "description", None),
                        call_id=call.id,
                        arguments=lambda: arguments,
                    ).end(error)
            raise
        finally:
            otel_context.detach(token)

    patches.wrap(ToolCallingAgent, "process_tool_calls", process_tool_calls)
    patches.wrap(ToolCallingAgent, "execute_tool_call", execute_tool_call)
    tools = Overrides(patches, {"__call__": call_tool})
    # The base class of tools that are no `Tool` is younger than 1.20.
    tools.follow(getattr(smolagents_tools, "BaseTool", smolagents_tools.Tool))
    return tools


def _arguments(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name, whichever of the framework's ways they were passed."""
    kwargs = {name: value for name, value in kwargs.items() if name != "sanitize_inputs_outputs"}
    names = list(tool.inputs)
    if len(args) == 1 and not kwargs and isinstance(args[0], dict) and all(key in names for key in args[0]):
        return dict(args[0])
    positional = {
        names[position] if position < len(names) else f"args[{position}]": value
        for position, value in enumerate(args)
    }
    return {**positional, **kwargs}
