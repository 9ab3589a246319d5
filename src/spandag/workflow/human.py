"""A person is asked what is to become of a result."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from spandag import semconv
from spandag._guard import guard
from spandag.spans.node import Node
from spandag.spans.operations import start_human_input
from spandag.workflow.scope import tracer

CONTINUE, REDO, ABORT = "continue", "redo", "abort"
CHOICES = (CONTINUE, REDO, ABORT)

Reply = str | tuple[str, str | None]
"""A choice, or a choice and what was said beside it."""

Ask = Callable[[str, Sequence[str]], Reply | Awaitable[Reply]]
"""Asks somebody: the prompt and the choices."""

AskT = TypeVar("AskT", bound=Ask)

_HUMAN = "human"
_asked_instead: Ask | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person has decided.

    Attributes:
        choice: One of the choices.
        feedback: What was said beside it, if anything.
        waited_s: Seconds until the answer came.
    """

    choice: str
    feedback: str | None
    waited_s: float

    @property
    def is_redo(self) -> bool:
        """Whether the result is to be made again."""
        return self.choice == REDO

    @property
    def is_abort(self) -> bool:
        """Whether the work is to be given up."""
        return self.choice == ABORT


def on(event: str, function: AskT) -> Callable[[], None]:
    """Have a function called whenever something happens; of a process, the last one counts.

    ::

        spandag.on("human", ask_in_slack)  # what spandag.ask_human asks from now on

    Args:
        event: ``"human"``: a person is to be asked.
        function: For ``"human"``: takes the prompt and the choices, and gives the choice, or the choice and a
            text. For `ask_human_async` it may be a coroutine function.

    Returns:
        A function that takes it back.

    Raises:
        ValueError: There is no such event.
        TypeError: What is given is no function.
    """
    global _asked_instead
    if event != _HUMAN:
        raise ValueError(f'there is no event {event!r}; there is "{_HUMAN}"')
    if not callable(function):
        raise TypeError(f"on({event!r}, …) takes a function, not {function!r}")
    before, _asked_instead = _asked_instead, function

    def take_back() -> None:
        global _asked_instead
        if _asked_instead is function:
            _asked_instead = before

    return take_back


def ask_human(
    prompt: str, choices: Sequence[str] = CHOICES, *, name: str = _HUMAN, ask: Ask | None = None
) -> Answer:
    """Ask a person, and record the question, the answer and how long it took as an ``approval`` node.

    ::

        answer = spandag.ask_human("Is this plan good?")
        if answer.is_redo:
            attempt.reject(answer.feedback, requested_by="human")

    On a terminal a choice may be shortened, and what follows it is the feedback: ``redo use log space``.

    Args:
        prompt: What is asked; recorded where content is.
        choices: What can be answered.
        name: Who is asked.
        ask: Asks in another way; by default what `on` was given, else the terminal.

    Raises:
        RuntimeError: There is no terminal, and no other way was given.
        ValueError: There are no choices, or what was answered is none of them.
        TypeError: `ask` is asynchronous; `ask_human_async` awaits it.
    """
    question = _Question(prompt, choices, name, ask)
    with question.node:
        reply = question.ask(prompt, question.choices)
        if inspect.isawaitable(reply):
            if inspect.iscoroutine(reply):
                reply.close()
            raise TypeError("what asks is asynchronous: write `await spandag.ask_human_async(…)`")
        return question.answered(reply)


async def ask_human_async(
    prompt: str, choices: Sequence[str] = CHOICES, *, name: str = _HUMAN, ask: Ask | None = None
) -> Answer:
    """As `ask_human`, in async code: nothing else is held up meanwhile.

    Args:
        prompt: What is asked; recorded where content is.
        choices: What can be answered.
        name: Who is asked.
        ask: Asks in another way; may be a coroutine function. Others are called in a thread.

    Raises:
        RuntimeError: There is no terminal, and no other way was given.
        ValueError: There are no choices, or what was answered is none of them.
    """
    import asyncio

    question = _Question(prompt, choices, name, ask)
    with question.node:
        if inspect.iscoroutinefunction(question.ask):
            return question.answered(await question.ask(prompt, question.choices))
        reply = await asyncio.to_thread(question.ask, prompt, question.choices)
        return question.answered(await reply if inspect.isawaitable(reply) else reply)


class _Question:
    """A question that is being asked."""

    def __init__(self, prompt: str, choices: Sequence[str], name: str, ask: Ask | None) -> None:
        if isinstance(choices, str) or not choices or not all(choices):
            raise ValueError("choices are what can be answered, such as ('continue', 'redo', 'abort')")
        self.choices = tuple(choices)
        self.ask: Ask = ask or _asked_instead or ask_on_terminal
        self.node: Node = start_human_input(tracer(), name)
        self._since = time.monotonic()
        with guard("record a question"):
            self.node.set_input(prompt)
            self.node.set_attribute(semconv.APPROVAL_CHOICES, list(self.choices))

    def answered(self, reply: Reply) -> Answer:
        choice, feedback = reply if isinstance(reply, tuple) else (reply, None)
        if choice not in self.choices:
            raise ValueError(f"{choice!r} is none of the choices {', '.join(self.choices)}")
        answer = Answer(choice, feedback or None, time.monotonic() - self._since)
        with guard("record an answer"):
            self.node.set_output(choice if not feedback else f"{choice}: {feedback}")
            said = {
                semconv.APPROVAL_CHOICE: choice,
                # A reason is recorded in every content mode, as a hypothesis is.
                semconv.APPROVAL_FEEDBACK: answer.feedback,
                semconv.APPROVAL_WAITED: round(answer.waited_s, 3),
            }
            for key, value in said.items():
                self.node.set_attribute(key, value)
            self.node.add_event(semconv.EVENT_APPROVAL, said)
        return answer


def ask_on_terminal(prompt: str, choices: Sequence[str]) -> Reply:
    """Ask whoever sits at the terminal.

    Raises:
        RuntimeError: There is no terminal, or it was closed.
    """
    if not sys.stdin or not sys.stdin.isatty():
        raise RuntimeError(_NOBODY)
    # Standard output belongs to the program.
    while True:
        sys.stderr.write(f"{prompt}\n[{'/'.join(choices)}] ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise RuntimeError(_NOBODY)
        said, _, feedback = line.strip().partition(" ")
        said = said.rstrip(":,")
        meant = [choice for choice in choices if choice.lower() == said.lower()] or [
            choice for choice in choices if said and choice.lower().startswith(said.lower())
        ]
        if len(meant) == 1:
            return meant[0], feedback.strip() or None
        sys.stderr.write(f"please answer {', '.join(choices)}, and why if you like\n")


_NOBODY = (
    "there is no terminal to ask at; give ask_human(…, ask=function), or have all questions asked in another "
    'way with spandag.on("human", function)'
)
