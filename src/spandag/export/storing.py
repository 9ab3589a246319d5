"""Writing to a store that may be away: what it cannot take is said once, and tried again later."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from spandag._guard import logger
from spandag.export.fates import Fates
from spandag.export.large_runs import LargeRuns
from spandag.export.loading import load_writer
from spandag.store.errors import NoStoreError, StoreError, is_of_the_store
from spandag.store.rows import Batch
from spandag.store.spool import Spool

if TYPE_CHECKING:
    from spandag.store.writer import Writer

HEARTBEAT_S = 2.0
"""How often a process that holds spans open says that it is alive."""

# Seconds until a store that was away is tried again: the first and the longest.
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
# How often a look is taken at what other processes have left on disk.
_LOOK_S = 10.0
# How long runs are derived before a look at whether there is something to write, and how often they are
# while there always is.
_DERIVE_S = 0.2
# The same for what waits on disk.
_DRAIN_S = 0.2
_DERIVE_EVERY_S = 2.0
# How often it is asked whether runs are to be removed, and when first.
_TIDY_S = 3600.0
_FIRST_TIDY_S = 5.0
# How long it may take where there is nothing else to do.
_IDLE_TIDY_S = 2.0
# How late it may be where there is always something to write, and how long it may take then.
_OVERDUE_S = 5.0
_BUSY_TIDY_S = 0.2
# How long it may take at the end of a process that was over before it asked.
_LAST_TIDY_S = 1.0


class Storing:
    """The store's side of a pipeline; used by one thread at a time.

    Args:
        url: The store.
        writer_id: Of this process, in ``writers``.
        spool: Where batches wait.
        fates: Tells how many spans were lost.

    Attributes:
        spool: The same.
        is_hopeless: Whether there is no use in waiting for the store.
    """

    def __init__(self, url: str, writer_id: str, spool: Spool, fates: Fates) -> None:
        self.spool = spool
        self._large_runs = LargeRuns()
        self._fates = fates
        self._url = url
        self._writer_id = writer_id
        self._writer: Writer | None = None
        self._beat_at = 0.0
        self._known_dropped = 0
        self._away_until = 0.0
        self._pause = 0.0
        self._reason = ""
        self._said = False
        self._look_at = 0.0
        self._derive_at = 0.0
        # Not with the first spans: a program that is over soon has no time for it.
        self._tidy_at = time.monotonic() + _FIRST_TIDY_S
        self._has_asked_to_tidy = False
        self._has_written = False
        self._has_adopted = False
        self.is_hopeless = False

    def is_away(self) -> bool:
        """Whether the store was found to be away, and is not to be tried yet."""
        return time.monotonic() < self._away_until

    def is_in_trouble(self) -> bool:
        """Whether the store is away, or was when it was last tried."""
        return self.is_hopeless or bool(self._pause)

    def reason(self) -> str:
        """Why the store could not be written, in one line."""
        return self._reason or f"the store {self._url} is busy"

    def look_soon(self) -> None:
        """Something was put on disk though the store is there."""
        self._look_at = 0.0

    def next_s(self, *, has_open: bool) -> float | None:
        """Seconds after which there is something to do by itself; None for nothing at all."""
        now = time.monotonic()
        if self._pause:
            return max(0.05, self._away_until - now)
        if self._writer is None:
            return None
        if self._writer.is_due(large=False):
            return 0.0
        due = [self._look_at - now, self._tidy_at - now]
        if has_open:
            due.append(self._beat_at + HEARTBEAT_S - now)
        if self._writer.is_behind():
            due.append(HEARTBEAT_S)
        return max(0.05, min(due))

    def write(self, batch: Batch, *, has_open: bool) -> bool:
        """Write a batch; False where the store cannot take it now."""
        if self.is_away():
            return False
        try:
            writer = self._opened()
            if has_open:
                # Before the rows that need it: whoever reads them finds that somebody is alive.
                self._beat(writer)
            # What follows from it can also be had when reading: batches that wait come first.
            writer.write(batch, derive=False)
        except StoreError as error:
            self._went_away(error)
            return False
        self._has_written = True
        # On a full disk a small batch may find room where what waits does not.
        if self._drain(writer) is not None:
            self._is_back()
        if not self._has_adopted:
            self._has_adopted = True
            with suppress(StoreError):
                writer.adopt()
        if not self._pause and time.monotonic() >= self._tidy_at + _OVERDUE_S:
            # There was not a moment without a batch since it was due.
            self._tidy(writer, _BUSY_TIDY_S)
        return True

    def derive(self, *, is_busy: bool) -> None:
        """Derive runs that are due, for a while; see to it that large ones are.

        Args:
            is_busy: Whether batches wait; then it is done now and then only.
        """
        now = time.monotonic()
        if self._writer is None or self.is_away() or (is_busy and now < self._derive_at):
            return
        try:
            self._catch_up(self._writer)
        except StoreError as error:
            self._went_away(error)
        self._derive_at = time.monotonic() + _DERIVE_EVERY_S

    def tend(self, *, has_open: bool) -> None:
        """What is to be done without a batch: heartbeat, derivations, what waits on disk."""
        if self.is_away():
            return
        try:
            writer = self._opened()
            if has_open or self._fates.dropped != self._known_dropped:
                self._beat(writer)
            self._catch_up(writer)
            brought = self._drain(writer)
            if brought is None:
                return
            if self._pause and not brought:
                # A full disk can still be read: it is back when something was written, and be it a word.
                self._beat(writer, anyway=True)
        except StoreError as error:
            self._went_away(error)
            return
        self._is_back()
        if time.monotonic() >= self._tidy_at:
            self._tidy(writer)

    def close(self, for_s: float) -> None:
        """Say that this process has ended, as far as the store listens.

        Args:
            for_s: Seconds that deriving may still take.
        """
        until = time.monotonic() + for_s
        dropped = self._fates.dropped
        told = not dropped
        if self._writer is not None:
            try:
                if not self._pause:
                    self._drain(self._writer)
                    if self._beat_at or dropped:
                        self._writer.beat(self._writer_id, dropped=dropped, closed=True)
                        told = True
                    if self._has_written and not self._has_asked_to_tidy:
                        # Where all programs are short, nobody else would do it.
                        self._tidy(self._writer, min(_LAST_TIDY_S, for_s / 2))
            except StoreError as error:
                logger.debug("spandag: could not close the store: %s", error)
            self._large_runs.wait(self._writer, until - time.monotonic())
            self._writer.close(until - time.monotonic())
            self._writer = None
        if not told and not self.is_hopeless:
            self.spool.note_lost(self._writer_id, dropped)

    def finish(self, for_s: float) -> None:
        """Wait for what is derived aside.

        Args:
            for_s: Seconds.
        """
        writer = self._writer
        if writer is not None:
            self._large_runs.wait(writer, for_s)

    def _catch_up(self, writer: Writer) -> None:
        writer.catch_up(_DERIVE_S, large=False)
        self._large_runs.look(writer)

    def _opened(self) -> Writer:
        if self._writer is None:
            # Here: SQLAlchemy takes long to load, and this is a thread of our own.
            self._writer = load_writer()(self._url)
        return self._writer

    def _beat(self, writer: Writer, *, anyway: bool = False) -> None:
        now = time.monotonic()
        is_due = now - self._beat_at >= HEARTBEAT_S
        if anyway or is_due or self._fates.dropped != self._known_dropped:
            writer.beat(self._writer_id, dropped=self._fates.dropped)
            self._beat_at, self._known_dropped = now, self._fates.dropped

    def _tidy(self, writer: Writer, seconds: float = _IDLE_TIDY_S) -> None:
        if seconds <= 0:
            return
        self._has_asked_to_tidy = True
        self._tidy_at = time.monotonic() + _TIDY_S
        try:
            if writer.tidy(seconds):
                self._tidy_at = time.monotonic() + HEARTBEAT_S
        except StoreError as error:
            logger.debug("spandag: could not remove old runs: %s", error)

    def _went_away(self, error: StoreError) -> None:
        self._reason = str(error)
        self.is_hopeless = isinstance(error, NoStoreError)
        self._pause = min(2 * self._pause or _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._away_until = time.monotonic() + self._pause
        self._look_at = 0.0
        if self.is_hopeless:
            return
        logger.log(
            logging.DEBUG if self._said else logging.WARNING,
            "spandag: %s; spans are kept in %s until it can be used (said once; the program goes on)",
            error,
            self.spool.folder,
        )
        self._said = True

    def _is_back(self) -> None:
        if self._pause:
            logger.warning("spandag: the store can be used again")
            self._said = False
        self._pause = self._away_until = 0.0
        self._reason = ""

    def _drain(self, writer: Writer) -> int | None:
        """Bring some of what waits on disk into the store; of this process, and of others that have ended.

        Returns:
            How many batches came into the store; None where it could take no more of them.
        """
        now = time.monotonic()
        if now < self._look_at:
            return 0
        self._look_at = now + _LOOK_S
        if self.spool.is_empty():
            return 0
        brought = 0

        def bring(batch: Batch) -> None:
            nonlocal brought
            writer.write(batch, derive=False)
            brought += 1

        try:
            self.spool.drain(bring, _DRAIN_S)
            if time.monotonic() - now >= _DRAIN_S:
                # There may be more; what comes meanwhile has its turn in between.
                self._look_at = 0.0
        except Exception as error:
            refused = self.spool.current
            if isinstance(error, StoreError) and (refused is None or is_of_the_store(error)):
                self._went_away(error)
                return None
            if refused is None:
                raise
            # The next time it would be refused, or a failure of ours, again; what waits behind it would wait for good.
            logger.warning("spandag: %s; the batch is set aside in %s", error, self.spool.folder)
            self.spool.set_aside(refused)
            self._look_at = 0.0
        return brought
