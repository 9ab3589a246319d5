"""Large runs are derived by a thread and over a connection of their own, so that nothing else waits for them."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from opentelemetry.instrumentation.utils import suppress_instrumentation

from spandag._guard import guard, logger
from spandag.export.loading import load_writer
from spandag.store.errors import StoreError

if TYPE_CHECKING:
    from spandag.store.writer import Writer

_LOOK_S = 0.1


class LargeRuns:
    """Derives the large runs of a writer; there is a thread only while one is due."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def look(self, writer: Writer) -> None:
        """Have those that are due derived, if that is not being done.

        Args:
            writer: Knows what is due. Where no thread can be started any more, that is left to its end.
        """
        with self._changed:
            if self._thread is None and writer.is_due(large=True):
                thread = threading.Thread(
                    target=self._work, args=(writer,), name="spandag-large-runs", daemon=True
                )
                with suppress(RuntimeError):
                    thread.start()
                    self._thread = thread

    def wait(self, writer: Writer, for_s: float) -> None:
        """Wait for what is being derived, but for runs that others have left behind.

        Args:
            writer: Knows which these are.
            for_s: Seconds.
        """
        until = time.monotonic() + for_s
        with self._changed:
            while (
                self._thread is not None and writer.is_deriving() and (left := until - time.monotonic()) > 0
            ):
                # It goes from run to run without a word.
                self._changed.wait(min(left, _LOOK_S))

    def _work(self, writer: Writer) -> None:
        try:
            beside = load_writer()(writer.url, beside=writer)
            with suppress_instrumentation(), guard("derive large runs"):
                try:
                    while self._is_needed(writer):
                        beside.catch_up(large=True)
                except StoreError as error:
                    # What is due stays so, and of a store that is away whoever writes to it speaks.
                    logger.debug("spandag: could not derive a large run: %s", error)
                finally:
                    beside.close(0.0)
        finally:
            self._retire()

    def _is_needed(self, writer: Writer) -> bool:
        """Whether there is more to do; otherwise whoever looks next starts another thread."""
        with self._changed:
            is_due = writer.is_due(large=True)
            if not is_due:
                self._retire()
            return is_due

    def _retire(self) -> None:
        with self._changed:
            if self._thread is threading.current_thread():
                self._thread = None
                self._changed.notify_all()
