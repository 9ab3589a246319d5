"""What a model call of smolagents brought back.

smolagents itself keeps input and output tokens only; everything else is in the
provider's own answer, which it hands on as ``ChatMessage.raw``.
"""

from __future__ import annotations

from typing import Any

from smolagents.models import ApiModel, ChatMessage, agglomerate_stream_deltas

from spandag.instrumentation._reading import count, field, text
from spandag.instrumentation.smolagents._content import chat_message
from spandag.pricing import Usage
from spandag.spans.chat import ChatResponse
from spandag.spans.content import Message, reasoning_part
from spandag.spans.usage import total


def response_of(answer: Any) -> ChatResponse:
    """The response that a `ChatMessage` stands for."""
    raw = field(answer, "raw")
    finish_reasons = _finish_reasons(raw)
    return ChatResponse(
        model=text(field(raw, "model")),
        id=text(field(raw, "id")) or text(field(field(raw, "ResponseMetadata"), "RequestId")),
        finish_reasons=finish_reasons,
        usage=_raw_usage(field(raw, "usage")) or _own_usage(field(answer, "token_usage")),
        messages=lambda: [_output_message(answer, raw, finish_reasons[0] if finish_reasons else None)],
    )


class StreamedResponse:
    """The same for a streamed answer, piece by piece.

    smolagents drops whatever a stream's pieces have but text, tool calls and the two counts.
    """

    def __init__(self, model: Any) -> None:
        self._deltas: list[Any] = []
        self._usage: Usage | None = None
        # A provider says once what was used, or again and again what was used so far; a model that
        # runs here counts each piece.
        self._cumulative = isinstance(model, ApiModel)

    def add(self, delta: Any) -> None:
        """Take in a piece."""
        self._deltas.append(delta)
        usage = _own_usage(field(delta, "token_usage"))
        if usage is None:
            return
        if self._usage is None or self._cumulative:
            self._usage = usage
        else:
            self._usage = total([self._usage, usage])

    def response(self) -> ChatResponse:
        """What came so far."""
        deltas = self._deltas
        return ChatResponse(
            usage=self._usage,
            messages=lambda: [_output_message(agglomerate_stream_deltas(deltas), None, None)],
        )


def _output_message(answer: Any, raw: Any, finish_reason: str | None) -> Message:
    if not isinstance(answer, ChatMessage | dict):
        # A model of one's own may return what it likes.
        answer = {"role": "assistant", "content": str(field(answer, "content") or answer)}
    result = chat_message(answer)
    choices = field(raw, "choices")
    first = field(choices[0], "message") if isinstance(choices, list) and choices else None
    if reasoning := text(field(first, "reasoning_content")):
        result["parts"].insert(0, reasoning_part(reasoning))
    return {**result, "finish_reason": finish_reason} if finish_reason else result


def _finish_reasons(raw: Any) -> list[str]:
    if reason := text(field(raw, "stopReason")):
        return [reason]
    choices = field(raw, "choices")
    if not isinstance(choices, list):
        return []
    reasons = (text(field(choice, "finish_reason")) for choice in choices)
    return [reason for reason in reasons if reason]


def _raw_usage(usage: Any) -> Usage | None:
    if (tokens := count(field(usage, "inputTokens"))) is not None:
        # Amazon Bedrock counts cached tokens apart from the others.
        read, write = (
            count(field(usage, "cacheReadInputTokens")),
            count(field(usage, "cacheWriteInputTokens")),
        )
        return Usage(
            tokens + (read or 0) + (write or 0), count(field(usage, "outputTokens")), read, write, None
        )
    if (tokens := count(field(usage, "prompt_tokens"))) is None:
        return None
    return Usage(
        tokens,
        count(field(usage, "completion_tokens")),
        count(field(field(usage, "prompt_tokens_details"), "cached_tokens")),
        count(field(usage, "cache_creation_input_tokens")),
        count(field(field(usage, "completion_tokens_details"), "reasoning_tokens")),
    )


def _own_usage(usage: Any) -> Usage | None:
    tokens = Usage(count(field(usage, "input_tokens")), count(field(usage, "output_tokens")))
    # Zero and zero is how the framework says that it does not know.
    return tokens if tokens.input_tokens or tokens.output_tokens else None
