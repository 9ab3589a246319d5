"""The exporter `spandag`: finished spans into the store, and never a word into the host's way."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import TracerProvider

from spandag import pricing
from spandag._guard import guard, logger
from spandag._secrets import use_secrets
from spandag.config import Settings, absolute_url
from spandag.export import live
from spandag.export.loading import load_writer
from spandag.export.pipeline import Pipeline
from spandag.export.shared import pipeline_to, release
from spandag.spans import providers

if TYPE_CHECKING:
    from spandag.export.live import LiveSpanProcessor


# Exporters register themselves, however they were set up; so nobody has to look into a provider.
_exporters: weakref.WeakSet[SpandagSpanExporter] = weakref.WeakSet()

# Until the first look, and at most between two; who has waited for long waits a quarter as long again.
_FIRST_LOOK_S = 0.5
_LONGEST_PAUSE_S = 60.0
_GROWTH = 1.25


class _Background:
    """What is done in a thread of our own when the program is under way; it ends when nothing is left.

    Loading: a program must not wait for SQLAlchemy when it starts. Nor when it ends: imports compile
    code, and after that CPython does not know any more that it has to end by the signal of a
    KeyboardInterrupt; the exit status would be another one.

    And looking for providers: a program whose spans are all of other instrumentations uses nothing of
    ours that would notice when one is set, which may be long after the exporter was made.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """As a process does: with no thread."""
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None

    def tell(self) -> None:
        """There is a new exporter, or one less."""
        with self._lock:
            self._news.set()
            if self._thread is not None or not _is_anyone_alone():
                return
            thread = threading.Thread(target=self._run, name="spandag-store", daemon=True)
            # Where there can be no thread, the store is loaded with the first spans.
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        time.sleep(_FIRST_LOOK_S)
        with suppress(ImportError):
            load_writer()
        pause = _FIRST_LOOK_S
        while True:
            self._news.clear()
            # Where another thread names a provider at this moment, the next look will find it.
            with suppress(RuntimeError):
                # Also at one that is known: an exporter may have been added to it.
                providers.look_again()
            with self._lock:
                if not _is_anyone_alone():
                    self._thread = None
                    return
            # A new exporter may have its provider soon; one that has waited for long has none, mostly.
            pause = _FIRST_LOOK_S if self._news.wait(pause) else min(_GROWTH * pause, _LONGEST_PAUSE_S)


def _is_anyone_alone() -> bool:
    """Whether there is an exporter that does not know its provider, by which it would be live."""
    try:
        return any(
            exporter.live is None and exporter.resource is None and not exporter.is_shut_down
            for exporter in list(_exporters)
        )
    except RuntimeError:
        # Somebody makes one at this moment.
        return True


_background = _Background()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_background.begin)


class SpandagSpanExporter(SpanExporter):
    """Writes spans into a spandag store.

    For ``OTEL_TRACES_EXPORTER=spandag``, for declarative configuration
    (``exporter: {spandag: {url: ...}}``), and by hand. The store is opened, and
    created where it is missing, with the first spans. A store that cannot be
    written is said once on the logger ``spandag``; the program goes on.

    Args:
        url: SQLAlchemy URL of the store; ``OTEL_EXPORTER_SPANDAG_URL`` by default.
        prices: JSON file of prices for spans that come without; ``OTEL_EXPORTER_SPANDAG_PRICES`` by default.
        secrets: What else is a secret; ``OTEL_EXPORTER_SPANDAG_SECRETS`` by default.
        **unknown: Whatever else a configuration has; said and ignored, since an exception here
            would keep every other exporter from being set up.
    """

    def __init__(
        self, url: str | None = None, prices: str | None = None, secrets: str | None = None, **unknown: Any
    ) -> None:
        settings = Settings.load(url=url, prices=prices)
        # Now: programs change their folder.
        self.url = absolute_url(settings.url)
        if prices is not None:
            pricing.use_price_file(prices)
        if secrets is not None:
            use_secrets(secrets)
        if unknown:
            logger.warning(
                "the spandag exporter takes url, prices and secrets, not %s",
                ", ".join(sorted(map(str, unknown))),
            )
        self.settings = replace(settings, url=self.url)
        self.is_shut_down = False
        # Set by `spandag.export.live`, and by the first spans.
        self.live: LiveSpanProcessor | None = None
        self.live_resource: Resource | None = None
        self.resource: Resource | None = None
        self._pipeline: Pipeline | None = None
        self._lock = threading.Lock()
        _exporters.add(self)
        providers.on_use(_join_in)
        # Foreign spans are priced in a thread of ours, which must import nothing by then.
        pricing.load_with_client()
        _background.tell()

    @staticmethod
    def writing_to(url: str) -> list[SpandagSpanExporter]:
        """The exporters of this process, not yet shut down, that write to the store of a URL."""
        return [
            exporter
            for exporter in _exporters
            if exporter.url == absolute_url(url) and not exporter.is_shut_down
        ]

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Bring spans into the store; what it cannot take now waits in memory or on disk.

        Never raises. FAILURE says that spans are lost, or, where no live processor stands beside
        to bring the same spans, that it takes longer than ``OTEL_EXPORTER_SPANDAG_TIMEOUT``.
        """
        if self.is_shut_down:
            return SpanExportResult.FAILURE
        with guard("export spans"):
            if spans and self.resource is None:
                self._learn(spans[0].resource)
            is_live = self.live is not None
            if self._opened().export(spans, self.settings.timeout / 1000, is_live=is_live):
                return SpanExportResult.SUCCESS
        return SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until what was handed over is stored; where the store is away or takes too long, until it is on disk."""
        pipeline = self._pipeline
        return pipeline is None or pipeline.flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: int | None = None) -> None:
        """Bring what was handed over into the store; says how many spans were lost, if any.

        Args:
            timeout_millis: How long the caller would wait at most; ``OTEL_EXPORTER_SPANDAG_TIMEOUT`` holds
                all the same, since by then everything is on disk.
        """
        with self._lock:
            if self.is_shut_down:
                return
            self.is_shut_down = True
            pipeline, self._pipeline = self._pipeline, None
        _background.tell()
        if pipeline is not None:
            # A batch processor gives what is left of its own thirty seconds.
            timeout = self.settings.timeout
            if timeout_millis is not None:
                timeout = min(timeout, timeout_millis)
            with guard("shut the exporter down"):
                release(pipeline, timeout / 1000)
            if pipeline.dropped > 1:
                logger.warning("spandag: %d spans in all were lost", pipeline.dropped)

    def _opened(self) -> Pipeline:
        with self._lock:
            if self._pipeline is None:
                self._pipeline = pipeline_to(self.settings)
            return self._pipeline

    def _learn(self, resource: Resource) -> None:
        """Whose spans these are; a provider that was taken for ours by mistake is left."""
        self.resource = resource
        if self.live is not None and self.live_resource is not resource:
            self.live.stop()
            self.live = None
        # One that was looked at before may be known for the exporter's own only now.
        providers.look_again()


def _join_in(provider: TracerProvider) -> None:
    live.join_all(provider, _exporters)
