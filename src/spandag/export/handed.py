"""A batch on its way from the rows' thread to the writer's, and its copy on disk."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan

from spandag.store.rows import Batch
from spandag.store.spool import Spool

SpanKey = tuple[int, int]
"""Trace id and span id."""

NO_KEY: SpanKey = (0, 0)
"""Of a span that has neither."""


def key_of(span: ReadableSpan) -> SpanKey:
    """What tells a span from all others."""
    context = span.get_span_context()
    # The first two of it; as attributes they are two calls.
    return NO_KEY if context is None else context[:2]


class Bell:
    """Wakes one thread. An `Event` without its lock: who rings may be interrupted by a handler that rings."""

    def __init__(self) -> None:
        self._silence = threading.Lock()
        self._silence.acquire()

    def ring(self) -> None:
        """Wake the one who waits, or the next who will."""
        # Somebody may have rung just now.
        if self._silence.locked():
            with suppress(RuntimeError):
                self._silence.release()

    def wait(self, for_s: float | None) -> None:
        """Wait until it rings, or no longer; afterwards it is silent.

        Args:
            for_s: Seconds; None for however long it takes.
        """
        self._silence.acquire(timeout=-1 if for_s is None else for_s)

    def silence(self) -> None:
        """Forget that it has rung."""
        self._silence.acquire(blocking=False)


@dataclass(slots=True)
class Handed:
    """A batch on its way.

    Attributes:
        batch: Its rows.
        ended: The spans in it that have ended. The others will come again.
        size: Bytes of memory, about.
        generation: Of which drain of the queue it is a part.
        open_spans: Whether some of them have not ended.
        at: When it was handed over, by `time.monotonic`.
        is_kept: Whether nobody waits for it any more, as it is in the store or on disk.
    """

    batch: Batch
    ended: list[SpanKey]
    size: int
    generation: int
    open_spans: bool
    at: float = field(default_factory=time.monotonic)
    is_kept: bool = False
    _copy: Path | None = None
    _is_stored: bool = False
    # One that a handler or a finalizer on the same thread gets past; at worst there are two copies, which changes nothing.
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def is_safe(self, spool: Spool) -> bool:
        """Whether it is in the store or on disk; makes a copy on disk where it is neither.

        Args:
            spool: Where copies are.
        """
        with self._lock:
            if self._copy is None and not self._is_stored:
                self._copy = spool.put(self.batch, len(self.ended))
            return self._copy is not None or self._is_stored

    @property
    def was_copied(self) -> bool:
        """Whether it is, or was, on disk."""
        return self._copy is not None

    def came_to_the_store(self, spool: Spool) -> None:
        """Note that it is in the store; there needs to be no copy any more.

        Args:
            spool: Where copies are.
        """
        with self._lock:
            self._is_stored = True
            if self._copy is not None:
                spool.take_back(self._copy)
