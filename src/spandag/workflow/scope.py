"""One object that is a context manager, an async one and a decorator."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, cast

from opentelemetry import trace
from opentelemetry.trace import Tracer, TracerProvider

from spandag._guard import guard
from spandag._version import __version__
from spandag.spans.node import Node, current

P = ParamSpec("P")
R = TypeVar("R")
NodeT = TypeVar("NodeT", bound=Node)

_provider: TracerProvider | None = None


def use_tracer_provider(provider: TracerProvider | None) -> None:
    """Let the workflow API write to a provider of its own; None goes back to the global one."""
    global _provider
    _provider = provider


def tracer() -> Tracer:
    """The tracer of the workflow API."""
    return trace.get_tracer("spandag", __version__, _provider)


class Scope(Generic[NodeT]):
    """A node that is opened when a block or a decorated call begins.

    ::

        with spandag.phase("planning"):  # or: async with
            ...


        @spandag.phase("planning")  # also for async functions
        def plan(task): ...

    Each entry and each call opens a node of its own.
    """

    def __init__(self, what: str, open_node: Callable[[], NodeT], *, record_call: bool = True) -> None:
        self._what = what
        self._open = open_node
        self._record_call = record_call
        self._entered: list[NodeT] = []

    def __enter__(self) -> NodeT:
        node = self._open()
        self._entered.append(node)
        return node.__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        node = self._leave()
        if node is not None:
            node.__exit__(exc_type, error, traceback)

    def _leave(self) -> NodeT | None:
        # Blocks of other threads and tasks may be open on the same object: ours is the current one.
        here = current()
        node = next((n for n in reversed(self._entered) if n is here), None)
        if node is None:
            return self._entered.pop() if self._entered else None
        self._entered.remove(node)
        return node

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
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._open() as node:
                self._record_arguments(node, function, args, kwargs)
                result = function(*args, **kwargs)
                self._record_result(node, result)
                return result

        return wrapper

    def _record_arguments(self, node: Node, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        if self._record_call:
            node.set_input(lambda: bound_arguments(function, args, kwargs))

    def _record_result(self, node: Node, result: object) -> None:
        if self._record_call:
            node.set_output(lambda: result)


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
    """Refuse what cannot be decorated, with a way out.

    Raises:
        TypeError: Not a function, or a generator, whose body does not run when it is called.
    """
    if not callable(function):
        raise TypeError(f"@{what} decorates a function, not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        name = getattr(function, "__qualname__", function)
        raise TypeError(
            f"@{what} cannot decorate the generator {name}: use `with {what}:` around the loop over it"
        )


def bound_arguments(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The arguments of a call by name, without ``self`` and ``cls``."""
    with guard("name a call's arguments"):
        bound = inspect.signature(function).bind_partial(*args, **kwargs).arguments
        return {name: value for name, value in bound.items() if name not in ("self", "cls")}
    return {}
