"""A model call: the only node that carries tokens and cost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Tracer

from spandag import pricing, semconv
from spandag._guard import guard
from spandag.pricing import Usage
from spandag.semconv import NodeType, Operation
from spandag.spans.content import Message, content_json
from spandag.spans.errors import describe, qualified_name
from spandag.spans.node import Node, current, start_node
from spandag.spans.totals import Totals
from spandag.spans.usage import checked, checked_cost, is_known, tokens, total, with_finer


@dataclass(slots=True)
class ChatResponse:
    """What came back from the model.

    Attributes:
        model: The model that answered.
        id: The provider's id of the response.
        finish_reasons: Why the model stopped, a reason for each choice.
        usage: Tokens; None where the provider said nothing.
        cost: USD, where the provider or framework says so itself; it wins over our prices.
        messages: Output messages, called only where content is recorded.
    """

    model: str | None = None
    id: str | None = None
    finish_reasons: Sequence[str] = field(default_factory=tuple)
    usage: Usage | None = None
    cost: float | None = None
    messages: Callable[[], list[Message]] | None = None


class Chat(Node):
    """A logical model call, its retries and waiting included."""

    __slots__ = ("_response", "inner", "provider", "request_model", "shared")

    request_model: str | None
    provider: str | None
    _response: ChatResponse | None
    # What calls inside this one learnt: ours (a model that wraps models), or the official
    # instrumentation of the client library, which leaves it in the shared object.
    inner: list[tuple[ChatResponse, pricing.Price | None]]
    shared: Any

    def respond(self, response: ChatResponse) -> None:
        """Record what came back; the node must still be ended."""
        self._response = response

    def attempt_failed(self, error: BaseException) -> None:
        """Record that one of the calls that this one is made of gave no answer.

        Args:
            error: What it raised.
        """
        self.add_event(
            semconv.EVENT_ATTEMPT_FAILED,
            {
                semconv.GEN_AI_REQUEST_MODEL: self.request_model,
                semconv.GEN_AI_PROVIDER_NAME: self.provider,
                semconv.ERROR_TYPE: qualified_name(type(error)),
                semconv.EXCEPTION_MESSAGE: describe(error),
            },
        )

    def set_usage(
        self,
        input_tokens: int,
        output_tokens: int,
        *,
        cache_read_tokens: int | None = None,
        cache_write_tokens: int | None = None,
        reasoning_tokens: int | None = None,
        cost: float | None = None,
    ) -> None:
        """Record the tokens of a call opened by hand.

        Args:
            input_tokens: All input tokens, cached ones included.
            output_tokens: All output tokens, reasoning included.
            cache_read_tokens: Input tokens that came from the provider's cache.
            cache_write_tokens: Input tokens written to the provider's cache.
            reasoning_tokens: Output tokens spent on reasoning.
            cost: USD, if known; computed from the tokens otherwise.
        """
        response = self._response = self._response or ChatResponse()
        response.usage = Usage(
            input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens
        )
        response.cost = cost

    def _finish(self) -> None:
        response = self._merged()
        if (shared := _shared_response(self.shared)) is not None:
            _complete(response, shared)
        self.set_attribute(semconv.GEN_AI_RESPONSE_MODEL, response.model)
        self.set_attribute(semconv.GEN_AI_RESPONSE_ID, response.id)
        if response.finish_reasons:
            self.set_attribute(semconv.GEN_AI_RESPONSE_FINISH_REASONS, list(response.finish_reasons))
        self.set_attribute(semconv.GEN_AI_OUTPUT_MESSAGES, content_json(response.messages))
        spent = self.totals
        if response.usage is not None:
            price = self._price(response)
            self._record_usage(response.usage, price)
            if is_known(response.usage):
                # Who says what a call used says it for the agents at work within it as well.
                spent = Totals.of_call(response.usage, price.cost if price else None)
        if not spent.calls and not self.failed:
            # It answered, so it has cost something, though nobody knows what.
            spent = Totals.of_call(Usage(), None)
        for node in self.ancestors():
            node.totals.add(spent)
            if type(node) is Chat:
                break  # it hands on what was spent within it when it ends

    def _merged(self) -> ChatResponse:
        """What came back, completed by what the calls inside this one learnt."""
        response = self._response or ChatResponse()
        response = replace(response, usage=checked(response.usage), cost=checked_cost(response.cost))
        if not self.inner:
            return response
        last, _ = self.inner[-1]
        usage = total([inner.usage for inner, _ in self.inner if inner.usage is not None])
        if len(self.inner) > 1 and tokens(usage) > tokens(response.usage):
            # A model that asks several, or one again, hands on the last answer; all of them were paid for.
            response.usage = response.cost = None
        _complete(response, replace(last, usage=usage, cost=last.cost if len(self.inner) == 1 else None))
        return response

    def _price(self, response: ChatResponse) -> pricing.Price | None:
        if response.usage is None:
            return None
        with guard("price a model call"):
            if response.cost is not None:
                return pricing.Price(response.cost, pricing.SOURCE_PROVIDER)
            if len(self.inner) > 1:
                # Each at the price of its own model; where one is missing, there is no sum.
                prices = [price for inner, price in self.inner if inner.usage is not None]
                known = [price for price in prices if price is not None]
                if not known or len(known) < len(prices):
                    return None
                return pricing.Price(sum(price.cost for price in known), known[0].source)
            # The model that answered is the one that is billed; routers answer with names of their own.
            return pricing.price(response.model, self.provider, response.usage) or pricing.price(
                self.request_model, self.provider, response.usage
            )
        return None

    def _record_usage(self, usage: Usage, price: pricing.Price | None) -> None:
        self.set_attributes(
            {
                semconv.GEN_AI_USAGE_INPUT_TOKENS: usage.input_tokens,
                semconv.GEN_AI_USAGE_OUTPUT_TOKENS: usage.output_tokens,
                semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: usage.cache_read_tokens,
                semconv.GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS: usage.cache_write_tokens,
                semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: usage.reasoning_tokens,
            }
        )
        if price is not None:
            self.set_attributes(
                {
                    semconv.GEN_AI_USAGE_COST: price.cost,
                    semconv.OPERATION_COST: price.cost,
                    semconv.SPANDAG_PRICE_SOURCE: price.source,
                }
            )


class _InnerChat(Chat):
    """A call inside a call that has a span already: no span, what it learns goes to the outer one."""

    __slots__ = ()

    def end(self, error: BaseException | None = None) -> None:
        if self._ended:
            return
        self._ended = True
        with guard("hand over an inner model call"):
            if error is not None and self.is_failure(error):
                self.attempt_failed(error)
            response = self._merged()
            if isinstance(self.parent, Chat):
                self.parent.inner.append((response, self._price(response)))
            elif self.shared is not None:
                _share(self.shared, response)
        self._let_go()


def start_chat(
    tracer: Tracer,
    model: str | None,
    *,
    provider: str | None = None,
    agent_name: str | None = None,
    server_address: str | None = None,
    server_port: int | None = None,
    request: Mapping[str, object] | None = None,
    input_messages: Callable[[], list[Message]] | None = None,
    tool_definitions: Callable[[], list[Any]] | None = None,
) -> Chat:
    """Start ``chat {model}``, CLIENT.

    Args:
        tracer: The caller's tracer.
        model: The model asked for.
        provider: As in ``gen_ai.provider.name``.
        agent_name: Who asks; the agent around the call by default.
        server_address: Host of the model's API.
        server_port: Its port.
        request: Further attributes, such as ``gen_ai.request.temperature``.
        input_messages: The messages sent, called only where content is recorded.
        tool_definitions: The tools offered, called only where content is recorded.
    """
    pricing.load()
    outer = current()
    shared = _shared_data()
    if isinstance(outer, Chat) or (shared is not None and _is_foreign(shared, outer)):
        # On the span of the outer call, so that what users add by way of `current` is not lost.
        chat: Chat = _InnerChat(
            trace.get_current_span(),
            NodeType.LLM,
            model or "",
            agent_name=agent_name,
            parent=outer,
            base_context=otel_context.get_current(),
        )
        if isinstance(outer, Chat):
            shared = None  # the outer call's own
    else:
        agent = agent_name or (outer.agent_name if outer is not None else None)
        with_content: dict[str, object] = {}
        with guard("record content"):
            with_content = {
                semconv.GEN_AI_INPUT_MESSAGES: content_json(input_messages),
                semconv.GEN_AI_TOOL_DEFINITIONS: content_json(tool_definitions),
            }
        chat = start_node(
            tracer,
            f"{Operation.CHAT} {model}" if model else Operation.CHAT,
            NodeType.LLM,
            model or "",
            kind=SpanKind.CLIENT,
            agent_name=agent,
            node_class=Chat,
            attributes={
                semconv.GEN_AI_OPERATION_NAME: Operation.CHAT,
                semconv.GEN_AI_PROVIDER_NAME: provider,
                semconv.GEN_AI_REQUEST_MODEL: model,
                semconv.GEN_AI_AGENT_NAME: agent,
                semconv.SERVER_ADDRESS: server_address,
                semconv.SERVER_PORT: server_port,
                **(request or {}),
                **with_content,
            },
        )
        shared = None
        with guard("join the GenAI de-duplication context"):
            shared = _new_shared_data()
            if shared is not None:
                chat.context = otel_context.set_value(
                    _util_genai().CLIENT_INFERENCE_CONTEXT_KEY, shared, chat.context
                )
    chat.request_model, chat.provider = model, provider
    chat._response = None
    chat.inner = []
    chat.shared = shared
    return chat


# --- beside the official client instrumentations -------------------------------
#
# `opentelemetry-util-genai` keeps a context key under which an outer inference tells
# inner ones to open no span and to leave what they learn in a shared object. Joining it
# is what keeps a call from being counted by both of us.


def _util_genai() -> Any:
    # Only where somebody loaded it: whoever could make a second span has.
    return sys.modules.get("opentelemetry.util.genai.invocation")


def _shared_data() -> Any:
    module = _util_genai()
    return otel_context.get_value(module.CLIENT_INFERENCE_CONTEXT_KEY) if module is not None else None


def _new_shared_data() -> Any:
    module = _util_genai()
    return module.InferenceData() if module is not None else None


def _is_foreign(shared: Any, node: Node | None) -> bool:
    """Whether the shared object belongs to a call that another instrumentation opened."""
    nodes = [] if node is None else [node, *node.ancestors()]
    return not any(isinstance(n, Chat) and n.shared is shared for n in nodes)


def _shared_response(shared: Any) -> ChatResponse | None:
    if shared is None:
        return None
    usage = None
    if getattr(shared, "usage_input_tokens", None) is not None:
        usage = checked(
            Usage(
                shared.usage_input_tokens,
                shared.usage_output_tokens,
                getattr(shared, "usage_cache_read_input_tokens", None),
                getattr(shared, "usage_cache_write_input_tokens", None),
                getattr(shared, "usage_reasoning_output_tokens", None),
            )
        )
    return ChatResponse(
        model=getattr(shared, "response_model", None),
        id=getattr(shared, "response_id", None),
        finish_reasons=getattr(shared, "response_finish_reasons", None) or (),
        usage=usage,
    )


def _share(shared: Any, response: ChatResponse) -> None:
    if response.usage is not None and getattr(shared, "usage_input_tokens", None) is None:
        shared.usage_input_tokens = response.usage.input_tokens
        shared.usage_output_tokens = response.usage.output_tokens
    if response.model and getattr(shared, "response_model", None) is None:
        shared.response_model = response.model


def _complete(response: ChatResponse, learnt: ChatResponse) -> None:
    """Fill in what the outer call does not know itself."""
    response.model = response.model or learnt.model
    response.id = response.id or learnt.id
    response.finish_reasons = response.finish_reasons or learnt.finish_reasons
    response.messages = response.messages or learnt.messages
    if response.usage is None:
        response.usage, response.cost = learnt.usage, learnt.cost
    elif learnt.usage is not None:
        # Frameworks drop the finer counts of the same call; the client library knows them.
        response.usage = with_finer(response.usage, learnt.usage)
