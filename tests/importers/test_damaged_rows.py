"""Rows of JSON lines that no store has are refused; those that a store has nevertheless stop nobody else."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanContext
from spandag_test_databases import connected

from spandag import query
from spandag.export.project import project
from spandag.importers.files import ImportFileError, import_file
from spandag.store import Writer, open_store, schema
from spandag.store.check import check
from spandag.store.messages import hash_of

DAMAGED, HEALTHY = 1, 2
RUN, OTHER = f"{DAMAGED:032x}", f"{HEALTHY:032x}"
STEP, REDO, CHAT = 2, 3, 4


def spans(trace: int) -> list[ReadableSpan]:
    """A run with a row in each table."""

    def span(number: int, parent: int | None, attributes: dict[str, Any], **more: Any) -> ReadableSpan:
        return ReadableSpan(
            "span",
            SpanContext(trace, number, is_remote=False),
            parent=None if parent is None else SpanContext(trace, parent, is_remote=False),
            attributes=attributes,
            start_time=number * 1000,
            end_time=number * 1000 + 500,
            **more,
        )

    step = {"spandag.node.type": "step", "spandag.step.id": f"{STEP:016x}"}
    before = Link(SpanContext(trace, STEP, is_remote=False), {"spandag.link.type": "redo_of"})
    return [
        span(1, None, {"spandag.node.type": "run"}, events=[Event("approval", {"by": "ann"}, 1100)]),
        span(STEP, 1, step | {"spandag.step.attempt": 1, "spandag.attempt.outcome": "rejected"}),
        span(REDO, 1, step | {"spandag.step.attempt": 2}, links=[before]),
        span(
            CHAT,
            REDO,
            {
                "spandag.node.type": "llm",
                "gen_ai.usage.input_tokens": 4,
                "gen_ai.usage.cost": 0.5,
                "gen_ai.input.messages": '[{"role": "user", "parts": []}]',
            },
        ),
    ]


@pytest.fixture
def source(new_store_url: Callable[[], str]) -> str:
    return recorded(new_store_url(), DAMAGED)


@pytest.fixture
def healthy(new_store_url: Callable[[], str]) -> str:
    """A store with a run of its own."""
    return recorded(new_store_url(), HEALTHY)


def recorded(url: str, *traces: int) -> str:
    writer = Writer(url)
    for trace in traces:
        writer.write(project(spans(trace)))
    writer.settle()
    writer.close()
    return url


def lines_of(url: str) -> list[str]:
    with open_store(url) as store:
        return list(query.export_jsonl(store, [RUN]))


def imported(url: str, lines: list[str]) -> None:
    import_file("-", url, stdin=io.BytesIO("\n".join(lines).encode()))


def runs_of(url: str) -> list[str]:
    with open_store(url) as store:
        return [run.id for run in query.runs(store)]


def test_whatever_no_store_has_is_refused_with_its_line(source: str, healthy: str) -> None:
    lines = lines_of(source)
    content = '{"role": "user", '
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("dag_nodes", {"id": "x"}, "dag_nodes.id: 'x' is no node's id"),
        ("dag_nodes", {"id": "bp:" + "A" * 16}, f"dag_nodes.id: 'bp:{'A' * 16}' is no node's id"),
        ("dag_nodes", {"span_id": "bp:" + "a" * 16}, f"dag_nodes.span_id: 'bp:{'a' * 16}' is no span's id"),
        ("dag_nodes", {"parent_span_id": 7}, "dag_nodes.parent_span_id: 7 is no span's id"),
        ("dag_nodes", {"run_id": "\n"}, "dag_nodes.run_id: '\\n' is no run's id"),
        ("dag_nodes", {"run_id": OTHER}, f"it is of run {OTHER}, not of {RUN}"),
        (
            "dag_nodes",
            {"status": "bogus"},
            "dag_nodes.status: 'bogus' is none of running, failed, cancelled, pending, skipped, completed",
        ),
        ("dag_nodes", {"node_type": "dog"}, "dag_nodes.node_type: 'dog' is none of run, phase, step, "),
        (
            "dag_nodes",
            {"outcome": "fine"},
            "dag_nodes.outcome: 'fine' is none of accepted, rejected, failed, cancelled",
        ),
        ("dag_nodes", {"attributes": []}, "dag_nodes.attributes: '[]' is no JSON object"),
        ("dag_nodes", {"meta": "text"}, "dag_nodes.meta: 'text' is no JSON object"),
        ("dag_edges", {"dependency_type": "odd"}, "dag_edges.dependency_type: 'odd' is none of sequential, "),
        ("dag_edges", {"dependency_type": "parallel"}, "edges of type parallel are derived"),
        ("dag_edges", {"to_node_id": "x"}, "dag_edges.to_node_id: 'x' is no node's id"),
        (
            "execution_events",
            {"origin": "odd"},
            "execution_events.origin: 'odd' is none of recorded, derived",
        ),
        ("execution_events", {"origin": "derived"}, "events of origin derived are derived"),
        ("execution_events", {"seq": -1}, "events with seq -1 are derived"),
        ("execution_events", {"meta": 7}, "execution_events.meta: 7 is no JSON object"),
        ("cost_records", {"node_id": "x" * 99}, f"cost_records.node_id: '{'x' * 59}… is no node's id"),
        ("cost_records", {"input_tokens": -1}, "cost_records.input_tokens: -1 is less than nothing"),
        ("cost_records", {"reasoning_tokens": -1}, "cost_records.reasoning_tokens: -1 is less than nothing"),
        ("cost_records", {"cost_usd": -0.1}, "cost_records.cost_usd: -0.1 is less than nothing"),
        ("cost_records", {"cost_usd": float("nan")}, "cost_records.cost_usd: nan is no number"),
        ("branches", {"kind": "dog"}, "branches.kind: 'dog' is none of redo, fork"),
        ("branches", {"status": "odd"}, "branches.status: 'odd' is none of active, accepted, "),
        ("branches", {"child_run_id": "x"}, "branches.child_run_id: 'x' is no run's id"),
        ("messages", {"hash": "aa"}, "messages.hash: 'aa' is not 16 bytes"),
        ("messages", {"hash": "zz"}, "messages.hash: 'zz' is not hexadecimal"),
        ("messages", {"hash": "a" * 32}, "messages.content is not what messages.hash says"),
        ("messages", {"content": "{}"}, "messages.content is not what messages.hash says"),
        ("messages", {"format": "text"}, "messages.content is not what messages.hash says"),
        ("messages", {"format": "odd"}, "messages.format: 'odd' is none of message, text"),
        (
            "messages",
            {"content": content, "hash": hash_of("message", content).hex()},
            "messages.content is no JSON, as messages.format says",
        ),
        ("node_messages", {"hashes": "a" * 34}, "node_messages.hashes: 17 bytes are no hashes of 16 each"),
        ("node_messages", {"direction": "up"}, "node_messages.direction: 'up' is none of system, tools, "),
        ("span_links", {"linked_run_id": "x"}, "span_links.linked_run_id: 'x' is no run's id"),
        ("span_links", {"linked_span_id": "x"}, "span_links.linked_span_id: 'x' is no span's id"),
        ("span_links", {"attributes": [1]}, "span_links.attributes: '[1]' is no JSON object"),
    ]
    for table, change, message in wrong:
        [at, *_] = [place for place, line in enumerate(lines) if line.startswith(f'{{"table":"{table}"')]
        row = json.dumps(json.loads(lines[at]) | change)

        with pytest.raises(ImportFileError) as refused:
            imported(healthy, [*lines[:at], row, *lines[at + 1 :]])

        said = str(refused.value)
        assert said.startswith(f"standard input, line {at + 1}: {message}")
        assert "\n" not in said
    assert runs_of(healthy) == [OTHER]
    imported(healthy, lines)
    assert sorted(runs_of(healthy)) == [RUN, OTHER]


@pytest.mark.parametrize("version", [-1, 0])
def test_a_version_that_never_was_is_refused(source: str, healthy: str, version: int) -> None:
    lines = lines_of(source)
    lines[0] = json.dumps(json.loads(lines[0]) | {"version": version})

    with pytest.raises(ImportFileError, match=f"line 1: there is no version {version} of the format"):
        imported(healthy, lines)


def test_an_outcome_that_is_none_stays_an_attribute(new_store_url: Callable[[], str]) -> None:
    """What a program says of an attempt in words of its own is no reason to refuse its run elsewhere."""
    step = {"spandag.node.type": "step", "spandag.attempt.outcome": "fine"}
    url, copy = new_store_url(), recorded(new_store_url(), HEALTHY)
    writer = Writer(url)
    writer.write(
        project(
            [ReadableSpan("s", SpanContext(DAMAGED, 1, False), attributes=step, start_time=1, end_time=2)]
        )
    )
    writer.settle()
    writer.close()

    imported(copy, lines_of(url))

    with open_store(copy) as store:
        found = query.node(store, f"{RUN}/{1:016x}")
    assert (found.node.outcome, found.attributes) == (None, step)


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize(
    ("column", "value"),
    [("dag_nodes.status", "bogus"), ("dag_nodes.node_type", "dog"), ("execution_events.origin", "odd")],
)
def test_a_damaged_row_keeps_no_other_run_from_being_found(
    new_store_url: Callable[[], str], column: str, value: str, behind: bool
) -> None:
    url = recorded(new_store_url(), DAMAGED, HEALTHY)
    table, _, name = column.partition(".")
    damaged, runs = schema.metadata.tables[table], schema.workflow_runs
    with connected(url) as connection:
        connection.execute(damaged.update().where(damaged.c.run_id == RUN).values({name: value}))
        if behind:
            connection.execute(
                runs.update().where(runs.c.id == RUN).values(facts_version=runs.c.facts_version + 1)
            )

    assert OTHER in runs_of(url)
    with open_store(url) as store:
        assert {hit.run_id for hit in query.search(store, node_type="llm").hits} >= {OTHER}
    found = check(url)
    assert not found.ok
    assert (table, f"of a {name} that is not known") in {
        (finding.table, finding.what) for finding in found.findings if finding.wrong
    }


def test_a_run_of_an_unknown_status_counts_as_failed(new_store_url: Callable[[], str]) -> None:
    url = recorded(new_store_url(), DAMAGED)
    runs = schema.workflow_runs
    with connected(url) as connection:
        connection.execute(schema.dag_nodes.update().values(status="bogus"))
        connection.execute(runs.update().values(facts_version=runs.c.facts_version + 1))

    with open_store(url) as store:
        [run] = query.runs(store)
        store.settle()
        [settled] = query.runs(store)

    assert (run.status, settled.status) == ("failed", "failed")
