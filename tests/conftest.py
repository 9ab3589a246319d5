"""Fixtures that every room's tests share."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Our guard hides our failures from users; in tests, and in the programs that tests start, they surface.
os.environ["SPANDAG_STRICT"] = "1"

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


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


@pytest.fixture
def rows_of() -> Callable[[Path], str]:
    """Every row of a store as text, with names in place of what differs from run to run."""
    return normalised_rows


@pytest.fixture
def tree_of() -> Callable[[Path], str]:
    """The tree of every run of a store, a line a node."""

    def tree(database: Path) -> str:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            rows = connection.execute(
                "WITH RECURSIVE tree(run_id, id, path) AS ("
                " SELECT run_id, id, printf('%06d', order_index) FROM dag_nodes WHERE parent_node_id IS NULL"
                " UNION ALL SELECT n.run_id, n.id, path || printf('/%06d.%03d', n.order_index, coalesce(n.attempt, 0))"
                " FROM dag_nodes AS n JOIN tree ON n.run_id = tree.run_id AND n.parent_node_id = tree.id)"
                " SELECT depth, node_type, name, status, outcome, disposition, error_type"
                " FROM tree JOIN dag_nodes USING (run_id, id) ORDER BY run_id, path"
            ).fetchall()
        return "".join(
            "  " * depth + " ".join(str(value) for value in (node_type, name, *rest) if value) + "\n"
            for depth, node_type, name, *rest in rows
        )

    return tree


# Tables in the order in which a reader wants them, and the columns that differ from run to run.
_GOLDEN_TABLES = (
    "sessions",
    "workflow_runs",
    "dag_nodes",
    "dag_edges",
    "branches",
    "cost_records",
    "execution_events",
    "span_links",
    "node_messages",
)
_TIMES = {"started_at", "ended_at", "timestamp", "last_active_at"}
_UNSTABLE = {"facts_version", "derived_version", "writer_id"}
_UNSTABLE_KEYS = re.compile(
    r"server\.port|process\.(pid|executable\..*|command_args)|service\.(name|instance\.id)|.*stacktrace|.*version"
)
_UNSTABLE_TEXT = (
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"127\.0\.0\.1:\d+"), "<host>"),
    (re.compile(r"0x[0-9a-f]{6,}"), "<address>"),
)


def normalised_rows(database: Path) -> str:
    """See `rows_of`."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        connection.row_factory = sqlite3.Row
        names = _stable_names(connection)
        lines = []
        for table in _GOLDEN_TABLES:
            rows = [_normalised(dict(row), names) for row in connection.execute(f"SELECT * FROM {table}")]
            lines.append(f"# {table}")
            lines += sorted(rows, key=_natural)
            lines.append("")
    return "\n".join(lines)


def _stable_names(connection: sqlite3.Connection) -> dict[str, str]:
    """Runs as r1…, nodes as n1… in order of the tree, branch points after their redo."""
    names = {}
    for number, (run_id,) in enumerate(
        connection.execute("SELECT id FROM workflow_runs ORDER BY started_at"), 1
    ):
        names[run_id] = f"r{number}"
    nodes = connection.execute(
        "SELECT span_id FROM dag_nodes WHERE node_type <> 'branch_point' ORDER BY started_at, depth, span_id"
    ).fetchall()
    for number, (span_id,) in enumerate(nodes, 1):
        names[span_id] = f"n{number}"
        names[f"bp:{span_id}"] = f"bp:n{number}"
    return names


def _normalised(row: dict[str, Any], names: dict[str, str]) -> str:
    parts = []
    for column, value in row.items():
        if value is None or column in _UNSTABLE:
            continue
        if column in _TIMES:
            continue
        if isinstance(value, bytes):
            value = f"{len(value) // 16} messages"
        if column in ("attributes", "meta"):
            value = json.dumps(_stable_json(json.loads(value), names), sort_keys=True, ensure_ascii=False)
        value = _stable_text(str(value), names)
        if column.endswith("_preview") and len(value) > 160:
            value = f"{value[:120]}… ({len(value)} characters)"
        parts.append(f"{column}={value}")
    return "  ".join(parts)


def _stable_json(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {k: _stable_json(v, names) for k, v in value.items() if not _UNSTABLE_KEYS.fullmatch(k)}
    if isinstance(value, list):
        return [_stable_json(item, names) for item in value]
    if isinstance(value, float):
        return round(value, 9)
    return names.get(value, value) if isinstance(value, str) else value


def _stable_text(text: str, names: dict[str, str]) -> str:
    text = names.get(text, text)
    for pattern, name in _UNSTABLE_TEXT:
        text = pattern.sub(name, text)
    return text.replace("\n", "⏎")


def _natural(line: str) -> list[object]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", line)]
