"""Generators whose body runs within a node: current while they work, never across a ``yield``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from spandag._guard import guard
from spandag.spans.content import capture_content
from spandag.spans.node import Node

CallableT = TypeVar("CallableT", bound=Callable[..., Any])

# Nothing of the language's own marks a plain function as one that gives an asynchronous generator.
_MARK = "_spandag_gives_async_generator"


@dataclass(frozen=True, slots=True)
class Round:
    """One time that a generator's body runs.

    Attributes:
        block: What ends with it.
        node: What it runs within.
        set_output: Takes what the generator returned, else its items where content is recorded.
    """

    block: ExitStack
    node: Node
    set_output: Callable[[object], None]


def decorated_generator(
    function: CallableT, rounds: Callable[[Callable[..., Any], Any, Any], Iterator[Round]]
) -> CallableT | None:
    """What stands in for a function that gives a generator; None for any other function.

    Args:
        function: The function.
        rounds: Takes it with the arguments of a call, and gives the rounds of that.
    """
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generator_wrapper(*args: Any, **kwargs: Any) -> Any:
            call = functools.partial(function, *args, **kwargs)
            return (yield from drive(call, lambda: rounds(function, args, kwargs)))

        return cast(CallableT, generator_wrapper)

    if gives_async_generator(function):

        @marked
        @functools.wraps(function)
        def async_generator_wrapper(*args: Any, **kwargs: Any) -> Any:
            call = cast(Callable[[], Any], functools.partial(function, *args, **kwargs))
            return drive_async(call, lambda: rounds(function, args, kwargs))

        return cast(CallableT, async_generator_wrapper)
    return None


def drive(
    function: Callable[[], Generator[Any, Any, Any]], rounds: Callable[[], Iterator[Round]]
) -> Generator[Any, Any, Any]:
    """Stand in for a generator: same items, same `send`, `throw`, `close` and return value.

    Args:
        function: Makes the generator, once a round.
        rounds: Called with the first step, as the generator's own body is.
    """
    returned = None
    for round in rounds():
        items = _Items()
        with round.block:
            returned = yield from _driven(function(), round.node, items)
            round.set_output(items.output(returned))
    return returned


def _driven(generator: Generator[Any, Any, Any], node: Node, items: _Items) -> Generator[Any, Any, Any]:
    step: Callable[[], Any] = functools.partial(generator.send, None)
    while True:
        with node.activate():
            try:
                item = step()
            except StopIteration as stop:
                return stop.value
        items.note(item)
        try:
            sent = yield item
        except GeneratorExit:
            with node.activate():
                generator.close()
            raise
        except BaseException as thrown:
            step = functools.partial(generator.throw, thrown)
        else:
            step = functools.partial(generator.send, sent)
        # What the consumer drops shall not live on in this frame.
        del item


async def drive_async(
    function: Callable[[], AsyncGenerator[Any, Any]], rounds: Callable[[], Iterator[Round]]
) -> AsyncGenerator[Any, Any]:
    """As `drive`, for an asynchronous generator."""
    for round in rounds():
        items = _Items()
        with round.block:
            generator = function()
            step: Callable[[], Any] = functools.partial(generator.asend, None)
            while True:
                with round.node.activate():
                    try:
                        item = await step()
                    except StopAsyncIteration:
                        break
                items.note(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    with round.node.activate():
                        await generator.aclose()
                    raise
                except BaseException as thrown:
                    step = functools.partial(generator.athrow, thrown)
                else:
                    step = functools.partial(generator.asend, sent)
                del item
            round.set_output(items.output())


def gives_async_generator(function: Callable[..., Any]) -> bool:
    """Whether a function gives an asynchronous generator, also where it is decorated by us."""
    return inspect.isasyncgenfunction(function) or getattr(function, _MARK, False) is True


def marked(function: CallableT) -> CallableT:
    """Tell our other decorators that a function gives an asynchronous generator."""
    setattr(function, _MARK, True)
    return function


class _Items:
    """What a generator has given, kept only where content is recorded."""

    def __init__(self) -> None:
        self._items: list[Any] | None = None
        with guard("look whether content is recorded"):
            self._items = [] if capture_content() else None

    def note(self, item: object) -> None:
        if self._items is not None:
            self._items.append(item)

    def output(self, returned: object = None) -> object:
        return self._items if returned is None else returned
