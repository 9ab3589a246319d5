"""What became of a process's spans: which are open, on their way, stored or lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from opentelemetry.sdk.trace import ReadableSpan

from spandag._guard import logger
from spandag.export.counters import count
from spandag.export.handed import SpanKey

# Spans of which it is known that they were stored: the exporter brings them a few seconds later.
_REMEMBERED = 16_384


class Fates:
    """What became of the spans that were handed over; each is stored once and lost once, however often it comes.

    Safe for several threads: whoever waits in vain notes what is kept as well as those who write.

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
        self._lock = threading.Lock()

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
                self.dropped -= sum(self._lost.pop(key, 0) is None for key in ended)

    def are_lost(self, ended: list[SpanKey], reason: str) -> None:
        """Count spans that are lost; said once.

        Args:
            ended: Those that were not counted yet are.
            reason: Why, in a clause.
        """
        with self._lock:
            self._underway.difference_update(ended)
            fresh = [key for key in ended if key not in self._lost]
            self._lost.update(dict.fromkeys(fresh))
            _leave_out_the_oldest(self._lost)
            self.dropped += len(fresh)
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
        del keys[next(iter(keys))]
