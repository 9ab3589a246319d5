"""Model calls: ``chat``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.trace import Tracer
from smolagents import utils
from smolagents.models import Model, get_tool_json_schema

from spandag import semconv
from spandag._guard import guard
from spandag.instrumentation._base import Patches
from spandag.instrumentation._generators import drive
from spandag.instrumentation._overrides import Overrides
from spandag.instrumentation._request import request_attributes
from spandag.instrumentation.smolagents._content import chat_message
from spandag.instrumentation.smolagents.provider import provider_name, server
from spandag.instrumentation.smolagents.response import StreamedResponse, response_of
from spandag.semconv import NodeType
from spandag.spans.chat import Chat, start_chat
from spandag.spans.node import Node, current


def install(tracer: Tracer, patches: Patches) -> Overrides:
    """Instrument every model's own ``generate`` and ``generate_stream``."""

    def generate(wrapped: Callable[..., Any], model: Any, args: Any, kwargs: Any) -> Any:
        chat: Chat | None = None
        with guard("start a span of a model call"):
            chat = _start(tracer, model, False, *args, **kwargs)
        if chat is None:
            return wrapped(*args, **kwargs)
        with chat:
            answer = wrapped(*args, **kwargs)
            with guard("read a model's answer"):
                chat.respond(response_of(answer))
            return answer

    def generate_stream(wrapped: Callable[..., Any], model: Any, args: Any, kwargs: Any) -> Any:
        streamed = StreamedResponse(model)

        def start() -> Node:
            return _start(tracer, model, True, *args, **kwargs)

        def end(node: Node, error: BaseException | None) -> None:
            if isinstance(node, Chat):
                node.respond(streamed.response())
            node.end(error)

        return drive(wrapped(*args, **kwargs), start, end=end, on_item=streamed.add)

    def retry(wrapped: Callable[..., Any], retrying: Any, args: Any, kwargs: Any) -> Any:
        chat = current(NodeType.LLM)
        if not isinstance(chat, Chat) or not args:
            return wrapped(*args, **kwargs)
        function, *rest = args
        return wrapped(_noting_retries(function, retrying, chat), *rest, **kwargs)

    if (retrying := getattr(utils, "Retrying", None)) is not None:  # since 1.23
        patches.wrap(retrying, "__call__", retry)
    models = Overrides(patches, {"generate": generate, "generate_stream": generate_stream})
    models.follow(Model)
    return models


def _noting_retries(function: Callable[..., Any], retrying: Any, chat: Chat) -> Callable[..., Any]:
    """The function, noting on the call's span every failure after which the framework tries again."""
    attempt = 0

    @functools.wraps(function)
    def noting(*args: Any, **kwargs: Any) -> Any:
        nonlocal attempt
        attempt += 1
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            with guard("record a retry"):
                if attempt < retrying.max_attempts and retrying.retry_predicate(error):
                    chat.attempt_failed(error)
            raise

    return noting


def _start(
    tracer: Tracer,
    model: Any,
    stream: bool,
    /,
    messages: Any = (),
    stop_sequences: Any = None,
    response_format: Any = None,
    tools_to_call_from: Any = None,
    **kwargs: Any,
) -> Chat:
    model_id = getattr(model, "model_id", None)
    host, port = server(model)
    # The model's own parameters win, as they do in `Model._prepare_completion_kwargs`.
    parameters = {**kwargs, **(getattr(model, "kwargs", None) or {})}
    request = request_attributes(parameters)
    if isinstance(config := parameters.get("inferenceConfig"), Mapping):  # Amazon Bedrock's
        request.update(request_attributes(config))
    if stop_sequences and _sends_stop(model):
        request.setdefault(semconv.GEN_AI_REQUEST_STOP_SEQUENCES, list(stop_sequences))
    if (parameters.get("response_format") or response_format) is not None:
        request[semconv.GEN_AI_OUTPUT_TYPE] = "json"
    if stream:
        request[semconv.GEN_AI_REQUEST_STREAM] = True
    return start_chat(
        tracer,
        str(model_id) if model_id else None,
        provider=provider_name(model, host),
        server_address=host,
        server_port=port,
        request=request,
        input_messages=lambda: [chat_message(item) for item in messages],
        tool_definitions=(lambda: [_definition(tool) for tool in tools_to_call_from])
        if tools_to_call_from
        else None,
    )


def _sends_stop(model: Any) -> bool:
    """Whether stop sequences go to the provider; otherwise smolagents cuts the answer itself."""
    if any(cls.__name__.startswith("AmazonBedrock") for cls in type(model).__mro__):
        return False
    supported = getattr(model, "supports_stop_parameter", None)
    if supported is None:
        # Before 1.23 this is a function of the model's id.
        from smolagents.models import supports_stop_parameter

        return bool(supports_stop_parameter(getattr(model, "model_id", None) or ""))
    return bool(supported)


def _definition(tool: Any) -> dict[str, Any]:
    function = get_tool_json_schema(tool)["function"]
    return {"type": "function", **function}
