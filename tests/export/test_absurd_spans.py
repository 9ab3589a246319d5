"""Nothing that a program puts into its spans keeps them from being stored."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from spandag.export.project import project
from spandag.export.values import CUT_MARK
from spandag.semconv import CONTENT_ATTRIBUTES
from spandag.store import Writer
from spandag.store.text import decode

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
def test_an_absurd_value_anywhere_is_stored(case: str, node_type: str | None, tmp_path: Path) -> None:
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
    path = tmp_path / "s.db"
    writer = Writer(f"sqlite:///{path}")
    writer.write(project([span]))
    writer.settle()
    writer.close()
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT name, attributes, meta, input_preview, length(attributes), json_valid(attributes) FROM dag_nodes"
            " WHERE node_type != 'branch_point'"
        ).fetchall()
        [(name, kept, meta, preview, size, valid)] = rows
        assert valid == 1
        assert json.loads(meta)["kind"] == "internal"
        assert size < 1_000_000
        assert len(preview or "") <= 4096
        assert name
        assert "free" in json.loads(kept)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_long_values_are_cut_and_say_so(tmp_path: Path) -> None:
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


def test_nul_and_lone_surrogates_read_back_exactly(tmp_path: Path) -> None:
    strange = "a\x00b\ud800c␛"
    span = ReadableSpan(
        "s",
        SpanContext(1, 2, is_remote=False),
        attributes={"free": strange, "spandag.output": strange},
        start_time=1,
        end_time=2,
        # Scrubbing takes lone surrogates away; our own spans are not scrubbed again.
        instrumentation_scope=InstrumentationScope("spandag.workflow"),
    )
    path = tmp_path / "s.db"
    writer = Writer(f"sqlite:///{path}")
    writer.write(project([span]))
    writer.close()
    with closing(sqlite3.connect(path)) as connection:
        [free] = connection.execute("SELECT attributes ->> '$.free' FROM dag_nodes").fetchone()
        [output] = connection.execute("SELECT content FROM messages").fetchone()
    assert (decode(free), decode(output)) == (strange, strange)


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
