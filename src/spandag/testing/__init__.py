"""A scripted model server: try agents for real, without a provider.

Frameworks, tools, code execution and HTTP all run; only the model is a function of yours. An actor gets
the conversation and answers it, so numbers that a tool computed can decide what the model says next.

    from openai import OpenAI
    from spandag.testing import ModelServer, Reply, Request, ToolCall

    def planner(request: Request) -> Reply:
        if request.last("tool"):
            return Reply(f"The table says {request.last('tool')}.")
        return Reply(tool_calls=[ToolCall("lookup", {"key": "mass"})])

    with ModelServer({"planner": planner, "reviewer": ["accepted"]}) as server:
        client = OpenAI(base_url=server.url_for("planner"), api_key="any")
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Go"}])
        assert server.counted("planner").calls == 1

Ids, times and token counts follow from the requests alone: the same program gives the same answers.
"""

from spandag.testing.replies import (
    Actor,
    Answer,
    Failure,
    Message,
    Reply,
    Request,
    ToolCall,
    Usage,
    count_tokens,
    estimate_usage,
    message_tokens,
)
from spandag.testing.server import MAX_REQUEST_BYTES, Counted, Exchange, ModelServer

__all__ = [
    "MAX_REQUEST_BYTES",
    "Actor",
    "Answer",
    "Counted",
    "Exchange",
    "Failure",
    "Message",
    "ModelServer",
    "Reply",
    "Request",
    "ToolCall",
    "Usage",
    "count_tokens",
    "estimate_usage",
    "message_tokens",
]
