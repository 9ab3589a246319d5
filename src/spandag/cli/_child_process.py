"""Run a command as if it had been started directly: its terminal, its signals, its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALED = 128
# A signal wakes us; this is for the one that is lost for a reason unknown.
_LOOK_AGAIN_S = 1.0

# Those that would end this process and leave the child alone.
_PASSED_ON = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)
# Ctrl-C and Ctrl-\: a terminal sends them to every process in the foreground, so to the child as well.
_FROM_TERMINAL = frozenset(getattr(signal, name) for name in ("SIGINT", "SIGQUIT") if hasattr(signal, name))


class ChildProcess:
    """A command to be run to its end with this process's own standard streams.

    Signals that are sent to this process are passed on. The child stays in the
    process group, so that a terminal's Ctrl-C and Ctrl-Z reach it by themselves.

    A context manager, to be entered before any thread is started: on Linux
    signals are blocked and waited for, since only so can be told who sent one. A
    Ctrl-C is then not passed on a second time, and that of a supervisor always is.

    Args:
        command: The program and its arguments.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        # What is ignored, by nohup for instance, stays so for the child.
        self._signals = [number for number in _PASSED_ON if signal.getsignal(number) != signal.SIG_IGN]
        self._handlers: dict[int, Any] = {}
        self._mask: set[int] = set()

    def __enter__(self) -> Self:
        if sys.platform == "linux":
            self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._waited_for())
        for number in self._signals:
            self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if sys.platform == "linux":
            # What also ended the child (a Ctrl-C) must not end us before its span is delivered.
            while signal.sigtimedwait(self._signals, 0) is not None:
                pass
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if sys.platform == "linux":
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def run(self, environ: Mapping[str, str], started: Callable[[int], None] | None = None) -> int:
        """Run the command.

        Args:
            environ: Its environment.
            started: Called with its process id.

        Returns:
            Its exit code; 128 and the number of the signal where one ended it, or came before its start.

        Raises:
            OSError: It cannot be started.
        """
        if sys.platform == "linux":
            pending = signal.sigtimedwait(self._signals, 0)
            if pending is not None:
                return _SIGNALED + pending.si_signo
            # The child inherits the mask.
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        process = subprocess.Popen(self._command, env=dict(environ))
        if sys.platform == "linux":
            signal.pthread_sigmask(signal.SIG_BLOCK, self._waited_for())
        self._process = process
        for number in self._early:
            self._on_signal(number, None)
        if started is not None:
            started(process.pid)
        code = self._wait(process)
        return _SIGNALED - code if code < 0 else code

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        if sys.platform != "linux":
            return process.wait()
        while (code := process.poll()) is None:
            info = signal.sigtimedwait(self._waited_for(), _LOOK_AGAIN_S)
            # Positive codes are the kernel's: a terminal has told the child as well.
            if info is not None and info.si_signo != signal.SIGCHLD and info.si_code <= 0:
                process.send_signal(info.si_signo)
        return code

    def _waited_for(self) -> set[int]:
        return {*self._signals, signal.SIGCHLD}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._process is None:
            self._early.append(number)
        elif number not in _FROM_TERMINAL or not _in_foreground():
            self._process.send_signal(number)


def _in_foreground() -> bool:
    """Whether a terminal sends its signals to this process."""
    try:
        with open("/dev/tty") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
