"""What a span is in the DAG, and what it is called, whoever recorded it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spandag import semconv
from spandag.semconv import NODE_TYPES, NodeType, Operation

_OF_OPERATION = {
    Operation.CHAT: NodeType.LLM,
    Operation.TEXT_COMPLETION: NodeType.LLM,
    Operation.GENERATE_CONTENT: NodeType.LLM,
    # A model call as well: it costs tokens.
    Operation.EMBEDDINGS: NodeType.LLM,
    Operation.INVOKE_AGENT: NodeType.AGENT,
    Operation.CREATE_AGENT: NodeType.AGENT,
    Operation.EXECUTE_TOOL: NodeType.TOOL,
    # Something outside of the model that is asked for knowledge.
    Operation.RETRIEVAL: NodeType.TOOL,
    # A run and its steps are spandag's own idea; other instrumentations mean what their framework does.
    Operation.INVOKE_WORKFLOW: NodeType.CONVERSATION,
    Operation.RUN_STEP: NodeType.ITERATION,
    Operation.PLAN: NodeType.PLANNING,
}

_NAMED_BY: dict[str, tuple[str, ...]] = {
    NodeType.RUN: (semconv.GEN_AI_WORKFLOW_NAME,),
    NodeType.CONVERSATION: (semconv.GEN_AI_WORKFLOW_NAME,),
    NodeType.PHASE: (semconv.GEN_AI_STEP_NAME,),
    NodeType.STEP: (semconv.GEN_AI_STEP_NAME,),
    NodeType.ITERATION: (semconv.GEN_AI_STEP_NAME, semconv.GEN_AI_AGENT_NAME),
    NodeType.PLANNING: (semconv.GEN_AI_AGENT_NAME,),
    NodeType.AGENT: (semconv.GEN_AI_AGENT_NAME,),
    NodeType.SUB_AGENT: (semconv.GEN_AI_AGENT_NAME,),
    NodeType.APPROVAL: (semconv.GEN_AI_AGENT_NAME,),
    NodeType.LLM: (semconv.GEN_AI_REQUEST_MODEL, semconv.GEN_AI_RESPONSE_MODEL),
    NodeType.TOOL: (semconv.GEN_AI_TOOL_NAME,),
    NodeType.CODE: (semconv.GEN_AI_TOOL_NAME,),
}


def node_type_of(attributes: Mapping[str, Any]) -> str:
    """The type of a span's node; other conventions are translated before (`spandag.export.foreign`)."""
    said = attributes.get(semconv.SPANDAG_NODE_TYPE)
    if isinstance(said, str) and said in NODE_TYPES:
        return said
    operation = attributes.get(semconv.GEN_AI_OPERATION_NAME)
    return _OF_OPERATION.get(operation, NodeType.SPAN) if isinstance(operation, str) else NodeType.SPAN


def name_of(node_type: str, attributes: Mapping[str, Any], span_name: str) -> str:
    """What a node is called: the agent, tool, model or step, without the operation before it."""
    for attribute in _NAMED_BY.get(node_type, ()):
        name = attributes.get(attribute)
        if isinstance(name, str) and name:
            return name
    operation = attributes.get(semconv.GEN_AI_OPERATION_NAME)
    if isinstance(operation, str) and span_name.startswith(operation + " "):
        return span_name[len(operation) + 1 :]
    return span_name
