from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

import spandag
from spandag import query
from spandag.query import QueryError, Spent

from .conftest import Recording, call, kepler


def drawn(tree: query.Tree) -> list[str]:
    """Types and names, indented."""
    return [f"{'  ' * node.depth}{node.node_type} {node.branch_name or node.name}" for node in tree.nodes]


def spans(
    *edges: tuple[int, int | None], trace_id: int = 7, names: dict[int, str] | None = None
) -> list[ReadableSpan]:
    """Finished agent spans with these ids and parents, stored or not."""
    named = names or {}

    def context(span_id: int) -> SpanContext:
        return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(1))

    return [
        ReadableSpan(
            name=f"invoke_agent a{span_id}",
            context=context(span_id),
            parent=None if parent is None else context(parent),
            attributes={
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": named.get(span_id, f"a{span_id}"),
            },
            start_time=1_000 + span_id,
            end_time=2_000 + span_id,
        )
        for span_id, parent in edges
    ]


def test_nodes_follow_their_parents_and_a_redo_its_first_attempt(recording: Recording) -> None:
    run_id = kepler()

    tree = query.tree(recording.store, run_id)

    assert drawn(tree) == [
        "run kepler",
        "  phase planning",
        "    agent planner",
        "      llm gpt-5-mini",
        "  phase control",
        "    step load",
        "      agent loader",
        "        llm own-model",
        "        tool read_csv",
        "    step fit",
        "      agent analyst",
        "        llm gpt-5-mini",
        "    branch_point redo_1",
        "      step fit",
        "        agent analyst",
        "          llm gpt-5-mini",
    ]
    assert tree.hidden == 0
    assert tree.run.id == run_id


def test_what_was_spent_is_summed_upwards_and_unpriced_calls_are_counted(recording: Recording) -> None:
    run_id = kepler()

    tree = query.tree(recording.store, run_id)

    sums = {(node.node_type, node.name, node.attempt): node.spent for node in tree.nodes}
    whole = sums["run", "kepler", None]
    assert whole == Spent(4, 5010, 705, whole.cost_usd, 1)
    assert whole.cost_usd == pytest.approx(0.007)
    assert sums["step", "load", 1] == Spent(1, 10, 5, None, 1)
    assert sums["step", "fit", 1] == Spent(1, 2000, 300, 0.002, 0)
    assert sums["step", "fit", 2] == Spent(1, 2000, 300, 0.004, 0)
    assert sums["tool", "read_csv", None] == Spent()
    assert tree.run.spent == whole


def test_a_redo_says_why_who_and_what_became_of_it(recording: Recording) -> None:
    run_id = kepler()

    tree = query.tree(recording.store, run_id)

    [branch_point] = [node for node in tree.nodes if node.node_type == "branch_point"]
    assert (branch_point.branch_name, branch_point.hypothesis, branch_point.requested_by) == (
        "redo_1",
        "fit in log space",
        "reviewer",
    )
    first, second = [node for node in tree.nodes if node.node_type == "step" and node.name == "fit"]
    assert (first.attempt, first.outcome, first.disposition) == (1, "rejected", "superseded")
    assert (second.attempt, second.outcome, second.disposition) == (2, "accepted", "active")
    assert second.branch_id == branch_point.id
    assert second.step_node_id == first.step_node_id == first.id
    assert all(n.disposition == "superseded" for n in tree.nodes if n.parent_node_id == first.id)


def test_spans_of_other_libraries_are_left_out_and_what_is_below_them_moves_up(recording: Recording) -> None:
    with recording.tracer.start_as_current_span("python"):
        parent = trace.set_span_in_context(trace.get_current_span())
        with recording.tracer.start_as_current_span("invoke_agent a", context=parent) as agent:
            agent.set_attribute("gen_ai.operation.name", "invoke_agent")
            agent.set_attribute("gen_ai.agent.name", "a")
            with recording.tracer.start_as_current_span("POST"):
                call()
            with recording.tracer.start_as_current_span("SELECT"):
                pass

    tree = query.tree(recording.store, "last")
    assert drawn(tree) == ["agent a", "  llm gpt-5-mini"]
    assert tree.hidden == 3
    assert tree.nodes[0].spent == Spent(1, 1000, 100, 0.001, 0)

    whole = query.tree(recording.store, "last", all_spans=True)
    assert drawn(whole) == [
        "span python",
        "  agent a",
        "    span POST",
        "      llm gpt-5-mini",
        "    span SELECT",
    ]
    assert whole.hidden == 0
    assert whole.nodes[0].spent == tree.nodes[0].spent


def test_a_trace_of_plain_spans_is_shown_when_asked_for(recording: Recording) -> None:
    with recording.tracer.start_as_current_span("GET") as span:
        pass

    tree = query.tree(recording.store, format(span.get_span_context().trace_id, "032x"))

    assert drawn(tree) == ["span GET"]
    assert tree.run.name is None


def test_a_node_that_lost_its_parent_is_below_the_run(recording: Recording) -> None:
    with spandag.run("r") as run:
        context = run.span.get_span_context()
    lost = spans((5, 4), trace_id=context.trace_id)
    recording.exporter.export(lost)

    tree = query.tree(recording.store, "last")

    assert drawn(tree) == ["run r", "  agent a5"]
    assert tree.nodes[1].parent_node_id == tree.nodes[0].id


def test_agents_below_a_remote_parent_stand_side_by_side(recording: Recording) -> None:
    recording.exporter.export(spans((5, 4), (6, 4)))

    assert drawn(query.tree(recording.store, "last")) == ["agent a5", "agent a6"]


def test_spans_that_name_each_other_as_parents_are_all_shown(recording: Recording) -> None:
    recording.exporter.export(spans((1, 2), (2, 3), (3, 1), (4, 1)))

    assert sorted(line.strip() for line in drawn(query.tree(recording.store, "last"))) == [
        "agent a1",
        "agent a2",
        "agent a3",
        "agent a4",
    ]


def test_depth_does_not_matter(recording: Recording) -> None:
    recording.exporter.export(spans((1, None), *((i, i - 1) for i in range(2, 3001))))

    tree = query.tree(recording.store, "last")

    assert [node.depth for node in tree.nodes] == list(range(3000))


def test_an_unfinished_run_shows_what_has_arrived(recording: Recording) -> None:
    run = spandag.run("r")
    with run, spandag.phase("p"):
        with spandag.agent("a"):
            call()

        assert drawn(query.tree(recording.store, "last")) == [
            "run r",
            "  phase p",
            "    agent a",
            "      llm gpt-5-mini",
        ]


def test_text_comes_back_as_it_was_recorded(recording: Recording) -> None:
    strange = "nul \x00 surrogate \ud83d mark ␛"
    recording.exporter.export(spans((1, None), names={1: strange}))

    assert query.tree(recording.store, "last").nodes[0].name == strange


def test_the_answer_to_a_wrong_id_is_an_error(recording: Recording) -> None:
    kepler()

    with pytest.raises(QueryError, match="no run starts with 'xyz'"):
        query.tree(recording.store, "xyz")
