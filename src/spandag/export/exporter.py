"""The exporter `spandag`: finished spans into the store, and never a word into the host's way."""

from __future__ import annotations

import importlib
import logging
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spandag import pricing
from spandag._guard import logger, strict
from spandag._secrets import use_secrets
from spandag.config import Settings, absolute_url
from spandag.export.project import project
from spandag.store.errors import StoreError

if TYPE_CHECKING:
    from spandag.store.writer import Writer


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
    timer.start()


def _load_store() -> None:
    for module in ("spandag.store.writer", "sqlalchemy.dialects.sqlite"):
        with suppress(ImportError):
            importlib.import_module(module)


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
        self._writer: Writer | None = None
        self._lock = threading.Lock()
        self._shut_down = False
        self._lost = 0
        self._said = 0
        _exporters.add(self)
        # Foreign spans are priced in the exporter's thread, which must import nothing by then.
        pricing.load_with_client()
        _load_store_soon()

    @staticmethod
    def writing_to(url: str) -> list[SpandagSpanExporter]:
        """The exporters of this process, not yet shut down, that write to the store of a URL."""
        return [
            exporter
            for exporter in _exporters
            if exporter.url == absolute_url(url) and not exporter._shut_down
        ]

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write spans; what cannot be written is counted, said once, and never raised."""
        if self._shut_down:
            return SpanExportResult.FAILURE
        try:
            self._open_writer().write(project(spans))
        except StoreError as error:
            self._lose(len(spans), str(error))
        except Exception as error:
            if strict():
                raise
            logger.debug("could not store spans", exc_info=True)
            self._lose(len(spans), f"{type(error).__name__}: {error}")
        else:
            return SpanExportResult.SUCCESS
        return SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """True: `export` returns when its spans are in the store."""
        return True

    def shutdown(self) -> None:
        """Close the store; says how many spans were lost, if any."""
        with self._lock:
            if self._shut_down:
                return
            self._shut_down = True
            writer, self._writer = self._writer, None
            lost, said = self._lost, self._said
        if writer is not None:
            writer.close()
        if lost > said:
            logger.warning("spandag: %d spans in all were not stored", lost)

    def _open_writer(self) -> Writer:
        # Imported here: a program that is told to use the exporter must not pay for SQLAlchemy before
        # it has a span. And outside the lock: a fork meanwhile would leave it locked in the child.
        from spandag.store.writer import Writer

        with self._lock:
            if self._writer is None:
                self._writer = Writer(self.url)
            return self._writer

    def _lose(self, spans: int, reason: str) -> None:
        with self._lock:
            first = self._lost == 0
            self._lost += spans
            if first:
                self._said = spans
        logger.log(
            logging.WARNING if first else logging.DEBUG,
            "spandag: %d spans were not stored: %s (said once; the program goes on)",
            spans,
            reason,
        )
