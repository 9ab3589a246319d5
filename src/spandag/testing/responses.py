"""The JSON of OpenAI's responses API, both ways (AG2's `OpenAIResponsesConfig` speaks it)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from spandag.testing.protocol import CREATED, BadRequest, call_id, join_text, pieces, require_model
from spandag.testing.replies import Json, Message, Reply, Request, ToolCall, Usage


def parse_response(body: Json, actor: str, number: int, headers: Mapping[str, str]) -> Request:
    """Read the body of a request for a response.

    Raises:
        BadRequest: `input` or `model` is missing or of the wrong type.
    """
    items = body.get("input")
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if not isinstance(items, list) or not items:
        raise BadRequest("Missing required parameter: 'input'.")
    instructions = body.get("instructions")
    messages = [Message("system", instructions)] if isinstance(instructions, str) else []
    messages += [message for item in items if (message := _parse_item(item)) is not None]
    return Request(
        actor=actor,
        number=number,
        model=require_model(body),
        messages=tuple(messages),
        tools=tuple(_tool_names(body.get("tools") or ())),
        response_format=(body.get("text") or {}).get("format"),
        stream=bool(body.get("stream")),
        body=body,
        headers=headers,
    )


def _parse_item(item: Any) -> Message | None:
    """One message of the conversation; None for items that say nothing, such as reasoning."""
    if not isinstance(item, dict):
        raise BadRequest("Each item of 'input' must be an object.")
    kind = item.get("type", "message")
    if kind == "message":
        return Message(item["role"], join_text(item["content"]))
    if kind == "function_call":
        call = ToolCall(item["name"], item["arguments"], item["call_id"])
        return Message("assistant", "", (call,))
    if kind == "function_call_output":
        return Message("tool", join_text(item["output"]), tool_call_id=item["call_id"])
    return None


def _tool_names(tools: Iterable[Any]) -> Iterator[str]:
    for tool in tools:
        if isinstance(tool, dict) and isinstance(tool.get("name"), str):
            yield tool["name"]


def response(request: Request, reply: Reply, usage: Usage) -> Json:
    """A whole response."""
    return {**_frame(request, reply, "completed"), "output": _output(request, reply), "usage": _usage(usage)}


def events(request: Request, reply: Reply, usage: Usage) -> Iterator[Json]:
    """The same as the events of a stream."""
    number = 0

    def event(kind: str, **fields: Any) -> Json:
        nonlocal number
        number += 1
        return {"type": kind, "sequence_number": number - 1, **fields}

    opening = {**_frame(request, reply, "in_progress"), "output": [], "usage": None}
    yield event("response.created", response=opening)
    yield event("response.in_progress", response=opening)
    for index, item in enumerate(_output(request, reply)):
        where = {"output_index": index, "item_id": item["id"]}
        started = {**item, "status": "in_progress"}
        if item["type"] == "message":
            part = item["content"][0]
            where["content_index"] = 0
            yield event("response.output_item.added", output_index=index, item={**started, "content": []})
            yield event("response.content_part.added", part={**part, "text": ""}, **where)
            for piece in pieces(part["text"]):
                yield event("response.output_text.delta", delta=piece, logprobs=[], **where)
            yield event("response.output_text.done", text=part["text"], logprobs=[], **where)
            yield event("response.content_part.done", part=part, **where)
        else:
            yield event("response.output_item.added", output_index=index, item={**started, "arguments": ""})
            for piece in pieces(item["arguments"]):
                yield event("response.function_call_arguments.delta", delta=piece, **where)
            yield event(
                "response.function_call_arguments.done",
                arguments=item["arguments"],
                name=item["name"],
                **where,
            )
        yield event("response.output_item.done", output_index=index, item=item)
    yield event("response.completed", response=response(request, reply, usage))


def _frame(request: Request, reply: Reply, status: str) -> Json:
    return {
        "id": f"resp-{request.actor}-{request.number}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": reply.model or request.model,
        "error": None,
        "incomplete_details": None,
        "instructions": request.body.get("instructions"),
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "top_p": 1.0,
        "tool_choice": "auto",
        "tools": request.body.get("tools") or [],
    }


def _output(request: Request, reply: Reply) -> list[Json]:
    output: list[Json] = []
    if reply.text is not None:
        part = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
        message_id = f"msg-{request.actor}-{request.number}"
        output.append(
            {
                "type": "message",
                "id": message_id,
                "role": "assistant",
                "status": "completed",
                "content": [part],
            }
        )
    for index, call in enumerate(reply.tool_calls):
        output.append(
            {
                "type": "function_call",
                "id": f"fc-{request.actor}-{request.number}-{index}",
                "call_id": call_id(request, index, call),
                "name": call.name,
                "arguments": call.arguments_json,
                "status": "completed",
            }
        )
    return output


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + usage.completion,
    }
