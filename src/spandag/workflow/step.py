"""Steps: work whose result can be rejected, and done again."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, NoReturn, ParamSpec, Self, TypeVar, cast, get_args

from spandag.spans.node import current
from spandag.workflow.attempt import Attempt
from spandag.workflow.generators import (
    Round,
    decorated_generator,
)
from spandag.workflow.plan import OnExhausted, Plan
from spandag.workflow.redo import Redo, checked_redo, whole
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

_MAX_REDOS = 2


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

    def __init__(
        self,
        name: str,
        *,
        number: int | None,
        input: object,
        max_redos: int | None,
        on_exhausted: OnExhausted,
        redo: Redo | None,
    ) -> None:
        self._name = name
        self._number = number
        self._input = input
        self._max_redos = max_redos
        self._on_exhausted = on_exhausted
        self._redo = redo
        self._entered: Entered[Attempt] = Entered()

    def attempts(self, max_redos: int | None = None, on_exhausted: OnExhausted | None = None) -> Attempts:
        """The attempts of this step: the next one follows when the last was rejected.

        Every attempt must be entered (``with attempt:``); the loop ends after the
        first one that is not rejected. When the last allowed one is rejected,
        `RedoLimitExceeded` is raised at the end of its block. In async code the loop
        is the same, or ``async for``; the block may be ``async with attempt:``.

        Args:
            max_redos: How often the step may be done again, the step's own by default.
            on_exhausted: ``"accept"`` ends the loop after the last allowed attempt instead of raising; that
                attempt is accepted, and its `Attempt.exhausted` is true.

        Raises:
            RuntimeError: An attempt was not entered, or not left before the next.
            ValueError: The limit is negative, or spent before the first attempt.
        """
        limit = self._limit() if max_redos is None else whole("max_redos", max_redos, 0)
        choice = self._on_exhausted if on_exhausted is None else _checked_choice(on_exhausted)
        self._check_not_spent(limit)
        return Attempts(lambda: self._plan(limit, choice))

    def __enter__(self) -> Attempt:
        # Somebody may go on with the attempt later or elsewhere, so the limit is minded though nothing is redone here.
        limit = self._stated_limit()
        if limit is not None:
            self._check_not_spent(limit)
        plan = self._plan(limit)
        plan.redoes = False
        attempt = Attempt(plan).__enter__()
        self._entered.add(attempt.node, attempt)
        return attempt

    def __exit__(self, *exc_info: Any) -> bool | None:
        attempt = self._entered.leave()
        return attempt.__exit__(*exc_info) if attempt is not None else None

    async def __aenter__(self) -> Attempt:
        return self.__enter__()

    async def __aexit__(self, *exc_info: Any) -> bool | None:
        return self.__exit__(*exc_info)

    def __iter__(self) -> NoReturn:
        raise TypeError(
            f"a step is no loop by itself: write `for attempt in spandag.step({self._name!r}).attempts():`"
        )

    __aiter__ = __iter__

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function: a call is done again while it raises `Rejected` and redos are left.

        A generator may be decorated too. What a rejected attempt has given cannot be taken
        back; the items of the redo follow.
        """
        check_decorated("spandag.step(...)", function)
        self._check_not_spent(self._limit())
        generator = decorated_generator(function, self._rounds)
        if generator is not None:
            return generator

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def async_wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
                for attempt in self._attempts_of_call(function, args, kwargs):
                    with attempt:
                        attempt.set_output(await function(*args, **kwargs))
                return attempt.output

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
            return attempt.output

        return cast(Callable[P, R], wrapper)

    def _attempts_of_call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Iterator[Attempt]:
        plan = self._plan(self._limit(), self._on_exhausted)
        # What raised has returned nothing that could be accepted.
        plan.needs_output = True
        if self._input is None:
            plan.input = lambda: bound_arguments(function, args, kwargs)
        return _attempts(lambda: plan)

    def _rounds(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Iterator[Round]:
        plan = self._plan(self._limit(), self._on_exhausted)
        if self._input is None:
            plan.input = lambda: bound_arguments(function, args, kwargs)
        for attempt in _attempts(lambda: plan):
            with ExitStack() as entered:
                entered.enter_context(attempt)
                block = stepped_out(attempt.node, entered)
            yield Round(block, attempt.node, attempt.set_output)

    def _limit(self) -> int:
        stated = self._stated_limit()
        return _MAX_REDOS if stated is None else stated

    def _stated_limit(self) -> int | None:
        """The limit given here, else that of the attempt elsewhere; None where nobody has said one."""
        if self._max_redos is not None:
            return self._max_redos
        return None if self._redo is None else self._redo.ref.max_redos

    def _check_not_spent(self, limit: int) -> None:
        if self._redo is not None and self._redo.attempt > limit + 1:
            attempt = self._redo.attempt
            raise ValueError(
                f"attempt={attempt} is beyond max_redos={limit}, which allows {limit + 1} attempts in all: "
                f"give max_redos={attempt - 1} or more"
            )

    def _plan(self, max_redos: int | None, on_exhausted: OnExhausted = "raise") -> Plan:
        plan = Plan(
            name=self._name,
            number=self._numbered(),
            input=self._input,
            max_redos=max_redos,
            on_exhausted=on_exhausted,
        )
        return plan if self._redo is None else self._redo.plan(plan)

    def _numbered(self) -> int:
        if self._redo is not None:
            # The step was counted where its first attempt was.
            return self._number or self._redo.ref.step_number or 1
        # One that is given a number is counted as well.
        counted = _next_number()
        return counted if self._number is None else self._number


class Attempts:
    """The attempts of a step, for a loop that is plain or asynchronous."""

    def __init__(self, begin: Callable[[], Plan]) -> None:
        self._attempts = _attempts(begin)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Attempt:
        return next(self._attempts)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Attempt:
        try:
            return next(self._attempts)
        except StopIteration:
            raise StopAsyncIteration from None


def step(
    name: str,
    number: int | None = None,
    input: object = None,
    *,
    max_redos: int | None = None,
    on_exhausted: OnExhausted = "raise",
    redo_of: str | Mapping[str, Any] | Attempt | None = None,
    attempt: int | None = None,
    hypothesis: str | None = None,
    requested_by: str | None = None,
) -> Step:
    """A step of a workflow: a context manager, a decorator, and the start of `Step.attempts`.

    Where nothing is around it, it opens a run of its name, which ends when no further attempt follows.

    Args:
        name: The step's name; of a redo, that of the attempt.
        number: Its number within the phase; where not given, how many steps were begun there, this one included.
        input: What it works on; recorded where content is.
        max_redos: How often it may be done again: the decorator and `Step.attempts` do so after a rejection, a
            plain ``with`` block hands the limit on with `Attempt.ref`. By default what the attempt was allowed
            that this is a redo of; else twice, and for a plain block as often as somebody asks for.
        on_exhausted: What becomes of it when the last allowed attempt is rejected: ``"raise"`` raises
            `RedoLimitExceeded`, ``"accept"`` goes on with what it gave, which is recorded.
        redo_of: This is a redo of an attempt made before or elsewhere: its `Attempt.ref`, or its row of
            ``dag_nodes``. It is recorded in the run of that attempt, beside it.
        attempt: Of such a redo: the attempt's number, 2 for the first redo.
        hypothesis: Of such a redo: what to try instead; by default what the rejected attempt was told.
        requested_by: Of such a redo: who asked for it; where neither is given, who rejected the attempt.

    Raises:
        TypeError: There is no name, or a number is none.
        ValueError: A number or a choice is out of range, or ``redo_of`` names no attempt, or one at another step. That an attempt is
            beyond the limit is said where it would begin.
    """
    check_name("step", name)
    return Step(
        name,
        number=None if number is None else whole("number", number, 1),
        input=input,
        max_redos=None if max_redos is None else whole("max_redos", max_redos, 0),
        on_exhausted=_checked_choice(on_exhausted),
        redo=checked_redo(name, redo_of, attempt, hypothesis, requested_by),
    )


def _checked_choice(on_exhausted: OnExhausted) -> OnExhausted:
    if on_exhausted not in get_args(OnExhausted):
        raise ValueError(f"on_exhausted is 'raise' or 'accept' and cannot be {on_exhausted!r}")
    return on_exhausted


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
            attempt.set_output(await result)
        last = attempt
        for last in further:
            with last:
                awaited = again()
                if inspect.isawaitable(awaited):
                    awaited = await awaited
                last.set_output(awaited)
        return last.output

    return ending(within(), attempt.drop)


def _attempts(begin: Callable[[], Plan]) -> Generator[Attempt, None, None]:
    # With the first attempt, not before: the loop may be made before the run that it is in.
    plan = begin()
    attempt = Attempt(plan)
    try:
        while True:
            yield attempt
            attempt.check_used()
            if not attempt.is_followed:
                return
            attempt = Attempt(plan, after=attempt)
    except GeneratorExit:
        # `break` or `return` left the loop.
        attempt.warn_if_unresolved()
        raise
    finally:
        attempt.leave()


def _next_number() -> int:
    node = current()
    nodes = [] if node is None else [node, *node.ancestors()]
    section = next((n for n in nodes if isinstance(n, Section)), None)
    return section.next_step_number() if section is not None else 1
