"""Stores with real runs in them: real spans, the real exporter, real databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Tracer

import spandag
from spandag.export import SpandagSpanExporter
from spandag.store import Store, open_store
from spandag.store.indexing import build_index
from spandag.workflow.scope import use_tracer_provider


class Recording:
    """A tracer provider that writes into a store of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.exporter = SpandagSpanExporter(url=url)
        self.provider = TracerProvider(resource=Resource.create({"service.name": "tests"}))
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self._opened: list[Store] = []

    @classmethod
    @contextmanager
    def at(cls, url: str) -> Iterator[Recording]:
        """Runs of the workflow API go into this store."""
        recording = cls(url)
        use_tracer_provider(recording.provider)
        yield recording
        use_tracer_provider(None)
        recording.close()

    @property
    def url(self) -> str:
        """The store's URL, when all that was recorded is in it."""
        self.exporter.force_flush()
        return self._url

    @property
    def tracer(self) -> Tracer:
        """A tracer of another library."""
        return self.provider.get_tracer("other")

    @property
    def store(self) -> Store:
        """The store with all that was recorded, open for reading."""
        url = self.url
        if not self._opened:
            self._opened.append(open_store(url))
        return self._opened[0]

    def close(self) -> None:
        for store in self._opened:
            store.close()
        self.provider.shutdown()


@pytest.fixture
def recording(store_url: str) -> Iterator[Recording]:
    """Runs of the workflow API go into a store of this test's own."""
    with Recording.at(store_url) as recording:
        yield recording


def call(
    model: str = "gpt-5-mini", tokens: tuple[int, int] = (1000, 100), cost: float | None = 0.001
) -> None:
    """A model call with these tokens."""
    with spandag.chat(model, provider="openai" if cost is not None else "nobody", input="question") as chat:
        chat.set_usage(*tokens, cost=cost)
        chat.set_output("answer")


def kepler() -> str:
    """A run with two phases, a failed tool, an unpriced call and a redo; gives its id."""
    with spandag.run("kepler", session="alice", task="find the law") as run:
        with spandag.phase("planning"), spandag.agent("planner"):
            call()
        with spandag.phase("control"):
            with spandag.step("load"), spandag.agent("loader"):
                call("own-model", (10, 5), None)
                with pytest.raises(FileNotFoundError), spandag.tool("read_csv"):
                    raise FileNotFoundError("no such table: planets")
            for attempt in spandag.step("fit").attempts(max_redos=2):
                with attempt, spandag.agent("analyst"):
                    call(tokens=(2000, 300), cost=0.002 * attempt.number)
                    if attempt.number == 1:
                        attempt.reject(hypothesis="fit in log space", requested_by="reviewer")
    return format(run.span.get_span_context().trace_id, "032x")


@pytest.fixture(params=["as it is", "indexed"])
def and_indexed(request: pytest.FixtureRequest, recording: Recording) -> Callable[[], None]:
    """Builds the index in one of two runs of a test: the answers must be the same."""

    def build_or_not() -> None:
        if request.param == "indexed":
            build_index(recording.url)

    return build_or_not
