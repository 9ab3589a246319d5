"""When a run is derived: at its start and end, else every two seconds at most, and in a tenth of the time.

A derivation reads the whole run. Without a budget a run of many batches, or one whose
every span looks like its end (spans below a remote parent), would be read as often as
it is written to. Whoever reads meanwhile derives in memory what is behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

PAUSE_S = 2.0
"""Seconds between two derivations of a run at least."""

SHARE = 0.1
"""How much of the time derivations may take that no end of a run asks for."""

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
        ended: Whether its end has been derived, or is being so.
        is_large: Whether it was found to be.
        is_adopted: Whether others have written all that is pending of it.
    """

    not_before: float
    retry_at: float = 0.0
    pending: bool = False
    ending: bool = False
    ended: bool = False
    is_large: bool = False
    is_adopted: bool = False


class Schedule:
    """Which runs of a writer are due for derivation. Safe for several threads, and for a handler on one of them.

    Args:
        clock: Seconds, of a clock that only goes forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._runs: dict[str, _Run] = {}
        # Of these, in the order in which they came: a look at what is due must not take one at all of them.
        self._ending: dict[str, None] = {}
        self._pending: dict[str, None] = {}
        # Those that are being derived, and whether that is for their end.
        self._underway: dict[str, bool] = {}
        # Until when none is derived without an end; large runs and the others have a budget each.
        self._quiet_until = {False: 0.0, True: 0.0}

    def touched(self, run_ids: Iterable[str], ended: Iterable[str] = ()) -> None:
        """Note that facts were written.

        Args:
            run_ids: Of these runs.
            ended: Those whose end was among them.
        """
        with self._lock:
            now = self._clock()
            for run_id in run_ids:
                run = self._runs.setdefault(run_id, _Run(now))
                run.pending, run.is_adopted = True, False
                self._pending[run_id] = None
            for run_id in ended:
                run = self._runs[run_id]
                run.ending = not run.ended
                if run.ending:
                    self._ending[run_id] = None
            if len(self._runs) > _MANY:
                for run_id in [
                    r for r, run in self._runs.items() if not run.pending and now >= run.not_before
                ]:
                    # Nothing is due of it, whatever comes.
                    if run_id not in self._underway:
                        del self._runs[run_id]

    def adopted(self, run_ids: Iterable[str]) -> None:
        """Note runs that are behind, written by others: they may have been killed, or be at it still."""
        with self._lock:
            for run_id in run_ids:
                if run_id not in self._runs:
                    self._runs[run_id] = _Run(self._clock(), pending=True, is_adopted=True)
                    self._pending[run_id] = None

    def is_due(self, *, large: bool | None = None) -> bool:
        """Whether there is a run to be derived now.

        Args:
            large: Whether to look at the large ones or at the others; at both by default.
        """
        with self._lock:
            return self._first(large) is not None

    def next_due(self, *, large: bool | None = None) -> str | None:
        """The run to derive now, ends first; it is to be reported to `derived`, `failed` or `found_large`.

        Args:
            large: Whether to look at the large ones or at the others; at both by default.
        """
        with self._lock:
            run_id = self._first(large)
            if run_id is not None:
                self._begin(run_id)
            return run_id

    def begin(self, run_id: str) -> bool:
        """Derive a run though it may not be due; False where that is being done, or nothing of it is pending."""
        with self._lock:
            run = self._runs.get(run_id)
            if run is None or not run.pending or run_id in self._underway:
                return False
            self._begin(run_id)
            return True

    def _first(self, large: bool | None) -> str | None:
        now = self._clock()

        def may_be(run_id: str, run: _Run) -> bool:
            return now >= run.retry_at and large in (None, run.is_large) and run_id not in self._underway

        for run_id in self._ending:
            if may_be(run_id, self._runs[run_id]):
                return run_id
        for run_id in self._pending if now >= min(self._quiet_until.values()) else ():
            run = self._runs[run_id]
            if now >= max(run.not_before, self._quiet_until[run.is_large]) and may_be(run_id, run):
                return run_id
        return None

    def _begin(self, run_id: str) -> None:
        """What comes from here on is not taken in."""
        run = self._runs[run_id]
        self._underway[run_id] = run.ending
        run.ended |= run.ending
        run.pending = run.ending = False
        self._pending.pop(run_id, None)
        self._ending.pop(run_id, None)

    def derived(self, run_id: str, seconds: float, *, is_behind: bool = False) -> None:
        """Note that a run was derived.

        Args:
            run_id: The run.
            seconds: How long it took.
            is_behind: Whether facts have come meanwhile, of whatever process.
        """
        with self._lock:
            self._underway.pop(run_id, None)
            run = self._runs.get(run_id)
            if run is not None:
                if is_behind:
                    run.pending = True
                    self._pending[run_id] = None
                run.not_before = self._clock() + max(PAUSE_S, self._rest_after(run, seconds))

    def failed(self, run_id: str, seconds: float) -> None:
        """Note that a run could not be derived; it stays due, but not at once.

        Args:
            run_id: The run.
            seconds: How long it was tried.
        """
        with self._lock:
            run = self._take_back(run_id)
            if run is not None:
                run.retry_at = self._clock() + max(PAUSE_S, self._rest_after(run, seconds))

    def found_large(self, run_id: str) -> None:
        """Note that a run is large, and was not derived for that."""
        with self._lock:
            run = self._take_back(run_id)
            if run is not None:
                run.is_large = True

    def _take_back(self, run_id: str) -> _Run | None:
        """Have everything of it as it was before it was begun."""
        run = self._runs.get(run_id)
        was_ending = self._underway.pop(run_id, None)
        if run is not None and was_ending is not None:
            run.pending = True
            self._pending[run_id] = None
            if was_ending:
                run.ending, run.ended = True, False
                self._ending[run_id] = None
        return run

    def pending(self, *, adopted: bool = False) -> list[str]:
        """Every run with facts that are not derived yet nor being derived, by id.

        Args:
            adopted: Whether to give those that were adopted, and are not large, instead.
        """
        with self._lock:
            runs = [(run_id, self._runs[run_id]) for run_id in sorted(self._pending)]
        if adopted:
            return [run_id for run_id, run in runs if run.is_adopted and not run.is_large]
        return [run_id for run_id, run in runs if not run.is_adopted]

    def is_deriving(self) -> bool:
        """Whether a run is being derived that was not adopted."""
        with self._lock:
            return any(not self._runs[run_id].is_adopted for run_id in self._underway)

    def is_behind(self) -> bool:
        """Whether facts were written that are not derived yet, or just being so."""
        with self._lock:
            return bool(self._pending or self._underway)

    def _rest_after(self, run: _Run, seconds: float) -> float:
        """How long it, and others of its size, have to wait for it."""
        rest = seconds * (1 - SHARE) / SHARE
        self._quiet_until[run.is_large] = max(self._quiet_until[run.is_large], self._clock()) + rest
        return rest
