"""What a program plugs in for the whole process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal, TypeVar, overload

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_EVENTS = {"human": "answers spandag.ask_human: takes a Question, gives a choice or (choice, feedback)"}

_registered: dict[str, list[Registration]] = {event: [] for event in _EVENTS}
_lock = threading.Lock()


class Registration:
    """A function that is plugged in; call it, or leave its ``with`` block, to take the function out again."""

    def __init__(self, event: str, function: Callable[..., Any]) -> None:
        self._event = event
        self.function = function
        with _lock:
            _registered[event].append(self)

    def __call__(self) -> None:
        """Take the function out again; it may be called more than once."""
        with _lock:
            if self in _registered[self._event]:
                _registered[self._event].remove(self)

    def __enter__(self) -> Registration:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self()

    def __repr__(self) -> str:
        return f"<spandag.on({self._event!r}, {self.function!r})>"


@overload
def on(event: Literal["human"], function: Callable[..., Any]) -> Registration: ...
@overload
def on(event: Literal["human"], function: None = None) -> Callable[[FunctionT], FunctionT]: ...
def on(
    event: str, function: Callable[..., Any] | None = None
) -> Registration | Callable[[FunctionT], FunctionT]:
    """Plug a function into spandag, for the whole process; of several, the last one is asked.

    ::

        undo = spandag.on("human", ask_in_the_chat)  # undo() takes it out again


        @spandag.on("human")  # or as a decorator
        def ask_in_the_chat(question): ...

    Args:
        event: ``"human"``: the function answers `spandag.ask_human`. It takes a `Question` and gives a
            choice, or a choice and a feedback, as `spandag.ask_human` says.
        function: What is called.

    Returns:
        What takes it out again: a function, which is a context manager too. Without a function, a decorator.

    Raises:
        ValueError: There is no such event.
        TypeError: The function is none.
    """
    if event not in _EVENTS:
        events = "; ".join(f"{name!r} {meaning}" for name, meaning in _EVENTS.items())
        raise ValueError(f"spandag.on knows no event {event!r}, only: {events}")
    if function is None:

        def decorate(function: FunctionT) -> FunctionT:
            on(event, function)  # type: ignore[call-overload]
            return function

        return decorate
    if not callable(function):
        raise TypeError(f"spandag.on({event!r}, ...) takes a function, not {function!r}")
    return Registration(event, function)


def plugged_in(event: str) -> Callable[..., Any] | None:
    """The function that was plugged in last; None where there is none."""
    with _lock:
        return _registered[event][-1].function if _registered[event] else None
