"""``OpenAIWrapper.create``: a model call, whichever of its configurations answers in the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from autogen.oai.client import OpenAIWrapper
from opentelemetry import context as otel_context
from opentelemetry.trace import Tracer

from spandag import semconv
from spandag._guard import guard
from spandag.instrumentation._base import Patches
from spandag.instrumentation._overrides import Overrides
from spandag.instrumentation._request import request_attributes
from spandag.instrumentation._servers import address
from spandag.instrumentation.autogen.answer import Answer
from spandag.instrumentation.autogen.provider import provider_name
from spandag.instrumentation.autogen.turn import begin_within_turn
from spandag.spans.chat import Chat, ChatResponse, start_chat
from spandag.spans.content import Message, openai_message
from spandag.spans.errors import describe, qualified_name
from spandag.spans.usage import total

_CALL = otel_context.create_key("spandag-autogen-model-call")

_REJECTED = "filter_rejected"


def install(tracer: Tracer, patches: Patches) -> None:
    """Open ``chat`` spans."""
    clients = Overrides(patches, {"create": _create_of_client})

    def begin(wrapper: Any, kwargs: dict[str, Any]) -> _Call | None:
        def start() -> _Call:
            for client in wrapper._clients:
                # Clients have no class in common, and users register their own.
                clients.cover(type(client))
            return _Call(tracer, wrapper, kwargs)

        return begin_within_turn("start a model call", start)

    def create(
        wrapped: Callable[..., Any], wrapper: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = begin(wrapper, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        with call.chat:
            response = None
            try:
                response = wrapped(*args, **kwargs)
            finally:
                call.finish(response)
            return response

    patches.wrap(OpenAIWrapper, "create", create)
    patches.wrap(OpenAIWrapper, "_update_usage", _update_usage)


def _create_of_client(
    wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """One attempt inside a model call."""
    call = otel_context.get_value(_CALL)
    begun = False
    if isinstance(call, _Call):
        with guard("start an attempt"):
            begun = call.begin_attempt(client)
    if not isinstance(call, _Call) or not begun:
        return wrapped(*args, **kwargs)
    try:
        response = wrapped(*args, **kwargs)
    except BaseException as error:
        with guard("end an attempt"):
            call.end_attempt(error=error)
        raise
    with guard("end an attempt"):
        call.end_attempt(response=response)
    return response


def _update_usage(
    wrapped: Callable[..., Any], wrapper: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The tokens that a client counted, which matter where its response has none of its own."""
    call = otel_context.get_value(_CALL)
    if isinstance(call, _Call):
        with guard("count a client's tokens"):
            call.counted(kwargs.get("actual_usage", args[0] if args else None))
    return wrapped(*args, **kwargs)


@dataclass(slots=True)
class _Attempt:
    index: int
    error: tuple[str, str] | None = None
    response: Any = None
    usage: Mapping[str, Any] | None = None
    reported: bool = False


class _Call:
    """One logical call: the span, and the attempts that the wrapper makes one after the other."""

    def __init__(self, tracer: Tracer, wrapper: Any, kwargs: dict[str, Any]) -> None:
        self._wrapper = wrapper
        self._kwargs = kwargs
        self._attempts: list[_Attempt] = []
        self._running: _Attempt | None = None
        first = wrapper._round_robin_index if getattr(wrapper, "routing_method", "") == "round_robin" else 0
        self._first = first
        config = self._config(first)
        host, port = _server(wrapper._clients[first])
        agent = kwargs.get("agent")
        self.chat: Chat = start_chat(
            tracer,
            config.get("model"),
            provider=self._provider(first),
            agent_name=getattr(agent, "name", None),
            server_address=host,
            server_port=port,
            request=_request(config),
            input_messages=lambda: _messages(config),
            tool_definitions=(lambda: list(config["tools"])) if config.get("tools") else None,
        )
        self.chat.context = otel_context.set_value(_CALL, self, self.chat.context)

    # -- what the wrapper tries --------------------------------------------------

    def begin_attempt(self, client: Any) -> bool:
        """Note an attempt; False for a client that another client uses inside."""
        if self._running is not None:
            return False
        index = next((i for i, own in enumerate(self._wrapper._clients) if own is client), None)
        if index is None:
            return False
        self._say_why_again()
        self._running = _Attempt(index)
        self._attempts.append(self._running)
        return True

    def end_attempt(self, *, response: Any = None, error: BaseException | None = None) -> None:
        """Note how the attempt ended."""
        attempt, self._running = self._running, None
        if attempt is not None:
            attempt.response = response
            if error is not None:
                attempt.error = (qualified_name(type(error)), describe(error))

    def counted(self, usage: Any) -> None:
        """Note the tokens that the client counted for its answer; None for an answer from the cache."""
        if self._attempts and isinstance(usage, Mapping):
            self._attempts[-1].usage = usage

    def _say_why_again(self) -> None:
        """Record that the last attempt was not the one that counts."""
        if not self._attempts or self._attempts[-1].reported:
            return
        attempt = self._attempts[-1]
        attempt.reported = True
        error_type, message = attempt.error or (_REJECTED, "the answer did not pass the filter")
        self.chat.add_event(
            semconv.EVENT_ATTEMPT_FAILED,
            {
                semconv.GEN_AI_REQUEST_MODEL: self._config(attempt.index).get("model"),
                semconv.GEN_AI_PROVIDER_NAME: self._provider(attempt.index),
                semconv.ERROR_TYPE: error_type,
                semconv.EXCEPTION_MESSAGE: message,
            },
        )

    # -- what came of it -----------------------------------------------------------

    def finish(self, response: Any) -> None:
        """Record the answer, and the tokens of every attempt that used some.

        Args:
            response: What the wrapper returns; None if it raises.
        """
        with guard("record a model's answer"):
            answered = [attempt for attempt in self._attempts if attempt.response is not None]
            last = self._attempts[-1] if self._attempts else None
            cached = response is not None and (last is None or last.response is not response)
            if cached:
                self._say_why_again()
                self.chat.set_attribute(semconv.SPANDAG_RESPONSE_CACHED, True)
            elif response is not None and last is not None and last.index != self._first:
                self._answered_by(last.index)
            final = Answer(response)
            usages = [Answer(attempt.response, attempt.usage).usage for attempt in answered]
            costs = [self._own_price(attempt) for attempt in answered]
            self.chat.respond(
                ChatResponse(
                    model=final.model,
                    id=final.id,
                    finish_reasons=final.finish_reasons,
                    usage=total([usage for usage in usages if usage is not None]),
                    # A sum with an unknown part is unknown.
                    cost=sum(c for c in costs if c is not None) if costs and None not in costs else None,
                    messages=final.messages if response is not None else None,
                )
            )

    def _answered_by(self, index: int) -> None:
        """Another configuration than the first: it is whose model and price count."""
        chat = self.chat
        chat.request_model, chat.provider = self._config(index).get("model"), self._provider(index)
        chat.set_attribute(semconv.GEN_AI_REQUEST_MODEL, chat.request_model)
        chat.set_attribute(semconv.GEN_AI_PROVIDER_NAME, chat.provider)
        host, port = _server(self._wrapper._clients[index])
        chat.set_attribute(semconv.SERVER_ADDRESS, host)
        chat.set_attribute(semconv.SERVER_PORT, port)

    def _own_price(self, attempt: _Attempt) -> float | None:
        """The framework's cost where the user gave it the price; its own table is not asked."""
        if self._config(attempt.index).get("price") is None:
            return None
        cost = getattr(attempt.response, "cost", None)
        return float(cost) if isinstance(cost, int | float) else None

    def _config(self, index: int) -> dict[str, Any]:
        # As the wrapper does: what is said for the call wins.
        return {**self._wrapper._config_list[index], **self._kwargs}

    def _provider(self, index: int) -> str | None:
        client = self._wrapper._clients[index]
        return provider_name(
            self._config(index).get("api_type"),
            _server(client)[0],
        )


def _request(config: Mapping[str, Any]) -> dict[str, object]:
    request = request_attributes(config)
    if config.get("response_format") is not None:
        request[semconv.GEN_AI_OUTPUT_TYPE] = "json"
    return request


def _messages(config: Mapping[str, Any]) -> list[Message]:
    if (messages := config.get("messages")) is not None:
        return [openai_message(m) for m in messages]
    return [openai_message({"role": "user", "content": config.get("prompt")})]


def _server(client: Any) -> tuple[str | None, int | None]:
    return address(getattr(getattr(client, "_oai_client", None), "base_url", None))
