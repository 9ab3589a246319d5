"""``execute_function``: a tool call."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import wrapt
from autogen.agentchat.conversable_agent import ConversableAgent
from opentelemetry.trace import Tracer

from spandag._guard import guard
from spandag.instrumentation._base import Patches
from spandag.instrumentation._overrides import Overrides
from spandag.instrumentation.autogen.turn import begin_within_turn
from spandag.spans.content import parsed
from spandag.spans.errors import qualified_name
from spandag.spans.node import Node
from spandag.spans.operations import set_tool_result, start_tool

_UNKNOWN_TOOL = "tool_not_found"
# The value of ``error.type`` where none is known, by the conventions.
_OTHER = "_OTHER"


def install(tracer: Tracer, patches: Patches) -> None:
    """Open ``execute_tool`` spans."""

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Node | None:
        return begin_within_turn("start a tool call", lambda: _begin(tracer, args, kwargs))

    def execute_function(
        wrapped: Callable[..., Any], agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        node = begin(args, kwargs)
        if node is None:
            return wrapped(*args, **kwargs)
        with node, _Watch(agent) as watch:
            result = wrapped(*args, **kwargs)
            _record(node, result, watch)
            return result

    async def a_execute_function(
        wrapped: Callable[..., Any], agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        node = begin(args, kwargs)
        if node is None:
            return await wrapped(*args, **kwargs)
        with node, _Watch(agent) as watch:
            result = await wrapped(*args, **kwargs)
            _record(node, result, watch)
            return result

    Overrides(
        patches, {"execute_function": execute_function, "a_execute_function": a_execute_function}
    ).follow(ConversableAgent)
    patches.replace(ConversableAgent, "_function_map", _FunctionMap())


def _begin(tracer: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Node:
    call = kwargs.get("func_call", args[0] if args else {})
    return start_tool(
        tracer,
        str(call.get("name", "")),
        call_id=kwargs.get("call_id", args[1] if len(args) > 1 else None),
        arguments=lambda: parsed(call.get("arguments")),
    )


def _record(node: Node, result: Any, watch: _Watch) -> None:
    with guard("record a tool's result"):
        succeeded, answer = result
        content = answer.get("content")
        set_tool_result(node, lambda: content)
        if succeeded:
            return
        # The framework turns the failure into an answer for the model.
        if watch.error is not None:
            node.fail(watch.error)
            return
        message = str(content).removeprefix("Error: ")
        if not watch.found:
            error_type = _UNKNOWN_TOOL
        elif not watch.called:
            error_type = qualified_name(json.JSONDecodeError)
        else:
            error_type = _OTHER
        node.fail_as(error_type, message)


# --- which exception the tool raised -------------------------------------------
#
# ``execute_function`` keeps the message of a tool's exception and drops the exception.
# It takes the tool from the agent's ``_function_map``, so for the time of one call, and
# in its context alone, that attribute answers with tools that note what they raise.

_watch: ContextVar[_Watch | None] = ContextVar("spandag-autogen-tool", default=None)


class _Watch:
    """What became of the tool of one call."""

    def __init__(self, agent: Any) -> None:
        self.agent = agent
        self.found = False
        self.called = False
        self.error: Exception | None = None

    def __enter__(self) -> _Watch:
        self._token = _watch.set(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _watch.reset(self._token)
        # No cycle through the traceback's frames.
        self.error = None

    def note(
        self, tool: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call the tool and keep what it raises."""
        # Only this call's: what the tool itself does with the agent is not watched.
        self.called = True
        token = _watch.set(None)
        try:
            result = tool(*args, **kwargs)
        except Exception as error:
            self.error = error
            raise
        finally:
            _watch.reset(token)
        return self._awaited(result) if inspect.isawaitable(result) else result

    async def _awaited(self, result: Any) -> Any:
        token = _watch.set(None)
        try:
            return await result
        except Exception as error:
            self.error = error
            raise
        finally:
            _watch.reset(token)


class _WatchedMap(wrapt.ObjectProxy):  # type: ignore[misc]
    """An agent's tools, each noting what it raises."""

    def __init__(self, tools: dict[str, Callable[..., Any]], watch: _Watch) -> None:
        super().__init__(tools)
        self._self_watch = watch

    def get(self, name: str, default: Any = None) -> Any:
        tool = self.__wrapped__.get(name)
        if tool is None:
            return default
        self._self_watch.found = True
        return wrapt.FunctionWrapper(tool, self._self_watch.note)


class _FunctionMap:
    """The attribute ``_function_map``: the instance's own, watched during a tool call of that agent."""

    def __get__(self, agent: Any, owner: type) -> Any:
        try:
            tools = vars(agent)["_function_map"]
        except (KeyError, TypeError):
            raise AttributeError(f"{owner.__name__!r} object has no attribute '_function_map'") from None
        watch = _watch.get()
        return _WatchedMap(tools, watch) if watch is not None and watch.agent is agent else tools

    def __set__(self, agent: Any, tools: Any) -> None:
        vars(agent)["_function_map"] = tools

    def __delete__(self, agent: Any) -> None:
        del vars(agent)["_function_map"]
