"""Runs to compare, and what the comparison of them says."""

from __future__ import annotations

import pytest

import spandag
from spandag import query
from spandag.query import Diff

from .conftest import Recording

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
