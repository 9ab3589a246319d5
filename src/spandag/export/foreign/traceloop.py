"""OpenLLMetry of Traceloop: its decorators, and the model calls of its instrumentations."""

from __future__ import annotations

from typing import Any

from spandag import semconv
from spandag.semconv import NodeType
from spandag.semconv import Traceloop as Name

_REQUESTS = {
    "chat": NodeType.LLM,
    "completion": NodeType.LLM,
    "embedding": NodeType.LLM,
    "rerank": NodeType.TOOL,
}
_KINDS = {"workflow": NodeType.CONVERSATION, "agent": NodeType.AGENT, "tool": NodeType.TOOL}
_NAMES = {
    NodeType.CONVERSATION: semconv.GEN_AI_WORKFLOW_NAME,
    NodeType.ITERATION: semconv.GEN_AI_STEP_NAME,
    NodeType.AGENT: semconv.GEN_AI_AGENT_NAME,
    NodeType.TOOL: semconv.GEN_AI_TOOL_NAME,
}


def read(attributes: dict[str, Any], span_name: str, top: bool) -> dict[str, Any]:
    """What a span says; see `spandag.export.foreign`."""
    kind = attributes.get(Name.SPAN_KIND)
    if kind == "task":
        node_type: str | None = NodeType.CONVERSATION if top else NodeType.ITERATION
    else:
        node_type = _KINDS.get(str(kind))
    said: dict[str, Any] = {}
    if node_type is not None:
        said[_NAMES[node_type]] = attributes.get(Name.ENTITY_NAME)
        said[semconv.SPANDAG_INPUT] = attributes.pop(Name.ENTITY_INPUT, None)
        said[semconv.SPANDAG_OUTPUT] = attributes.pop(Name.ENTITY_OUTPUT, None)
    else:
        node_type = _REQUESTS.get(str(attributes.get(Name.REQUEST_TYPE)))
    said[semconv.SPANDAG_NODE_TYPE] = node_type
    return {name: value for name, value in said.items() if value is not None}
