"""Whether a process of this machine still runs, where its heartbeat alone does not say so."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

from spandag.store.heartbeat import pid_space

# Its clock and the database's need not agree to the second.
_SLACK_S = 5.0
_PROC = Path("/proc")
# A process that its parent has not asked about yet, and one that is being removed.
_ENDED = ("Z", "X")


def is_running(host: str | None, pid: int | None, started_at: int | None) -> bool:
    """Whether a writer's process is alive on this machine.

    A process that cannot reach its store cannot say that it is alive either. Only Linux tells when a
    process was started, without which a number that was given again would be taken for it; elsewhere
    the answer is no.

    Args:
        host: Where it runs, of ``writers``.
        pid: Its number there.
        started_at: When it began to write, in Unix ns by the database's clock.
    """
    if host != socket.gethostname() or pid is None or started_at is None:
        return False
    since = _started_s(pid)
    return since is not None and since <= started_at / 1e9 + _SLACK_S


def is_gone(host: str | None, pid: int | None, space: str | None) -> bool:
    """Whether a writer's process is known to have ended, however young its heartbeat.

    Only where its number means the same here as there: in the same namespace, since the same start of
    the system. That another process was given its number is not looked at, since that takes clocks that agree.

    Args:
        host: Where it runs, of ``writers``.
        pid: Its number there.
        space: Its `spandag.store.heartbeat.pid_space`, as it said.
    """
    if space is None or pid is None or pid <= 0:
        return False
    if host != socket.gethostname() or space != pid_space():
        return False
    try:
        # Not by what is below /proc, which can be hidden.
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    stat = _stat(pid)
    return stat is not None and stat[0] in _ENDED


def _started_s(pid: int) -> float | None:
    """When a process was started, in Unix seconds; None where there is none, or it has ended."""
    stat = _stat(pid)
    try:
        if stat is None or stat[0] in _ENDED:
            return None
        return _booted_s() + int(stat[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def _stat(pid: int) -> list[str] | None:
    """What the system says of a process, from its state on."""
    try:
        # The name, in parentheses, may have any character.
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split() or None
    except (OSError, ValueError):
        return None


@cache
def _booted_s() -> int:
    for line in (_PROC / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return int(line.split()[1])
    raise ValueError("the system does not say when it was started")
