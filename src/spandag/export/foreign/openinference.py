"""OpenInference: the instrumentations of Arize, which Phoenix and Langfuse read.

An embedding and a decision are model calls: they cost tokens. A retrieval and a
reranking are tools: something outside of the model that is asked for knowledge.
A chain is the workflow itself where nothing is above it, else a step of what is.
Guardrails, evaluators and prompts stay spans.
"""

from __future__ import annotations

import json
import re
from typing import Any

from spandag import semconv
from spandag.export.foreign import parts
from spandag.export.foreign.flattened import first, take_lists
from spandag.export.values import amount
from spandag.semconv import NodeType
from spandag.semconv import OpenInference as Name

_TYPES = {
    "LLM": NodeType.LLM,
    "EMBEDDING": NodeType.LLM,
    "DECISION": NodeType.LLM,
    "AGENT": NodeType.AGENT,
    "TOOL": NodeType.TOOL,
    "RETRIEVER": NodeType.TOOL,
    "RERANKER": NodeType.TOOL,
}
_CHAIN = "CHAIN"

# By the name of the conventions; the first that there is counts.
_SAME = {
    semconv.GEN_AI_REQUEST_MODEL: (
        Name.REQUEST_MODEL_NAME,
        Name.MODEL_NAME,
        Name.EMBEDDING_MODEL_NAME,
        Name.RERANKER_MODEL_NAME,
        Name.DECISION_MODEL_NAME,
    ),
    semconv.GEN_AI_RESPONSE_MODEL: (Name.RESPONSE_MODEL_NAME,),
    semconv.GEN_AI_PROVIDER_NAME: (Name.PROVIDER, Name.SYSTEM, Name.DECISION_PROVIDER),
    semconv.GEN_AI_AGENT_NAME: (Name.AGENT_NAME,),
    semconv.GEN_AI_TOOL_NAME: (Name.TOOL_NAME,),
    semconv.GEN_AI_USAGE_INPUT_TOKENS: (Name.TOKENS_PROMPT, Name.DECISION_TOKENS_INPUT),
    semconv.GEN_AI_USAGE_OUTPUT_TOKENS: (Name.TOKENS_COMPLETION, Name.DECISION_TOKENS_OUTPUT),
    semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: (Name.TOKENS_CACHE_READ, Name.TOKENS_CACHE_INPUT),
    semconv.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: (Name.TOKENS_CACHE_WRITE,),
    semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: (Name.TOKENS_REASONING,),
    semconv.GEN_AI_USAGE_COST: (Name.COST_TOTAL,),
}
_LISTS = (
    Name.INPUT_MESSAGES,
    Name.OUTPUT_MESSAGES,
    Name.PROMPTS,
    Name.CHOICES,
    Name.TOOLS,
    Name.EMBEDDINGS,
    Name.RETRIEVAL_DOCUMENTS,
    Name.RERANKER_INPUT_DOCUMENTS,
    Name.RERANKER_OUTPUT_DOCUMENTS,
)
# smolagents' iterations.
_STEP = re.compile(r"Step ([0-9]{1,9})")


def read(attributes: dict[str, Any], span_name: str, top: bool) -> dict[str, Any]:
    """What a span says; see `spandag.export.foreign`."""
    kind = str(attributes[Name.SPAN_KIND]).upper()
    said = {name: first(attributes, *names) for name, names in _SAME.items()}
    said = {name: value for name, value in said.items() if value is not None}
    if kind == _CHAIN:
        said[semconv.SPANDAG_NODE_TYPE] = NodeType.CONVERSATION if top else NodeType.ITERATION
        if step := _STEP.fullmatch(span_name):
            said[semconv.SPANDAG_ITERATION_NUMBER] = int(step[1])
    else:
        said[semconv.SPANDAG_NODE_TYPE] = _TYPES.get(kind, NodeType.SPAN)
    if kind == "AGENT":
        # Spans of agents are named after the method that runs them.
        said.setdefault(semconv.GEN_AI_AGENT_NAME, span_name.removesuffix(".run"))
    if semconv.GEN_AI_USAGE_COST not in said and (cost := _sum_of_costs(attributes)) is not None:
        said[semconv.GEN_AI_USAGE_COST] = cost
    said.update(_content(attributes))
    return said


def _sum_of_costs(attributes: dict[str, Any]) -> float | None:
    costs = [amount(attributes.get(name)) for name in (Name.COST_PROMPT, Name.COST_COMPLETION)]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None


def _content(attributes: dict[str, Any]) -> dict[str, Any]:
    """What goes in and comes out; the flattened lists win, since the values only repeat them as text."""
    whole_input = attributes.pop(Name.INPUT_VALUE, None)
    whole_output = attributes.pop(Name.OUTPUT_VALUE, None)
    query = attributes.pop(Name.RERANKER_QUERY, None)
    lists = take_lists(attributes, _LISTS)
    content: dict[str, Any] = {}

    if items := lists.get(Name.INPUT_MESSAGES):
        content[semconv.GEN_AI_INPUT_MESSAGES] = [_message(item) for item in items]
    elif items := lists.get(Name.PROMPTS):
        content[semconv.GEN_AI_INPUT_MESSAGES] = [
            parts.message("user", [parts.text(item.get("prompt.text"))]) for item in items
        ]
    elif items := lists.get(Name.RERANKER_INPUT_DOCUMENTS):
        content[semconv.SPANDAG_INPUT] = {"query": query, "documents": _documents(items)}
    elif whole_input is not None:
        content[semconv.SPANDAG_INPUT] = whole_input
    elif items := lists.get(Name.EMBEDDINGS):
        content[semconv.SPANDAG_INPUT] = [item.get("embedding.text") for item in items]

    if items := lists.get(Name.OUTPUT_MESSAGES):
        content[semconv.GEN_AI_OUTPUT_MESSAGES] = [_message(item) for item in items]
    elif items := lists.get(Name.CHOICES):
        content[semconv.GEN_AI_OUTPUT_MESSAGES] = [
            parts.message("assistant", [parts.text(item.get("completion.text"))]) for item in items
        ]
    elif items := lists.get(Name.RETRIEVAL_DOCUMENTS) or lists.get(Name.RERANKER_OUTPUT_DOCUMENTS):
        content[semconv.SPANDAG_OUTPUT] = _documents(items)
    elif whole_output is not None:
        content[semconv.SPANDAG_OUTPUT] = whole_output
    elif items := lists.get(Name.EMBEDDINGS):
        content[semconv.SPANDAG_OUTPUT] = [item.get("embedding.vector") for item in items]

    if items := lists.get(Name.TOOLS):
        content[semconv.GEN_AI_TOOL_DEFINITIONS] = [_definition(item) for item in items]
    return content


def _documents(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key.removeprefix("document."): value for key, value in item.items()} for item in items]


def _definition(item: dict[str, Any]) -> Any:
    schema = item.get("tool.json_schema")
    if isinstance(schema, str):
        try:
            return json.loads(schema)
        except (ValueError, RecursionError):
            return schema
    return item if schema is None else schema


def _message(item: dict[str, Any]) -> dict[str, Any]:
    lists = take_lists(item, ("message.contents", "message.tool_calls"))
    role = item.get("message.role")
    call_id = item.get("message.tool_call_id")
    content = item.get("message.content")
    said = [_part(part) for part in lists.get("message.contents", ())]
    if not said and content is not None and content != "":
        said = [parts.text(content)]
    if call_id is not None:
        response = content if content is not None else "\n".join(str(part.get("content")) for part in said)
        said = [parts.tool_response(response, call_id)]
    for call in lists.get("message.tool_calls", ()):
        said.append(
            parts.tool_call(
                call.get("tool_call.function.name"),
                call.get("tool_call.function.arguments"),
                call.get("tool_call.id"),
            )
        )
    if (function := item.get("message.function_call_name")) is not None:
        said.append(parts.tool_call(function, item.get("message.function_call_arguments_json"), None))
    return parts.message(role, said, item.get("message.name"))


def _part(item: dict[str, Any]) -> dict[str, Any]:
    values = {key.removeprefix("message_content."): value for key, value in item.items()}
    kind = values.pop("type", "text")
    if kind in ("text", "reasoning"):
        return {"type": kind, "content": values.get("text", "")}
    for key, value in values.items():
        if key.endswith(".url") and isinstance(value, str):
            if value.startswith("data:"):
                # Its bytes are not kept, as with our own spans.
                return {"type": "blob", "modality": kind, "content": ""}
            return {"type": "uri", "modality": kind, "uri": value}
    return {"type": kind, **values}
