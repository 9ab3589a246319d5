"""Steps: work whose result can be rejected, and done again."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any, ParamSpec, TypeVar, cast

from spandag.semconv import Outcome
from spandag.spans.node import current
from spandag.workflow.attempt import Attempt, Plan
from spandag.workflow.scope import (
    Entered,
    bound_arguments,
    check_decorated,
    check_name,
    ending,
    stepped_out,
)
from spandag.workflow.section import Section

P = ParamSpec("P")
R = TypeVar("R")


class Step:
    """A step, still to be taken; made by `spandag.step`.

    ::

        with spandag.step("load the data") as attempt:  # one attempt
            attempt.set_output(load())

        for attempt in spandag.step("fit").attempts(max_redos=2):  # until one is not rejected
            with attempt:
                result = fit(feedback=attempt.feedback)
                if not good(result):
                    attempt.reject(hypothesis="try a power law", requested_by="reviewer")


        @spandag.step("fit")  # redone when it raises spandag.Rejected
        def fit(data): ...
    """

    def __init__(self, name: str, *, number: int | None, input: object, max_redos: int) -> None:
        self._name = name
        self._number = number
        self._input = input
        self._max_redos = max_redos
        self._entered: Entered[Attempt] = Entered()

    def attempts(self, max_redos: int | None = None) -> Iterator[Attempt]:
        """The attempts of this step: the next one follows when the last was rejected.

        Every attempt must be entered (``with attempt:``); the loop ends after the
        first one that is not rejected. When the last allowed one is rejected,
        `RedoLimitExceeded` is raised at the end of its block. In async code the loop
        is the same; the block may be ``async with attempt:``.

        Args:
            max_redos: How often the step may be done again, the step's own by default.

        Raises:
            RuntimeError: An attempt was not entered, or not left before the next.
            ValueError: The limit is negative.
        """
        limit = self._max_redos if max_redos is None else _checked_limit(max_redos)
        return _attempts(lambda: self._plan(limit))

    def __enter__(self) -> Attempt:
        attempt = Attempt(self._plan(None)).__enter__()
        self._entered.add(attempt.node, attempt)
        return attempt

    def __exit__(self, *exc_info: Any) -> bool | None:
        attempt = self._entered.leave()
        return attempt.__exit__(*exc_info) if attempt is not None else None

    async def __aenter__(self) -> Attempt:
        return self.__enter__()

    async def __aexit__(self, *exc_info: Any) -> bool | None:
        return self.__exit__(*exc_info)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function: a call is done again while it raises `Rejected` and redos are left."""
        check_decorated("spandag.step(...)", function)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def async_wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
                for attempt in self._attempts_of_call(function, args, kwargs):
                    with attempt:
                        result = await function(*args, **kwargs)
                        attempt.set_output(result)
                return result

            return cast(Callable[P, R], async_wrapper)

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
            attempts = self._attempts_of_call(function, args, kwargs)
            for attempt in attempts:
                with ExitStack() as block:
                    block.enter_context(attempt)
                    result = function(*args, **kwargs)
                    if inspect.isawaitable(result):
                        again = functools.partial(function, *args, **kwargs)
                        return _await(stepped_out(attempt.node, block), attempt, result, attempts, again)
                    attempt.set_output(result)
            return result

        return cast(Callable[P, R], wrapper)

    def _attempts_of_call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Iterator[Attempt]:
        plan = self._plan(self._max_redos)
        if self._input is None:
            plan.input = lambda: bound_arguments(function, args, kwargs)
        return _attempts(lambda: plan)

    def _plan(self, max_redos: int | None) -> Plan:
        return Plan(
            name=self._name, number=self._number or _next_number(), input=self._input, max_redos=max_redos
        )


def step(name: str, number: int | None = None, input: object = None, *, max_redos: int = 2) -> Step:
    """A step of a workflow: a context manager, a decorator, and the start of `Step.attempts`.

    Args:
        name: The step's name.
        number: Its number within the phase; counted from 1 where not given.
        input: What it works on; recorded where content is.
        max_redos: How often the decorator and `Step.attempts` do it again after a rejection.
    """
    check_name("step", name)
    return Step(name, number=number, input=input, max_redos=_checked_limit(max_redos))


def _checked_limit(max_redos: int) -> int:
    if max_redos < 0:
        raise ValueError(f"max_redos is the number of redos allowed and cannot be {max_redos}")
    return max_redos


def _await(
    block: ExitStack,
    attempt: Attempt,
    result: Awaitable[Any],
    further: Iterator[Attempt],
    again: Callable[[], Any],
) -> Any:
    """Go on with an attempt whose function gave something to await, and with those after it."""

    async def within() -> Any:
        with block:
            attempt.node.__enter__()
            awaited = await result
            attempt.set_output(awaited)
        for redo in further:
            with redo:
                awaited = again()
                if inspect.isawaitable(awaited):
                    awaited = await awaited
                redo.set_output(awaited)
        return awaited

    return ending(within(), attempt.node)


def _attempts(begin: Callable[[], Plan]) -> Iterator[Attempt]:
    # With the first attempt, not before: the loop may be made before the run that it is in.
    plan = begin()
    attempt = Attempt(plan)
    try:
        while True:
            yield attempt
            attempt.check_used()
            if attempt.outcome != Outcome.REJECTED:
                return
            attempt = Attempt(plan, after=attempt)
    except GeneratorExit:
        # `break` or `return` left the loop.
        attempt.warn_if_unresolved()
        raise


def _next_number() -> int:
    node = current()
    nodes = [] if node is None else [node, *node.ancestors()]
    section = next((n for n in nodes if isinstance(n, Section)), None)
    return section.next_step_number() if section is not None else 1
