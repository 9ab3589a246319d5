"""Whose model it is: ``gen_ai.provider.name`` from a configuration."""

from __future__ import annotations

from spandag.instrumentation._servers import provider_at, provider_named

# ``api_type`` as the framework compares it: by how it begins.
_API_TYPES = (
    "anthropic",
    "azure",
    "bedrock",
    "cerebras",
    "cohere",
    "deepseek",
    "google",
    "groq",
    "mistral",
    "ollama",
    "together",
)


def provider_name(api_type: str | None, host: str | None) -> str | None:
    """The provider of a configuration.

    Args:
        api_type: As in the configuration; OpenAI's protocol where it says nothing.
        host: The server's name, where the client tells.

    Returns:
        A value of ``gen_ai.provider.name``. A server of one's own that speaks OpenAI's protocol is ``openai``, as the
        convention has it.
    """
    for beginning in _API_TYPES:
        if api_type and api_type.startswith(beginning):
            return provider_named(beginning)
    return provider_at(host) or "openai"
