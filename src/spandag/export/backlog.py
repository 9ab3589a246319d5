"""Batches that wait for the store: in memory up to a limit, then on disk."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from spandag.export.counters import count
from spandag.export.fates import Fates
from spandag.export.handed import Handed
from spandag.export.storing import Storing

# What has waited so long is brought to disk as well, where it outlives this process.
_COPIED_AFTER_S = 0.5
# How often it is looked whether what is on disk has come into the store, at first and at least; and how long that is
# waited for while nothing of it does: much that others have left may come first.
_LOOK_S = 0.02
_LOOK_AT_LEAST_S = 0.2
_NO_PROGRESS_S = 3.0


class Backlog:
    """What rows have been made of and the store does not have yet.

    Args:
        limit: Bytes of memory that it may take.
        storing: Tells whether the store is away.
        fates: Is told what is kept and what is lost.

    Attributes:
        changed: Guards all of it, and is told of every change.
        is_stuck: Whether somebody has waited in vain for the store, which has not answered since.
    """

    def __init__(self, limit: int, storing: Storing, fates: Fates) -> None:
        self.changed = threading.Condition()
        self._limit = limit
        self._storing = storing
        self._fates = fates
        self._handed: deque[Handed] = deque()
        self._bytes = 0
        self.is_stuck = False

    def __len__(self) -> int:
        """How many batches wait in memory."""
        return len(self._handed)

    def first(self) -> Handed | None:
        """What is to be written next."""
        with self.changed:
            return self._handed[0] if self._handed else None

    def is_kept(self, generation: int) -> bool:
        """Whether nothing waits any more, but in the store or on disk, that was handed over up to a generation."""
        # A copy: a handler on the same thread may flush meanwhile.
        return all(handed.is_kept or handed.generation > generation for handed in list(self._handed))

    def add(self, handed: Handed) -> None:
        """Take a batch over; what has no room in memory, or need not wait there, goes to disk."""
        if self.is_stuck and self.keep(handed):
            return
        with self.changed:
            fits = not self._handed or self._bytes + handed.size <= self._limit
            waits = fits and not self._storing.is_away()
            if waits:
                self._handed.append(handed)
                self._bytes += handed.size
                self.changed.notify_all()
        if not waits:
            self.spool(handed)

    def let_go(self, handed: Handed) -> None:
        """Note that a batch is no longer ours: the store has answered, or it is on disk or lost."""
        with self.changed:
            # Whoever has waited in vain says so under the same lock, and only while something is there to be let go.
            self.is_stuck = False
            if self._handed and self._handed[0] is handed:
                self._handed.popleft()
                self._bytes -= handed.size
            self.changed.notify_all()

    def has_answered(self) -> None:
        """Note that the store is not stuck."""
        self.is_stuck = False

    def keep(self, handed: Handed) -> bool:
        """Whether a batch is in the store or on disk, so that nobody need wait for it."""
        if self._storing.is_hopeless or not handed.is_safe(self._storing.spool):
            return False
        if not handed.is_kept:
            handed.is_kept = True
            self._fates.are_kept(handed.ended)
            if handed.was_copied:
                self._storing.look_soon()
                count("spandag.exporter.spooled_spans", "Spans that waited on disk", len(handed.ended))
            with self.changed:
                self.changed.notify_all()
        return True

    def keep_all(self) -> None:
        """Somebody has waited in vain: bring all of it to disk."""
        with self.changed:
            # The store takes its time, and may never answer; but nothing has been asked of it where nothing waits.
            self.is_stuck = bool(self._handed)
        for handed in list(self._handed):
            # Where there is no room it is not lost: it still waits in memory.
            self.keep(handed)

    def spool(self, handed: Handed) -> None:
        """Bring a batch to disk; what finds no room there is lost."""
        if self._storing.is_hopeless:
            self._fates.are_lost(handed.ended, self._storing.reason())
            return
        is_kept = False
        try:
            is_kept = self.keep(handed)
        finally:
            if not is_kept:
                reason = f"{self._storing.reason()}, and there is no room to keep them on disk"
                self._fates.are_lost(handed.ended, reason)

    def spool_all(self) -> None:
        """Bring to disk what nobody will write any more."""
        for handed in list(self._handed):
            if not handed.is_kept:
                self.spool(handed)

    def wait_for_disk(self, until: float, is_written: Callable[[], bool]) -> None:
        """Wait until what had no room in memory comes from disk into the store: whoever flushes may want to read it.

        Args:
            until: By `time.monotonic`.
            is_written: Whether there is a thread that writes.
        """
        spool = self._storing.spool
        names, pause, moved_at = spool.own(), _LOOK_S, time.monotonic()
        while (
            names
            and (now := time.monotonic()) < min(until, moved_at + _NO_PROGRESS_S)
            and is_written()
            and not (self.is_stuck or self._storing.is_in_trouble())
        ):
            time.sleep(min(pause, until - now))
            pause = min(2 * pause, _LOOK_AT_LEAST_S)
            left = names & spool.own()
            if len(left) < len(names):
                names, moved_at = left, time.monotonic()

    def copy(self) -> None:
        """Bring what waits for a writer that is held up to disk, where it outlives this process.

        The writer may be at it; what it brings to the store it takes back from disk.
        """
        before = time.monotonic() - _COPIED_AFTER_S
        for handed in list(self._handed):
            if handed.at <= before and not self._storing.is_hopeless:
                handed.is_safe(self._storing.spool)
