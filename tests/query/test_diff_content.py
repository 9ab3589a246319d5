"""What is said in two attempts or runs compared, and how it is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags
from rich.cells import cell_len
from spandag_test_databases import connected
from spandag_test_live import Process, run_id
from sqlalchemy import update

import spandag
from spandag import query, semconv
from spandag.query import QueryError
from spandag.query.as_json import as_json
from spandag.query.render import Page, diff_markdown, render_diff, to_text
from spandag.semconv import NodeType
from spandag.store import open_store, schema

from .comparing import CONTENT, divergence, node_of, redone, told, work
from .conftest import Recording
from .test_render import normal

GOLDEN = Path(__file__).parent / "golden"

# --- content -------------------------------------------------------------------------


def history(recording: Recording, *messages: dict[str, object]) -> None:
    """A run with one model call with these messages."""
    attributes = {
        semconv.SPANDAG_NODE_TYPE: NodeType.LLM,
        semconv.GEN_AI_REQUEST_MODEL: "m",
        semconv.GEN_AI_INPUT_MESSAGES: json.dumps(messages),
    }
    recording.tracer.start_span("chat m", context=trace.Context(), attributes=attributes).end()


def said(role: str, text: str) -> dict[str, object]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def called(call_id: str, **arguments: object) -> dict[str, object]:
    part = {"type": "tool_call", "id": call_id, "name": "t", "arguments": arguments}
    return {"role": "assistant", "parts": [part]}


def answered(call_id: str, response: str) -> dict[str, object]:
    return {"role": "tool", "parts": [{"type": "tool_call_response", "id": call_id, "response": response}]}


def test_of_a_history_only_new_and_changed_messages_are_told(recording: Recording) -> None:
    history(recording, said("system", "Be short."), said("user", "one"), said("user", "two"))
    history(
        recording,
        said("system", "Be long."),
        said("user", "one"),
        said("assistant", "1"),
        said("user", "two"),
    )

    diff = query.diff(recording.store, "last~1", "last")

    [pair] = diff.pairs
    assert pair.content is not None
    [change] = pair.content
    assert change.same == 2
    assert [(m.a and m.a.role, m.b and m.b.role) for m in change.messages] == [
        ("system", "system"),
        (None, "assistant"),
    ]


IN_TEXT = "Calling tools:\n[{'id': '%s', 'type': 'function', 'function': {'name': 't', 'arguments': {}}}]"
"""How smolagents writes a call."""


def test_ids_of_tool_calls_make_no_difference(recording: Recording) -> None:
    history(recording, called("x1", of=1), answered("x1", "ok"), said("user", IN_TEXT % "call_kAb12345"))
    history(recording, called("y2", of=1), answered("y2", "ok"), said("user", IN_TEXT % "call_Zq987654"))
    history(recording, called("z3", of=2), answered("z3", "ok"), said("user", IN_TEXT % "call_Zq987654"))

    assert told(query.diff(recording.store, "last~2", "last~1")) == []
    [pair] = query.diff(recording.store, "last~1", "last").pairs
    assert pair.differs == ("prompt",)
    assert pair.content is not None
    assert [m.b and m.b.role for m in pair.content[0].messages] == ["assistant"]


def test_ids_within_arguments_are_a_difference(recording: Recording) -> None:
    history(recording, called("x", id="mars"))
    history(recording, called("x", id="venus"))

    assert told(query.diff(recording.store, "last~1", "last")) == ["llm m: prompt"]


def using(arguments: object, result: object = "done") -> None:
    with spandag.run("r"), spandag.tool("t", arguments=arguments) as tool:
        tool.set_output(result)


def test_the_order_of_the_keys_of_json_makes_no_difference(
    recording: Recording, capture_content: None
) -> None:
    using({"a": 1, "b": [{"c": 2, "d": 3}]}, {"x": 1, "y": 2})
    using({"b": [{"d": 3, "c": 2}], "a": 1.0}, {"y": 2, "x": 1})
    using('{"b": [{"d": 3, "c": 2}], "a": 1}', {"y": 2, "x": 1})
    using({"b": [{"d": 3, "c": 4}], "a": 1}, {"y": 2, "x": 1})

    assert told(query.diff(recording.store, "last~3", "last~2")) == []
    assert told(query.diff(recording.store, "last~2", "last~1")) == []
    assert told(query.diff(recording.store, "last~1", "last")) == ["tool t: tool_call"]
    assert divergence(query.diff(recording.store, "last~1", "last")) is not None


def test_the_order_of_lists_and_true_for_one_are_a_difference(
    recording: Recording, capture_content: None
) -> None:
    using({"a": [1, 2]})
    using({"a": [2, 1]})
    using({"a": [True, 1]})

    assert told(query.diff(recording.store, "last~2", "last~1")) == ["tool t: tool_call"]
    assert told(query.diff(recording.store, "last~1", "last")) == ["tool t: tool_call"]


def test_keys_in_another_order_make_no_difference_where_both_sides_have_both(
    recording: Recording, capture_content: None
) -> None:
    for orders in (("ab", "ab", "ba"), ("ab", "ba", "ba")):
        with spandag.run("r"):
            for order in orders:
                with spandag.tool("t", arguments={key: ord(key) for key in order}):
                    pass

    assert told(query.diff(recording.store, "last~1", "last")) == []


def test_keys_in_another_order_make_no_difference_in_the_calls_of_a_prompt(recording: Recording) -> None:
    history(recording, called("x", a=1, b=2), called("y", of=1))
    history(recording, called("x", b=2, a=1.0), called("y", of=1))
    as_text = [
        {"role": "assistant", "parts": [{"type": "tool_call", "name": "t", "arguments": text}]}
        for text in ('{"a":1,"b":2}', '{"b": 2, "a": 1}')
    ]
    history(recording, as_text[0])
    history(recording, as_text[1])

    assert told(query.diff(recording.store, "last~3", "last~2")) == []
    assert told(query.diff(recording.store, "last~1", "last")) == []


def test_what_means_the_same_is_found_among_much_that_is_the_same(
    recording: Recording, capture_content: None
) -> None:
    runs = []
    for call_id, keys in (("call_abcdefghabcdefghabcdefg1", "ab"), ("call_zyxwvutszyxwvutszyxwvut2", "ba")):
        with spandag.run("r") as run, spandag.agent("a"):
            for number in range(20):
                attributes = {
                    semconv.SPANDAG_NODE_TYPE: NodeType.LLM,
                    semconv.GEN_AI_REQUEST_MODEL: "m",
                    semconv.GEN_AI_INPUT_MESSAGES: json.dumps([said("user", f"question {number}")]),
                }
                recording.tracer.start_span("chat m", attributes=attributes).end()
            with spandag.tool("t", arguments=dict.fromkeys(keys, 1)) as tool:
                tool.set_output(f"as {call_id} said")
        runs.append(format(run.span.get_span_context().trace_id, "032x"))
    tools = [f"{run}/{node_of(recording, 't', run)}" for run in runs]

    for names in (runs, tools):
        assert told(query.diff(recording.store, *names)) == []


@pytest.mark.parametrize("older", [[0], [1], [0, 1]])
def test_runs_of_older_versions_are_compared_as_all_others(
    recording: Recording, capture_content: None, older: list[int]
) -> None:
    """Before revision 0005 a store did not keep what messages mean."""
    runs = []
    for call_id, answer in (
        ("call_abcdefghabcdefghabcdefg1", "one"),
        ("call_zyxwvutszyxwvutszyxwvut2", "other"),
    ):
        with spandag.run("r") as run:
            written = IN_TEXT % call_id[-2:], f"Call id: {call_id[-3:]}\nError:\nNo such tool"
            for text in ("the same", f"as {call_id} said", *written, answer):
                attributes = {
                    semconv.SPANDAG_NODE_TYPE: NodeType.LLM,
                    semconv.GEN_AI_REQUEST_MODEL: "m",
                    semconv.GEN_AI_INPUT_MESSAGES: json.dumps([called(call_id, of=1), said("user", text)]),
                }
                recording.tracer.start_span("chat m", attributes=attributes).end()
        runs.append(format(run.span.get_span_context().trace_id, "032x"))
    diff = query.diff(recording.store, *runs)
    assert told(diff) == ["llm m: prompt"]

    with connected(recording.url) as connection:
        lists = schema.node_messages
        for each in older:
            connection.execute(update(lists).where(lists.c.run_id == runs[each]).values(meaning=None))
        connection.commit()

    assert query.diff(recording.store, *runs) == diff


def test_a_list_that_both_sides_have_means_the_same_as_one_in_another_order(recording: Recording) -> None:
    orders = ('{"a":1,"b":2}', '{"b":2,"a":1}')
    for first, second in ((0, 1), (1, 0)):
        with spandag.run("r"):
            for order in (first, second):
                attributes = {
                    semconv.SPANDAG_NODE_TYPE: NodeType.LLM,
                    semconv.GEN_AI_REQUEST_MODEL: "m",
                    semconv.GEN_AI_INPUT_MESSAGES: json.dumps([orders[order], "the same"]),
                }
                recording.tracer.start_span("chat m", attributes=attributes).end()

    assert told(query.diff(recording.store, "last~1", "last")) == []


@pytest.mark.parametrize(
    ("before", "after", "codes"),
    [
        ("caf\u00e9", "cafe\u0301", "U+00E9 / U+0065 U+0301"),
        ("ten km", "ten\u00a0km", "U+0020 / U+00A0"),
        ("planet", "pla\u00adnet", "U+0061 / U+0061 U+00AD"),
        ("end", "end\ufeff", "U+0064 / U+0064 U+FEFF"),
    ],
)
def test_of_texts_that_look_the_same_it_is_said_in_what_they_differ(
    recording: Recording, before: str, after: str, codes: str
) -> None:
    history(recording, said("user", f"first line\n{before}"))
    history(recording, said("user", f"first line\n{after}"))

    diff = query.diff(recording.store, "last~1", "last")

    note = f"differs only in characters that look alike: {codes}\n"
    assert note in to_text(render_diff(diff, Page()))
    assert note in diff_markdown(diff, Page())


def test_of_texts_that_differ_visibly_nothing_is_said(recording: Recording) -> None:
    history(recording, said("user", "caf\u00e9"))
    history(recording, said("user", "cafe"))

    assert "look alike" not in to_text(render_diff(query.diff(recording.store, "last~1", "last"), Page()))


def test_content_is_loaded_of_what_is_shown_only(recording: Recording, capture_content: None) -> None:
    work("a", "b", "c", answer="one")
    work("a", "b", "c", answer="two")

    loaded = {
        limit: [
            pair.content is not None
            for pair in query.diff(recording.store, "last~1", "last", limit=limit).pairs
            if pair.differs
        ]
        for limit in (0, 2, None)
    }

    # The first divergence is always shown.
    assert loaded == {0: [True, False, False], 2: [True, True, False], None: [True, True, True]}
    diff = query.diff(recording.store, "last~1", "last")
    assert "… 2 more that differ; all of them: --limit 0" in to_text(render_diff(diff, Page(), limit=1))


# --- what is not whole ---------------------------------------------------------------


def test_a_run_that_goes_on_is_compared_as_far_as_it_is(store_url: str) -> None:
    process = Process(store_url)
    runs = []
    for ended in (True, False):
        run = process.start(NodeType.RUN, "r")
        process.end(process.step("load", run))
        fit = process.step("fit", run)
        if ended:
            process.end(process.start(NodeType.TOOL, "t", fit))
            process.end(fit, run)
        runs.append(run_id(run))

    with open_store(store_url) as store:
        diff = query.diff(store, *runs)
    process.close()

    assert told(diff) == ["run r: status", "step fit: status", "tool t: structure"]
    assert divergence(diff) == "structure of tool t"
    assert (diff.b.status, diff.difference.duration_ns) == ("running", None)
    assert "b is running: what it has not done yet is only in a\n" in to_text(render_diff(diff, Page()))


def test_what_lost_its_parent_is_compared_below_the_run(recording: Recording) -> None:
    def context(trace_id: int, span_id: int) -> SpanContext:
        return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(1))

    def span(trace_id: int, span_id: int, parent: int | None, node_type: str, name: str) -> ReadableSpan:
        named = {NodeType.RUN: semconv.GEN_AI_WORKFLOW_NAME, NodeType.AGENT: semconv.GEN_AI_AGENT_NAME}
        return ReadableSpan(
            name=name,
            context=context(trace_id, span_id),
            parent=None if parent is None else context(trace_id, parent),
            attributes={semconv.SPANDAG_NODE_TYPE: node_type, named[node_type]: name},
            start_time=1_000 + span_id,
            end_time=2_000 + span_id,
        )

    for trace_id, middle in ((7, True), (8, False)):
        recording.exporter.export(
            [
                span(trace_id, 1, None, NodeType.RUN, "r"),
                *([span(trace_id, 2, 1, NodeType.AGENT, "a")] if middle else []),
                span(trace_id, 3, 2, NodeType.AGENT, "b"),
            ]
        )

    diff = query.diff(recording.store, f"{7:032x}", f"{8:032x}")

    assert told(diff) == ["agent a: structure", "agent b: structure", "agent b: structure"]


def test_a_redo_whose_first_attempt_is_missing_has_nothing_to_be_compared_with(recording: Recording) -> None:
    attributes = {
        semconv.SPANDAG_NODE_TYPE: "step",
        semconv.GEN_AI_STEP_NAME: "fit",
        semconv.SPANDAG_STEP_ID: "00000000000000aa",
        semconv.SPANDAG_STEP_ATTEMPT: 2,
    }
    with spandag.run("r"):
        recording.provider.get_tracer("t").start_span("fit", attributes=attributes).end()

    with pytest.raises(QueryError, match="step 'fit' has one attempt only: name what to compare it with"):
        query.diff(recording.store, node_of(recording, "fit"))


def test_thousands_of_siblings_are_aligned(recording: Recording) -> None:
    def spans(trace_id: int, names: list[str]) -> Iterator[ReadableSpan]:
        def context(span_id: int) -> SpanContext:
            return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(1))

        for place, name in enumerate(["top", *names], start=1):
            yield ReadableSpan(
                name=name,
                context=context(place),
                parent=None if place == 1 else context(1),
                attributes={semconv.SPANDAG_NODE_TYPE: "tool", semconv.GEN_AI_TOOL_NAME: name},
                start_time=place,
                end_time=10_000 + place,
            )

    names = [f"t{i % 7}" for i in range(5_000)]
    recording.exporter.export(list(spans(7, names)))
    recording.exporter.export(list(spans(8, [*names[:1_000], "new", *names[1_000:3_000], *names[3_001:]])))

    diff = query.diff(recording.store, f"{7:032x}", f"{8:032x}")

    assert (diff.same, diff.changed, diff.only_a, diff.only_b) == (5_000, 0, 1, 1)
    assert divergence(diff) == "structure of tool new"


# --- text ----------------------------------------------------------------------------


@CONTENT
def test_a_task_a_system_prompt_and_tools_are_compared(recording: Recording) -> None:
    for task, manner, tool in (("fit it", "short", "look"), ("plot it", "long", "see")):
        said = {
            semconv.GEN_AI_OPERATION_NAME: "chat",
            semconv.GEN_AI_REQUEST_MODEL: "m",
            semconv.GEN_AI_SYSTEM_INSTRUCTIONS: json.dumps([{"type": "text", "content": manner}]),
            semconv.GEN_AI_TOOL_DEFINITIONS: json.dumps([{"type": "function", "name": tool}]),
        }
        with (
            spandag.run("r"),
            spandag.agent("a", input=task),
            recording.tracer.start_as_current_span("chat m", attributes=said),
        ):
            pass

    diff = query.diff(recording.store, "last~1", "last")

    assert told(diff) == ["agent a: input", "llm m: prompt"]
    changes = [(each.what, each.direction) for pair in diff.pairs for each in pair.content or []]
    assert changes == [("input", "input"), ("prompt", "system"), ("prompt", "tools")]
    drawn = to_text(render_diff(diff, Page(100)))
    assert all(word in drawn for word in ("fit it", "plot it", "short", "long", "look", "see"))


@CONTENT
def test_a_comparison_is_drawn_as_in_the_golden_files(recording: Recording) -> None:
    redone()
    diff = query.diff(recording.store, node_of(recording, "fit"))

    def steady(text: str) -> str:
        text = re.sub(r"(?m)^(duration|\| duration).*", r"\1", normal(text))
        return re.sub(r"[+-] 1ms", "1ms", text)

    for name, text in (
        ("diff.txt", to_text(render_diff(diff, Page()))),
        ("diff_wide.txt", to_text(render_diff(diff, Page(width=140)))),
        ("diff.md", diff_markdown(diff, Page())),
    ):
        assert steady(text) == (GOLDEN / name).read_text(encoding="utf-8")


@CONTENT
def test_long_texts_are_shown_where_they_differ(recording: Recording) -> None:
    lines = [f"line {i}" for i in range(200)]
    work("a", answer="\n".join(lines))
    lines[100] = "line a hundred"
    work("a", answer="\n".join(lines))

    text = to_text(render_diff(query.diff(recording.store, "last~1", "last"), Page()))

    assert (
        "… 99 lines that are the same\n            line 99\n          - line 100\n          + line a hundred\n"
        in text
    )
    assert "line 98\n" not in text


@CONTENT
def test_every_line_fits_and_controls_nothing(recording: Recording) -> None:
    word = "日本 \x1b[31m\ud83d " * 200
    work("a", answer=f"{word}one {word}")
    work("a", answer=f"{word}two {word}")
    diff = query.diff(recording.store, "last~1", "last")

    for width in (40, 100, 120, 160):
        lines = to_text(render_diff(diff, Page(width=width))).splitlines()
        assert max(map(cell_len, lines)) <= width
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]", "".join(lines))
    assert any("one" in line for line in lines)
    assert to_text(render_diff(diff, Page(encoding="ascii"))).isascii()


@CONTENT
def test_the_words_that_differ_stand_out(recording: Recording) -> None:
    work("a", answer="The law is linear in time.")
    work("a", answer="The law is a power of time.")

    lines = render_diff(query.diff(recording.store, "last~1", "last"), Page())

    assert [text for line in lines for text, style in line if style == "bold red"] == ["linear in"]
    assert [text for line in lines for text, style in line if style == "bold green"] == ["a power of"]


@CONTENT
def test_markdown_of_others_stays_text(recording: Recording) -> None:
    work("a|`b`*c*", answer="```\n| x |\n```")
    work("a|`b`*c*", answer="````\n| y |\n````", model="m|*n*")

    text = diff_markdown(query.diff(recording.store, "last~1", "last"), Page())

    assert "`````diff\n" in text
    assert text.count("`````") == 2
    assert r"model m → m\|\*n\*" in text
    assert "``run work · step 1 a|`b`*c* · agent worker``" in text


@CONTENT
def test_json_has_the_columns_of_the_store(recording: Recording) -> None:
    redone()

    answer = as_json(query.diff(recording.store, node_of(recording, "fit")))

    assert set(answer) == {
        "a",
        "b",
        "difference",
        "has_content",
        "same",
        "changed",
        "only_a",
        "only_b",
        "first_divergence",
        "pairs",
    }
    assert {"run", "node", "status", "input_tokens", "cost_usd", "started_at"} <= set(answer["a"])
    assert set(answer["pairs"][0]) == {"a", "b", "depth", "above", "differs", "content"}
    assert answer["first_divergence"]["pair"] == answer["pairs"][answer["first_divergence"]["place"]]
    assert json.loads(json.dumps(answer))["pairs"][0]["a"]["name"] == "fit"
