"""Nodes opened by hand, for what is not instrumented."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, overload

from spandag.semconv import NodeType
from spandag.spans import node as _node
from spandag.spans.chat import Chat, start_chat
from spandag.spans.content import Message, message, text_part
from spandag.spans.node import Node
from spandag.spans.operations import start_agent, start_tool
from spandag.workflow.scope import Scope, check_name, tracer
from spandag.workflow.step_node import NoStep, StepNode


def agent(
    name: str, *, description: str | None = None, model: str | None = None, input: str | None = None
) -> Scope[Node]:
    """An agent at work: ``invoke_agent {name}``.

    Args:
        name: The agent's name.
        description: What it is for.
        model: The model it asks.
        input: What it was asked; recorded where content is.

    Returns:
        A context manager (sync and async) and decorator; entering it gives the node.
    """
    check_name("agent", name)
    messages = None if input is None else _messages(input)
    return Scope(
        "spandag.agent(...)",
        lambda: start_agent(tracer(), name, description=description, model=model, input_messages=messages),
    )


def tool(
    name: str, *, description: str | None = None, call_id: str | None = None, arguments: object = None
) -> Scope[Node]:
    """A tool at work: ``execute_tool {name}``.

    Args:
        name: The tool's name.
        description: What it does.
        call_id: The id under which the model asked for it.
        arguments: What it was called with; recorded where content is.

    Returns:
        A context manager (sync and async) and decorator; entering it gives the node.
    """
    check_name("tool", name)
    given = None if arguments is None else lambda: arguments
    return Scope(
        "spandag.tool(...)",
        lambda: start_tool(tracer(), name, description=description, call_id=call_id, arguments=given),
    )


def chat(model: str, *, provider: str | None = None, input: str | list[Message] | None = None) -> Scope[Chat]:
    """A model call: ``chat {model}``; its tokens go to `Chat.set_usage`.

    Args:
        model: The model asked.
        provider: As in ``gen_ai.provider.name``, for example ``openai``.
        input: The prompt, or messages in the GenAI JSON; recorded where content is.

    Returns:
        A context manager (sync and async); entering it gives the node.
    """
    check_name("chat", model)
    messages = None if input is None else _messages(input)
    return Scope(
        "spandag.chat(...)", lambda: start_chat(tracer(), model, provider=provider, input_messages=messages)
    )


@overload
def current(node_type: Literal["step"]) -> StepNode: ...
@overload
def current(node_type: str | None = None) -> Node: ...
def current(node_type: str | None = None) -> Node:
    """The node that runs here, or the nearest one of a type around it.

    Where there is none it is a node that records nothing, so that code that adds
    attributes and events works in any program.

    Args:
        node_type: For example ``"step"``, ``"agent"`` or ``"run"``.
    """
    found = _node.current(node_type)
    if found is not None:
        return found
    return _node.unrecorded(node_type or NodeType.SPAN, NoStep if node_type == NodeType.STEP else Node)


def _messages(input: str | list[Message]) -> Callable[[], list[Message]]:
    return lambda: [message("user", [text_part(input)])] if isinstance(input, str) else input
