"""Instrumenting, twice, not at all, and leaving no trace of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import ag2.tools.executor
import pytest
from ag2 import Agent
from ag2.config.openai.openai_client import OpenAIClient
from ag2.config.openai.openai_responses_client import OpenAIResponsesClient
from ag2.network.client.hub_client import HubClient
from opentelemetry.instrumentation.utils import suppress_instrumentation

from spandag.instrumentation.ag2 import AG2Instrumentor

CHAT = "chat test-model"

PATCHED = [
    (Agent, "_turn_scope"),
    (OpenAIClient, "__call__"),
    (OpenAIResponsesClient, "__call__"),
    (ag2.tools.executor, "_execute_call"),
    (HubClient, "_dispatch_notify_safe"),
]


def test_uninstrument_puts_the_identical_objects_back(recorder: Any) -> None:
    instrumentor = AG2Instrumentor()
    instrumentor.uninstrument()
    originals = [vars(owner)[name] for owner, name in PATCHED]

    instrumentor.instrument(tracer_provider=recorder.provider)
    assert all(vars(o)[n] is not before for (o, n), before in zip(PATCHED, originals, strict=True))

    instrumentor.uninstrument()
    assert all(vars(o)[n] is before for (o, n), before in zip(PATCHED, originals, strict=True))


def test_instrument_twice_is_once(
    serve: Any, config: Any, recorder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "spandag"):
        AG2Instrumentor().instrument(tracer_provider=recorder.provider)
    server = serve(a=["hello"])

    asyncio.run(Agent("a", config=config(server, "a")).ask("Hi"))

    assert recorder.tree() == ["invoke_agent a", f"  {CHAT}"]
    assert [record.message for record in caplog.records if record.name == "spandag"] == [
        "spandag: ag2 hooks are already installed"
    ]


def test_after_uninstrument_there_are_no_spans(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(a=["hello"])
    agent = Agent("a", config=config(server, "a"))
    AG2Instrumentor().uninstrument()

    assert asyncio.run(agent.ask("Hi")).body == "hello"
    assert recorder.tree() == []


def test_agents_made_before_are_traced_too(serve: Any, config: Any, recorder: Any) -> None:
    AG2Instrumentor().uninstrument()
    server = serve(a=["hello"])
    agent = Agent("a", config=config(server, "a"))
    AG2Instrumentor().instrument(tracer_provider=recorder.provider)

    asyncio.run(agent.ask("Hi"))

    assert recorder.tree() == ["invoke_agent a", f"  {CHAT}"]


def test_the_suppression_key_is_respected(serve: Any, config: Any, recorder: Any) -> None:
    server = serve(a=["hello"])

    with suppress_instrumentation():
        reply = asyncio.run(Agent("a", config=config(server, "a")).ask("Hi"))

    assert reply.body == "hello"
    assert recorder.tree() == []


def test_nothing_of_ours_is_visible_on_the_agent(serve: Any, config: Any) -> None:
    server = serve(a=["hello"])
    agent = Agent("a", config=config(server, "a"))

    asyncio.run(agent.ask("Hi"))

    assert list(agent._middleware) == []
