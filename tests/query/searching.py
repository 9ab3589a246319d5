"""What is searched in, and what was found there."""

from __future__ import annotations

from typing import Any

import spandag
from spandag import query, semconv
from spandag.query import Hit
from spandag.store.indexing import Indexed, Report, build_index

from .conftest import Recording


def build(recording: Recording, report: Report | None = None) -> Indexed:
    recording.exporter.force_flush()
    return build_index(recording.url, report=report)


def said(hits: list[Hit]) -> list[tuple[str, str, str | None]]:
    return [(hit.node_type, hit.name, hit.found_in) for hit in hits]


def names(recording: Recording, **asked: Any) -> list[str]:
    return [hit.name for hit in query.search(recording.store, **asked).hits]


def marked(hit: Hit) -> list[str]:
    assert hit.excerpt is not None
    return [hit.excerpt[start:end] for start, end in hit.marks]


def run_saying(*texts: str, session: str | None = None) -> str:
    """A run with a tool for each text, which it answers; gives the run's id."""
    with spandag.run("r", session=session) as run:
        for number, text in enumerate(texts):
            with spandag.tool(f"tool{number}") as tool:
                tool.set_output(text)
    return format(run.span.get_span_context().trace_id, "032x")


def chat(recording: Recording, name: str, messages: str) -> None:
    """A call of another library, with these messages."""
    attributes = {
        semconv.SPANDAG_NODE_TYPE: "llm",
        semconv.GEN_AI_OPERATION_NAME: "chat",
        semconv.GEN_AI_REQUEST_MODEL: name,
        semconv.GEN_AI_INPUT_MESSAGES: messages,
    }
    recording.tracer.start_span(f"chat {name}", attributes=attributes).end()
