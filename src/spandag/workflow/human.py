"""Asking a person: an approval that is a node of the run."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, overload

from spandag import semconv
from spandag._guard import guard
from spandag.spans.node import Node
from spandag.spans.operations import start_human_input
from spandag.workflow.hooks import plugged_in
from spandag.workflow.question import ABORT, CONTINUE, REDO, Answer, Question, checked_choices
from spandag.workflow.scope import ending, stepped_out, tracer
from spandag.workflow.terminal import ask_on_terminal

Reply = str | tuple[str, str | None] | Answer
"""A choice, as a person may write it (`Question.read`), or a choice and a feedback, or an answer made elsewhere."""


@overload
def ask_human(
    prompt: str,
    choices: Iterable[str] = ...,
    *,
    by: str = ...,
    ask: Callable[[Question], Reply] | None = ...,
) -> Answer: ...
@overload
def ask_human(
    prompt: str,
    choices: Iterable[str] = ...,
    *,
    by: str = ...,
    ask: Callable[[Question], Awaitable[Reply]],
) -> Awaitable[Answer]: ...
def ask_human(
    prompt: str,
    choices: Iterable[str] = (CONTINUE, REDO, ABORT),
    *,
    by: str = "human",
    ask: Callable[[Question], Any] | None = None,
) -> Answer | Awaitable[Answer]:
    """Ask a person, in an ``approval`` node that tells what was asked, chosen and said, and the time it took.

    ::

        answer = spandag.ask_human("The fit is curved. Go on?")
        if answer.choice == "redo":
            attempt.reject(answer.feedback, requested_by=answer.by)

    It asks on the terminal, unless ``ask`` or ``spandag.on("human", function)`` says how else. While it waits
    on the terminal, the thread waits; an asynchronous program plugs in a function that is asynchronous and
    writes ``await spandag.ask_human(...)``, or asks in a thread (``asyncio.to_thread``).

    Args:
        prompt: The question; recorded where content is.
        choices: What can be answered; the first one means that all is well.
        by: Who is asked.
        ask: Takes the `Question` and gives the choice, or the choice and a feedback, or something to await
            for that.

    Returns:
        The answer; something to await for it where ``ask`` is asynchronous. An `Answer` can be awaited too.

    Raises:
        RuntimeError: There is no terminal to ask on.
        TypeError: What answered gave no answer, or the choices are no texts.
        ValueError: What answered gave none of the choices, or there are none.
    """
    _check_prompt(prompt)
    question = Question(prompt, checked_choices(choices), by)
    with ExitStack() as block:
        waiting = block.enter_context(_Waiting(question))
        reply = (ask or plugged_in("human") or ask_on_terminal)(question)
        # An `Answer`, which can be awaited, has nothing to wait for.
        if inspect.isawaitable(reply) and not isinstance(reply, Answer):
            return _later(stepped_out(waiting.node, block), waiting, reply)
        return waiting.answered(reply)


def _check_prompt(prompt: object) -> None:
    if not isinstance(prompt, str) or not prompt:
        raise TypeError("spandag.ask_human needs a question, as in spandag.ask_human('Publish it?')")


def _later(block: ExitStack, waiting: _Waiting, reply: Awaitable[Reply]) -> Awaitable[Answer]:
    async def within() -> Answer:
        with block:
            waiting.node.__enter__()
            return waiting.answered(await reply)

    answer: Awaitable[Answer] = ending(within(), waiting.node.end)
    return answer


class _Waiting:
    """The time that a question is open."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._since = time.monotonic()
        self._answered = False
        self.node: Node = start_human_input(
            tracer(),
            question.by,
            attributes={semconv.SPANDAG_APPROVAL_CHOICES: list(question.choices)},
        )
        self.node.set_input(question.prompt)

    def __enter__(self) -> Self:
        self.node.__enter__()
        return self

    def answered(self, reply: object) -> Answer:
        """Record what was answered."""
        waited = time.monotonic() - self._since
        choice, feedback = _read(self._question, reply)
        self._answered = True
        with guard("record an answer"):
            self.node.set_attribute(semconv.SPANDAG_APPROVAL_WAITED, waited)
            said = {
                semconv.SPANDAG_APPROVAL_CHOICE: choice,
                # Why something is done again is recorded in every content mode.
                semconv.SPANDAG_APPROVAL_FEEDBACK: feedback,
            }
            self.node.set_attributes(said)
            self.node.set_output(choice if feedback is None else f"{choice}: {feedback}")
            self.node.add_event(semconv.EVENT_APPROVAL, {**said, semconv.SPANDAG_APPROVAL_WAITED: waited})
        return Answer(choice, feedback, waited, self._question.by)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._answered:
            self.node.set_attribute(semconv.SPANDAG_APPROVAL_WAITED, time.monotonic() - self._since)
        self.node.__exit__(exc_type, error, traceback)


def _read(question: Question, reply: object) -> tuple[str, str | None]:
    choice, feedback = (reply, None) if isinstance(reply, str) else _pair(reply)
    found = question.read(choice)
    if found is None:
        raise ValueError(f"the answer {choice!r} is none of: {', '.join(question.choices)}")
    said = [text for text in (found[1], feedback) if text]
    return found[0], "\n".join(said) or None


def _pair(reply: object) -> tuple[str, str | None]:
    if isinstance(reply, Answer):
        return reply.choice, reply.feedback
    match reply:
        case (str(choice), None | str() as feedback):
            return choice, feedback
    raise TypeError(f"an answer is a choice, or a choice and a feedback, and not {reply!r}")
