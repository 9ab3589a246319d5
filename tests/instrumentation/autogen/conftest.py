"""AG2 Classic, its clients and tools for real; only the model behind HTTP is scripted."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan

from spandag.instrumentation.autogen import AG2ClassicInstrumentor
from spandag.testing import Actor, ModelServer, Reply, Request, ToolCall, Usage

# AG2 Classic and AG2 1.x cannot share an environment; where the other one is, these tests are not.
collect_ignore_glob = [] if find_spec("autogen") else ["test_*.py"]

MODEL = "test-model"
PRICES = {MODEL: {"input": 2.0, "output": 10.0, "cache_read": 1.0}}


@pytest.fixture(autouse=True)
def instrumented(recorder: Any) -> Iterator[AG2ClassicInstrumentor]:
    """AG2 Classic instrumented with the test's provider, and the context as clean after the test as before."""
    instrumentor = AG2ClassicInstrumentor()
    instrumentor.instrument(tracer_provider=recorder.provider)
    yield instrumentor
    instrumentor.uninstrument()
    assert not otel_context.get_current(), "a conversation left its context behind"


@pytest.fixture(autouse=True)
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(PRICES))
    monkeypatch.setenv("OTEL_EXPORTER_SPANDAG_PRICES", str(path))


@pytest.fixture
def serve() -> Iterator[Callable[..., ModelServer]]:
    """Start a server for the actors named by keyword."""
    servers: list[ModelServer] = []

    def start(**actors: Actor) -> ModelServer:
        servers.append(ModelServer(actors).__enter__())
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture
def config() -> Callable[..., dict[str, Any]]:
    """One entry of a ``config_list`` for an actor of a server."""

    def make(server: ModelServer, actor: str, **options: Any) -> dict[str, Any]:
        return {
            "model": MODEL,
            "base_url": server.url_for(actor),
            "api_key": "any",
            "max_retries": 0,
            **options,
        }

    return make


@pytest.fixture
def agent(config: Callable[..., dict[str, Any]]) -> Callable[..., Any]:
    """An agent whose model is the actor of its name; without a server it has no model."""
    from autogen import ConversableAgent

    def make(
        name: str,
        server: ModelServer | None = None,
        *configs: dict[str, Any],
        llm: Any = None,
        **options: Any,
    ) -> Any:
        llm_config: Any = False
        if server is not None:
            llm_config = {
                "config_list": list(configs) or [config(server, name)],
                "cache_seed": None,
                **(llm or {}),
            }
        return ConversableAgent(
            name,
            **{
                "llm_config": llm_config,
                "human_input_mode": "NEVER",
                "system_message": "Be brief.",
                **options,
            },
        )

    return make


def done(message: dict[str, Any]) -> bool:
    """Whether a message ends the conversation."""
    return "TERMINATE" in (message.get("content") or "")


def calculator(request: Request) -> Reply:
    """A model that adds by means of a tool."""
    if request.messages[-1].role != "tool":
        return Reply(tool_calls=[ToolCall("add", {"a": 2, "b": 3})], usage=Usage(100, 10, cached=60))
    return Reply(f"It is {request.last('tool')}. TERMINATE", usage=Usage(200, 20, cached=80, reasoning=7))


@pytest.fixture
def pair(serve: Any, agent: Any) -> Callable[..., tuple[Any, Any, ModelServer]]:
    """A user with a tool, and a helper whose model calls it; built when called."""

    def make(
        tool: Callable[..., Any] | None = None, script: Actor = calculator
    ) -> tuple[Any, Any, ModelServer]:
        from autogen import register_function

        def add(a: int, b: int) -> int:
            return a + b

        server = serve(helper=script)
        helper = agent("helper", server)
        user = agent("user", is_termination_msg=done)
        register_function(
            tool or add, caller=helper, executor=user, name="add", description="Add two numbers."
        )
        return user, helper, server

    return make


@pytest.fixture
def drain() -> Callable[..., None]:
    """Read the events of runs to their end; one that never ends fails instead of hanging."""

    def read(*responses: Any) -> None:
        def consume() -> None:
            for response in responses:
                for _ in response.events:
                    pass

        reader = threading.Thread(target=consume, daemon=True)
        reader.start()
        reader.join(30)
        assert not reader.is_alive(), "the run did not end"

    return read


def _attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def _events(span: ReadableSpan) -> list[tuple[str, dict[str, Any]]]:
    return [(event.name, dict(event.attributes or {})) for event in span.events]


def _tokens(spans: list[ReadableSpan]) -> tuple[int, ...]:
    names = ("input_tokens", "output_tokens", "cache_read.input_tokens", "reasoning.output_tokens")
    return tuple(sum(_attributes(span).get(f"gen_ai.usage.{name}", 0) for span in spans) for name in names)


def _counted(server: ModelServer) -> tuple[int, ...]:
    total = server.counted()
    return total.input_tokens, total.output_tokens, total.cached_tokens, total.reasoning_tokens


@pytest.fixture
def look() -> SimpleNamespace:
    """All attributes and all events of a span; tokens over spans, and as the server counted them."""
    return SimpleNamespace(attributes=_attributes, events=_events, tokens=_tokens, counted=_counted)
