"""A model call is one span, whoever wrote the model, with every count that the provider gave."""

from __future__ import annotations

import json
from typing import Any

import pytest
import smolagents
from huggingface_hub import InferenceClient
from opentelemetry.trace import SpanKind, StatusCode
from smolagents import ChatMessage, Model, ToolCallingAgent
from smolagents.models import MessageRole

from spandag.instrumentation.smolagents._content import chat_message
from spandag.instrumentation.smolagents.provider import provider_name, server
from spandag.instrumentation.smolagents.response import response_of
from spandag.pricing import Usage as Tokens
from spandag.testing import Failure, Reply, ToolCall, Usage

QUESTION = [ChatMessage(role=MessageRole.USER, content=[{"type": "text", "text": "Go"}])]


def test_a_call_has_request_response_usage_and_cost(instrumented, serve, model, address):
    usage = Usage(prompt=1000, completion=100, cached=400, reasoning=20)
    served = serve(actor=[Reply("Done", usage=usage, model="gpt-4o-mini-2024-07-18")])
    asked = model(served, "actor", temperature=0.5, top_p=0.9, max_tokens=50, seed=7, n=2)

    asked.generate(QUESTION, stop_sequences=["END"])

    [span] = instrumented.spans
    assert span.name == "chat gpt-4o-mini"
    assert span.kind is SpanKind.CLIENT
    cost = (600 * 0.15 + 400 * 0.075 + 100 * 0.60) / 1_000_000
    assert dict(span.attributes) == {
        "spandag.node.type": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        **address(served, "actor"),
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.seed": 7,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.id": "chatcmpl-actor-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 400,
        "gen_ai.usage.reasoning.output_tokens": 20,
        "gen_ai.usage.cost": pytest.approx(cost),
        "operation.cost": pytest.approx(cost),
        "spandag.price.source": "genai-prices",
    }


def test_messages_and_tools_are_recorded_where_content_is(instrumented, serve, model, tools, capture_content):
    served = serve(actor=[Reply("Hm", tool_calls=[ToolCall("add", {"a": 1, "b": 2})])])
    history = [
        ChatMessage(role=MessageRole.SYSTEM, content=[{"type": "text", "text": "Be brief."}]),
        ChatMessage(role=MessageRole.USER, content=[{"type": "text", "text": "Go"}]),
        ChatMessage(role=MessageRole.TOOL_CALL, content=[{"type": "text", "text": "Calling"}]),
        ChatMessage(role=MessageRole.TOOL_RESPONSE, content=[{"type": "text", "text": "Observation"}]),
    ]

    model(served, "actor").generate(history, tools_to_call_from=[tools.add])

    attributes = instrumented.spans[0].attributes
    assert json.loads(attributes["gen_ai.input.messages"]) == [
        {"role": role, "parts": [{"type": "text", "content": text}]}
        for role, text in [
            ("system", "Be brief."),
            ("user", "Go"),
            ("assistant", "Calling"),
            ("user", "Observation"),
        ]
    ]
    assert json.loads(attributes["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "content": "Hm"},
                {"type": "tool_call", "name": "add", "arguments": {"a": 1, "b": 2}, "id": "call_actor_1_0"},
            ],
            "finish_reason": "tool_calls",
        }
    ]
    [definition] = json.loads(attributes["gen_ai.tool.definitions"])
    assert definition["name"] == "add"
    assert definition["type"] == "function"
    assert set(definition["parameters"]["properties"]) == {"a", "b"}


def test_a_message_may_be_a_dict_and_have_pictures():
    content = [{"type": "text", "text": "Look"}, {"type": "image", "image": object()}]

    assert chat_message({"role": "user", "content": content}) == {
        "role": "user",
        "parts": [{"type": "text", "content": "Look"}, {"type": "blob", "modality": "image", "content": ""}],
    }


def test_stop_sequences_that_are_not_sent_are_not_recorded(instrumented, serve, model):
    served = serve(actor=["Done"])
    asked = model(served, "actor", "o4-mini")

    asked.generate(QUESTION, stop_sequences=["END"])

    assert not served.log[0].request.stop
    assert "gen_ai.request.stop_sequences" not in instrumented.spans[0].attributes


def test_structured_output_is_said(instrumented, serve, model):
    served = serve(actor=["{}"])

    model(served, "actor").generate(QUESTION, response_format={"type": "json_object"})

    assert instrumented.spans[0].attributes["gen_ai.output.type"] == "json"


def test_parameters_may_be_called_what_ours_are(instrumented):
    class Parrot(Model):
        def generate(self, messages: Any, **kwargs: Any) -> ChatMessage:
            return ChatMessage(role=MessageRole.ASSISTANT, content=str(sorted(kwargs)))

    answer = Parrot(model_id="parrot-1").generate(QUESTION, model="m", stream=False, tracer=None)

    assert answer.content == "['model', 'stream', 'tracer']"
    assert len(instrumented.spans) == 1


def test_a_model_called_as_a_function_is_one_call(instrumented, serve, model):
    served = serve(actor=["Done"])

    model(served, "actor")(QUESTION)

    assert [span.name for span in instrumented.spans] == ["chat gpt-4o-mini"]


def test_a_model_class_defined_later_has_spans(instrumented):
    class Parrot(Model):
        def generate(self, messages: Any, **kwargs: Any) -> ChatMessage:
            return ChatMessage(role=MessageRole.ASSISTANT, content="polly")

    assert Parrot(model_id="parrot-1").generate(QUESTION).content == "polly"

    [span] = instrumented.spans
    assert dict(span.attributes) == {
        "spandag.node.type": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "parrot-1",
    }


def test_a_model_that_adds_to_another_is_one_call(instrumented, serve, model):
    served = serve(actor=["Done"])

    class Polite(smolagents.OpenAIServerModel):
        def generate(self, messages: Any, **kwargs: Any) -> ChatMessage:
            answer = super().generate(messages, **kwargs)
            answer.content += ", please"
            return answer

    polite = Polite(model_id="gpt-4o-mini", api_base=served.url_for("actor"), api_key="any")
    assert polite.generate(QUESTION).content == "Done, please"

    [span] = instrumented.spans
    assert span.attributes["gen_ai.usage.input_tokens"] == served.counted().input_tokens
    assert span.attributes["gen_ai.provider.name"] == "openai"


def test_a_model_that_wraps_another_is_one_call_with_its_tokens(instrumented, serve, model):
    served = serve(actor=[Reply("Done", usage=Usage(10, 2, cached=4, reasoning=1))])
    inner = model(served, "actor")

    class Wrapping(Model):
        def generate(self, messages: Any, **kwargs: Any) -> ChatMessage:
            return ChatMessage(role=MessageRole.ASSISTANT, content=inner.generate(messages).content)

    Wrapping(model_id="wrapping").generate(QUESTION)

    [span] = instrumented.spans
    assert span.name == "chat wrapping"
    assert span.attributes["gen_ai.response.model"] == "gpt-4o-mini"
    assert span.attributes["gen_ai.usage.input_tokens"] == 10
    assert span.attributes["gen_ai.usage.cache_read.input_tokens"] == 4
    assert span.attributes["gen_ai.usage.cost"] > 0


def test_a_call_that_is_tried_again_is_one_call(instrumented, serve, model):
    served = serve(actor=[Failure(429, "Slow down."), Reply("Done")])
    asked = model(served, "actor")
    if not hasattr(asked, "retryer"):
        pytest.skip("this smolagents does not try again")
    asked.retryer.wait_seconds = 0

    asked.generate(QUESTION)

    [span] = instrumented.spans
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["gen_ai.usage.input_tokens"] == served.counted().input_tokens
    [event] = span.events
    assert event.name == "attempt_failed"
    attributes = dict(event.attributes)
    assert "Slow down." in attributes.pop("exception.message")
    assert attributes == {
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.provider.name": "openai",
        "error.type": "openai.RateLimitError",
    }


def test_a_model_that_asks_several_pays_for_all(instrumented, serve, model):
    served = serve(cheap=["Hm"], dear=["Done"])
    cheap, dear = model(served, "cheap"), model(served, "dear", "gpt-4o")

    class Asking(Model):
        def generate(self, messages: Any, **kwargs: Any) -> ChatMessage:
            cheap.generate(messages)
            return dear.generate(messages)

    Asking(model_id="asking").generate(QUESTION)

    [span] = instrumented.spans
    assert span.attributes["gen_ai.usage.input_tokens"] == served.counted().input_tokens
    assert span.attributes["gen_ai.usage.output_tokens"] == served.counted().output_tokens
    assert span.attributes["gen_ai.response.model"] == "gpt-4o"


def test_a_model_that_derives_from_nothing_has_spans_in_an_agent(instrumented, outline):
    class Duck:
        model_id = "duck-1"

        def generate(self, messages: Any, **kwargs: Any) -> ChatMessage:
            return ChatMessage(role=MessageRole.ASSISTANT, content="<code>\nfinal_answer(1)\n</code>")

    smolagents.CodeAgent(tools=[], model=Duck(), verbosity_level=0).run("Go")

    assert outline(instrumented) == [
        "invoke_agent CodeAgent",
        "  run_step CodeAgent",
        "    chat duck-1",
        "    execute_tool python_interpreter",
        "      execute_tool final_answer",
    ]


def test_the_hugging_face_client_is_instrumented(instrumented, serve, address):
    served = serve(actor=[Reply("Done", usage=Usage(10, 2))])
    client = InferenceClient(base_url=served.url_for("actor"), token="any")
    asked = smolagents.InferenceClientModel(model_id="some/model", client=client)

    asked.generate(QUESTION)

    [span] = instrumented.spans
    attributes = dict(span.attributes)
    assert attributes.pop("gen_ai.response.id") == "chatcmpl-actor-1"
    assert attributes.pop("gen_ai.response.model")
    assert attributes.pop("gen_ai.usage.cache_read.input_tokens", 0) == 0
    assert attributes.pop("gen_ai.usage.reasoning.output_tokens", 0) == 0
    assert attributes == {
        "spandag.node.type": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "huggingface",
        **address(served, "actor"),
        "gen_ai.request.model": "some/model",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 2,
    }


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        (None, "openai"),
        ("https://api.openai.com/v1", "openai"),
        ("http://127.0.0.1:8000/v1", "openai"),
        ("https://mine.openai.azure.com/openai", "azure.ai.openai"),
        ("https://api.mistral.ai/v1", "mistral_ai"),
        ("https://api.x.ai/v1", "x_ai"),
        ("https://notx.ai/v1", "openai"),
        ("https://openrouter.ai/api/v1", "openrouter"),
    ],
)
def test_the_provider_of_an_openai_client_is_told_by_its_host(url: str | None, provider: str):
    asked = smolagents.OpenAIServerModel(model_id="m", api_base=url, api_key="any")

    assert provider_name(asked, server(asked)[0]) == provider


def test_an_azure_model_is_azure():
    asked = smolagents.AzureOpenAIServerModel(
        model_id="m", azure_endpoint="https://mine.openai.azure.com", api_key="any", api_version="1"
    )

    assert provider_name(asked, None) == "azure.ai.openai"
    assert server(asked) == ("mine.openai.azure.com", 443)


@pytest.mark.parametrize(
    ("model_id", "provider"),
    [
        ("anthropic/claude-sonnet-4", "anthropic"),
        ("bedrock/anthropic.claude-v2", "aws.bedrock"),
        ("gemini/gemini-2.5-flash", "gcp.gemini"),
        ("gpt-4o", "litellm"),
    ],
)
def test_the_provider_of_litellm_is_its_prefix(model_id: str, provider: str):
    class Offline(smolagents.LiteLLMModel):
        def create_client(self) -> None:
            return None

    assert provider_name(Offline(model_id=model_id), None) == provider


def test_amazon_bedrock_counts_cached_tokens_apart():
    answer = ChatMessage(
        role=MessageRole.ASSISTANT,
        content="Done",
        raw={
            "stopReason": "end_turn",
            "ResponseMetadata": {"RequestId": "r1"},
            "usage": {
                "inputTokens": 5,
                "outputTokens": 2,
                "cacheReadInputTokens": 7,
                "cacheWriteInputTokens": 11,
            },
        },
    )

    response = response_of(answer)

    assert response.usage == Tokens(23, 2, 7, 11)
    assert response.id == "r1"
    assert response.finish_reasons == ["end_turn"]


def test_an_answer_without_any_usage_has_none(instrumented):
    answer = ChatMessage(role=MessageRole.ASSISTANT, content="Done", raw={"out": "Done"})

    assert response_of(answer).usage is None


def test_tokens_of_all_spans_are_what_the_server_counted(instrumented, serve, model, tools):
    served = serve(
        actor=[
            "a plan",
            Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2}), ToolCall("add", {"a": 3, "b": 4})]),
            "nonsense",
            "a forced answer",
        ]
    )
    agent = ToolCallingAgent(
        tools=[tools.add], model=model(served, "actor"), max_steps=2, planning_interval=5, verbosity_level=0
    )

    agent.run("Go")

    counted = served.counted()
    assert counted.calls == 4
    chats = [span.attributes for span in instrumented.spans if span.name.startswith("chat")]
    assert len(chats) == counted.calls
    assert sum(a["gen_ai.usage.input_tokens"] for a in chats) == counted.input_tokens
    assert sum(a["gen_ai.usage.output_tokens"] for a in chats) == counted.output_tokens
    root = instrumented.named("invoke_agent ToolCallingAgent").attributes
    assert root["spandag.total.input_tokens"] == counted.input_tokens
    assert root["spandag.total.cost"] == pytest.approx(sum(a["gen_ai.usage.cost"] for a in chats))
    others = [span for span in instrumented.spans if not span.name.startswith("chat")]
    assert not any(name.startswith("gen_ai.usage") for span in others for name in span.attributes)
