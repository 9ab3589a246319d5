"""Every other operation that becomes a node: its span's name and attributes.

The table of DESIGN §4 as functions, one an operation. None of them raises, and
none makes its node current; the caller does, with ``with node:`` or
`Node.activate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.trace import Link, Tracer

from spandag import semconv
from spandag.semconv import NodeType, Operation
from spandag.spans.content import Message, content_json
from spandag.spans.node import Node, NodeT, current, start_node


def start_run(
    tracer: Tracer,
    name: str,
    *,
    task: str | None = None,
    session: str | None = None,
    user: str | None = None,
    links: Sequence[Link] = (),
    context: Context | None = None,
    attributes: Mapping[str, object] | None = None,
    node_class: type[NodeT],
) -> NodeT:
    """Start ``invoke_workflow {name}`` for a run."""
    return _start(
        tracer,
        Operation.INVOKE_WORKFLOW,
        NodeType.RUN,
        name,
        {
            semconv.GEN_AI_WORKFLOW_NAME: name,
            semconv.SPANDAG_RUN_TASK: task,
            semconv.SESSION_ID: session,
            semconv.GEN_AI_CONVERSATION_ID: session,
            semconv.USER_ID: user,
            **(attributes or {}),
        },
        links=links,
        context=context,
        node_class=node_class,
    )


def start_phase(
    tracer: Tracer,
    name: str,
    *,
    attributes: Mapping[str, object] | None = None,
    node_class: type[NodeT],
) -> NodeT:
    """Start ``run_step {name}`` for a phase."""
    return _start(
        tracer,
        Operation.RUN_STEP,
        NodeType.PHASE,
        name,
        {semconv.GEN_AI_STEP_NAME: name, **(attributes or {})},
        node_class=node_class,
    )


def start_step(
    tracer: Tracer,
    name: str,
    *,
    attributes: Mapping[str, object],
    links: Sequence[Link] = (),
    context: Context | None = None,
    node_class: type[NodeT],
) -> NodeT:
    """Start ``run_step {name}`` for one attempt of a workflow's step."""
    return _start(
        tracer,
        Operation.RUN_STEP,
        NodeType.STEP,
        name,
        {semconv.GEN_AI_STEP_NAME: name, **attributes},
        links=links,
        context=context,
        node_class=node_class,
    )


def start_iteration(tracer: Tracer, agent_name: str, number: int) -> Node:
    """Start ``run_step {agent}`` for one step of an agent's ReAct loop."""
    return _start(
        tracer,
        Operation.RUN_STEP,
        NodeType.ITERATION,
        agent_name,
        {
            semconv.GEN_AI_STEP_NAME: f"{agent_name} {number}",
            semconv.GEN_AI_AGENT_NAME: agent_name,
            semconv.SPANDAG_ITERATION_NUMBER: number,
        },
        agent_name=agent_name,
        node_class=Node,
    )


def start_planning(tracer: Tracer, agent_name: str) -> Node:
    """Start ``plan {agent}``."""
    return _start(
        tracer,
        Operation.PLAN,
        NodeType.PLANNING,
        agent_name,
        {semconv.GEN_AI_AGENT_NAME: agent_name},
        agent_name=agent_name,
        node_class=Node,
    )


def start_agent(
    tracer: Tracer,
    name: str,
    *,
    description: str | None = None,
    model: str | None = None,
    conversation_id: str | None = None,
    input_messages: Callable[[], list[Message]] | None = None,
    system_instructions: Callable[[], object] | None = None,
    attributes: Mapping[str, object] | None = None,
    start_time: int | None = None,
) -> Node:
    """Start ``invoke_agent {agent}``: `agent`, or `sub_agent` below another agent."""
    around = current()
    below_agent = around is not None and around.agent_name is not None
    return _start(
        tracer,
        Operation.INVOKE_AGENT,
        NodeType.SUB_AGENT if below_agent else NodeType.AGENT,
        name,
        {
            semconv.GEN_AI_AGENT_NAME: name,
            semconv.GEN_AI_AGENT_DESCRIPTION: description or None,
            semconv.GEN_AI_REQUEST_MODEL: model,
            semconv.GEN_AI_CONVERSATION_ID: conversation_id,
            semconv.GEN_AI_INPUT_MESSAGES: content_json(input_messages),
            semconv.GEN_AI_SYSTEM_INSTRUCTIONS: content_json(system_instructions),
            **(attributes or {}),
        },
        agent_name=name,
        start_time=start_time,
        node_class=Node,
    )


def start_tool(
    tracer: Tracer,
    name: str,
    *,
    tool_type: str = "function",
    description: str | None = None,
    call_id: str | None = None,
    arguments: Callable[[], object] | None = None,
    node_type: str = NodeType.TOOL,
) -> Node:
    """Start ``execute_tool {tool}``; `NodeType.CODE` where the tool is an interpreter."""
    around = current()
    return _start(
        tracer,
        Operation.EXECUTE_TOOL,
        node_type,
        name,
        {
            semconv.GEN_AI_TOOL_NAME: name,
            semconv.GEN_AI_TOOL_TYPE: tool_type,
            semconv.GEN_AI_TOOL_DESCRIPTION: description or None,
            semconv.GEN_AI_TOOL_CALL_ID: call_id,
            semconv.GEN_AI_AGENT_NAME: around.agent_name if around is not None else None,
            semconv.GEN_AI_TOOL_CALL_ARGUMENTS: content_json(arguments),
        },
        node_class=Node,
    )


def set_tool_result(node: Node, result: Callable[[], object]) -> None:
    """Record what a tool returned, where content is recorded."""
    node.set_attribute(semconv.GEN_AI_TOOL_CALL_RESULT, content_json(result))


def set_output_messages(node: Node, messages: Callable[[], list[Message]]) -> None:
    """Record an agent's or a conversation's answer, where content is recorded."""
    node.set_attribute(semconv.GEN_AI_OUTPUT_MESSAGES, content_json(messages))


def start_conversation(
    tracer: Tracer,
    name: str,
    *,
    conversation_id: str | None = None,
    input_messages: Callable[[], list[Message]] | None = None,
    attributes: Mapping[str, object] | None = None,
) -> Node:
    """Start ``invoke_workflow {name}`` for a conversation or group chat."""
    return _start(
        tracer,
        Operation.INVOKE_WORKFLOW,
        NodeType.CONVERSATION,
        name,
        {
            semconv.GEN_AI_WORKFLOW_NAME: name,
            semconv.GEN_AI_CONVERSATION_ID: conversation_id,
            semconv.GEN_AI_INPUT_MESSAGES: content_json(input_messages),
            **(attributes or {}),
        },
        node_class=Node,
    )


def start_speaker_selection(tracer: Tracer, chat_name: str, candidates: Sequence[str]) -> Node:
    """Start ``select_speaker {chat}``."""
    return _start(
        tracer,
        Operation.SELECT_SPEAKER,
        NodeType.HANDOFF,
        chat_name,
        {semconv.AG2_SPEAKER_CANDIDATES: list(candidates)},
        node_class=Node,
    )


def start_human_input(
    tracer: Tracer, agent_name: str, *, attributes: Mapping[str, object] | None = None
) -> Node:
    """Start ``human_input {agent}``: a person is asked, for input or for approval."""
    return _start(
        tracer,
        Operation.HUMAN_INPUT,
        NodeType.APPROVAL,
        agent_name,
        {semconv.GEN_AI_AGENT_NAME: agent_name, **(attributes or {})},
        node_class=Node,
    )


def add_handoff(node: Node, source: str, target: str, reason: str | None = None) -> None:
    """Record on the deciding node that one agent hands over to another."""
    node.add_event(
        semconv.EVENT_HANDOFF,
        {semconv.HANDOFF_FROM: source, semconv.HANDOFF_TO: target, semconv.HANDOFF_REASON: reason},
    )


def _start(
    tracer: Tracer,
    operation: str,
    node_type: str,
    name: str,
    attributes: Mapping[str, object],
    *,
    agent_name: str | None = None,
    links: Sequence[Link] = (),
    context: Context | None = None,
    start_time: int | None = None,
    node_class: type[NodeT],
) -> NodeT:
    return start_node(
        tracer,
        f"{operation} {name}",
        node_type,
        name,
        attributes={semconv.GEN_AI_OPERATION_NAME: operation, **attributes},
        agent_name=agent_name,
        links=links,
        context=context,
        start_time=start_time,
        node_class=node_class,
    )
