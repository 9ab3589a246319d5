"""What the exporter counts of itself, as OpenTelemetry metrics."""

from __future__ import annotations

from opentelemetry import metrics

_counters: dict[str, metrics.Counter] = {}


def count(name: str, description: str, spans: int) -> None:
    """Count spans; goes nowhere where no meter provider is set up.

    Args:
        name: Of the metric.
        description: What is counted.
        spans: How many more.
    """
    counter = _counters.get(name)
    if counter is None:
        counter = _counters[name] = metrics.get_meter("spandag").create_counter(
            name, unit="{span}", description=description
        )
    counter.add(spans)
