"""Nothing that a program puts into its spans keeps them from being stored."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from spandag import query
from spandag.export.project import project
from spandag.export.values import CUT_MARK
from spandag.semconv import CONTENT_ATTRIBUTES
from spandag.store import Writer, open_store

ReadTables = Callable[[str], dict[str, list[dict[str, Any]]]]

TEXTS = {
    "name",
    "agent",
    "step_id",
    "model",
    "provider",
    "session_id",
    "user_id",
    "error_message",
    "input_preview",
}
ABSURD: dict[str, Any] = {
    "10 MB": "x" * 10_000_000,
    "2 MB of other letters": "é" * 1_000_000,
    "NUL": "a\x00b",
    "lone surrogate": "a\ud800b",
    "NaN": float("nan"),
    "infinite": float("-inf"),
    "bytes": b"\x00\xff",
    "huge number": 10**5000,
    "negative": -(2**80),
    "long words that do not compress": "".join(random.Random(1).choices(string.printable + "éß€😀", k=5_000)),
    "huge float": 1.5e300,
    "whole float": 1e16,
    "minus zero": -0.0,
    "empty": "",
    "list of odd things": ["a\x00", "\udfff"],
    "long list": list(range(5_000)),
    "nested": {"a": [1, {"b": None}]},
    "none": None,
    "object": object(),
}
COLUMNS = [
    "spandag.step.id",
    "spandag.step.number",
    "spandag.step.attempt",
    "spandag.attempt.outcome",
    "spandag.redo.hypothesis",
    "spandag.redo.requested_by",
    "spandag.run.task",
    "spandag.iteration.number",
    "spandag.price.source",
    "gen_ai.agent.name",
    "gen_ai.request.model",
    "gen_ai.provider.name",
    "gen_ai.step.name",
    "gen_ai.conversation.id",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.cost",
    "user.id",
    "error.type",
    *CONTENT_ATTRIBUTES,
]


@pytest.mark.parametrize("node_type", ["step", "llm", None])
@pytest.mark.parametrize("case", ABSURD)
def test_an_absurd_value_anywhere_is_stored(
    case: str, node_type: str | None, store_url: str, read_tables: ReadTables
) -> None:
    value = ABSURD[case]
    # As another process may send it: the SDK of this one would not let all of it through.
    attributes = {"spandag.node.type": node_type, "free": value, **dict.fromkeys(COLUMNS, value)}
    word = value if isinstance(value, str) else "word"
    span = ReadableSpan(
        name=word,
        context=SpanContext(1, 2, is_remote=False),
        attributes=attributes,
        events=[
            Event(word, {"exception.message": value}, timestamp=-5),
            Event("exception", {"exception.type": value, "exception.message": value}, timestamp=2**70),
        ],
        links=[Link(SpanContext(3, 4, is_remote=False), {"spandag.link.type": value})],
        status=Status(StatusCode.ERROR, word),
        start_time=2**70,
        end_time=-1,
    )
    writer = Writer(store_url)
    writer.write(project([span]))
    writer.settle()
    assert writer.settle() == 0
    writer.close()
    tables = read_tables(store_url)
    [node] = [node for node in tables["dag_nodes"] if node["node_type"] != "branch_point"]
    assert node["meta"]["kind"] == "internal"
    assert len(json.dumps(node["attributes"], ensure_ascii=False)) < 1_000_000
    assert len(node["input_preview"] or "") <= 4096
    assert node["name"]
    # Whatever the database, it gives back what it was given.
    [row] = [row for row in project([span]).dag_nodes if row.id == node["id"]]
    assert json.dumps(node["attributes"], sort_keys=True) == json.dumps(
        json.loads(str(row.attributes)), sort_keys=True
    )
    assert {column: value for column, value in node.items() if column in TEXTS} == {
        column: value for column, value in row._asdict().items() if column in TEXTS
    }


def test_long_values_are_cut_and_say_so() -> None:
    span = ReadableSpan(
        "s",
        SpanContext(1, 2, is_remote=False),
        attributes={"long": "x" * 100_000, "list": ["y" * 100_000], "n": 1},
    )
    [node] = project([span]).dag_nodes
    attributes = json.loads(str(node.attributes))
    assert attributes.pop("long") == "x" * 16_384 + CUT_MARK
    assert attributes.pop("list") == '["' + "y" * 16_382 + CUT_MARK
    assert attributes == {"n": 1}


@pytest.mark.parametrize("scope", ["spandag.workflow", "somebody.else"])
def test_nul_and_lone_surrogates_read_back_exactly(scope: str, store_url: str) -> None:
    strange = "a\x00b\ud800c␛é"
    messages = [{"role": "user", "parts": [{"type": "text", "content": strange}]}]
    as_list = {
        "spandag.output": strange,
        "gen_ai.input.messages": messages,
        "gen_ai.system_instructions": json.dumps(messages),
        "gen_ai.tool.definitions": [strange],
    }
    span = ReadableSpan(
        strange,
        SpanContext(1, 2, is_remote=False),
        attributes={"free": strange, **as_list},
        start_time=1,
        end_time=2,
        instrumentation_scope=InstrumentationScope(scope),
    )
    writer = Writer(store_url)
    writer.write(project([span]))
    writer.close()
    with open_store(store_url) as store:
        found = query.node(store, "0000000000000002")
    assert (found.node.name, found.attributes) == (strange, {"free": strange})
    assert (found.input_preview, found.output_preview) == (strange, strange)
    assert [(m.direction, m.content) for m in found.messages] == [
        ("system", messages[0]),
        ("tools", f'["{strange}"]'),
        ("input", messages[0]),
        ("output", strange),
    ]


def test_a_span_with_nothing_but_an_identity_is_stored() -> None:
    batch = project([ReadableSpan("", SpanContext(1, 2, is_remote=False))])
    [node] = batch.dag_nodes
    assert (node.name, node.started_at, node.status) == ("span", 0, "running")


def test_a_span_that_cannot_be_read_does_not_take_the_others_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("SPANDAG_STRICT")
    broken = ReadableSpan("broken", SpanContext(1, 2, is_remote=False), links=[None])  # type: ignore[list-item]
    fine = ReadableSpan("fine", SpanContext(1, 3, is_remote=False))
    with caplog.at_level("WARNING", "spandag"):
        batch = project([broken, fine])
    assert [node.name for node in batch.dag_nodes] == ["broken", "fine"]
    assert [record.message.split(" (")[0] for record in caplog.records] == [
        "spandag could not read all of a span"
    ]
