"""What was spent: tokens, cost and model calls, summed when reading.

Only cost records that are counted take part, so nothing is counted twice
whatever instrumentations saw the same call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spandag.store.facts import CostRecord


@dataclass(slots=True)
class Spent:
    """Sums over model calls.

    Attributes:
        calls: Model calls that said their tokens or price.
        input_tokens: Tokens in, cached ones included.
        output_tokens: Tokens out, reasoning included.
        cost_usd: USD of the calls whose price is known; None where not one is.
        unpriced_calls: Calls whose price is not known; where there are any, the cost is a lower bound.
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

    def add(self, other: Spent) -> None:
        """Add another sum to this one."""
        self.calls += other.calls
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.unpriced_calls += other.unpriced_calls
        if other.cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + other.cost_usd


def of_call(cost: CostRecord) -> Spent:
    """One model call as a sum; nothing where it is not counted."""
    if not cost.counted:
        return Spent()
    return Spent(
        calls=1,
        input_tokens=cost.input_tokens or 0,
        output_tokens=cost.output_tokens or 0,
        cost_usd=cost.cost_usd,
        unpriced_calls=int(cost.cost_usd is None),
    )


def total(costs: Iterable[CostRecord]) -> Spent:
    """The sum over model calls."""
    result = Spent()
    for cost in costs:
        result.add(of_call(cost))
    return result


def below(order: Sequence[tuple[str, str | None]], costs: Iterable[CostRecord]) -> dict[str, Spent]:
    """What was spent at and below each node.

    Args:
        order: Every node's id and its parent's, parents first.
        costs: The run's cost records.
    """
    sums = {node_id: Spent() for node_id, _ in order}
    for cost in costs:
        if cost.node_id in sums:
            sums[cost.node_id].add(of_call(cost))
    for node_id, parent_id in reversed(order):
        if parent_id is not None:
            sums[parent_id].add(sums[node_id])
    return sums
