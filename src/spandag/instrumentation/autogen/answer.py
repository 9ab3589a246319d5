"""What a client of the framework returned, whatever its shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spandag.instrumentation._reading import count, field, text
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
        return text(field(self._response, "model"))

    @property
    def id(self) -> str | None:
        """The provider's id of the response."""
        return text(field(self._response, "id"))

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """Why the model stopped, a reason for each choice."""
        choices = self._choices()
        reasons = [field(choice, "finish_reason") for choice in choices]
        if not choices:
            reasons = [field(self._response, "finish_reason") or field(self._response, "status")]
        return tuple(reason for reason in reasons if isinstance(reason, str) and reason)

    @property
    def usage(self) -> Usage | None:
        """The tokens; None where nothing is said."""
        usage = field(self._response, "usage") or self._counted
        read = _first(usage, "prompt_tokens", "input_tokens")
        written = _first(usage, "completion_tokens", "output_tokens")
        if read is None and written is None:
            return None
        into = field(usage, "prompt_tokens_details") or field(usage, "input_tokens_details")
        out = field(usage, "completion_tokens_details") or field(usage, "output_tokens_details")
        return Usage(
            read,
            written,
            cache_read_tokens=_first(into, "cached_tokens"),
            cache_write_tokens=_first(into, "cache_write_tokens"),
            reasoning_tokens=_first(out, "reasoning_tokens"),
        )

    def messages(self) -> list[Message]:
        """The answer's messages, in the JSON of the GenAI conventions."""
        choices = self._choices()
        if not choices:
            answer = text(field(self._response, "output_text")) or text(field(self._response, "text"))
            return (
                [message("assistant", [text_part(answer)], finish_reason=self._reason(0))] if answer else []
            )
        return [_choice_message(choice, self._reason(i)) for i, choice in enumerate(choices)]

    def _choices(self) -> Sequence[Any]:
        choices = field(self._response, "choices")
        return choices if isinstance(choices, Sequence) and not isinstance(choices, str) else ()

    def _reason(self, index: int) -> str | None:
        reasons = self.finish_reasons
        return reasons[index] if index < len(reasons) else None


def _choice_message(choice: Any, reason: str | None) -> Message:
    raw = field(choice, "message")
    if raw is None:
        return message("assistant", [text_part(str(field(choice, "text") or ""))], finish_reason=reason)
    if hasattr(raw, "model_dump"):
        raw = raw.model_dump()
    elif not isinstance(raw, dict):
        raw = {"content": field(raw, "content"), "tool_calls": field(raw, "tool_calls")}
    converted = openai_message({**raw, "role": "assistant"})
    return {**converted, "finish_reason": reason} if reason else converted


def _first(value: Any, *names: str) -> int | None:
    return next((number for name in names if (number := count(field(value, name))) is not None), None)
