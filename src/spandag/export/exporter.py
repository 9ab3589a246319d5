"""The exporter `spandag`: finished spans into the store, and never a word into the host's way."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
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


_SECONDS_BEFORE_LOADING = 0.5


@lru_cache(maxsize=1)
def _load_store_soon() -> None:
    """Import what writing takes in the background, when the program is under way.

    A program must not wait for SQLAlchemy when it starts. Nor when it ends: imports compile
    code, and after that CPython does not know any more that it has to end by the signal of a
    KeyboardInterrupt; the exit status would be another one.
    """
    timer = threading.Timer(_SECONDS_BEFORE_LOADING, _load_store)
    timer.daemon = True
    timer.name = "spandag-store"
    # Where there can be no thread, it is loaded with the first spans.
    with suppress(RuntimeError):
        timer.start()


def _load_store() -> None:
    with suppress(ImportError):
        load_writer()
    # A program whose spans are all of other instrumentations uses nothing of ours that would notice.
    providers.in_use()


# Exporters register themselves, however they were set up; so nobody has to look into a provider.
_exporters: weakref.WeakSet[SpandagSpanExporter] = weakref.WeakSet()


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
        _load_store_soon()

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
        """Wait until what was handed over is stored, or at least on disk."""
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
