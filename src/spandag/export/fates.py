"""What became of a process's spans: which are open, on their way, stored or lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from opentelemetry.sdk.trace import ReadableSpan

from spandag._guard import logger
from spandag.export.counters import count
from spandag.export.handed import SpanKey

# Spans of which it is known that they were stored, or lost: the exporter brings them a few seconds later.
# Who loses more than that meanwhile counts those twice that are lost again, and those as lost that are stored after all.
_REMEMBERED = 16_384


class Fates:
    """What became of the spans that were handed over; each is stored once and lost once, however often it comes.

    Safe for several threads: whoever waits in vain notes what is kept as well as those who write. Safe as well for
    a signal handler or a finalizer that ends a span in the middle of any of it, on the same thread.

    Attributes:
        stored: Those of late that are kept, by their keys.
        dropped: How many were lost and have not come again.
    """

    def __init__(self) -> None:
        self.stored: dict[SpanKey, None] = {}
        self.dropped = 0
        self._open: set[SpanKey] = set()
        self._underway: set[SpanKey] = set()
        # Counted as dropped; the exporter may bring them again, when there is room.
        self._lost: dict[SpanKey, None] = {}
        self._has_said_so = False
        # A handler in the midst of what follows has to get past it; no statement is halfway when it comes.
        self._lock = threading.RLock()

    @property
    def has_open(self) -> bool:
        """Whether spans have started that have not ended."""
        return bool(self._open)

    def news(self, spans: Mapping[SpanKey, ReadableSpan]) -> tuple[list[ReadableSpan], list[SpanKey]]:
        """Of spans those that are not kept or on their way, and the keys of those of them that have ended."""
        fresh: list[ReadableSpan] = []
        ended: list[SpanKey] = []
        for key, span in spans.items():
            has_ended = span.end_time is not None
            if has_ended:
                self._open.discard(key)
            if key in self.stored or key in self._underway:
                continue
            fresh.append(span)
            if has_ended:
                ended.append(key)
            else:
                self._open.add(key)
        return fresh, ended

    def are_underway(self, ended: list[SpanKey]) -> None:
        """Note ended spans whose rows are made, and which need not be brought again meanwhile."""
        with self._lock:
            self._underway.update(ended)

    def are_kept(self, ended: list[SpanKey]) -> None:
        """Note ended spans that are in the store or on disk."""
        with self._lock:
            self.stored.update(dict.fromkeys(ended))
            self._underway.difference_update(ended)
            _leave_out_the_oldest(self.stored)
            if self._lost:
                # Brought again, and this time there was room.
                found = sum(self._lost.pop(key, 0) is None for key in ended)
                self.dropped -= found

    def left_out(self, ended: list[SpanKey], reason: str) -> None:
        """Count spans that could not wait for their rows, but for those that had been brought before.

        Args:
            ended: What is stored of them is no loss, and what is on its way has its fate before it.
            reason: Why, in a clause.
        """
        with self._lock:
            ended = [key for key in ended if key not in self._underway]
        self.are_lost(ended, reason)

    def are_lost(self, ended: list[SpanKey], reason: str) -> None:
        """Count spans that are lost; said once.

        Args:
            ended: Those that are not stored, and were not counted yet, are.
            reason: Why, in a clause.
        """
        with self._lock:
            self._underway.difference_update(ended)
            fresh = [key for key in ended if key not in self._lost and key not in self.stored]
            lost = len(fresh)
            self._lost.update(dict.fromkeys(fresh))
            _leave_out_the_oldest(self._lost)
            self.dropped += lost
            is_said, self._has_said_so = self._has_said_so, self._has_said_so or bool(fresh)
        if not fresh:
            return
        count("spandag.exporter.dropped_spans", "Spans that could not be kept", len(fresh))
        logger.log(
            logging.DEBUG if is_said else logging.WARNING,
            "spandag: %d spans were lost: %s (said once; the program goes on)",
            len(fresh),
            reason,
        )


def _leave_out_the_oldest(keys: dict[SpanKey, None]) -> None:
    while len(keys) > _REMEMBERED:
        keys.pop(next(iter(keys)), None)
