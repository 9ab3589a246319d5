"""The way of spans into the store: one for each store of a process, whoever brings them.

The live processor hands over each span when it starts and when it ends, the exporter hands over
what a batch processor gives it; a span that was stored already is not stored again. Two threads do
the work. One makes rows of the spans and never waits for the store; the other writes. What the
store cannot take at once waits in memory up to a limit, then on disk (`spandag.store.spool`).
"""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from types import FrameType

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan

from spandag._guard import guard
from spandag.config import Settings
from spandag.export.backlog import Backlog
from spandag.export.fates import Fates
from spandag.export.handed import Bell, Handed, SpanKey, key_of
from spandag.export.project import project
from spandag.export.queue import SpanQueue, portions, roughly_sized
from spandag.export.storing import Storing
from spandag.store.spool import Spool, folder_of, memory_of

FLUSH_S = 0.5
"""How long a span waits for others at most."""

# How long an export waits for a store where nothing depends on it.
_A_WHILE_S = 0.1
# How much of the time at the end is for what is there but to write: to say that this process has ended.
_RESERVE_S = 1.0
_RESERVE = 1 / 4
_FEW_FRAMES = 64


def _is_near_the_bottom() -> bool:
    """Whether there is about as much room on the stack here as in a thread of our own.

    How deep a message can be is a matter of that.
    """
    frame: FrameType | None = sys._getframe()
    for _ in range(_FEW_FRAMES):
        if frame is None:
            return True
        frame = frame.f_back
    return False


def _reserve_of(timeout_s: float) -> float:
    return min(_RESERVE_S, _RESERVE * timeout_s)


class Pipeline:
    """Brings spans into the store of a URL; made by `spandag.export.shared.pipeline_to`.

    Args:
        settings: Whose URL, and the limits of what waits.
    """

    def __init__(self, settings: Settings) -> None:
        self.url = settings.url
        self.settings = settings
        self.users = 0
        self.begin()

    def begin(self) -> None:
        """Start with nothing, as a process does: what waits after a fork is the parent's to write."""
        self.writer_id = uuid.uuid4().hex
        self._fates = Fates()
        self._queue = SpanQueue(self.settings.backlog)
        spool = Spool(folder_of(self.url, self.settings.spool), self.settings.spool_size)
        self._storing = Storing(self.url, self.writer_id, spool, self._fates)
        self._backlog = Backlog(self.settings.backlog, self._storing, self._fates)
        # Guards what follows as well.
        self._changed = self._backlog.changed
        self._wake = Bell()
        # Held by the one who makes rows; again by a handler that interrupts it and flushes.
        self._draining = threading.RLock()
        # Threads that are in the midst of something here. What a signal handler or a finalizer on one of them
        # brings must not wait for what is interrupted, nor ours for themselves.
        self._inside: set[int] = set()
        self._is_starting = False
        # Whether somebody has to wake the first thread, or to start it.
        self._idle = True
        self._hurry = False
        self._closing = False
        self._close_until = 0.0
        # When the program wants to be over, once it has said so.
        self._end_by: float | None = None
        self._generation = 0
        self._drained = 0
        self._threads: list[threading.Thread] = []

    @property
    def dropped(self) -> int:
        """How many spans were lost."""
        return self._fates.dropped

    # -- the host's side: nothing here waits for the store ------------------------

    def add(self, span: ReadableSpan) -> None:
        """Hand over a span, as it is now: just started, or ended."""
        self._queue.put(span)
        self._take_notice()

    def _take_notice(self) -> None:
        if self._idle:
            if not self._start() and self._closing:
                self._run_here(0)
            self._wake.ring()
        elif self._queue.is_long():
            if not self._hurry:
                self._hurry = True
                self._wake.ring()
            lost = self._queue.make_room()
            if lost:
                self._fates.left_out(lost, "spans come faster than rows can be made of them")

    def export(self, spans: Iterable[ReadableSpan], timeout_s: float, *, is_live: bool) -> bool:
        """Hand over ended spans and wait until they are stored, or at least on disk.

        Args:
            spans: Those that the live processor has brought already cost nothing.
            timeout_s: Seconds to wait for the store.
            is_live: Whether a live processor stands beside the exporter, which brings and flushes the
                same spans. Then a store that is busy is waited for no longer than a moment: a batch
                processor that has to wait drops what comes meanwhile.

        Returns:
            False where spans were dropped, or it took too long.
        """
        dropped, stored = self.dropped, self._fates.stored
        fresh = {key: span for span in spans if (key := key_of(span)) not in stored}
        me = threading.get_ident()
        if me in self._inside:
            self._add_all(fresh)
            return True
        self._inside.add(me)
        try:
            return self._export(fresh, timeout_s, is_live=is_live) and self.dropped <= dropped
        finally:
            self._inside.discard(me)

    def _export(self, fresh: dict[SpanKey, ReadableSpan], timeout_s: float, *, is_live: bool) -> bool:
        if not is_live and _is_near_the_bottom():
            target = self._hand_on_here(fresh, timeout_s)
        else:
            self._add_all(fresh)
            target = self._hasten(timeout_s)
        if is_live:
            self._wait_for(target, min(timeout_s, _A_WHILE_S))
            return True
        return self._wait_until_kept(target, timeout_s)

    def _add_all(self, spans: dict[SpanKey, ReadableSpan]) -> None:
        for span in spans.values():
            self._queue.put(span)
        # Once: an export has to end in its time, however many it brings.
        self._take_notice()

    def flush(self, timeout_s: float) -> bool:
        """Wait until what was handed over is stored; where the store is away or takes too long, until it is on disk.

        Returns:
            Whether it is.
        """
        until = time.monotonic() + timeout_s
        me = threading.get_ident()
        if me in self._inside:
            # The rows' thread may have to wait for what is interrupted by this.
            if self._draining.acquire(blocking=False):
                try:
                    self._drain()
                finally:
                    self._draining.release()
            return self._wait_until_kept(self._hasten(timeout_s) if self._queue else self._drained, timeout_s)
        self._inside.add(me)
        try:
            is_kept = self._wait_until_kept(self._hasten(timeout_s), timeout_s)
            self._backlog.wait_for_disk(until, self._runs)
            return is_kept
        finally:
            self._inside.discard(me)

    def finish(self, timeout_s: float) -> None:
        """As `flush`, where the program ends: wait as well for what is derived aside.

        What is left of the time is for a `close` that follows.
        """
        self._end_by = time.monotonic() + timeout_s
        until = self._end_by - _reserve_of(timeout_s)
        self.flush(until - time.monotonic())
        self._storing.finish(until - time.monotonic())

    def _wait_until_kept(self, target: int, timeout_s: float) -> bool:
        """Whether a drain of the queue is stored in time, or else on disk."""
        if self._wait_for(target, timeout_s):
            return True
        self._backlog.keep_all()
        with self._changed:
            return self._is_done(target)

    def _hasten(self, timeout_s: float) -> int:
        """Have rows made at once of what was handed over; tells of which drain of the queue they are.

        Args:
            timeout_s: Seconds that it may take where all of it has to be done here.
        """
        started = self._start()
        with self._changed:
            target = self._generation + 1
            self._hurry = True
        self._wake.ring()
        if not started:
            self._run_here(timeout_s)
        return target

    def _hand_on_here(self, spans: dict[SpanKey, ReadableSpan], timeout_s: float) -> int:
        """Hand on what only just came, past the queue; tells of which drain of the queue it is a part.

        Whoever waits anyway makes the rows: what goes from one thread to another goes from the cache of
        one processor to that of another.
        """
        started = self._start()
        with suppress_instrumentation(), self._draining:
            generation = self._drained
            for portion in portions(roughly_sized(spans.values()), self.settings.backlog):
                with guard("make rows of spans"):
                    self._hand_on(portion, generation)
        if not started:
            self._run_here(timeout_s)
        return generation

    def _wait_for(self, generation: int, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._is_done(generation), timeout_s)

    def _is_done(self, generation: int) -> bool:
        return self._drained >= generation and self._backlog.is_kept(generation)

    def close(self, timeout_s: float) -> None:
        """Bring everything into the store, or at least on disk, and end."""
        now, reserve = time.monotonic(), _reserve_of(timeout_s)
        until = now + timeout_s
        if self._end_by is not None:
            # The end has begun before; both together take no longer.
            until = min(until, max(self._end_by, now + reserve))
        self.flush(until - reserve - now)
        with self._changed:
            self._close_until = until
            self._closing = True
            self._changed.notify_all()
        self._wake.ring()
        if not self._threads:
            self._storing.close(until - time.monotonic())
            return
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))
        # What came after the last look; whoever makes rows now is nearly done.
        if self._queue and self._draining.acquire(timeout=_A_WHILE_S):
            try:
                with suppress_instrumentation():
                    self._drain_alone()
            finally:
                self._draining.release()
        self._backlog.spool_all()
        if self.dropped and any(thread.is_alive() for thread in self._threads):
            # The store does not answer, so it cannot be told.
            self._storing.spool.note_lost(self.writer_id, self.dropped)

    def _start(self) -> bool:
        """Start the threads where they do not run; False where none can be started any more."""
        if self._runs():
            return True
        with self._changed:
            if self._runs():
                return True
            if self._closing or self._is_starting:
                # Whoever is at it was interrupted by this on the same thread.
                return not self._closing
            self._is_starting = True
            made = [
                threading.Thread(
                    target=self._work, args=(self._make_rows,), name="spandag-rows", daemon=True
                ),
                threading.Thread(target=self._work, args=(self._write,), name="spandag-writer", daemon=True),
            ]
            try:
                for thread in made:
                    thread.start()
            except RuntimeError:
                # The interpreter ends.
                return False
            finally:
                self._is_starting = False
            self._threads = made
        return True

    def _runs(self) -> bool:
        """Whether the threads run."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def _work(self, work: Callable[[], None]) -> None:
        me = threading.get_ident()
        self._inside.add(me)
        try:
            work()
        finally:
            self._inside.discard(me)

    # -- rows ---------------------------------------------------------------------

    def _make_rows(self) -> None:
        with suppress_instrumentation():
            while not self._closing:
                if not self._queue and not self._hurry:
                    self._idle = True
                    if not self._queue and not self._hurry:
                        self._wake.wait(FLUSH_S if self._backlog else None)
                # Also where spans came before this thread did: whoever brings more has to make room.
                self._idle = False
                self._backlog.copy()
                if not self._queue and not self._hurry:
                    self._wake.silence()
                    continue
                if not self._hurry:
                    # Others come along.
                    self._wake.silence()
                    if not self._hurry:
                        self._wake.wait(FLUSH_S)
                self._wake.silence()
                self._drain()
        # Whoever comes later has to see to it.
        self._idle = True

    def _drain(self) -> None:
        """Make rows of what is in the queue now, and hand them on."""
        with self._draining:
            self._drain_alone()

    def _drain_alone(self) -> None:
        with self._changed:
            self._hurry = False
            self._generation += 1
            generation = self._generation
        for portion in portions(self._queue.take(), self.settings.backlog):
            with guard("make rows of spans"):
                self._hand_on(portion, generation)
        with self._changed:
            # One that has interrupted this may have come further.
            self._drained = max(self._drained, generation)
            self._changed.notify_all()

    def _hand_on(self, spans: dict[SpanKey, ReadableSpan], generation: int) -> None:
        fresh, ended = self._fates.news(spans)
        if not fresh:
            return
        batch = project(fresh, writer_id=self.writer_id)
        self._fates.are_underway(ended)
        self._backlog.add(Handed(batch, ended, memory_of(batch), generation, self._fates.has_open))

    # -- the store ----------------------------------------------------------------

    def _write(self) -> None:
        with suppress_instrumentation():
            while True:
                with self._changed:
                    if not self._backlog and not self._closing:
                        self._changed.wait(self._storing.next_s(has_open=self._fates.has_open))
                    handed = self._backlog.first()
                    if handed is None and self._closing:
                        break
                with guard("write to the store"):
                    self._write_one(handed)
            # Here, so that whoever closes waits no longer than he wants to.
            with guard("close the store"):
                self._storing.close(self._close_until - time.monotonic())

    def _write_one(self, handed: Handed | None) -> None:
        if handed is None:
            self._storing.tend(has_open=self._fates.has_open)
            self._backlog.has_answered()
            return
        try:
            if self._storing.write(handed.batch, has_open=handed.open_spans):
                self._fates.are_kept(handed.ended)
                handed.came_to_the_store(self._storing.spool)
                # Before anybody is told that it is stored: who flushes and ends has the rest behind him.
                self._storing.derive(is_busy=len(self._backlog) > 1)
            elif not handed.is_kept:
                self._backlog.spool(handed)
        except BaseException:
            # No word of the store's, so nobody knows what became of it. Until it is safe nobody may take it for
            # being on its way.
            self._backlog.spool(handed)
            raise
        finally:
            self._backlog.let_go(handed)

    def _run_here(self, timeout_s: float) -> None:
        """Both threads' work, where there can be no threads any more; what takes too long goes to disk.

        So does what comes after the end, when the store is closed.
        """
        until = time.monotonic() + (0.0 if self._closing else timeout_s)
        with suppress_instrumentation():
            self._drain()
            while (handed := self._backlog.first()) is not None:
                if time.monotonic() < until:
                    self._write_one(handed)
                else:
                    self._backlog.spool(handed)
                    self._backlog.let_go(handed)
        if self._closing and self.dropped and not self._storing.is_hopeless:
            self._storing.spool.note_lost(self.writer_id, self.dropped)
