"""Fixtures that every room's tests share; those of databases and golden files are in tests/support."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

# Our guard hides our failures from users; in tests, and in the programs that tests start, they surface.
os.environ["SPANDAG_STRICT"] = "1"

import pytest
from hypothesis import HealthCheck, settings
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

pytest_plugins = ["spandag_test_databases", "spandag_test_golden"]

# Property tests: an example may take its time, and databases are shared by the examples of a test.
settings.register_profile(
    "spandag",
    max_examples=30,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# The same examples every time, so that no change fails because of what another one did.
settings.register_profile("ci", settings.get_profile("spandag"), derandomize=True, database=None)
# For a hunt: pytest --hypothesis-profile=thorough.
settings.register_profile("thorough", settings.get_profile("spandag"), max_examples=1000)
settings.load_profile("ci" if os.environ.get("CI") else "spandag")


class Recorder:
    """A tracer provider whose finished spans can be looked at."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(resource=Resource.create({"service.name": "tests"}))
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> list[ReadableSpan]:
        """The finished spans in the order of their start."""
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    @property
    def steps(self) -> list[ReadableSpan]:
        """Those that are an attempt at a step of a workflow."""
        return [span for span in self.spans if (span.attributes or {}).get("spandag.node.type") == "step"]

    def named(self, name: str) -> ReadableSpan:
        """The only span of that name."""
        [span] = [span for span in self.spans if span.name == name]
        return span

    def tree(self) -> list[str]:
        """The spans as indented names, children in order of start."""
        spans = self.spans
        by_parent: dict[int | None, list[ReadableSpan]] = {}
        ids = {span.context.span_id for span in spans}
        for span in spans:
            parent = span.parent.span_id if span.parent is not None and span.parent.span_id in ids else None
            by_parent.setdefault(parent, []).append(span)
        lines: list[str] = []

        def walk(parent: int | None, depth: int) -> None:
            for span in by_parent.get(parent, []):
                lines.append("  " * depth + span.name)
                walk(span.context.span_id, depth + 1)

        walk(None, 0)
        return lines

    def clear(self) -> None:
        self.exporter.clear()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A provider of the test's own; instrumentors take it as ``tracer_provider``."""
    recorder = Recorder()
    yield recorder
    recorder.provider.shutdown()


@pytest.fixture
def global_recorder(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """The recorder as the process's global provider, for this test."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", recorder.provider)
    return recorder


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine's own leaks into a test."""
    for name in list(os.environ):
        if name.startswith("OTEL_") or name in ("TRACEPARENT", "TRACESTATE", "OPENAI_API_KEY"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def own_spool(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a store cannot take waits in a folder of the test's own."""
    folder = tmp_path_factory.getbasetemp() / "spools" / secrets.token_hex(4)
    monkeypatch.setenv("OTEL_EXPORTER_SPANDAG_SPOOL", str(folder))
    return folder


@pytest.fixture
def capture_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record messages, arguments and results on spans."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew, for review")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with the file of that name in tests/golden."""

    def compare(name: str, text: str) -> None:
        path = Path(__file__).parent / "golden" / name
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), f"{name} differs; see --update-golden"

    return compare
