"""AG2's own instrumentations: ``autogen.opentelemetry`` and ``TelemetryMiddleware`` of ag2.

Their operations have names of their own; the type of the span says what is meant. A
``record_usage`` span repeats the tokens of calls that have spans, or sums up those of
a sub-task: it is no call, so it counts for nothing.
"""

from __future__ import annotations

from typing import Any

from spandag import semconv
from spandag.semconv import NodeType

_TYPES = {
    "conversation": NodeType.CONVERSATION,
    "multi_conversation": NodeType.CONVERSATION,
    "agent": NodeType.AGENT,
    "llm": NodeType.LLM,
    "tool": NodeType.TOOL,
    "handoff": NodeType.HANDOFF,
    "speaker_selection": NodeType.HANDOFF,
    "human_input": NodeType.APPROVAL,
    "code_execution": NodeType.CODE,
    "usage": NodeType.SPAN,
}
_CONTENT = {
    semconv.AG2_HUMAN_INPUT_PROMPT: semconv.SPANDAG_INPUT,
    semconv.AG2_HUMAN_INPUT_RESPONSE: semconv.SPANDAG_OUTPUT,
    semconv.AG2_CODE_OUTPUT: semconv.SPANDAG_OUTPUT,
    semconv.AG2_CHATS_SUMMARIES: semconv.SPANDAG_OUTPUT,
}


def read(attributes: dict[str, Any], span_name: str, top: bool) -> dict[str, Any]:
    """What a span says; see `spandag.export.foreign`."""
    said: dict[str, Any] = {}
    node_type = _TYPES.get(str(attributes[semconv.AG2_SPAN_TYPE]))
    if node_type is not None:
        said[semconv.SPANDAG_NODE_TYPE] = node_type
    for name, content in _CONTENT.items():
        if name in attributes:
            said[content] = attributes.pop(name)
    if attributes.get(semconv.GEN_AI_USAGE_COST) == 0:
        # AG2 says 0 of a model whose price it does not know.
        said[semconv.GEN_AI_USAGE_COST] = None
    return said
