"""Langfuse: observations made with its own SDK."""

from __future__ import annotations

import json
from typing import Any

from spandag import semconv
from spandag.export.foreign.flattened import first
from spandag.semconv import Langfuse as Name
from spandag.semconv import NodeType

_TYPES = {
    "generation": NodeType.LLM,
    "embedding": NodeType.LLM,
    "agent": NodeType.AGENT,
    "tool": NodeType.TOOL,
    "retriever": NodeType.TOOL,
}
_USAGE = {
    semconv.GEN_AI_USAGE_INPUT_TOKENS: ("input", "prompt_tokens", "input_tokens"),
    semconv.GEN_AI_USAGE_OUTPUT_TOKENS: ("output", "completion_tokens", "output_tokens"),
    semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: ("cache_read_input_tokens", "input_cached_tokens"),
    semconv.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: ("cache_creation_input_tokens",),
    semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: ("output_reasoning_tokens", "reasoning_tokens"),
}


def read(attributes: dict[str, Any], span_name: str, top: bool) -> dict[str, Any]:
    """What a span says; see `spandag.export.foreign`."""
    kind = str(attributes[Name.TYPE]).lower()
    said: dict[str, Any] = {semconv.GEN_AI_REQUEST_MODEL: attributes.get(Name.MODEL_NAME)}
    node_type = _TYPES.get(kind)
    if kind == "chain":
        node_type = NodeType.CONVERSATION if top else NodeType.ITERATION
    said[semconv.SPANDAG_NODE_TYPE] = node_type
    usage = _details(attributes.get(Name.USAGE_DETAILS))
    for name, keys in _USAGE.items():
        said[name] = first(usage, *keys)
    said[semconv.GEN_AI_USAGE_COST] = _cost(_details(attributes.get(Name.COST_DETAILS)))
    is_call = node_type == NodeType.LLM
    said[semconv.GEN_AI_INPUT_MESSAGES if is_call else semconv.SPANDAG_INPUT] = attributes.pop(
        Name.INPUT, None
    )
    said[semconv.GEN_AI_OUTPUT_MESSAGES if is_call else semconv.SPANDAG_OUTPUT] = attributes.pop(
        Name.OUTPUT, None
    )
    return {name: value for name, value in said.items() if value is not None}


def _details(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _cost(details: dict[str, Any]) -> Any:
    """The total, or the sum of the parts where there is none."""
    if details.get("total") is not None:
        return details["total"]
    numbers = [n for n in details.values() if isinstance(n, int | float) and not isinstance(n, bool)]
    return sum(numbers) if numbers else None
