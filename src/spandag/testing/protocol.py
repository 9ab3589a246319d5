"""The JSON of OpenAI's chat completions, both ways."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from spandag.testing.replies import Json, Message, Reply, Request, ToolCall, Usage

CREATED = 1_700_000_000
"""When every reply says that it was made: one moment, so that two runs give the same bytes."""


class BadRequest(ValueError):
    """The request's body is not what the API takes."""


def load_body(raw: bytes) -> Json:
    """Parse a request's body, which must be a JSON object.

    Raises:
        BadRequest: The body is something else.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"We could not parse the JSON body of your request: {error}") from error
    if not isinstance(body, dict):
        raise BadRequest("The JSON body of your request is not an object.")
    return body


def parse_chat(body: Json, actor: str, number: int, headers: Mapping[str, str]) -> Request:
    """Read the body of a chat completion request.

    Raises:
        BadRequest: `messages` or `model` is missing or of the wrong type.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("Missing required parameter: 'messages'.")
    stop = body.get("stop") or ()
    return Request(
        actor=actor,
        number=number,
        model=require_model(body),
        messages=tuple(_parse_message(message) for message in messages),
        tools=tuple(_tool_names(body.get("tools") or ())),
        response_format=body.get("response_format"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        stream=bool(body.get("stream")),
        body=body,
        headers=headers,
    )


def require_model(body: Json) -> str:
    """The model that a request names.

    Raises:
        BadRequest: It names none.
    """
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("Missing required parameter: 'model'.")
    return model


def _parse_message(message: Any) -> Message:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadRequest("Each message must be an object with a 'role'.")
    calls = message.get("tool_calls") or ()
    return Message(
        role=message["role"],
        text=join_text(message.get("content")),
        tool_calls=tuple(
            ToolCall(call["function"]["name"], call["function"]["arguments"], call["id"]) for call in calls
        ),
        tool_call_id=message.get("tool_call_id"),
    )


def join_text(content: Any) -> str:
    """The text of a message's content, which is a string or a list of parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))


def _tool_names(tools: Iterable[Any]) -> Iterator[str]:
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            yield function["name"]


def cut_at_stop(text: str, stop: Iterable[str]) -> str:
    """The text before the first stop sequence in it."""
    found = [position for sequence in stop if sequence and (position := text.find(sequence)) >= 0]
    return text[: min(found)] if found else text


def call_id(request: Request, index: int, call: ToolCall) -> str:
    """The id of a tool call: its own, or one that follows from actor, call number and index."""
    return call.id or f"call_{request.actor}_{request.number}_{index}"


def completion(request: Request, reply: Reply, usage: Usage) -> Json:
    """A whole chat completion."""
    message: Json = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.tool_calls:
        message["tool_calls"] = [
            {
                "id": call_id(request, index, call),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments_json},
            }
            for index, call in enumerate(reply.tool_calls)
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(reply)}
    return {**_head(request, reply, "chat.completion"), "choices": [choice], "usage": usage_json(usage)}


def chunks(request: Request, reply: Reply, usage: Usage) -> Iterator[Json]:
    """The same as a stream of chunks; the last one has the usage if the client asked for it."""
    head = _head(request, reply, "chat.completion.chunk")
    with_usage = bool((request.body.get("stream_options") or {}).get("include_usage"))

    def chunk(delta: Json, finish_reason: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**head, "choices": [choice], **({"usage": None} if with_usage else {})}

    yield chunk({"role": "assistant", "content": "" if reply.text is not None else None})
    for piece in pieces(reply.text or ""):
        yield chunk({"content": piece})
    for index, call in enumerate(reply.tool_calls):
        function: Json = {"name": call.name, "arguments": ""}
        start = {
            "index": index,
            "id": call_id(request, index, call),
            "type": "function",
            "function": function,
        }
        yield chunk({"tool_calls": [start]})
        for piece in pieces(call.arguments_json):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, _finish_reason(reply))
    if with_usage:
        yield {**head, "choices": [], "usage": usage_json(usage)}


def pieces(text: str) -> list[str]:
    """The text in the pieces in which it is streamed: word by word."""
    return re.findall(r"\s*\S+|\s+", text)


def _head(request: Request, reply: Reply, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{request.actor}-{request.number}",
        "object": kind,
        "created": CREATED,
        "model": reply.model or request.model,
    }


def _finish_reason(reply: Reply) -> str:
    return reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")


def usage_json(usage: Usage) -> Json:
    """Usage as a chat completion reports it."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def model_json(name: str) -> Json:
    """One entry of the list of models."""
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "spandag"}


def error_json(status: int, message: str, code: str | None = None) -> Json:
    """An error as OpenAI's API answers it."""
    kinds = {401: "authentication_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
