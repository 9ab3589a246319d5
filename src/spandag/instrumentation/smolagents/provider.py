"""Who answers a model's calls, and where."""

from __future__ import annotations

from typing import Any

from spandag.instrumentation._servers import address, provider_at, provider_named

# The model classes of smolagents, by name since they are renamed between versions; values of
# gen_ai.provider.name where the convention has one, else what the software calls itself.
_CLASSES = {
    "AzureOpenAIModel": "azure.ai.openai",
    "AzureOpenAIServerModel": "azure.ai.openai",
    "AmazonBedrockModel": "aws.bedrock",
    "AmazonBedrockServerModel": "aws.bedrock",
    "InferenceClientModel": "huggingface",
    "TransformersModel": "transformers",
    "VLLMModel": "vllm",
    "MLXModel": "mlx",
}
_OPENAI_CLASSES = frozenset({"OpenAIModel", "OpenAIServerModel"})


def provider_name(model: Any, host: str | None) -> str | None:
    """The value of ``gen_ai.provider.name``; None where a model's class says nothing."""
    for cls in type(model).__mro__:
        name = cls.__name__
        if name in _OPENAI_CLASSES:
            return provider_at(host) or "openai"
        if name == "LiteLLMModel":
            prefix, slash, _ = str(model.model_id).partition("/")
            return provider_named(prefix) if slash else "litellm"
        if name in _CLASSES:
            return _CLASSES[name]
    return None


def server(model: Any) -> tuple[str | None, int | None]:
    """Host and port of a model's API, where the model knows them."""
    client = getattr(model, "client", None)
    candidates = (
        getattr(client, "base_url", None),  # openai
        getattr(getattr(client, "meta", None), "endpoint_url", None),  # boto3
        getattr(client, "model", None),  # huggingface_hub, whose model may be a URL
        getattr(model, "api_base", None),  # litellm
    )
    return next((found for found in map(address, candidates) if found[0]), (None, None))
