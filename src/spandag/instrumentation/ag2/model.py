"""Model calls: one ``chat`` span for each call of a provider's client.

A turn makes its calls through a chain of middlewares that ends at the client. Our
span is at the very end of it: a retry middleware calls the provider anew, is billed
anew, and so gets a new span, while what the client library repeats by itself after a
transport error is within the one call. Compaction, aggregation and whoever else calls
a client without a turn are seen at AG2's own clients.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ag2.config import LLMClient
from ag2.events import BaseEvent, ModelResponse
from ag2.tools.final import FunctionToolSchema
from ag2.utils import MODEL_CONFIG_CONTEXT_DEPENDENCY_KEY
from opentelemetry import context as otel_context
from opentelemetry.trace import Tracer

from spandag import semconv
from spandag._guard import guard
from spandag.instrumentation._base import Patches
from spandag.instrumentation._reading import count
from spandag.instrumentation._request import request_attributes
from spandag.instrumentation._servers import address, provider_named
from spandag.instrumentation.ag2.messages import (
    input_messages,
    output_message,
    system_instructions,
    tool_definitions,
)
from spandag.pricing import Usage
from spandag.spans.chat import Chat, ChatResponse, start_chat
from spandag.spans.content import content_json
from spandag.spans.node import current

DESCRIPTIONS_KEY = otel_context.create_key("spandag-ag2-tool-descriptions")
"""Context key of a dict that a turn fills with the descriptions of the tools it offers."""

# These providers count cached tokens apart from the input, and AG2 hands that on as it is.
_CACHE_IS_APART = frozenset({"anthropic", "bedrock"})

Call = Callable[..., Awaitable[ModelResponse]]


def patch(tracer: Tracer, patches: Patches) -> None:
    """Trace the calls of AG2's own clients, whoever makes them."""

    async def call(wrapped: Call, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if isinstance(current(), Chat):
            # The turn's middleware, or a client around this one, has opened the span of this call
            # and reads all there is to read.
            return await wrapped(*args, **kwargs)
        return await traced(tracer, client, wrapped, args, kwargs)

    for client_class in LLMClient.__subclasses__():
        if client_class.__module__.startswith("ag2.config."):
            patches.wrap(client_class, "__call__", call)


async def traced(
    tracer: Tracer,
    client: Any,
    call: Call,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    bound: Mapping[str, Any] | None = None,
) -> ModelResponse:
    """Make a model call in a span.

    Args:
        tracer: The instrumentor's tracer.
        client: The client at the end of the call.
        call: What to call with `args` and `kwargs`.
        args: Events and context, unless they are keywords.
        kwargs: Further arguments of the client, such as ``tools``.
        bound: Arguments of the client that `call` adds by itself.
    """
    with _start(tracer, client, args, {**(bound or {}), **kwargs}) as chat:
        response = await call(*args, **kwargs)
        with guard("read a model's response"):
            chat.respond(_response(response))
        return response


def request_model(client: Any, config: Any) -> str | None:
    """The model that a client asks for; the client knows best, it may be of another configuration."""
    options = _options(client)
    for name in (getattr(client, "_model", None), getattr(client, "_model_name", None), options.get("model")):
        if isinstance(name, str):
            return name
    # Configurations may raise here, AG2's own `TestConfig` does.
    with suppress(Exception):
        return str(config.model) if config is not None else None
    return None


def provider_name(client: Any, config: Any) -> str | None:
    """The provider as in ``gen_ai.provider.name``."""
    for base in type(client).__mro__:
        module = base.__module__.split(".")
        if module[:2] == ["ag2", "config"] and len(module) > 3:  # as in ag2.config.openai.openai_client
            provider = module[2]
            if provider == "gemini" and getattr(getattr(client, "_client", None), "vertexai", False):
                provider = "vertexai"
            return provider_named(provider)
    with suppress(Exception):
        provider = str(getattr(config.provider, "value", config.provider))
        return provider_named(provider)
    return None


def _start(tracer: Tracer, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Chat:
    model = provider = host = port = None
    events: Sequence[BaseEvent] = ()
    tools: Sequence[Any] = ()
    request: dict[str, object] = {}
    with guard("read a model request"):
        events, context = _bound(*args, **kwargs)
        config = context.dependencies.get(MODEL_CONFIG_CONTEXT_DEPENDENCY_KEY)
        model, provider = request_model(client, config), provider_name(client, config)
        host, port = address(getattr(getattr(client, "_client", None), "base_url", None))
        schema = kwargs.get("response_schema")
        if isinstance(offered := kwargs.get("tools"), list | tuple):  # an iterator is the client's to use up
            tools = offered
        _remember_descriptions(tools)
        request = _request_attributes(client, schema)
        prompt = [*context.prompt, getattr(schema, "system_prompt", None)]
        request[semconv.GEN_AI_SYSTEM_INSTRUCTIONS] = content_json(
            lambda: system_instructions([text for text in prompt if text])
        )
    return start_chat(
        tracer,
        model,
        provider=provider,
        server_address=host,
        server_port=port,
        request=request,
        input_messages=lambda: input_messages(events),
        tool_definitions=(lambda: tool_definitions(tools)) if tools else None,
    )


def _bound(messages: Sequence[BaseEvent], context: Any, **_: Any) -> tuple[Sequence[BaseEvent], Any]:
    """The arguments of `LLMClient.__call__`, however they were passed."""
    return messages, context


def _options(client: Any) -> Mapping[str, Any]:
    options = getattr(client, "_create_options", None)
    return options if isinstance(options, Mapping) else {}


def _request_attributes(client: Any, schema: Any) -> dict[str, object]:
    attributes = request_attributes(_options(client))
    if getattr(client, "_streaming", None) is True:
        attributes[semconv.GEN_AI_REQUEST_STREAM] = True
    if getattr(schema, "json_schema", None):
        attributes[semconv.GEN_AI_OUTPUT_TYPE] = "json"
    return attributes


def _remember_descriptions(tools: Sequence[Any]) -> None:
    descriptions = otel_context.get_value(DESCRIPTIONS_KEY)
    if isinstance(descriptions, dict):
        for tool in tools:
            if isinstance(tool, FunctionToolSchema):
                descriptions[tool.function.name] = tool.function.description


def _response(response: ModelResponse) -> ChatResponse:
    finish_reason = _finish_reason(response)
    return ChatResponse(
        model=response.model,
        id=getattr(response, "response_id", None),  # not in the first 1.x versions
        finish_reasons=(finish_reason,) if finish_reason else (),
        usage=_usage(response),
        messages=lambda: [output_message(response, finish_reason)],
    )


def _finish_reason(response: ModelResponse) -> str | None:
    reason: str | None = response.finish_reason
    if reason == "completed":
        # OpenAI's responses API says that it is done, not why; told apart as its chat API does.
        return "tool_calls" if response.tool_calls else "stop"
    return reason


def _usage(response: ModelResponse) -> Usage | None:
    usage = response.usage
    if not usage:
        return None
    input_tokens, output_tokens = count(usage.prompt_tokens), count(usage.completion_tokens)
    cache_read, cache_write = count(usage.cache_read_input_tokens), count(usage.cache_creation_input_tokens)
    reasoning, total = count(usage.thinking_tokens), count(usage.total_tokens)
    if reasoning and total and total >= (input_tokens or 0) + (output_tokens or 0) + reasoning:
        # Google counts reasoning apart from the output; the total tells.
        output_tokens = (output_tokens or 0) + reasoning
    if response.provider in _CACHE_IS_APART and input_tokens is not None:
        input_tokens += (cache_read or 0) + (cache_write or 0)
    return Usage(input_tokens, output_tokens, cache_read, cache_write, reasoning)
