"""What was spent below a node, kept while the node is open."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from spandag import semconv
from spandag.pricing import Usage
from spandag.spans.usage import is_known, tokens

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
        priced_calls: Calls whose price is known.
        unpriced_calls: Calls that used tokens, or did not say how many, and whose price is not known.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    priced_calls: int = 0
    unpriced_calls: int = 0

    @classmethod
    def of_call(cls, usage: Usage, cost: float | None) -> Totals:
        """What one model call spent.

        Args:
            usage: Its tokens, as far as they are known.
            cost: USD; None where its price is not known.
        """
        return cls(
            calls=1,
            input_tokens=usage.input_tokens or 0,
            output_tokens=usage.output_tokens or 0,
            cost=cost or 0.0,
            priced_calls=int(cost is not None),
            # One that says that it used none has nothing to be paid.
            unpriced_calls=int(cost is None and (tokens(usage) > 0 or not is_known(usage))),
        )

    def add(self, spent: Totals) -> None:
        """Add what was spent below."""
        with _lock:
            self.calls += spent.calls
            self.input_tokens += spent.input_tokens
            self.output_tokens += spent.output_tokens
            self.cost += spent.cost
            self.priced_calls += spent.priced_calls
            self.unpriced_calls += spent.unpriced_calls

    def attributes(self) -> dict[str, int | float]:
        """The sums as ``spandag.total.*``; empty where no model was called."""
        if not self.calls:
            return {}
        attributes: dict[str, int | float] = {
            semconv.SPANDAG_TOTAL_INPUT_TOKENS: self.input_tokens,
            semconv.SPANDAG_TOTAL_OUTPUT_TOKENS: self.output_tokens,
            semconv.SPANDAG_TOTAL_UNPRICED_CALLS: self.unpriced_calls,
        }
        if self.priced_calls:
            # Absent rather than 0 where not one call has a price.
            attributes[semconv.SPANDAG_TOTAL_COST] = round(self.cost, 12)
        return attributes
