"""Whose model it is, by the name that a library has for the provider or by the address that answers."""

from __future__ import annotations

from urllib.parse import urlsplit

# Many speak OpenAI's protocol; these are known by the end of their host's name. The values are
# those of gen_ai.provider.name where the convention has one, else what the provider calls itself.
_PROVIDERS = {
    "openai.azure.com": "azure.ai.openai",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "amazonaws.com": "aws.bedrock",
    "anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "mistral.ai": "mistral_ai",
    "groq.com": "groq",
    "deepseek.com": "deepseek",
    "x.ai": "x_ai",
    "perplexity.ai": "perplexity",
    "cohere.ai": "cohere",
    "cohere.com": "cohere",
    "cerebras.ai": "cerebras",
    "openrouter.ai": "openrouter",
    "huggingface.co": "huggingface",
    "together.xyz": "together",
    "fireworks.ai": "fireworks",
}
# What libraries call those that the convention spells differently.
_NAMES = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "fireworks_ai": "fireworks",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "together_ai": "together",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
_PORTS = {"https": 443, "http": 80}


def provider_at(host: str | None) -> str | None:
    """The provider whose servers a host is one of; None for hosts that nobody knows."""
    if host:
        for end, provider in _PROVIDERS.items():
            # Vertex AI puts its region before the name: us-central1-aiplatform.googleapis.com.
            if host == end or host.endswith((f".{end}", f"-{end}")):
                return provider
    return None


def provider_named(name: str) -> str:
    """The value of ``gen_ai.provider.name`` for what AG2 or LiteLLM calls a provider."""
    return _NAMES.get(name, name)


def address(url: object) -> tuple[str | None, int | None]:
    """Host and port of a URL, the port of its scheme where it names none."""
    parts = urlsplit(str(url)) if url else None
    if parts is None or not parts.hostname:
        return None, None
    return parts.hostname, parts.port or _PORTS.get(parts.scheme)
