"""Agents of the real framework, and models that are scripted behind real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import smolagents
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from smolagents import tool

from spandag.instrumentation.smolagents import SmolagentsInstrumentor
from spandag.testing import Actor, ModelServer


@tool
def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


@tool
def broken(text: str) -> str:
    """Fail.

    Args:
        text: Why.
    """
    raise LookupError(f"broken: {text}")


@pytest.fixture
def tools() -> SimpleNamespace:
    return SimpleNamespace(add=add, broken=broken)


@pytest.fixture
def instrumented(recorder: Any) -> Iterator[Any]:
    """The framework instrumented; gives the recorder of its spans."""
    instrumentor = SmolagentsInstrumentor()
    instrumentor.instrument(tracer_provider=recorder.provider)
    before = otel_context.get_current()
    yield recorder
    assert otel_context.get_current() == before, "a run left its context behind"
    instrumentor.uninstrument()


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
def model() -> Callable[..., Any]:
    """A model of smolagents that asks an actor of a server."""

    def make(server: ModelServer, actor: str, model_id: str = "gpt-4o-mini", **kwargs: Any) -> Any:
        return smolagents.OpenAIServerModel(
            model_id=model_id,
            api_base=server.url_for(actor),
            api_key="any",
            client_kwargs={"max_retries": 0},
            **kwargs,
        )

    return make


@pytest.fixture
def outline() -> Callable[[Any], list[str]]:
    """The spans as an indented list, children by start, failed ones marked with what failed them."""

    def outline_of(recorder: Any) -> list[str]:
        spans: list[ReadableSpan] = recorder.spans
        children: dict[int, list[ReadableSpan]] = {}
        for span in spans:
            children.setdefault(span.parent.span_id if span.parent else 0, []).append(span)
        lines: list[str] = []

        def walk(parent: int, level: int) -> None:
            for span in children.get(parent, []):
                failed = span.status.status_code is StatusCode.ERROR
                error = str((span.attributes or {}).get("error.type")).rpartition(".")[2]
                lines.append("  " * level + span.name + (f" !{error}" if failed else ""))
                walk(span.context.span_id, level + 1)

        walk(0, 0)
        assert len(lines) == len(spans), "a span hangs in the air"
        return lines

    return outline_of


@pytest.fixture
def address() -> Callable[[ModelServer, str], dict[str, object]]:
    """The attributes that say where a model of a server is."""

    def of(server: ModelServer, actor: str) -> dict[str, object]:
        url = urlsplit(server.url_for(actor))
        return {"server.address": url.hostname, "server.port": url.port}

    return of
