"""What was spent: tokens, cost and model calls, summed when reading.

Only cost records that are counted take part, so nothing is counted twice
whatever instrumentations saw the same call.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple


class Spent(NamedTuple):
    """Sums over model calls.

    Attributes:
        calls: Model calls that answered, or said their tokens or price.
        input_tokens: Tokens in, cached ones included, of the calls that said them.
        output_tokens: Tokens out, reasoning included, of the calls that said them.
        cost_usd: USD of the calls whose price is known; None where not one is.
        unpriced_calls: Calls whose price is not known, those that did not say their tokens among them; where
            there are any, the cost is a lower bound.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    unpriced_calls: int = 0

    @property
    def tokens(self) -> int:
        """Tokens in and out."""
        return self.input_tokens + self.output_tokens

    @property
    def has_tokens(self) -> bool:
        """Whether any call is known to have used tokens, or to have cost nothing."""
        return self.tokens > 0 or self.calls > self.unpriced_calls

    def plus(self, other: Spent) -> Spent:
        """This sum and another one."""
        calls, read, written, cost, unpriced = self
        more_calls, more_read, more_written, more_cost, more_unpriced = other
        if cost is None:
            cost = more_cost
        elif more_cost is not None:
            cost += more_cost
        # Of a large run there are many; the usual way to make one takes longer than the sums.
        return tuple.__new__(
            Spent,
            (calls + more_calls, read + more_read, written + more_written, cost, unpriced + more_unpriced),
        )


NOTHING = Spent()


def own_spending(costs: Iterable[tuple[Any, ...]]) -> dict[str, Spent]:
    """By node what a model call took; those that are not counted are left out.

    Args:
        costs: `spandag.store.records.COST_COLUMNS` of the run's cost records.
    """
    make = tuple.__new__
    return {
        node_id: make(Spent, (1, input_tokens or 0, output_tokens or 0, cost, 1 if cost is None else 0))
        for node_id, counted, input_tokens, output_tokens, cost in costs
        if counted
    }


def total(costs: Iterable[tuple[Any, ...]]) -> Spent:
    """The sum over model calls, given as to `own_spending`."""
    counted = [row for row in costs if row[1]]
    prices = [row[4] for row in counted if row[4] is not None]
    return Spent(
        calls=len(counted),
        input_tokens=sum(row[2] or 0 for row in counted),
        output_tokens=sum(row[3] or 0 for row in counted),
        cost_usd=sum(prices) if prices else None,
        unpriced_calls=len(counted) - len(prices),
    )
