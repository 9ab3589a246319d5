"""When a run is derived: at its start and end, else every two seconds at most, and in a tenth of the time.

A derivation reads the whole run. Without a budget a run of many batches, or one whose
every span looks like its end (spans below a remote parent), would be read as often as
it is written to. Whoever reads meanwhile derives in memory what is behind.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

PAUSE_S = 2.0
"""Seconds between two derivations of a run at least."""

SHARE = 0.1
"""How much of the time derivations may take that no end of a run asks for."""

LONG_S = 0.25
"""Seconds that a derivation may take of a run that goes on; beyond that the run waits for its end."""

# Runs that are known before those are looked for of which nothing is to be known any more.
_MANY = 1000


@dataclass(slots=True)
class _Run:
    """What is known of a run.

    Attributes:
        not_before: When it may be derived without an end.
        retry_at: When it may be derived at all, after it failed.
        pending: Whether facts have come since it was derived.
        ending: Whether its end is among them, and was not derived before.
        ended: Whether its end has been derived.
    """

    not_before: float
    retry_at: float = 0.0
    pending: bool = False
    ending: bool = False
    ended: bool = False


class Schedule:
    """Which runs of a writer are due for derivation.

    Args:
        clock: Seconds, of a clock that only goes forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        # Of these, in the order in which they came: a look at what is due must not take one at all of them.
        self._ending: dict[str, None] = {}
        self._pending: dict[str, None] = {}
        self._quiet_until = 0.0

    def touched(self, run_ids: Iterable[str], ended: Iterable[str] = ()) -> None:
        """Note that facts were written.

        Args:
            run_ids: Of these runs.
            ended: Those whose end was among them.
        """
        now = self._clock()
        for run_id in run_ids:
            self._runs.setdefault(run_id, _Run(now)).pending = True
            self._pending[run_id] = None
        for run_id in ended:
            run = self._runs[run_id]
            run.ending = not run.ended
            if run.ending:
                self._ending[run_id] = None
        if len(self._runs) > _MANY:
            for run_id in [r for r, run in self._runs.items() if not run.pending and now >= run.not_before]:
                # Nothing is due of it, whatever comes.
                del self._runs[run_id]

    def next_due(self) -> str | None:
        """The run to derive now, ends first; it is to be reported to `derived` or `failed`."""
        now = self._clock()
        for run_id in self._ending:
            if now >= self._runs[run_id].retry_at:
                return run_id
        if now < self._quiet_until:
            return None
        for run_id in self._pending:
            run = self._runs[run_id]
            if now >= max(run.retry_at, run.not_before):
                return run_id
        return None

    def derived(self, run_id: str, seconds: float) -> None:
        """Note that a run was derived.

        Args:
            run_id: The run.
            seconds: How long it took.
        """
        rest = self._spent(seconds)
        run = self._runs.get(run_id)
        if run is not None:
            run.pending = False
            run.ended |= run.ending
            run.ending = False
            if seconds > LONG_S and not run.ended:
                # What ends meanwhile must be stored within a second, and whoever reads derives in memory.
                rest = math.inf
            self._pending.pop(run_id, None)
            self._ending.pop(run_id, None)
            run.not_before = self._clock() + max(PAUSE_S, rest)

    def failed(self, run_id: str, seconds: float) -> None:
        """Note that a run could not be derived; it stays due, but not at once.

        Args:
            run_id: The run.
            seconds: How long it was tried.
        """
        rest = self._spent(seconds)
        run = self._runs.get(run_id)
        if run is not None:
            run.retry_at = self._clock() + max(PAUSE_S, rest)

    def pending(self) -> list[str]:
        """Every run with facts that are not derived yet, by id."""
        return sorted(self._pending)

    def _spent(self, seconds: float) -> float:
        """How long the others have to wait for it."""
        rest = seconds * (1 - SHARE) / SHARE
        self._quiet_until = max(self._quiet_until, self._clock()) + rest
        return rest
