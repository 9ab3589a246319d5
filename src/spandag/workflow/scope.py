"""One object that is a context manager, an async one and a decorator."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, cast

from opentelemetry import trace
from opentelemetry.trace import Tracer, TracerProvider

from spandag._guard import guard
from spandag._version import __version__
from spandag.spans import providers
from spandag.spans.node import Node, current
from spandag.workflow.generators import (
    Round,
    decorated_generator,
)

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
NodeT = TypeVar("NodeT", bound=Node)

_provider: TracerProvider | None = None


def use_tracer_provider(provider: TracerProvider | None) -> None:
    """Let the workflow API write to a provider of its own; None goes back to the global one."""
    global _provider
    _provider = provider
    if provider is not None:
        providers.in_use(provider)


def provider_in_use() -> TracerProvider:
    """The provider that the workflow API writes to."""
    return _provider or trace.get_tracer_provider()


def tracer() -> Tracer:
    """The tracer of the workflow API; one that records nothing where the provider has none to give."""
    with guard("get a tracer"):
        return trace.get_tracer("spandag", __version__, _provider)
    return trace.NoOpTracer()


class Entered(Generic[T]):
    """The blocks that are open on one object; threads and tasks may share it."""

    def __init__(self) -> None:
        self._open: list[tuple[Node, T]] = []

    def add(self, node: Node, block: T) -> None:
        """Note a block, and the node that it has opened."""
        self._open.append((node, block))

    def leave(self) -> T | None:
        """Take out the block that ends here: the one whose node is the nearest around; None if none is open."""
        here = current()
        around = [] if here is None else [here, *here.ancestors()]
        entered = [entry for node in around for entry in self._open if entry[0] is node] or self._open[-1:]
        if not entered:
            return None
        self._open.remove(entered[0])
        return entered[0][1]


class Scope(Generic[NodeT]):
    """A node that is opened when a block or a decorated call begins.

    ::

        with spandag.phase("planning"):  # or: async with
            ...


        @spandag.phase("planning")  # also for functions that are async or return something to await
        def plan(task): ...

    A decorated generator runs within its node, which ends with it; whoever takes its items does not.
    Each entry and each call opens a node of its own.
    """

    def __init__(self, what: str, open_node: Callable[[], NodeT], *, record_call: bool = True) -> None:
        self._what = what
        self._open = open_node
        self._record_call = record_call
        self._entered: Entered[NodeT] = Entered()

    def __enter__(self) -> NodeT:
        node = self._open()
        self._entered.add(node, node)
        return node.__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        node = self._entered.leave()
        if node is not None:
            node.__exit__(exc_type, error, traceback)

    async def __aenter__(self) -> NodeT:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, error, traceback)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function: each call opens a node, with its arguments and result as content."""
        check_decorated(self._what, function)
        generator = decorated_generator(function, self._round)
        if generator is not None:
            return generator

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def async_wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self._open() as node:
                    self._record_arguments(node, function, args, kwargs)
                    result = await function(*args, **kwargs)
                    self._record_result(node, result)
                    return result

            return cast(Callable[P, R], async_wrapper)

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
            with ExitStack() as block:
                node = block.enter_context(self._open())
                self._record_arguments(node, function, args, kwargs)
                result = function(*args, **kwargs)
                if inspect.isawaitable(result):
                    return self._await(stepped_out(node, block), node, result)
                self._record_result(node, result)
                return result

        return cast(Callable[P, R], wrapper)

    def _round(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Iterator[Round]:
        with ExitStack() as entered:
            node = entered.enter_context(self._open())
            self._record_arguments(node, function, args, kwargs)
            block = stepped_out(node, entered)
        yield Round(block, node, functools.partial(self._record_result, node))

    def _await(self, block: ExitStack, node: Node, result: Awaitable[Any]) -> Any:
        async def within() -> Any:
            with block:
                node.__enter__()
                awaited = await result
                self._record_result(node, awaited)
                return awaited

        return ending(within(), node.end)

    def _record_arguments(self, node: Node, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        if self._record_call:
            node.set_input(lambda: bound_arguments(function, args, kwargs))

    def _record_result(self, node: Node, result: object) -> None:
        if self._record_call:
            node.set_output(lambda: result)


def stepped_out(node: Node, block: ExitStack) -> ExitStack:
    """Leave a block without ending it: what was called in it gave something to await, which goes on in it.

    Enter the node again within the block that this returns.
    """
    node.step_out()
    return block.pop_all()


def ending(coroutine: Any, end: Callable[[], None]) -> Any:
    """The coroutine; a node whose end it is ends as well where nobody ever awaits it.

    Args:
        coroutine: What is to be awaited.
        end: Ends the node, unless it has ended.
    """
    weakref.finalize(coroutine, end).atexit = False
    return coroutine


def check_name(what: str, name: object) -> None:
    """Refuse a missing name, and the decorator written without its call.

    Raises:
        TypeError: It is not a name.
    """
    if not isinstance(name, str) or not name:
        raise TypeError(
            f"spandag.{what} needs a name, as in @spandag.{what}('report') or with spandag.{what}('report'):"
        )


def check_decorated(what: str, function: object) -> None:
    """Refuse what cannot be decorated.

    Raises:
        TypeError: Not a function.
    """
    if not callable(function):
        raise TypeError(f"@{what} decorates a function, not {function!r}")


def bound_arguments(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The arguments of a call by name, without ``self`` and ``cls``."""
    with guard("name a call's arguments"):
        bound = inspect.signature(function).bind_partial(*args, **kwargs).arguments
        return {name: value for name, value in bound.items() if name not in ("self", "cls")}
    return {}
