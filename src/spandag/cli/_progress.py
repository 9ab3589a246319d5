"""How far a long command is, on standard error: a bar on a terminal, elsewhere a line every few seconds."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_SECONDS_BETWEEN_LINES = 3.0


class Progress:
    """A context manager; nothing is shown before something is said or done.

    ::

        with Progress("pruning", unit="runs") as progress:
            progress.total = 120
            progress.advance(10)

    Args:
        what: What is being done.
        unit: What is counted, in the plural.
        total: How many there are; None where that is not known.
    """

    def __init__(self, what: str, *, unit: str = "", total: int | None = None) -> None:
        self.done = 0
        self._what = what
        self._unit = unit
        self._total = total
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._quiet_until = time.monotonic() + _SECONDS_BETWEEN_LINES

    @property
    def total(self) -> int | None:
        """How many there are; None where that is not known."""
        return self._total

    @total.setter
    def total(self, total: int | None) -> None:
        self._total = total
        # It looks different where the end is known.
        self._stop()

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        self.done += count
        if on_terminal(sys.stderr):
            bar, task = self._shown()
            bar.update(task, completed=self.done)
        elif time.monotonic() >= self._quiet_until:
            self._line(self._so_far())

    def reach(self, done: int, total: int | None) -> None:
        """So many of so many are done."""
        if total != self._total:
            self.total = total
        self.advance(done - self.done)

    def say(self, message: str) -> None:
        """Say what is being done now: beside the bar, or as a line, however short ago the last one was."""
        if on_terminal(sys.stderr):
            bar, task = self._shown()
            bar.update(task, description=message)
        else:
            self._line(message)

    def _line(self, message: str) -> None:
        from spandag.cli._output import say

        self._quiet_until = time.monotonic() + _SECONDS_BETWEEN_LINES
        say(message)

    def _so_far(self) -> str:
        of = "" if self._total is None else f" of {self._total:,}"
        return f"{self._what}: {self.done:,}{of} {self._unit}".rstrip()

    def _shown(self) -> tuple[Bar, TaskID]:
        if self._bar is None or self._task is None:
            self._bar = _bar(self._unit, is_total_known=self._total is not None)
            self._task = self._bar.add_task(self._what, total=self._total)
            self._bar.start()
        return self._bar, self._task

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def on_terminal(stream: object) -> bool:
    """Whether a stream is a terminal on which text can be drawn over."""
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty()) and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def _bar(unit: str, *, is_total_known: bool) -> Bar:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.progress import Progress as RichProgress

    columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False)]
    if is_total_known:
        columns += [BarColumn(), MofNCompleteColumn()]
    else:
        columns.insert(0, SpinnerColumn())
        columns += [TextColumn("{task.completed:,}")] if unit else []
    columns += [TextColumn(unit, markup=False)] if unit else []
    columns.append(TimeElapsedColumn())
    console = Console(stderr=True, highlight=False, no_color=bool(os.environ.get("NO_COLOR")) or None)
    # Drawn over by what comes next: the answer says what was done.
    return RichProgress(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    )
