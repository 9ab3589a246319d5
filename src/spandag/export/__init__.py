"""From spans to the store: the exporter and the projection.

Loads the OpenTelemetry SDK, but SQLAlchemy only with the first spans.
"""

from __future__ import annotations

from spandag.export.exporter import SpandagSpanExporter

__all__ = ["SpandagSpanExporter"]
