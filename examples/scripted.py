"""The model behind the examples where there is no provider: it writes haikus and asks tools for numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from spandag.testing import ModelServer, Reply, Request, ToolCall, estimate_usage


def obliging(request: Request) -> Reply:
    """Answer any of the examples."""
    if "haiku" in request.text:
        return _say(request, _haiku(request))
    result = _tool_result(request)
    if "orbital_period" in request.tools and not result:
        axis = float(re.findall(r"\d+\.\d+", request.last("user"))[-1])
        return _usual(request, Reply(tool_calls=[ToolCall("orbital_period", {"semi_major_axis": axis})]))
    years = re.findall(r"\d+\.\d+", result)
    return _say(request, f"About {float(years[-1]):.1f} years." if years else "I am done.")


def _tool_result(request: Request) -> str:
    # smolagents reports a tool's result as a message of the user.
    return request.last("tool") or (request.last() if "Observation:" in request.last() else "")


def _haiku(request: Request) -> str:
    if "three lines" in request.text:
        return "Spans fall into place\nwhat was tried and thrown away\nstays beside what stood"
    return "Spans fall into place, what was tried stays beside what stood"


def _say(request: Request, text: str) -> Reply:
    if "final_answer" in request.tools:  # that is how a smolagents agent ends
        return _usual(request, Reply(tool_calls=[ToolCall("final_answer", {"answer": text})]))
    if "TERMINATE" in request.text:  # and that is how many a Classic one does
        text += " TERMINATE"
    return _usual(request, Reply(text))


def _usual(request: Request, reply: Reply) -> Reply:
    usage = estimate_usage(request, reply, cached=64 if len(request.messages) > 2 else 0)
    return Reply(reply.text, reply.tool_calls, usage=usage)


@contextmanager
def scripted_model() -> Iterator[str]:
    """Serve it; gives the value for ``OPENAI_BASE_URL``."""
    with ModelServer({"model": obliging}) as server:
        yield server.url_for("model")
