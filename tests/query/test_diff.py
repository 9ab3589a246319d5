"""Two attempts, forks or runs compared, on both databases."""

from __future__ import annotations

import re

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, SpanContext, TraceFlags

import spandag
from spandag import query, semconv
from spandag.query import QueryError, Spent
from spandag.query.diff import _first_divergence
from spandag.query.diff_nodes import NodePair
from spandag.query.render import Page, diff_markdown, render_diff, to_text
from spandag.semconv import NodeType

from .comparing import CONTENT, divergence, node_of, redone, told, work
from .conftest import Recording, call, kepler

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


def test_what_ends_first_differs_first_however_deep_it_is() -> None:
    deep = 30_000
    chain = [NodePair(None, None, depth, None, ("status",)) for depth in range(deep)]

    assert _first_divergence(chain, with_content=True) == (deep - 1, "status")
    beside = NodePair(None, None, 5, None, ("prompt",))
    assert _first_divergence([*chain[:9], beside], with_content=True) == (8, "status")
    below = NodePair(None, None, 9, None, ("prompt", "status"))
    assert _first_divergence([*chain[:9], below], with_content=True) == (9, "prompt")


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
    again = recording.provider.get_tracer("spandag.forks").start_span(
        "invoke_workflow work", context=trace.Context(), links=fork.links, attributes=fork.attributes
    )
    again.end()
    between = query.diff(recording.store, forked, format(again.get_span_context().trace_id, "032x"))
    assert (between.same, between.changed, between.first_divergence) == (1, 0, None)
    with pytest.raises(QueryError, match=r"is no fork: name what to compare it with"):
        query.diff(recording.store, parent.run.id)


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
