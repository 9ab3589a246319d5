"""When a run is derived: at its end, else every two seconds at most, and in a tenth of the time.

A derivation reads the whole run. Without a budget a run of many batches, or one whose
every span looks like its end (spans below a remote parent), would be read as often as
it is written to. Whoever reads meanwhile derives in memory what is behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

PAUSE_S = 2.0
"""Seconds between two derivations of a run at least."""

SHARE = 0.1
"""How much of the time derivations may take that no end of a run asks for."""


@dataclass(slots=True)
class _Run:
    """What is known of a run.

    Attributes:
        pending: Whether facts have come since it was derived.
        ending: Whether its end is among them, and was not derived before.
        ended: Whether its end has been derived.
        not_before: When it may be derived without an end.
    """

    not_before: float
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
        self._quiet_until = 0.0

    def touched(self, run_ids: Iterable[str], ended: Iterable[str]) -> None:
        """Note that facts were written.

        Args:
            run_ids: Of these runs.
            ended: Those whose end was among them.
        """
        soon = self._clock() + PAUSE_S
        for run_id in run_ids:
            self._runs.setdefault(run_id, _Run(soon)).pending = True
        for run_id in ended:
            run = self._runs[run_id]
            run.ending = not run.ended

    def due(self) -> list[str]:
        """The runs to derive now, by id; each is to be reported to `derived`."""
        now = self._clock()
        due = [
            run_id
            for run_id, run in self._runs.items()
            if run.pending and (run.ending or now >= max(run.not_before, self._quiet_until))
        ]
        for run_id in [r for r, run in self._runs.items() if not run.pending and now >= run.not_before]:
            # Nothing is due of it any more, whatever comes.
            del self._runs[run_id]
        return sorted(due)

    def derived(self, run_id: str, seconds: float) -> None:
        """Note that a run was derived.

        Args:
            run_id: The run.
            seconds: How long it took.
        """
        now = self._clock()
        rest = seconds * (1 - SHARE) / SHARE
        run = self._runs.get(run_id)
        if run is not None:
            run.pending = False
            run.ended |= run.ending
            run.ending = False
            run.not_before = now + max(PAUSE_S, rest)
        self._quiet_until = max(self._quiet_until, now + rest)

    def pending(self) -> list[str]:
        """Every run with facts that are not derived yet, by id."""
        return sorted(run_id for run_id, run in self._runs.items() if run.pending)
