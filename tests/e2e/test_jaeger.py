"""What is exported is taken by the real Jaeger: by its UI's upload, and as OTLP, and is the same tree there.

It is started from collector-config/jaeger.yaml, where `SPANDAG_TEST_JAEGER` names its program; `make check-jaeger`
builds it.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

import spandag
from spandag.export import SpandagSpanExporter
from spandag.workflow.scope import use_tracer_provider

PROGRAM = os.environ.get("SPANDAG_TEST_JAEGER", "")
CONFIGURATION = Path(__file__).parents[2] / "collector-config" / "jaeger.yaml"
SPANDAG = Path(sys.executable).with_name("spandag")

pytestmark = pytest.mark.skipif(not PROGRAM, reason="needs the Jaeger program; `make check-jaeger` builds it")

Json = dict[str, Any]


class Jaeger:
    """A Jaeger on loopback."""

    def __init__(self, ui: str, otlp: str) -> None:
        self._ui = ui
        self._otlp = otlp

    def upload(self, text: str) -> list[Json]:
        """The traces that the UI shows of a file that is dropped there."""
        # As it does: it reads the file as JSON and sends what it has read.
        answer = post(f"{self._ui}/api/transform", json.dumps(json.loads(text, parse_constant=no_json)))
        traces: list[Json] = answer["data"]
        return traces

    def send(self, text: str) -> None:
        """Let it have OTLP JSON, as a Collector would."""
        assert post(f"{self._otlp}/v1/traces", text) == {"partialSuccess": {}}

    def stored(self, trace_id: str, spans: int) -> list[Json]:
        """The trace as it is found by its id, when all of it has arrived."""
        for _ in range(300):
            try:
                found = get(f"{self._ui}/api/traces/{trace_id}")["data"]
            except HTTPError as error:
                if error.code != 404:
                    raise
                found = []
            if sum(len(trace["spans"]) for trace in found) >= spans:
                break
            time.sleep(0.1)
        traces: list[Json] = found
        return traces


def no_json(constant: str) -> None:
    raise ValueError(f"no browser reads {constant}")


def get(url: str, data: bytes | None = None) -> Json:
    with urlopen(Request(url, data, {"Content-Type": "application/json"}), timeout=60) as answer:
        read: Json = json.load(answer)
        return read


def post(url: str, text: str) -> Json:
    return get(url, text.encode())


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.create_server(("127.0.0.1", 0)))) for _ in range(4)]
        ui, query, otlp_grpc, otlp_http = (f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
    log = tmp_path_factory.mktemp("jaeger") / "log.txt"
    environment = {
        **os.environ,
        "JAEGER_UI": ui,
        "JAEGER_QUERY_GRPC": query,
        "JAEGER_OTLP_GRPC": otlp_grpc,
        "JAEGER_OTLP_HTTP": otlp_http,
    }
    with (
        log.open("w") as out,
        subprocess.Popen(
            [PROGRAM, "--config", CONFIGURATION], env=environment, stdout=out, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            for _ in range(300):
                assert process.poll() is None, log.read_text()
                try:
                    get(f"http://{ui}/api/services")
                    break
                except URLError:
                    time.sleep(0.1)
            yield Jaeger(f"http://{ui}", f"http://{otlp_http}")
        finally:
            process.terminate()
            process.wait(20)


class Book:
    """A store, and what is exported of it by the command."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._exporter = SpandagSpanExporter(url=f"sqlite:///{path}")
        self.provider = TracerProvider(resource=Resource.create({"service.name": "story"}))
        self.provider.add_span_processor(BatchSpanProcessor(self._exporter, max_queue_size=100_000))

    def close(self) -> None:
        self.provider.shutdown()

    def spandag(self, *command: str) -> str:
        self.provider.force_flush()
        done = subprocess.run(
            [SPANDAG, *command, "--store", str(self.path)], check=True, capture_output=True, encoding="utf-8"
        )
        return done.stdout

    def rows(self, run_id: str) -> dict[str, sqlite3.Row]:
        """The nodes that are spans, by their id."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute(
                "SELECT * FROM dag_nodes WHERE run_id = ? AND node_type != 'branch_point'", (run_id,)
            )
            return {row["span_id"]: row for row in found}


@pytest.fixture
def book(tmp_path: Path, capture_content: None) -> Iterator[Book]:
    book = Book(tmp_path / "runs.db")
    use_tracer_provider(book.provider)
    yield book
    use_tracer_provider(None)
    book.close()


def redone(book: Book) -> str:
    with spandag.run("report", session="alice", task="Report on the planets."):
        no_such = pytest.raises(ValueError, match="no such")
        with spandag.step("load"), spandag.agent("engineer"), no_such, spandag.tool("read_csv"):
            raise ValueError('no such "table" <b>')
        for attempt in spandag.step("fit").attempts(max_redos=2):
            with attempt, spandag.agent("engineer", input="Fit."):
                with spandag.chat("gpt-4o-mini", provider="openai", input="Fit.") as chat:
                    chat.set_usage(1000, 100, cost=0.01)
                    chat.set_output("A power law ✓ 🚀")
                if attempt.number < 3:
                    attempt.reject("Try a power law.", requested_by="reviewer")
    return book.spandag("export", "last")


def odd(book: Book) -> str:
    tracer = book.provider.get_tracer("other", "1.2")
    with spandag.run('"quoted" [x] | \\ 🚀 👩‍🔬 <b> \u2028 العربية ' + "long " * 800):
        for kind in SpanKind:
            with tracer.start_as_current_span(f"kind {kind.name}", kind=kind) as span:
                span.set_attributes(
                    {
                        "float": 0.1,
                        "large float": 1e300,
                        "nan": float("nan"),
                        "infinity": float("-inf"),
                        "largest": 2**63 - 1,
                        "smallest": -(2**63),
                        "yes": True,
                        "texts": ["a", "b"],
                        "floats": [1.5, float("nan")],
                        "none": [],
                        "empty": "",
                        "unicode": "😀 é ␛0000 \x00",
                        "json": '{"a": 1}',
                        "long": "y" * 100_000,
                    }
                )
                span.add_event("happened", {"count": 1, "texts": ["q"]})
                span.set_status(Status(StatusCode.ERROR, "message 😀 <b>"))
    return book.spandag("export", "last")


def orphaned(book: Book) -> str:
    """Without the run's span and those of the agents."""
    document = json.loads(redone(book))
    for resource_spans in document["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            scope_spans["spans"] = [
                span
                for span in scope_spans["spans"]
                if not span["name"].startswith(("invoke_workflow", "invoke_agent"))
            ]
    torn = book.path.with_name("torn.json")
    torn.write_text(json.dumps(document))
    book.path = book.path.with_name("torn.db")
    book.spandag("import", str(torn))
    return book.spandag("export", "last")


def going_on(book: Book) -> str:
    with spandag.run("goes on"), spandag.step("fit"):
        with spandag.tool("done"):
            pass
        with spandag.chat("gpt-4o-mini", provider="openai", input="Fit."):
            return book.spandag("export", "last")


def large(book: Book) -> str:
    with spandag.run("large"):
        for number in range(100):
            with spandag.agent(f"agent {number}"):
                for _ in range(100):
                    with spandag.tool("look"):
                        pass
    return book.spandag("export", "last")


Story = Callable[[Book], str]


@pytest.mark.parametrize("story", [redone, odd, orphaned, going_on, large])
def test_jaeger_shows_the_tree_times_and_attributes_that_the_store_has(
    jaeger: Jaeger, book: Book, story: Story
) -> None:
    text = story(book)
    exported = [
        span
        for resource_spans in json.loads(text)["resourceSpans"]
        for scope_spans in resource_spans["scopeSpans"]
        for span in scope_spans["spans"]
    ]
    [run_id] = {span["traceId"] for span in exported}
    rows = book.rows(run_id)
    assert len(exported) == len(rows) > 0

    the_same_is_shown(jaeger.upload(text), exported, rows)

    jaeger.send(text)
    the_same_is_shown(jaeger.stored(run_id, len(rows)), exported, rows)


def the_same_is_shown(traces: list[Json], exported: list[Json], rows: dict[str, sqlite3.Row]) -> None:
    [trace] = traces
    shown = {span["spanID"]: span for span in trace["spans"]}
    assert len(trace["spans"]) == len(shown)
    assert shown.keys() == rows.keys()
    last = max(row["ended_at"] or row["started_at"] + 1 for row in rows.values())
    for said in exported:
        span, row = shown[said["spanId"]], rows[said["spanId"]]
        assert trace["processes"][span["processID"]]["serviceName"] == "story"
        assert span["operationName"] == said["name"]
        # That a parent is missing is no news.
        assert [said for said in span["warnings"] or [] if "invalid parent span" not in said] == []
        references = [(one["refType"], one["spanID"]) for one in span["references"]]
        parent = [] if row["parent_span_id"] is None else [("CHILD_OF", row["parent_span_id"])]
        assert references == parent + [("FOLLOWS_FROM", link["spanId"]) for link in said.get("links", [])]
        # Jaeger has microseconds.
        assert span["startTime"] == row["started_at"] // 1000
        assert abs(span["duration"] * 1000 - ((row["ended_at"] or last) - row["started_at"])) < 1000
        tags = {tag["key"]: tag["value"] for tag in span["tags"]}
        assert len(tags) == len(span["tags"])
        for attribute in said["attributes"]:
            assert shows(tags.pop(attribute["key"]), attribute["value"]), attribute
        failed = said.get("status", {}).get("code") == 2
        assert (tags.pop("error", False), tags.pop("otel.status_code", None) == "ERROR") == (failed, failed)
        assert failed == (row["status"] == "failed")
        assert tags.pop("otel.status_description", None) == said.get("status", {}).get("message")
        assert tags.keys() <= {"span.kind", "otel.scope.name", "otel.scope.version"}
        events = [{tag["key"]: tag["value"] for tag in log["fields"]} for log in span["logs"]]
        assert [event["event"] for event in events] == [event["name"] for event in said.get("events", [])]


def shows(value: Any, said: Json) -> bool:
    """Whether a tag's value is that of an attribute; Jaeger shows lists as JSON."""
    [(kind, of_attribute)] = said.items()
    if kind == "arrayValue":
        listed = [next(iter(item.values())) for item in of_attribute.get("values", [])]
        return [str(item) for item in json.loads(value)] == [str(item) for item in listed]
    # What JavaScript could not count to, Jaeger writes as a text.
    return str(value) == of_attribute if kind == "intValue" else bool(value == of_attribute)
