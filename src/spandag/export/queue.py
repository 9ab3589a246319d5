"""Spans that wait until rows are made of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from spandag.export.handed import NO_KEY, SpanKey, key_of
from spandag.export.values import copied

AT_ONCE = 512
"""Spans of one batch."""

# So many come within half a second: rows are made then, in the time that the program leaves. Making them at once
# costs a program that is done with its burst soon twice the time.
_LONG = 2_048
# Beyond so many spans, or so many bytes, whoever brings more waits a moment. Rows are made well before.
_MOST_SPANS = 4_096
_MOST_BACKLOGS = 4
_LEAST_BYTES = 4_000_000
_EARLY = 4
# Beyond so many times that number the oldest are left out.
_TOO_MANY = 4
# A moment, and for how many bytes: making rows of long texts and compressing them takes its time.
_A_MOMENT_S = 0.001
_BYTES_OF_A_MOMENT = 20_000
_LONGEST_S = 0.05
_STANDS_FOR = 8
# Of a span beside its texts.
_SPAN_BYTES = 2_000

Sized = tuple[ReadableSpan, int]
"""A span, and about how many bytes of memory it takes."""


class SpanQueue:
    """Takes spans from any thread.

    Args:
        backlog: Bytes of rows that may wait in memory.
    """

    def __init__(self, backlog: int) -> None:
        self._spans: deque[Sized] = deque()
        self._most_bytes = max(_LEAST_BYTES, _MOST_BACKLOGS * backlog)
        # Counted apart, as the one is of those who bring and the other of the one who takes; no lock is
        # worth it, and where none are left all of it starts anew.
        self._brought = 0
        self._taken = 0

    def __len__(self) -> int:
        """How many spans wait."""
        return len(self._spans)

    @property
    def bytes(self) -> int:
        """About how much memory they take."""
        return self._brought - self._taken

    def put(self, span: ReadableSpan) -> None:
        """Bring a span."""
        # What one that goes on holds, the program holds itself.
        size = _SPAN_BYTES if span.end_time is None else size_of(span)
        self._brought += size
        self._spans.append((span, size))

    def is_long(self) -> bool:
        """Whether rows should be made soon of what is there."""
        return len(self._spans) > _LONG or _EARLY * (self._brought - self._taken) > self._most_bytes

    def make_room(self) -> list[SpanKey]:
        """Where too much waits, wait a moment; where far too many do, leave the oldest out.

        What is left out goes by their number: by their size everybody waits the longer the more there is.

        Returns:
            Of those that were left out and have ended, which are lost unless they come again.
        """
        lost: list[SpanKey] = []
        over = self.bytes / self._most_bytes - 1
        if over > 0:
            moments = max(1.0, self.bytes / max(1, len(self._spans)) / _BYTES_OF_A_MOMENT) * 4 * over**2
            time.sleep(min(_LONGEST_S, _A_MOMENT_S * moments))
        elif len(self._spans) > _MOST_SPANS:
            # Lets the other thread have its turn; a program that makes spans without pause takes all of it.
            time.sleep(_A_MOMENT_S)
        with suppress(IndexError):
            while len(self._spans) > _TOO_MANY * _MOST_SPANS:
                span, size = self._spans.popleft()
                self._brought -= size
                # A start is no loss: its end will bring all of it.
                if span.end_time is not None:
                    lost.append(key_of(span))
        return lost

    def take(self) -> Iterator[Sized]:
        """Take out what is there now."""
        if not self._spans:
            self._brought = self._taken = 0
        # Somebody may make room meanwhile.
        with suppress(IndexError):
            for _ in range(len(self._spans)):
                sized = self._spans.popleft()
                self._taken += sized[1]
                yield sized


def portions(spans: Iterable[Sized], most_bytes: int) -> Iterator[dict[SpanKey, ReadableSpan]]:
    """What is to become a batch each, by key; a span that comes twice in one is in it as it is in the end.

    Args:
        spans: Those without a key are left out.
        most_bytes: About how large a portion may be; a single span can be larger.
    """
    portion: dict[SpanKey, ReadableSpan] = {}
    bytes_ = 0
    for span, size in spans:
        key = key_of(span)
        if key == NO_KEY:
            continue
        portion[key] = span
        bytes_ += size
        if len(portion) >= AT_ONCE or bytes_ >= most_bytes:
            yield portion
            portion, bytes_ = {}, 0
    if portion:
        yield portion


def roughly_sized(spans: Iterable[ReadableSpan]) -> Iterator[Sized]:
    """With about their sizes, spans that are in memory anyway: one in eight stands for those after it."""
    for number, span in enumerate(spans):
        yield span, 0 if number % _STANDS_FOR else _STANDS_FOR * size_of(span)


def size_of(span: ReadableSpan) -> int:
    """About how many bytes of memory a span takes; what can be large is text."""
    try:
        size = _SPAN_BYTES + _text_of(span.attributes)
        return size + sum(_text_of(event.attributes) for event in span.events)
    except Exception:
        # What cannot be read of a span is said where rows are made of it.
        return _SPAN_BYTES


def _text_of(attributes: Mapping[str, Any] | None) -> int:
    size = 0
    for value in copied(attributes).values():
        # Nearly all are texts.
        if type(value) is str:
            size += len(value)
        elif isinstance(value, (list, tuple)):
            size += sum(len(part) for part in value if isinstance(part, (str, bytes)))
        elif isinstance(value, (str, bytes)):
            size += len(value)
    return size
