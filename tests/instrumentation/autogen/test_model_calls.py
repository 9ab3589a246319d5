"""Tokens, cost, and the attempts inside one logical call: nothing missing, nothing twice."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from autogen import OpenAIWrapper
from autogen.cache.in_memory_cache import InMemoryCache
from autogen.oai.client import OpenAIClient
from openai import OpenAI

from spandag.testing import Failure, Reply, Usage

QUESTION = [{"role": "user", "content": "Go"}]


def usage(found: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in found.items()
        if name.startswith("gen_ai.usage.") or name in ("operation.cost", "spandag.price.source")
    }


@pytest.mark.parametrize("asynchronous", [False, True])
def test_tokens_of_a_run_are_what_the_server_counted(
    recorder: Any, pair: Any, look: Any, asynchronous: bool
) -> None:
    user, helper, server = pair()
    if asynchronous:
        asyncio.run(user.a_initiate_chat(helper, message="2 + 3?"))
    else:
        user.initiate_chat(helper, message="2 + 3?")
    assert look.tokens(recorder.spans) == look.counted(server) == (300, 30, 140, 7)


def test_tokens_of_a_reflection_are_counted(recorder: Any, serve: Any, agent: Any, look: Any) -> None:
    server = serve(helper=["Long talk.", "Summary."])
    result = agent("user").initiate_chat(
        agent("helper", server), message="Talk", max_turns=1, summary_method="reflection_with_llm"
    )
    assert result.summary == "Summary."
    assert recorder.tree() == [
        "invoke_workflow user and helper",
        "  invoke_agent helper",
        "    chat test-model",
        "  chat test-model",
    ]
    assert look.tokens(recorder.spans) == look.counted(server)


def test_a_second_configuration_that_answers_is_the_one_on_the_span(
    recorder: Any, serve: Any, agent: Any, config: Any, look: Any
) -> None:
    server = serve(first=[Failure(500, "out of order")], second=[Reply("Fine.", usage=Usage(10, 5))])
    helper = agent("helper", server, config(server, "first", model="weak-model"), config(server, "second"))
    helper.generate_reply(QUESTION)
    assert recorder.tree() == ["invoke_agent helper", "  chat weak-model"]
    span = recorder.named("chat weak-model")
    found = look.attributes(span)
    assert span.status.status_code.name == "UNSET"
    assert (found["gen_ai.request.model"], found["gen_ai.response.model"]) == ("test-model", "test-model")
    assert usage(found) == {
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "gen_ai.usage.cost": pytest.approx(0.00007),
        "operation.cost": pytest.approx(0.00007),
        "spandag.price.source": "user",
    }
    [(name, attempt)] = look.events(span)
    assert name == "attempt_failed"
    assert "out of order" in attempt.pop("exception.message")
    assert attempt == {
        "gen_ai.request.model": "weak-model",
        "gen_ai.provider.name": "openai",
        "error.type": "openai.InternalServerError",
    }


def test_tokens_of_an_answer_that_a_filter_rejects_are_counted(
    recorder: Any, serve: Any, config: Any, look: Any
) -> None:
    server = serve(
        first=[Reply("Bad.", usage=Usage(100, 10, cached=20))],
        second=[Reply("Good.", usage=Usage(50, 5, reasoning=2))],
    )
    wrapper = OpenAIWrapper(config_list=[config(server, "first"), config(server, "second")], cache_seed=None)
    wrapper.create(
        messages=QUESTION,
        filter_func=lambda context, response: response.choices[0].message.content == "Good.",
    )
    span = recorder.named("chat test-model")
    assert look.tokens([span]) == look.counted(server) == (150, 15, 20, 2)
    assert look.attributes(span)["gen_ai.response.id"] == "chatcmpl-second-1"
    assert look.events(span) == [
        (
            "attempt_failed",
            {
                "gen_ai.request.model": "test-model",
                "gen_ai.provider.name": "openai",
                "error.type": "filter_rejected",
                "exception.message": "the answer did not pass the filter",
            },
        )
    ]


def test_round_robin_routing_names_the_configuration_that_is_asked(
    recorder: Any, serve: Any, config: Any
) -> None:
    server = serve(first=["One."], second=["Two."])
    wrapper = OpenAIWrapper(
        config_list=[config(server, "first", model="model-1"), config(server, "second", model="model-2")],
        cache_seed=None,
        routing_method="round_robin",
    )
    if not hasattr(wrapper, "routing_method"):
        pytest.skip("this version has no routing")
    wrapper.create(messages=QUESTION)
    wrapper.create(messages=QUESTION)
    assert recorder.tree() == ["chat model-1", "chat model-2"]


def test_an_answer_from_the_frameworks_cache_costs_nothing_again(
    recorder: Any, serve: Any, agent: Any, look: Any
) -> None:
    server = serve(helper=["Once."])
    helper = agent("helper", server)
    helper.client_cache = InMemoryCache("seed")
    assert helper.generate_reply(QUESTION) == helper.generate_reply(QUESTION)
    assert server.counted().calls == 1
    first, second = [span for span in recorder.spans if span.name == "chat test-model"]
    assert look.tokens(recorder.spans) == look.counted(server)
    assert "spandag.response.cached" not in look.attributes(first)
    found = look.attributes(second)
    found.pop("server.port")
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.agent.name": "helper",
        "gen_ai.request.model": "test-model",
        "gen_ai.response.model": "test-model",
        "gen_ai.response.id": "chatcmpl-helper-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "server.address": "127.0.0.1",
        "spandag.node.type": "llm",
        "spandag.response.cached": True,
    }


def test_a_price_in_the_configuration_is_the_cost(
    recorder: Any, serve: Any, agent: Any, config: Any, look: Any
) -> None:
    server = serve(helper=[Reply("Fine.", usage=Usage(1000, 100, cached=500))])
    # USD per thousand tokens, as the framework has it.
    helper = agent("helper", server, config(server, "helper", price=[0.01, 0.03]))
    helper.generate_reply(QUESTION)
    found = look.attributes(recorder.named("chat test-model"))
    assert found["gen_ai.usage.cost"] == pytest.approx(1000 * 0.01 / 1000 + 100 * 0.03 / 1000)
    assert found["spandag.price.source"] == "provider"


def test_the_frameworks_own_price_table_is_not_asked(
    recorder: Any, serve: Any, agent: Any, config: Any, look: Any
) -> None:
    server = serve(helper=[Reply("Fine.", usage=Usage(1000, 100, cached=1000))])
    helper = agent("helper", server, config(server, "helper", model="gpt-4o-mini"))
    helper.generate_reply(QUESTION)
    found = look.attributes(recorder.named("chat gpt-4o-mini"))
    # It knows nothing of cached tokens: 1000 * 0.15 / 1e6 for what costs half.
    assert found["gen_ai.usage.cost"] == pytest.approx((1000 * 0.075 + 100 * 0.6) / 1e6)
    assert found["spandag.price.source"] == "genai-prices"


def test_an_unknown_model_has_no_price(recorder: Any, serve: Any, agent: Any, config: Any, look: Any) -> None:
    server = serve(helper=[Reply("Fine.", usage=Usage(10, 5))])
    agent("helper", server, config(server, "helper", model="nobody-knows-it")).generate_reply(QUESTION)
    assert usage(look.attributes(recorder.named("chat nobody-knows-it"))) == {
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 0,
    }


def test_a_streamed_answer_is_one_call_with_its_tokens(
    recorder: Any, serve: Any, agent: Any, config: Any, look: Any
) -> None:
    if not hasattr(OpenAIClient, "_add_streaming_usage_to_params"):
        pytest.skip("this version does not ask for the tokens of a stream, it estimates them")
    server = serve(helper=[Reply("One two three.", usage=Usage(40, 4))])
    helper = agent("helper", server, config(server, "helper", stream=True))
    assert helper.generate_reply(QUESTION) == "One two three."
    found = look.attributes(recorder.named("chat test-model"))
    assert found["gen_ai.request.stream"] is True
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (40, 4)


def test_the_responses_api(recorder: Any, serve: Any, agent: Any, config: Any, look: Any) -> None:
    server = serve(helper=[Reply("Fine.", usage=Usage(30, 6, cached=10, reasoning=2))])
    helper = agent("helper", server, config(server, "helper", api_type="responses"))
    helper.generate_reply(QUESTION)
    span = recorder.named("chat test-model")
    assert look.tokens([span]) == look.counted(server) == (30, 6, 10, 2)
    found = look.attributes(span)
    assert found["gen_ai.response.id"] == "resp-helper-1"
    assert found["gen_ai.response.finish_reasons"] == ("completed",)


class Echo:
    """A client of a user's own, whose response has no usage; it inherits nothing."""

    def __init__(self, config: dict[str, Any], **kwargs: Any) -> None: ...

    def create(self, params: dict[str, Any]) -> Any:
        message = SimpleNamespace(
            content=params["messages"][-1]["content"], function_call=None, tool_calls=None
        )
        return SimpleNamespace(
            choices=[SimpleNamespace(message=message, finish_reason="stop")], model="echo-1", cost=0.0
        )

    def message_retrieval(self, response: Any) -> list[str]:
        return [choice.message.content for choice in response.choices]

    def cost(self, response: Any) -> float:
        return 0.0

    @staticmethod
    def get_usage(response: Any) -> dict[str, Any]:
        return {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "cost": 0.0, "model": "echo-1"}


def test_a_client_of_the_users_own_is_one_call_with_the_tokens_it_counts(
    recorder: Any, agent: Any, look: Any
) -> None:
    echo = agent("echo", llm_config={"config_list": [{"model": "echo", "model_client_cls": "Echo"}]})
    echo.register_model_client(model_client_cls=Echo)
    assert echo.generate_reply(QUESTION) == "Go"
    assert recorder.tree() == ["invoke_agent echo", "  chat echo"]
    found = look.attributes(recorder.named("chat echo"))
    assert (found["gen_ai.response.model"], found["gen_ai.response.finish_reasons"]) == ("echo-1", ("stop",))
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (3, 4)


def test_a_client_that_wraps_another_is_counted_once(
    recorder: Any, serve: Any, agent: Any, config: Any, look: Any
) -> None:
    server = serve(helper=[Reply("Fine.", usage=Usage(30, 6))])

    class Wrapping(OpenAIClient):
        def __init__(self, config: dict[str, Any], **kwargs: Any) -> None:
            super().__init__(OpenAI(base_url=str(config["base_url"]), api_key="any"))

        def create(self, params: dict[str, Any]) -> Any:
            return super().create({name: params[name] for name in ("model", "messages")})

    helper = agent("helper", server, config(server, "helper", model_client_cls="Wrapping"))
    helper.register_model_client(model_client_cls=Wrapping)
    helper.generate_reply(QUESTION)
    assert look.tokens(recorder.spans) == look.counted(server) == (30, 6, 0, 0)


@pytest.mark.parametrize(
    ("api_type", "host", "provider"),
    [
        (None, None, "openai"),
        ("openai", "api.openai.com", "openai"),
        ("responses", "127.0.0.1", "openai"),
        ("azure", "mine.openai.azure.com", "azure.ai.openai"),
        ("openai", "mine.openai.azure.com", "azure.ai.openai"),
        ("google", None, "gcp.gemini"),
        ("anthropic_v2", None, "anthropic"),
        ("bedrock", None, "aws.bedrock"),
        ("mistral", None, "mistral_ai"),
        ("openai", "api.deepseek.com", "deepseek"),
        ("openai", "europe-west1-aiplatform.googleapis.com", "gcp.vertex_ai"),
    ],
)
def test_the_provider_follows_from_the_configuration(
    api_type: str | None, host: str | None, provider: str
) -> None:
    from spandag.instrumentation.autogen.provider import provider_name

    assert provider_name(api_type, host) == provider
