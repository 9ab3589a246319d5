"""Whether a process of this machine still runs, where its heartbeat alone does not say so."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

# Its clock and the database's need not agree to the second.
_SLACK_S = 5.0
_PROC = Path("/proc")


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


def _started_s(pid: int) -> float | None:
    """When a process was started, in Unix seconds; None where there is none, or it has ended."""
    try:
        # The name, in parentheses, may have any character.
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        state, ticks = fields[0], int(fields[19])
        return None if state in "ZX" else _booted_s() + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


@cache
def _booted_s() -> int:
    for line in (_PROC / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return int(line.split()[1])
    raise ValueError("the system does not say when it was started")
