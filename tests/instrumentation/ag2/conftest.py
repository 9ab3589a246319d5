"""AG2 1.x, its clients and tools for real; only the model behind HTTP is scripted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context as otel_context

from spandag.instrumentation.ag2 import AG2Instrumentor
from spandag.testing import Actor, ModelServer

# AG2 1.x and AG2 Classic cannot share an environment; where the other one is, these tests are not.
collect_ignore_glob = [] if find_spec("ag2") else ["test_*.py"]

MODEL = "test-model"
PRICES = {MODEL: {"input": 2.0, "output": 10.0, "cache_read": 1.0}}


@pytest.fixture(autouse=True)
def instrumented(recorder: Any, caplog: pytest.LogCaptureFixture) -> Iterator[AG2Instrumentor]:
    """AG2 instrumented with the test's provider, and the context as clean after the test as before."""
    instrumentor = AG2Instrumentor()
    instrumentor.instrument(tracer_provider=recorder.provider)
    yield instrumentor
    instrumentor.uninstrument()
    assert not otel_context.get_current()
    # A context that is detached where it was not attached is logged, not raised.
    assert not [record for record in caplog.get_records("call") if record.name.startswith("opentelemetry")]


@pytest.fixture(autouse=True)
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(PRICES))
    monkeypatch.setenv("OTEL_EXPORTER_SPANDAG_PRICES", str(path))


@pytest.fixture
def serve() -> Iterator[Callable[..., ModelServer]]:
    """Start a server for actors given by name."""
    servers: list[ModelServer] = []

    def start(**actors: Actor) -> ModelServer:
        servers.append(ModelServer(actors).__enter__())
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture
def config() -> Callable[..., Any]:
    """A configuration of AG2's OpenAI client for an actor of a server."""

    def make(server: ModelServer, actor: str, *, api: str = "chat", **options: Any) -> Any:
        from ag2.config import OpenAIConfig, OpenAIResponsesConfig

        config_class = {"chat": OpenAIConfig, "responses": OpenAIResponsesConfig}[api]
        return config_class(
            **{
                "model": MODEL,
                "api_key": "any",
                "base_url": server.url_for(actor),
                "max_retries": 0,
                **options,
            }
        )

    return make
