"""What was spent below a node, kept while the node is open."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from spandag import semconv

# Held for a few additions per model call; a lock per node would cost more than it saves.
_lock = threading.Lock()


@dataclass(slots=True)
class Totals:
    """Sums over the model calls below a node in this process.

    Attributes:
        calls: Number of model calls.
        input_tokens: Tokens in, cached ones included.
        output_tokens: Tokens out, reasoning included.
        cost: USD of the calls whose price is known.
        unpriced_calls: Calls that used tokens and whose price is not known.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    unpriced_calls: int = 0

    def add(self, input_tokens: int | None, output_tokens: int | None, cost: float | None) -> None:
        """Add one model call."""
        with _lock:
            self.calls += 1
            self.input_tokens += input_tokens or 0
            self.output_tokens += output_tokens or 0
            if cost is None:
                self.unpriced_calls += 1
            else:
                self.cost += cost

    def attributes(self) -> dict[str, int | float]:
        """The sums as ``spandag.total.*``; empty where no model was called."""
        if not self.calls:
            return {}
        attributes: dict[str, int | float] = {
            semconv.SPANDAG_TOTAL_INPUT_TOKENS: self.input_tokens,
            semconv.SPANDAG_TOTAL_OUTPUT_TOKENS: self.output_tokens,
            semconv.SPANDAG_TOTAL_UNPRICED_CALLS: self.unpriced_calls,
        }
        if self.unpriced_calls < self.calls:
            # Absent rather than 0 where not one call has a price.
            attributes[semconv.SPANDAG_TOTAL_COST] = round(self.cost, 12)
        return attributes
