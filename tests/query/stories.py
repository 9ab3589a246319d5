"""Runs in which things go wrong, and what makes a store fall behind."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, Tracer, use_span
from spandag_test_databases import connected
from sqlalchemy import text

import spandag
from spandag import semconv
from spandag.semconv import LinkType

from .conftest import call


def report() -> str:
    """A step that is redone once, one that spends its limit, and a tool that fails where it does not matter."""
    with pytest.raises(spandag.RedoLimitExceeded), spandag.run("report", session="alice") as run:
        with spandag.phase("planning"), spandag.agent("planner"):
            call(tokens=(500, 100), cost=0.001)
        with spandag.phase("control"):
            for attempt in spandag.step("fit").attempts(max_redos=2):
                with attempt, spandag.agent("engineer"):
                    if attempt.number == 1:
                        failing_tool("read_csv", FileNotFoundError("planets.csv"))
                    for name in ("fit_line", "fit_line", "fit_line", "plot"):
                        with spandag.tool(name):
                            pass
                    call(tokens=(1000, 100), cost=0.002)
                    if attempt.number == 1:
                        attempt.reject("try a power law", "reviewer")
            for attempt in spandag.step("plot").attempts(max_redos=1):
                with attempt, spandag.agent("artist"):
                    call("house-model", (800, 100), None)
                    attempt.reject("the axes have no units", "human")
    return format(run.span.get_span_context().trace_id, "032x")


def failing_tool(name: str, error: Exception) -> None:
    """A tool whose failure the agent copes with."""
    with contextlib.suppress(type(error)), spandag.tool(name):
        raise error


def fall_behind(url: str) -> None:
    """Make all runs as they are between two derivations: nothing that is derived can be relied upon."""
    with connected(url) as connection:
        for statement in (
            "UPDATE workflow_runs SET facts_version = facts_version + 1, status = 'running', branch_parent_id = NULL",
            "UPDATE dag_nodes SET parent_node_id = NULL, step_node_id = NULL, branch_id = NULL, disposition = 'active'",
            "UPDATE cost_records SET agent_name = NULL, counted = TRUE",
        ):
            connection.execute(text(statement))


def fork(
    name: str, parent: tuple[str, str], tracer: Tracer, *, depth: int = 1, hypothesis: str | None = None
) -> tuple[str, str]:
    """A run that goes on from a node of another one; gives the ids of the run and its root."""
    attributes: dict[str, Any] = {
        semconv.SPANDAG_NODE_TYPE: "run",
        semconv.GEN_AI_WORKFLOW_NAME: name,
        semconv.SPANDAG_FORK_DEPTH: depth,
    }
    if hypothesis is not None:
        attributes |= {
            semconv.SPANDAG_REDO_HYPOTHESIS: hypothesis,
            semconv.SPANDAG_REDO_REQUESTED_BY: "ann",
        }
    source = SpanContext(int(parent[0], 16), int(parent[1], 16), is_remote=True)
    link = Link(source, {semconv.SPANDAG_LINK_TYPE: LinkType.FORK_OF})
    span = tracer.start_span(name, context=Context(), attributes=attributes, links=[link])
    with use_span(span, end_on_exit=True):
        call()
    context = span.get_span_context()
    return format(context.trace_id, "032x"), format(context.span_id, "016x")


def redo_without_its_original(tracer: Tracer) -> str:
    """A rejected second attempt whose first one never arrived; gives the first one's id."""
    original = "ab" * 8
    attributes = {
        semconv.SPANDAG_NODE_TYPE: "step",
        semconv.GEN_AI_STEP_NAME: "fit",
        semconv.SPANDAG_STEP_ID: original,
        semconv.SPANDAG_STEP_ATTEMPT: 2,
        semconv.SPANDAG_REDO_HYPOTHESIS: "in log space",
        semconv.SPANDAG_ATTEMPT_OUTCOME: "rejected",
    }
    with (
        spandag.run("torn"),
        tracer.start_as_current_span("run_step fit", attributes=attributes),
        spandag.agent("engineer"),
    ):
        call()
    return original


def foreign(tracer: Tracer) -> None:
    """An agent that another instrumentation recorded: no run, no step."""
    agent = {semconv.GEN_AI_OPERATION_NAME: "invoke_agent", semconv.GEN_AI_AGENT_NAME: "stranger"}
    chat = {
        semconv.GEN_AI_OPERATION_NAME: "chat",
        semconv.GEN_AI_REQUEST_MODEL: "own-model",
        semconv.GEN_AI_USAGE_INPUT_TOKENS: 30,
        semconv.GEN_AI_USAGE_OUTPUT_TOKENS: 4,
    }
    tool = {semconv.GEN_AI_OPERATION_NAME: "execute_tool", semconv.GEN_AI_TOOL_NAME: "look"}
    with tracer.start_as_current_span("invoke_agent stranger", context=Context(), attributes=agent):
        with tracer.start_as_current_span("chat own-model", attributes=chat):
            pass
        with (
            contextlib.suppress(ValueError),
            tracer.start_as_current_span("execute_tool look", attributes=tool),
        ):
            raise ValueError("nothing there")
