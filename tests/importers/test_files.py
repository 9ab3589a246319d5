"""Files of runs: what is accepted, what is refused, and that nothing is written of what is broken."""

from __future__ import annotations

import base64
import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceState

import spandag
from spandag import query, semconv
from spandag.export.project import project
from spandag.importers.cmbagent import import_cmbagent
from spandag.importers.files import ImportedFile, ImportFileError, import_file
from spandag.query.export_rows import run_ids
from spandag.store import Writer, open_store
from spandag.store.retention import remove
from spandag.store.schema import workflow_runs
from spandag.workflow.scope import use_tracer_provider

Tables = dict[str, list[dict[str, Any]]]
ReadTables = Callable[[str], Tables]

IDS = ("traceId", "spanId", "parentSpanId")


def story() -> list[ReadableSpan]:
    """A run with a redo, content, a failure, a handoff, and a span of another library, as real spans."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "tests"}))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    use_tracer_provider(provider)
    try:
        with spandag.run("kepler", session="alice", task="find the law") as run:
            for attempt in spandag.step("fit").attempts():
                with attempt, spandag.agent("analyst", input="fit it") as agent:
                    with spandag.chat("gpt-4o-mini", provider="openai", input="fit ␛ \x00") as chat:
                        chat.set_usage(1000, 100)
                        chat.set_output("a line")
                    agent.add_event("approval", {"by": "ann", "count": 3, "share": 0.5, "all": (True, False)})
                    if attempt.number == 1:
                        attempt.reject("in log space", requested_by="reviewer")
            with pytest.raises(KeyError), spandag.tool("read_csv", arguments={"path": "a.csv"}):
                raise KeyError("period")
            other = SpanContext(7, 8, is_remote=True, trace_state=TraceState([("v", "1")]))
            provider.get_tracer("httpx", "0.1").start_span(
                "GET",
                kind=SpanKind.CLIENT,
                links=[Link(other, {"why": "cache"})],
                attributes={"sizes": (1, 2)},
            ).end()
        assert run is not None
    finally:
        use_tracer_provider(None)
    return list(memory.get_finished_spans())


@pytest.fixture
def spans(capture_content: None) -> list[ReadableSpan]:
    return story()


@pytest.fixture
def source(new_store_url: Callable[[], str], spans: list[ReadableSpan]) -> str:
    """A store that has them."""
    return written(new_store_url(), spans)


def written(url: str, spans: list[ReadableSpan], **options: Any) -> str:
    writer = Writer(url)
    writer.write(project(spans, **options))
    writer.settle()
    writer.close()
    return url


def exported(url: str, kind: str = "jsonl") -> list[str]:
    with open_store(url) as store:
        with store.connection() as connection:
            ids = run_ids(connection)
        return list((query.export_jsonl if kind == "jsonl" else query.export_otlp)(store, ids))


def imported(url: str, text: str | bytes, **options: Any) -> ImportedFile:
    raw = text.encode() if isinstance(text, str) else text
    return import_file("-", url, stdin=io.BytesIO(raw), **options)


def runs_in(url: str) -> list[str]:
    with open_store(url) as store, store.connection() as connection:
        return run_ids(connection)


def with_bytes(value: Any) -> Any:
    """OTLP JSON as protobuf's own JSON has it: ids are base64."""
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode() if key in IDS else with_bytes(item)
            for key, item in value.items()
        }
    return [with_bytes(item) for item in value] if isinstance(value, list) else value


def with_hex(value: Any) -> Any:
    """Protobuf's own JSON as OTLP has it."""
    if isinstance(value, dict):
        return {
            key: base64.b64decode(item).hex() if key in IDS else with_hex(item) for key, item in value.items()
        }
    return [with_hex(item) for item in value] if isinstance(value, list) else value


# --- OTLP JSON, and what others make of it -----------------------------------------------


def test_otlp_json_is_what_the_protocol_says(source: str, spans: list[ReadableSpan]) -> None:
    document = json.loads("\n".join(exported(source, "otlp-json")))

    data = json_format.ParseDict(with_bytes(document), TracesData(), ignore_unknown_fields=False)

    found = {
        span.span_id.hex(): (span, scope_spans.scope, resource_spans.resource)
        for resource_spans in data.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    }
    assert len(found) == len(spans)
    for span in spans:
        assert span.context is not None
        stored, scope, resource = found[f"{span.context.span_id:016x}"]
        assert stored.trace_id.hex() == f"{span.context.trace_id:032x}"
        assert (stored.name, scope.name) == (span.name, span.instrumentation_scope.name)  # type: ignore[union-attr]
        assert (stored.start_time_unix_nano, stored.end_time_unix_nano) == (span.start_time, span.end_time)
        assert stored.kind == span.kind.value + 1
        assert [event.name for event in stored.events] == [event.name for event in span.events]
        assert (stored.status.code == 2) == (span.status.status_code is StatusCode.ERROR)
        assert [attribute.value.string_value for attribute in resource.attributes] == ["tests"]
        names = {attribute.key for attribute in stored.attributes}
        assert names == set(span.attributes or {})


def test_messages_come_as_the_attributes_of_the_conventions(source: str) -> None:
    document = json.loads("\n".join(exported(source, "otlp-json")))

    [*_, chat] = [
        span
        for resource_spans in document["resourceSpans"]
        for scope_spans in resource_spans["scopeSpans"]
        for span in scope_spans["spans"]
        if span["name"] == "chat gpt-4o-mini"
    ]

    said = {item["key"]: item["value"] for item in chat["attributes"]}
    assert json.loads(said["gen_ai.input.messages"]["stringValue"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "fit ␛ \x00"}]}
    ]
    assert said["gen_ai.usage.input_tokens"] == {"intValue": "1000"}


@pytest.mark.parametrize("ids", ["hexadecimal", "base64"])
@pytest.mark.parametrize("layout", ["a line", "a document", "two lines"])
def test_otlp_json_of_others_gives_the_rows_of_their_spans(
    layout: str,
    ids: str,
    spans: list[ReadableSpan],
    new_store_url: Callable[[], str],
    read_tables: ReadTables,
) -> None:
    def encoded(some: list[ReadableSpan], indent: int | None = None) -> str:
        document = json_format.MessageToDict(encode_spans(some), use_integers_for_enums=ids != "base64")
        return json.dumps(document if ids == "base64" else with_hex(document), indent=indent)

    text = {
        "a line": lambda: encoded(spans),
        "a document": lambda: encoded(spans, indent=2),
        "two lines": lambda: f"{encoded(spans[:3])}\n\n{encoded(spans[3:])}\n" + '{"resourceMetrics": []}',
    }[layout]()
    expected, url = written(new_store_url(), spans), new_store_url()

    result = imported(url, text)

    assert (result.runs, result.format) == (1, "otlp-json")
    assert without_flags(read_tables(url)) == without_flags(read_tables(expected))


def without_flags(tables: Tables) -> Tables:
    """Not every exporter of OTLP writes the flags of the trace."""
    for node in tables["dag_nodes"]:
        meta = json.loads(node["meta"]) if isinstance(node["meta"], str) else node["meta"]
        node["meta"] = {name: value for name, value in (meta or {}).items() if name != "flags"}
    return tables


# --- the same again, and what has not ended ----------------------------------------------


@pytest.mark.parametrize("kind", ["jsonl", "otlp-json"])
def test_importing_twice_or_into_its_own_store_changes_not_even_a_counter(source: str, kind: str) -> None:
    def versions() -> list[tuple[Any, ...]]:
        with open_store(source) as store, store.connection() as connection:
            return [tuple(row) for row in connection.execute(workflow_runs.select())]

    before = versions()
    text = "\n".join(exported(source, kind))

    first, second = imported(source, text), imported(source, text)

    assert versions() == before
    assert first == second
    assert (first.runs, first.redos, first.nodes) == (1, 1, 9)


@pytest.mark.parametrize("kind", ["jsonl", "otlp-json"])
def test_what_has_not_ended_comes_as_open_and_is_completed_later(
    kind: str, spans: list[ReadableSpan], new_store_url: Callable[[], str], read_tables: ReadTables
) -> None:
    going_on = [
        ReadableSpan(
            name=span.name,
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=span.attributes,
            links=span.links,
            kind=span.kind,
            instrumentation_scope=span.instrumentation_scope,
            status=Status(),
            start_time=span.start_time,
        )
        if span.name.startswith(("invoke_workflow", "execute_tool"))
        else span
        for span in spans
    ]
    killed, copy = written(new_store_url(), going_on, writer_id="gone"), new_store_url()

    imported(copy, "\n".join(exported(killed, kind)))

    assert read_tables(copy) == read_tables(killed)
    with open_store(copy) as store:
        # Of rows one knows that whoever held them open is gone; of spans one does not.
        assert query.tree(store, "last").run.status == ("interrupted" if kind == "jsonl" else "open")

    whole = written(new_store_url(), spans)
    imported(copy, "\n".join(exported(whole, kind)))

    assert read_tables(copy) == read_tables(whole)


def test_who_is_alive_elsewhere_is_not_known_here(
    spans: list[ReadableSpan], new_store_url: Callable[[], str]
) -> None:
    [root] = [span for span in spans if span.parent is None]
    started = ReadableSpan(
        name=root.name,
        context=root.context,
        resource=root.resource,
        attributes=root.attributes,
        instrumentation_scope=root.instrumentation_scope,
        start_time=root.start_time,
    )
    url, copy = written(new_store_url(), [started], writer_id="alive"), new_store_url()
    writer = Writer(url)
    writer.beat("alive")
    writer.close()

    imported(copy, "\n".join(exported(url)))

    with open_store(url) as there, open_store(copy) as here:
        assert (query.tree(there, "last").run.status, query.tree(here, "last").run.status) == (
            "running",
            "open",
        )


def test_what_no_span_carries_comes_along_as_rows(
    cmbagent_file: Path, new_store_url: Callable[[], str], read_tables: ReadTables
) -> None:
    url, copy = new_store_url(), new_store_url()
    import_cmbagent(f"sqlite:///{cmbagent_file}", url)

    result = imported(copy, "\n".join(exported(url)))

    assert read_tables(copy) == read_tables(url)
    assert (result.runs, result.forks) == (2, 1)


def test_a_run_of_many_pages_comes_whole(
    spans: list[ReadableSpan],
    new_store_url: Callable[[], str],
    read_tables: ReadTables,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("query.export_rows", "query.export_otlp", "importers.jsonl", "importers.files"):
        name = "_AT_ONCE" if module.startswith("importers") else "AT_ONCE"
        monkeypatch.setattr(sys.modules[f"spandag.{module}"], name, 2)
    url = written(new_store_url(), spans)
    said: list[tuple[int, int]] = []
    for kind in ("jsonl", "otlp-json"):
        copy = new_store_url()
        said.clear()
        result = imported(copy, "\n".join(exported(url, kind)), progress=lambda *so_far: said.append(so_far))

        assert read_tables(copy) == read_tables(url)
        assert result.messages == len(read_tables(url)["messages"])
        assert len(said) > 2
        assert said[-1][0] == said[-1][1]


@pytest.mark.parametrize("kind", ["jsonl", "otlp-json"])
def test_what_comes_twice_in_a_file_counts_once(
    kind: str, source: str, new_store_url: Callable[[], str]
) -> None:
    lines = exported(source, kind)
    once = imported(new_store_url(), "\n".join(lines))

    # JSON lines after each other, and documents as a Collector writes them.
    text = "\n".join(lines if kind == "jsonl" else ["".join(lines)])
    twice = imported(new_store_url(), f"{text}\n{text}")

    assert twice == once
    assert (once.nodes, once.redos) == (9, 1)


# --- from where ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jsonl", "otlp-json"])
def test_a_file_is_known_by_what_is_in_it(
    kind: str, source: str, new_store_url: Callable[[], str], tmp_path: Path, read_tables: ReadTables
) -> None:
    raw = "\r\n".join(exported(source, kind)).encode()
    (tmp_path / "compressed.txt").write_bytes(gzip.compress(b"\xef\xbb\xbf" + raw))
    url = new_store_url()

    result = import_file(str(tmp_path / "compressed.txt"), url, stdin=io.BytesIO())

    assert (result.source, result.format) == (str(tmp_path / "compressed.txt"), kind)
    assert read_tables(url) == read_tables(source)


def test_what_messages_mean_is_no_part_of_a_file(source: str, new_store_url: Callable[[], str]) -> None:
    """Whoever could write it there could make two runs look the same."""
    lines = exported(source)
    assert not any("meaning" in json.loads(line) for line in lines)
    [place] = [n for n, line in enumerate(lines) if json.loads(line).get("table") == "node_messages"][:1]
    lines[place] = json.dumps({**json.loads(lines[place]), "meaning": "00" * 16})

    with pytest.raises(ImportFileError, match="node_messages has no column 'meaning'"):
        imported(written(new_store_url(), []), "\n".join(lines))


# --- what was removed ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jsonl", "otlp-json"])
def test_a_run_that_was_removed_comes_back_only_where_it_is_asked_for(
    kind: str, source: str, read_tables: ReadTables
) -> None:
    before = read_tables(source)
    [run_id] = runs_in(source)
    text = "\n".join(exported(source, kind))
    remove(source, [run_id])
    assert runs_in(source) == []

    with pytest.raises(ImportFileError) as refused:
        imported(source, text)
    assert str(refused.value) == (
        f"standard input: run {run_id[:8]} had been removed from this store; to bring it back, add --restore"
    )
    assert runs_in(source) == []

    imported(source, text, restore=True)
    assert read_tables(source) == before


# --- what is broken -----------------------------------------------------------------------


def test_of_a_broken_file_nothing_is_written_and_its_line_is_named(
    source: str, new_store_url: Callable[[], str]
) -> None:
    lines = exported(source)
    url = written(new_store_url(), [])
    broken = {
        "line 5: it is not whole JSON (": [*lines[:4], lines[4][:30], *lines[5:]],
        f"line {len(lines)}: it breaks off: the end of run": lines[:-1],
        f"line {len(lines) - 1}: rows are missing: ": [*lines[:-2], lines[-1]],
        "line 1: it is neither OTLP JSON nor JSON lines of spandag": lines[1:],
        "line 1: it is not whole JSON (Unterminated string": [lines[0][:30], *lines[1:]],
        "line 1: it is not whole JSON (Expecting": [lines[0][:10]],
        "line 2: there is no table 'dogs'": [lines[0], '{"table": "dogs"}', *lines[1:]],
        "line 2: dag_nodes has no column 'colour'": [
            lines[0],
            lines[1].replace('"dag_nodes"', '"dag_nodes","colour":"red"'),
        ],
        "line 2: dag_nodes has no name": [lines[0], lines[1].replace('"name":', '"agent":', 1)],
        "line 2: dag_nodes.started_at: 'noon' is no whole number": [
            lines[0],
            json.dumps({**json.loads(lines[1]), "started_at": "noon"}),
        ],
        "line 2: dag_nodes.name: it has characters that no store keeps": [
            lines[0],
            json.dumps({**json.loads(lines[1]), "name": "a\x00b"}),
        ],
        "line 2: edges of type parallel are derived": [
            lines[0],
            json.dumps(
                {
                    "table": "dag_edges",
                    "run_id": json.loads(lines[0])["run_id"],
                    "from_node_id": "a" * 16,
                    "to_node_id": "b" * 16,
                    "dependency_type": "parallel",
                }
            ),
        ],
        "line 1: it was written by spandag 9.0 in version 2 of the format": [
            json.dumps({**json.loads(lines[0]), "version": 2, "spandag": "9.0"})
        ],
    }
    for message, text in broken.items():
        with pytest.raises(ImportFileError) as refused:
            imported(url, "\n".join(text))
        assert message in str(refused.value)
        assert "\n" not in str(refused.value)
    assert runs_in(url) == []


def test_otlp_that_is_none_is_refused_with_what_is_wrong(
    source: str, new_store_url: Callable[[], str]
) -> None:
    lines = exported(source, "otlp-json")
    url = written(new_store_url(), [])

    def one(**span: Any) -> str:
        named = {"traceId": "a" * 32, "spanId": "b" * 16, "name": "x", **span}
        return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [named]}]}]})

    broken = {
        f"line {len(lines)}: it breaks off": "\n".join(lines[:-1]),
        "line 2: it is not whole JSON": "\n".join([lines[0], lines[1][:-9], *lines[2:]]),
        "line 1: it is not as OTLP says: traceId is 'zz', not 32 hexadecimal digits": one(traceId="zz"),
        "line 1: it is not as OTLP says: a span has no traceId or no spanId": one(spanId=""),
        "startTimeUnixNano is 'noon', no whole number": one(startTimeUnixNano="noon"),
        "attributes is no list": one(attributes={}),
        "an attribute's value is stringValue: '7'": one(
            attributes=[{"key": "k", "value": {"stringValue": 7}}]
        ),
        "there are no spans in it": '{"resourceMetrics": []}',
        "it is JSON of Jaeger's own": '{"data": [{"traceID": "a"}]}',
        "it is empty": "\n \n",
        "line 2: it is neither OTLP JSON nor JSON lines of spandag (": "{\n nothing\n}",
    }
    for message, text in broken.items():
        with pytest.raises(ImportFileError) as refused:
            imported(url, text)
        assert message in str(refused.value)
    with pytest.raises(ImportFileError, match="line 1: it is no text in UTF-8"):
        imported(url, b"\xff\xfe\x00")
    with pytest.raises(ImportFileError, match="it cannot be read on"):
        imported(url, gzip.compress("\n".join(lines).encode())[:-20])
    assert runs_in(url) == []


def test_a_database_is_no_file_of_runs(cmbagent_file: Path, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path / 'runs.db'}"
    with pytest.raises(
        ImportFileError, match="it is a database; one of CMBAgent is imported with --cmbagent"
    ):
        import_file(str(cmbagent_file), target, stdin=io.BytesIO())
    with pytest.raises(ImportFileError, match=r"none\.jsonl: No such file"):
        import_file(str(tmp_path / "none.jsonl"), target, stdin=io.BytesIO())
    assert not (tmp_path / "runs.db").exists()


def test_odd_values_of_others_are_taken_as_they_are(new_store_url: Callable[[], str]) -> None:
    url = new_store_url()
    values = {
        "nan": {"doubleValue": "NaN"},
        "bytes": {"bytesValue": "AAEC"},
        "int": {"intValue": 7},
        "nothing": {},
        "map": {"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": True}}]}},
    }
    span = {
        "traceId": "A" * 32,
        "spanId": "B" * 16,
        "name": "chat m",
        "kind": "SPAN_KIND_CLIENT",
        "status": {"code": "STATUS_CODE_ERROR", "message": "no"},
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "attributes": [{"key": key, "value": value} for key, value in values.items()]
        + [{"key": semconv.GEN_AI_OPERATION_NAME, "value": {"stringValue": "chat"}}],
    }
    imported(url, json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}))

    with open_store(url) as store:
        found = query.node(store, "b" * 16)
    assert found.node.node_type == "llm"
    assert (found.node.status, found.node.error_message) == ("failed", "no")
    assert found.attributes == {
        "nan": "nan",
        "bytes": "AAEC",
        "int": 7,
        "nothing": None,
        "map": {"a": True},
        semconv.GEN_AI_OPERATION_NAME: "chat",
    }
    assert found.meta is not None
    assert found.meta["kind"] == "client"
