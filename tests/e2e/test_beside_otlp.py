"""The same spans reach an OTLP backend and the store: `OTEL_TRACES_EXPORTER=spandag,otlp`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from spandag import semconv

PROGRAM = """
import spandag

with spandag.run("report", task="write it", session="alice"):
    with spandag.phase("control"):
        for attempt in spandag.step("fit").attempts(max_redos=2):
            with attempt, spandag.agent("engineer", input="fit"):
                with spandag.chat("gpt-4o-mini", provider="openai", input="fit the planets") as chat:
                    chat.set_usage(1000, 100, cache_read_tokens=400, reasoning_tokens=10)
                    chat.set_output("a line")
                with spandag.tool("fit", arguments={"space": attempt.feedback or "linear"}) as tool:
                    tool.add_event("policy_decision", {"allowed": True})
                if attempt.number == 1:
                    attempt.reject("log space", requested_by="reviewer")
        try:
            with spandag.tool("broken"):
                raise ValueError("boom")
        except ValueError:
            pass
"""


@pytest.fixture
def recorded(otlp_receiver, tmp_path):
    """The program ran under `opentelemetry-instrument`; the receiver's spans and the store's rows."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    database = tmp_path / "runs.db"
    subprocess.run(
        [Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable, script],
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "OTEL_TRACES_EXPORTER": "spandag,otlp",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_EXPORTER_SPANDAG_URL": f"sqlite:///{database}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_receiver.endpoint,
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
        },
        check=True,
        timeout=120,
    )
    with create_engine(f"sqlite:///{database}").connect() as connection:
        rows = {
            table: [dict(row._mapping) for row in connection.execute(text(f"SELECT * FROM {table}"))]
            for table in (
                "dag_nodes",
                "span_links",
                "execution_events",
                "messages",
                "node_messages",
                "cost_records",
            )
        }
    return otlp_receiver.spans, rows


def value(any_value):
    kind = any_value.WhichOneof("value")
    if kind == "array_value":
        return [value(item) for item in any_value.array_value.values]
    return getattr(any_value, kind)


def attributes(span):
    return {item.key: value(item.value) for item in span.attributes}


def nodes_of(rows):
    return {row["span_id"]: row for row in rows["dag_nodes"] if row["node_type"] != "branch_point"}


def test_ids_and_parents_are_the_same(recorded):
    spans, rows = recorded
    assert len(spans) == 11
    sent = {(s.trace_id.hex(), s.span_id.hex(), s.parent_span_id.hex() or None) for s in spans}
    assert {(r["run_id"], r["span_id"], r["parent_span_id"]) for r in nodes_of(rows).values()} == sent


def test_names_times_and_links_are_the_same(recorded):
    spans, rows = recorded
    nodes = nodes_of(rows)
    for span in spans:
        node = nodes[span.span_id.hex()]
        assert (node["span_name"], node["started_at"], node["ended_at"]) == (
            span.name,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
        )
    sent = {
        (s.span_id.hex(), link.trace_id.hex(), link.span_id.hex(), value(link.attributes[0].value))
        for s in spans
        for link in s.links
    }
    stored = {
        (r["node_id"], r["linked_run_id"], r["linked_span_id"], r["link_type"]) for r in rows["span_links"]
    }
    assert stored == sent
    assert {link_type for *_, link_type in sent} == {"redo_of"}


def test_attributes_are_the_same_and_content_is_kept_once_as_messages(recorded):
    spans, rows = recorded
    nodes = nodes_of(rows)
    contents = {row["hash"]: row["content"] for row in rows["messages"]}
    kept = {
        (row["node_id"], row["direction"]): [
            contents[row["hashes"][i : i + 16]] for i in range(0, len(row["hashes"]), 16)
        ]
        for row in rows["node_messages"]
    }
    seen = set()
    for span in spans:
        sent = attributes(span)
        node_id = span.span_id.hex()
        for name, direction in semconv.CONTENT_ATTRIBUTES.items():
            content = sent.pop(name, None)
            if content is not None:
                parsed = json.loads(content)
                messages = parsed if isinstance(parsed, list) else [parsed]
                assert [json.loads(item) for item in kept[node_id, direction]] == messages
                seen.add((node_id, direction))
        assert json.loads(nodes[node_id]["attributes"]) == sent
    assert seen == set(kept)


def test_events_are_the_same(recorded):
    spans, rows = recorded
    sent = {(s.span_id.hex(), i, e.time_unix_nano) for s in spans for i, e in enumerate(s.events)}
    recorded_events = [row for row in rows["execution_events"] if row["origin"] == "recorded"]
    assert {(r["node_id"], r["seq"], r["timestamp"]) for r in recorded_events} == sent
    assert sorted(row["event_type"] for row in recorded_events) == [
        "error",
        "policy_decision",
        "policy_decision",
        "rejected",
    ]


def test_tokens_and_cost_of_the_rows_are_those_of_the_spans(recorded):
    spans, rows = recorded
    sent = {
        s.span_id.hex(): attributes(s)[semconv.GEN_AI_USAGE_COST] for s in spans if s.name.startswith("chat")
    }
    assert {row["node_id"]: row["cost_usd"] for row in rows["cost_records"]} == sent
    assert {row["input_tokens"] for row in rows["cost_records"]} == {1000}
