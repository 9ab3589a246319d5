"""What a scripted actor is asked and what it can answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model wants called.

    Attributes:
        name: Name of the tool.
        arguments: What to call it with; a string is sent as it is, so that malformed arguments can be tried.
        id: The call's id; by default ``call_{actor}_{call number}_{index}``.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = None

    @property
    def arguments_json(self) -> str:
        """The arguments as the JSON text that goes over the wire."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, counted as OpenAI counts them.

    Attributes:
        prompt: Input tokens, those read from the cache included.
        completion: Output tokens, those of reasoning included.
        cached: How many of `prompt` were read from the cache.
        reasoning: How many of `completion` were reasoning.
    """

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.cached <= self.prompt and 0 <= self.reasoning <= self.completion):
            raise ValueError(f"cached and reasoning tokens are parts of prompt and completion: {self}")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a request, its content parts joined to one text.

    Attributes:
        role: ``system``, ``developer``, ``user``, ``assistant`` or ``tool``.
        text: The text of all its parts.
        tool_calls: What an assistant message called.
        tool_call_id: Which call a tool message answers.
    """

    role: str
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One request to an actor.

    Attributes:
        actor: Who is asked.
        number: Which request to this actor this is, from 1; requests that failed count.
        model: The model that the client named.
        messages: The conversation.
        tools: Names of the tools offered.
        response_format: The structured output asked for, as the client sent it.
        stop: Stop sequences; the server cuts a reply's text at the first of them, as a provider does.
        stream: Whether the reply is to be streamed.
        body: The whole body as parsed JSON.
        headers: The HTTP headers, names in lower case.
    """

    actor: str
    number: int
    model: str
    messages: tuple[Message, ...]
    tools: tuple[str, ...] = ()
    response_format: Json | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False
    body: Json = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The text of the whole conversation, one message after the other."""
        return "\n".join(message.text for message in self.messages)

    def last(self, *roles: str) -> str:
        """The text of the last message, or of the last one with one of these roles ("" if there is none)."""
        for message in reversed(self.messages):
            if not roles or message.role in roles:
                return message.text
        return ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says.

    Attributes:
        text: Its text.
        tool_calls: Tools it wants called.
        usage: The tokens to report; by default `estimate_usage` of request and reply.
        finish_reason: By default ``tool_calls`` if there are any, else ``stop``.
        model: The model to report; by default the one that was asked for.
        delay: Seconds to wait before answering.
    """

    text: str | None = None
    tool_calls: Sequence[ToolCall] = ()
    usage: Usage | None = None
    finish_reason: str | None = None
    model: str | None = None
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that is none.

    Attributes:
        status: The HTTP status.
        message: The message of OpenAI's error JSON.
        body: What to send instead of that error JSON; a string is sent as it is.
        drop: Close the connection without any answer.
        delay: Seconds to wait before that.
        retry_after: The ``Retry-After`` header, in seconds.
        retry: Tell OpenAI's clients whether to try again (they decide by the status when this is None).
    """

    status: int = 500
    message: str = "The server had an error while processing your request."
    body: Json | str | None = None
    drop: bool = False
    delay: float = 0.0
    retry_after: float | None = None
    retry: bool | None = None


Answer = Reply | Failure | str
"""What an actor returns; a string is the text of a `Reply`."""

Actor = Callable[[Request], Answer] | Sequence[Answer]
"""A function of the request, or a list of answers given in turn."""


def estimate_usage(request: Request, reply: Reply, *, cached: int = 0, reasoning: int = 0) -> Usage:
    """Token counts that follow from the lengths of the texts alone, so that every run has the same.

    Args:
        request: What was asked; its messages and tool definitions are the prompt.
        reply: What is answered.
        cached: How many prompt tokens to report as read from the cache.
        reasoning: How many reasoning tokens to add to the completion.
    """
    prompt = 3 + sum(4 + message_tokens(message) for message in request.messages)
    if tools := request.body.get("tools"):
        prompt += count_tokens(json.dumps(tools))
    completion = count_tokens(reply.text or "") + sum(
        count_tokens(call.name + call.arguments_json) for call in reply.tool_calls
    )
    return Usage(prompt, completion + reasoning, min(cached, prompt), reasoning)


def message_tokens(message: Message) -> int:
    """Tokens of one message: of its text and of the calls in it."""
    calls = sum(count_tokens(call.name + call.arguments_json) for call in message.tool_calls)
    return count_tokens(message.text) + calls


def count_tokens(text: str) -> int:
    """About as many tokens as a tokenizer finds in English text: one for every four characters."""
    return -(-len(text) // 4)
