"""What a model call of smolagents brought back.

smolagents itself keeps input and output tokens only; everything else is in the
provider's own answer, which it hands on as ``ChatMessage.raw``.
"""

from __future__ import annotations

from typing import Any

from smolagents.models import ApiModel, ChatMessage, agglomerate_stream_deltas

from spandag.instrumentation.smolagents._content import chat_message
from spandag.pricing import Usage
from spandag.spans.chat import ChatResponse
from spandag.spans.content import Message, reasoning_part


def response_of(answer: Any) -> ChatResponse:
    """The response that a `ChatMessage` stands for."""
    raw = _get(answer, "raw")
    finish_reasons = _finish_reasons(raw)
    return ChatResponse(
        model=_text(_get(raw, "model")),
        id=_text(_get(raw, "id")) or _text(_get(_get(raw, "ResponseMetadata"), "RequestId")),
        finish_reasons=finish_reasons,
        usage=_raw_usage(_get(raw, "usage")) or _own_usage(_get(answer, "token_usage")),
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
        usage = _own_usage(_get(delta, "token_usage"))
        if usage is None:
            return
        if self._usage is None or self._cumulative:
            self._usage = usage
        else:
            self._usage = Usage(
                (self._usage.input_tokens or 0) + (usage.input_tokens or 0),
                (self._usage.output_tokens or 0) + (usage.output_tokens or 0),
            )

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
        answer = {"role": "assistant", "content": str(_get(answer, "content") or answer)}
    result = chat_message(answer)
    choices = _get(raw, "choices")
    first = _get(choices[0], "message") if isinstance(choices, list) and choices else None
    if reasoning := _text(_get(first, "reasoning_content")):
        result["parts"].insert(0, reasoning_part(reasoning))
    return {**result, "finish_reason": finish_reason} if finish_reason else result


def _finish_reasons(raw: Any) -> list[str]:
    if reason := _text(_get(raw, "stopReason")):
        return [reason]
    choices = _get(raw, "choices")
    if not isinstance(choices, list):
        return []
    reasons = (_text(_get(choice, "finish_reason")) for choice in choices)
    return [reason for reason in reasons if reason]


def _raw_usage(usage: Any) -> Usage | None:
    if (tokens := _count(_get(usage, "inputTokens"))) is not None:
        # Amazon Bedrock counts cached tokens apart from the others.
        read, write = (
            _count(_get(usage, "cacheReadInputTokens")),
            _count(_get(usage, "cacheWriteInputTokens")),
        )
        return Usage(
            tokens + (read or 0) + (write or 0), _count(_get(usage, "outputTokens")), read, write, None
        )
    if (tokens := _count(_get(usage, "prompt_tokens"))) is None:
        return None
    return Usage(
        tokens,
        _count(_get(usage, "completion_tokens")),
        _count(_get(_get(usage, "prompt_tokens_details"), "cached_tokens")),
        _count(_get(usage, "cache_creation_input_tokens")),
        _count(_get(_get(usage, "completion_tokens_details"), "reasoning_tokens")),
    )


def _own_usage(usage: Any) -> Usage | None:
    tokens = Usage(_count(_get(usage, "input_tokens")), _count(_get(usage, "output_tokens")))
    # Zero and zero is how the framework says that it does not know.
    return tokens if tokens.input_tokens or tokens.output_tokens else None


def _get(holder: Any, name: str) -> Any:
    if isinstance(holder, dict):
        return holder.get(name)
    return getattr(holder, name, None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
