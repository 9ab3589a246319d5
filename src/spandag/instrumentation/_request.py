"""What a model is asked with: a call's parameters as attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spandag import semconv

# As the providers' APIs call them.
_NUMBERS = {
    "temperature": semconv.GEN_AI_REQUEST_TEMPERATURE,
    "top_p": semconv.GEN_AI_REQUEST_TOP_P,
    "topP": semconv.GEN_AI_REQUEST_TOP_P,
    "max_tokens": semconv.GEN_AI_REQUEST_MAX_TOKENS,
    "max_new_tokens": semconv.GEN_AI_REQUEST_MAX_TOKENS,
    "max_completion_tokens": semconv.GEN_AI_REQUEST_MAX_TOKENS,
    "max_output_tokens": semconv.GEN_AI_REQUEST_MAX_TOKENS,
    "maxTokens": semconv.GEN_AI_REQUEST_MAX_TOKENS,
    "seed": semconv.GEN_AI_REQUEST_SEED,
    "frequency_penalty": semconv.GEN_AI_REQUEST_FREQUENCY_PENALTY,
    "presence_penalty": semconv.GEN_AI_REQUEST_PRESENCE_PENALTY,
}


def request_attributes(parameters: Mapping[str, Any]) -> dict[str, object]:
    """The attributes of those parameters that the conventions name.

    Args:
        parameters: The keywords of a call; what is not set may be a placeholder object of the client library.
    """
    attributes: dict[str, object] = {
        attribute: value
        for name, attribute in _NUMBERS.items()
        if isinstance(value := parameters.get(name), int | float) and not isinstance(value, bool)
    }
    if isinstance(count := parameters.get("n"), int) and count != 1:
        attributes[semconv.GEN_AI_REQUEST_CHOICE_COUNT] = count
    if isinstance(stop := parameters.get("stop"), str | list | tuple) and stop:
        attributes[semconv.GEN_AI_REQUEST_STOP_SEQUENCES] = [stop] if isinstance(stop, str) else list(stop)
    if parameters.get("stream") is True:
        attributes[semconv.GEN_AI_REQUEST_STREAM] = True
    return attributes
