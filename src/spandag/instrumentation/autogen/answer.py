"""What a client of the framework returned, whatever its shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spandag.pricing import Usage
from spandag.spans.content import Message, message, openai_message, text_part


class Answer:
    """Reads a response: OpenAI's of either API, the framework's unified one, or a user's own.

    Args:
        response: What the client returned.
        counted: The tokens as the client's ``get_usage`` has them, used where the response has none.
    """

    def __init__(self, response: Any, counted: Mapping[str, Any] | None = None) -> None:
        self._response = response
        self._counted = counted

    @property
    def model(self) -> str | None:
        """The model that answered."""
        return _text(_get(self._response, "model"))

    @property
    def id(self) -> str | None:
        """The provider's id of the response."""
        return _text(_get(self._response, "id"))

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """Why the model stopped, a reason for each choice."""
        choices = self._choices()
        reasons = [_get(choice, "finish_reason") for choice in choices]
        if not choices:
            reasons = [_get(self._response, "finish_reason") or _get(self._response, "status")]
        return tuple(reason for reason in reasons if isinstance(reason, str) and reason)

    @property
    def usage(self) -> Usage | None:
        """The tokens; None where nothing is said."""
        usage = _get(self._response, "usage") or self._counted
        read = _first(usage, "prompt_tokens", "input_tokens")
        written = _first(usage, "completion_tokens", "output_tokens")
        if read is None and written is None:
            return None
        into = _get(usage, "prompt_tokens_details") or _get(usage, "input_tokens_details")
        out = _get(usage, "completion_tokens_details") or _get(usage, "output_tokens_details")
        return Usage(
            read,
            written,
            cache_read_tokens=_first(into, "cached_tokens"),
            cache_write_tokens=_first(into, "cache_write_tokens"),
            reasoning_tokens=_first(out, "reasoning_tokens"),
        )

    @staticmethod
    def total_usage(answers: Sequence[Answer]) -> Usage | None:
        """The tokens of several answers to one call; None if nothing is said about any."""
        usages = [usage for answer in answers if (usage := answer.usage) is not None]
        if len(usages) < 2:
            return usages[0] if usages else None
        return Usage(
            _sum(usage.input_tokens for usage in usages),
            _sum(usage.output_tokens for usage in usages),
            _sum(usage.cache_read_tokens for usage in usages),
            _sum(usage.cache_write_tokens for usage in usages),
            _sum(usage.reasoning_tokens for usage in usages),
        )

    def messages(self) -> list[Message]:
        """The answer's messages, in the JSON of the GenAI conventions."""
        choices = self._choices()
        if not choices:
            text = _text(_get(self._response, "output_text")) or _text(_get(self._response, "text"))
            return [message("assistant", [text_part(text)], finish_reason=self._reason(0))] if text else []
        return [_choice_message(choice, self._reason(i)) for i, choice in enumerate(choices)]

    def _choices(self) -> Sequence[Any]:
        choices = _get(self._response, "choices")
        return choices if isinstance(choices, Sequence) and not isinstance(choices, str) else ()

    def _reason(self, index: int) -> str | None:
        reasons = self.finish_reasons
        return reasons[index] if index < len(reasons) else None


def _choice_message(choice: Any, reason: str | None) -> Message:
    raw = _get(choice, "message")
    if raw is None:
        return message("assistant", [text_part(str(_get(choice, "text") or ""))], finish_reason=reason)
    if hasattr(raw, "model_dump"):
        raw = raw.model_dump()
    elif not isinstance(raw, dict):
        raw = {"content": _get(raw, "content"), "tool_calls": _get(raw, "tool_calls")}
    converted = openai_message({**raw, "role": "assistant"})
    return {**converted, "finish_reason": reason} if reason else converted


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _first(value: Any, *names: str) -> int | None:
    for name in names:
        number = _get(value, name)
        if isinstance(number, int | float) and not isinstance(number, bool):
            return int(number)
    return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _sum(counts: Any) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
