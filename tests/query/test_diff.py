"""Two attempts, forks or runs compared, on both databases."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, SpanContext, TraceFlags
from rich.cells import cell_len
from spandag_test_live import Process, run_id

import spandag
from spandag import query, semconv
from spandag.query import Diff, QueryError, Spent
from spandag.query.as_json import as_json
from spandag.query.render import Page, diff_markdown, render_diff, to_text
from spandag.semconv import NodeType
from spandag.store import open_store

from .conftest import Recording, call, kepler
from .test_render import normal

GOLDEN = Path(__file__).parent / "golden"
CONTENT = pytest.mark.usefixtures("capture_content")


def redone() -> str:
    """A step that was done again with another prompt and other arguments; gives the run's id."""
    with spandag.run("report") as run:
        for attempt in spandag.step("fit").attempts(max_redos=2):
            first = attempt.number == 1
            with attempt, spandag.agent("engineer", input="Fit the periods."):
                prompt = "Fit the periods of the planets." if first else "Fit the periods in log space."
                with spandag.chat("gpt-4o-mini", provider="openai", input=prompt) as chat:
                    chat.set_usage(1000 * attempt.number, 100, cost=0.001 * attempt.number)
                    chat.set_output("I call the tool.")
                with spandag.tool("fit", arguments={"law": "linear" if first else "power"}) as tool:
                    tool.set_output("bad" if first else "good")
                if first:
                    attempt.reject("Fit in log space.", requested_by="reviewer")
    return format(run.span.get_span_context().trace_id, "032x")


def work(*steps: str, answer: str = "fine", model: str = "m") -> str:
    """A run of steps with an agent that calls a model and a tool in each; gives its id."""
    with spandag.run("work") as run:
        for step in steps:
            with spandag.step(step), spandag.agent("worker"):
                with spandag.chat(model, provider="p", input=f"Do {step}.") as chat:
                    chat.set_usage(100, 10, cost=0.1)
                    chat.set_output(answer)
                with spandag.tool(step, arguments={"of": step}):
                    pass
    return format(run.span.get_span_context().trace_id, "032x")


def told(diff: Diff) -> list[str]:
    """What differs: the node's type and name, with what."""
    return [
        f"{pair.node.node_type} {pair.node.name}: {', '.join(pair.differs)}"
        for pair in diff.pairs
        if pair.differs
    ]


def divergence(diff: Diff) -> str | None:
    first = diff.first_divergence
    return None if first is None else f"{first.what} of {first.pair.node.node_type} {first.pair.node.name}"


def node_of(recording: Recording, name: str, run: str = "last", attempt: int | None = None) -> str:
    return next(
        node.id
        for node in query.tree(recording.store, run, all_spans=True).nodes
        if node.name == name and attempt in (None, node.attempt) and ":" not in node.id
    )


# --- attempts ------------------------------------------------------------------------


@CONTENT
def test_a_redo_is_compared_with_the_first_attempt(recording: Recording) -> None:
    redone()

    diff = query.diff(recording.store, node_of(recording, "fit"))

    assert (diff.a.outcome, diff.b.outcome) == ("rejected", "accepted")
    assert (diff.a.hypothesis, diff.b.hypothesis, diff.b.requested_by) == (
        None,
        "Fit in log space.",
        "reviewer",
    )
    assert told(diff) == [
        "step fit: outcome",
        "llm gpt-4o-mini: prompt, tokens, cost",
        "tool fit: tool_call, output",
    ]
    assert divergence(diff) == "prompt of llm gpt-4o-mini"
    assert (diff.same, diff.changed, diff.only_a, diff.only_b) == (1, 3, 0, 0)
    assert (diff.a.spent, diff.b.spent) == (Spent(1, 1000, 100, 0.001), Spent(1, 2000, 100, 0.002))
    assert (diff.difference.input_tokens, diff.difference.cost_usd) == (1000, pytest.approx(0.001))
    [llm] = [pair for pair in diff.pairs if pair.node.node_type == NodeType.LLM]
    assert llm.content is not None
    [prompt] = llm.content
    [message] = prompt.messages
    assert (prompt.what, prompt.direction, prompt.same) == ("prompt", "input", 0)
    assert message.a is not None
    assert message.b is not None
    assert message.a.content["parts"][0]["content"] == "Fit the periods of the planets."
    assert message.b.content["parts"][0]["content"] == "Fit the periods in log space."


@CONTENT
def test_attempts_can_be_named_by_any_node_of_theirs_and_by_branch_points(recording: Recording) -> None:
    redone()
    first, second = node_of(recording, "fit", attempt=1), node_of(recording, "fit", attempt=2)
    agent = node_of(recording, "engineer")
    expected = query.diff(recording.store, first, second)

    for names in (
        (first,),
        (second,),
        (agent,),
        (f"bp:{second}",),
        (first, f"bp:{second}"),
        (f"last/{first}",),
    ):
        assert query.diff(recording.store, *names) == expected
    assert query.diff(recording.store, second, first).difference.input_tokens == -1000


@CONTENT
def test_first_and_last_of_several_attempts_are_compared(recording: Recording) -> None:
    with spandag.run("r"), pytest.raises(spandag.RedoLimitExceeded):
        for attempt in spandag.step("s").attempts(max_redos=2):
            with attempt:
                call()
                attempt.reject(hypothesis=f"h{attempt.number}")

    diff = query.diff(recording.store, node_of(recording, "s"))

    assert (diff.a.node and diff.a.node.attempt, diff.b.node and diff.b.node.attempt) == (1, 3)
    assert diff.b.hypothesis == "h2"
    assert diff.first_divergence is None
    assert to_text(render_diff(diff, Page())).endswith("\nno difference but time\n")


# --- runs ----------------------------------------------------------------------------


@CONTENT
def test_the_same_again_differs_in_nothing_but_time(recording: Recording) -> None:
    a, b = redone(), redone()

    diff = query.diff(recording.store, a, b)

    assert (told(diff), diff.first_divergence, diff.has_content) == ([], None, True)
    assert query.diff(recording.store, "last~1", "last") == diff
    assert query.diff(recording.store, "last", "last").difference.duration_ns == 0


@CONTENT
def test_a_step_more_is_only_in_one_run_and_no_other_is_moved(recording: Recording) -> None:
    work("load", "fit", "plot")
    work("load", "clean", "fit", "plot")

    diff = query.diff(recording.store, "last~1", "last")

    assert (diff.same, diff.changed, diff.only_a, diff.only_b) == (13, 0, 0, 4)
    assert divergence(diff) == "structure of step clean"
    assert [pair.a is None for pair in diff.pairs if pair.differs] == [True] * 4
    text = to_text(render_diff(diff, Page()))
    assert "first divergence: only in b · step 2 clean  below run work\n" in text
    assert "+   step 2 clean  only in b, with 3 below · ✓ accepted · 110 tokens" in text
    back = query.diff(recording.store, "last", "last~1")
    assert (back.only_a, back.only_b, divergence(back)) == (4, 0, "structure of step clean")


@CONTENT
def test_calls_of_another_model_are_compared(recording: Recording) -> None:
    work("load", model="small")
    work("load", model="large", answer="finer")

    diff = query.diff(recording.store, "last~1", "last")

    assert told(diff) == ["llm large: model, output"]
    assert divergence(diff) == "model of llm large"
    assert " · model small → large" in to_text(render_diff(diff, Page()))


@CONTENT
def test_what_comes_out_differs_when_it_ends_and_not_before(recording: Recording) -> None:
    """The run's own output comes first in the tree and last in time."""
    for answer in ("yes", "no"):
        with spandag.run("r") as run, spandag.agent("a", input="question") as agent:
            with spandag.chat("m", provider="p", input="question") as chat:
                chat.set_output(answer)
            agent.set_output(answer)
            run.set_output(answer)

    diff = query.diff(recording.store, "last~1", "last")

    assert told(diff) == ["run r: output", "agent a: output", "llm m: output"]
    assert divergence(diff) == "output of llm m"


def test_an_error_is_a_difference_of_where_it_happened_first(recording: Recording) -> None:
    for fails in (False, True):
        try:
            with spandag.run("r"), spandag.agent("a"), spandag.tool("t"):
                if fails:
                    raise ValueError("broken")
        except ValueError:
            pass

    diff = query.diff(recording.store, "last~1", "last")

    assert divergence(diff) == "error of tool t"
    assert (diff.a.failed, diff.b.failed, diff.difference.failed) == (0, 3, 3)
    assert "        + ValueError: broken\n" in to_text(render_diff(diff, Page()))


def test_runs_without_content_are_compared_by_structure_status_and_tokens(recording: Recording) -> None:
    redone()

    diff = query.diff(recording.store, node_of(recording, "fit"))

    assert not diff.has_content
    assert told(diff) == ["step fit: outcome", "llm gpt-4o-mini: tokens, cost"]
    assert divergence(diff) == "tokens of llm gpt-4o-mini"
    assert all(pair.content is None for pair in diff.pairs)
    assert "no content was recorded in either run: structure, status" in to_text(render_diff(diff, Page()))


def test_content_of_one_run_only_is_not_compared(
    recording: Recording, request: pytest.FixtureRequest
) -> None:
    work("load")
    request.getfixturevalue("capture_content")
    work("load", answer="other")

    diff = query.diff(recording.store, "last~1", "last")

    assert (diff.a.has_content, diff.b.has_content, diff.has_content) == (False, True, False)
    assert told(diff) == []
    assert "no content was recorded in the run of a: " in diff_markdown(diff, Page())


def test_very_different_runs_are_compared_from_their_tops(recording: Recording) -> None:
    kepler()
    with spandag.run("other"), spandag.agent("painter"):
        call("another", (7, 3), None)

    diff = query.diff(recording.store, "last~1", "last")

    assert diff.pairs[0].differs == ("name",)
    assert divergence(diff) == "name of run other"
    assert (diff.changed, diff.only_a, diff.only_b) == (1, 15, 2)
    assert diff.difference.cost_usd is None
    assert re.search(r"cost +≥ \$0\.0070 +\? +\?\n", to_text(render_diff(diff, Page())))


def test_iterations_are_compared_by_their_number(recording: Recording) -> None:
    for numbers in ((1, 2, 3), (1, 3)):
        with spandag.run("r"), spandag.agent("a"):
            for number in numbers:
                attributes = {
                    semconv.SPANDAG_NODE_TYPE: NodeType.ITERATION,
                    semconv.SPANDAG_ITERATION_NUMBER: number,
                }
                recording.provider.get_tracer("t").start_span("i", attributes=attributes).end()

    diff = query.diff(recording.store, "last~1", "last")

    assert [
        (pair.a and pair.a.step_number, pair.b and pair.b.step_number)
        for pair in diff.pairs
        if pair.node.node_type == NodeType.ITERATION
    ] == [(1, 1), (2, None), (3, 3)]


def test_a_fork_is_compared_with_the_run_that_it_goes_on_from(recording: Recording) -> None:
    work("load", "fit")
    parent = query.tree(recording.store, "last")
    node = parent.nodes[1]
    target = SpanContext(int(parent.run.id, 16), int(node.id, 16), is_remote=True, trace_flags=TraceFlags(1))
    fork = recording.provider.get_tracer("spandag.forks").start_span(
        "invoke_workflow work",
        context=trace.Context(),
        links=[Link(target, {semconv.SPANDAG_LINK_TYPE: "fork_of"})],
        attributes={
            semconv.SPANDAG_NODE_TYPE: NodeType.RUN,
            semconv.GEN_AI_WORKFLOW_NAME: "work",
            semconv.SPANDAG_FORK_ROOT_RUN_ID: parent.run.id,
            semconv.SPANDAG_FORK_DEPTH: 1,
        },
    )
    fork.end()
    forked = format(fork.get_span_context().trace_id, "032x")

    diff = query.diff(recording.store, forked)

    assert (diff.a.run.id, diff.b.run.id) == (parent.run.id, forked)
    assert divergence(diff) == "structure of step load"
    with pytest.raises(QueryError, match=r"is no fork: name what to compare it with"):
        query.diff(recording.store, parent.run.id)


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


def test_ids_of_tool_calls_make_no_difference(recording: Recording) -> None:
    text = "Calling tools: [{'id': 'call_%s'}]"
    history(recording, called("x1", of=1), answered("x1", "ok"), said("user", text % "kAb12345678"))
    history(recording, called("y2", of=1), answered("y2", "ok"), said("user", text % "Zq987654321"))
    history(recording, called("z3", of=2), answered("z3", "ok"), said("user", text % "Zq987654321"))

    assert told(query.diff(recording.store, "last~2", "last~1")) == []
    [pair] = query.diff(recording.store, "last~1", "last").pairs
    assert pair.differs == ("prompt",)
    assert pair.content is not None
    assert [m.b and m.b.role for m in pair.content[0].messages] == ["assistant"]


def test_ids_within_arguments_are_a_difference(recording: Recording) -> None:
    history(recording, called("x", id="mars"))
    history(recording, called("x", id="venus"))

    assert told(query.diff(recording.store, "last~1", "last")) == ["llm m: prompt"]


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


# --- what is meant -------------------------------------------------------------------


def test_what_cannot_be_compared_is_said_in_one_line(recording: Recording) -> None:
    with recording.tracer.start_as_current_span("GET /"):
        pass
    with pytest.raises(QueryError, match="the store has no runs yet"):
        query.diff(recording.store, "last", "last")
    kepler()
    load, llm = node_of(recording, "load"), node_of(recording, "planner")

    for names, message in (
        (("last~3", "last"), r"there is no run last~3: the store has 1 run"),
        (("nothing", "last"), r"no run and no node starts with 'nothing'; newest runs: .*tree RUN --ids"),
        ((f"{1:032x}", "last"), r"no run starts with '0+1'"),
        ((load,), r"step 'load' has one attempt only"),
        ((llm,), r"is not part of a step: name what to compare it with"),
        (("last/ffffffff", "last"), r"no node of run .* starts with 'ffffffff'"),
    ):
        with pytest.raises(QueryError, match=message) as raised:
            query.diff(recording.store, *names)
        assert "\n" not in str(raised.value)


def test_a_beginning_that_a_run_and_a_node_share_is_ambiguous(recording: Recording) -> None:
    context = SpanContext(0xABCD << 112, 0xABCD << 48, is_remote=False, trace_flags=TraceFlags(1))
    attributes = {semconv.SPANDAG_NODE_TYPE: "tool", semconv.GEN_AI_TOOL_NAME: "t"}
    recording.exporter.export(
        [ReadableSpan(name="t", context=context, attributes=attributes, start_time=1, end_time=2)]
    )

    with pytest.raises(
        QueryError, match=r"'abcd' begins both run abcd0000 and node abcd0000; .*abcd0000/abcd0000"
    ):
        query.diff(recording.store, "abcd", "last")


# --- text ----------------------------------------------------------------------------


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
