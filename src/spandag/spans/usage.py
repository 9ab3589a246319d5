"""Tokens of several answers, and of those who cannot count."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

from spandag._guard import say_once
from spandag.pricing import Usage

# What a span takes to a backend are 64 bits.
_MAX = 2**63
_COUNTS = Usage._fields


def checked(usage: Usage | None) -> Usage | None:
    """The usage with its counts as whole numbers; what is none is left out, and that is said once."""
    if usage is None:
        return None
    return Usage(**{name: _count(name, getattr(usage, name)) for name in _COUNTS})


def checked_cost(cost: object) -> float | None:
    """A cost that can be added up; None for what is none."""
    return None if (amount := _amount("cost", cost)) is None else float(amount)


def total(usages: Sequence[Usage]) -> Usage | None:
    """The tokens of several answers; None if there is none."""
    if not usages:
        return None
    return Usage(**{name: _sum(getattr(usage, name) for usage in usages) for name in _COUNTS})


def tokens(usage: Usage | None) -> int:
    """Tokens in and out."""
    return (usage.input_tokens or 0) + (usage.output_tokens or 0) if usage is not None else 0


def is_known(usage: Usage | None) -> bool:
    """Whether anything is said about the tokens, as the store has it: such a call counts for those below it."""
    return usage is not None and (usage.input_tokens is not None or usage.output_tokens is not None)


def with_finer(own: Usage, finer: Usage) -> Usage:
    """The usage with the finer counts of the same call where it has none."""
    return own._replace(
        **{
            name: getattr(finer, name)
            for name in _COUNTS
            if name not in ("input_tokens", "output_tokens") and getattr(own, name) is None
        },
    )


def _count(name: str, value: object) -> int | None:
    return None if (amount := _amount(name, value)) is None else int(amount)


def _amount(name: str, value: Any) -> float | None:
    if value is None:
        return None
    # Those of other libraries, such as numpy's, are numbers too.
    amount: float = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        amount = int(value) if isinstance(value, Integral) else float(value)
    if 0 <= amount < _MAX:
        return amount
    say_once(
        logging.WARNING,
        f"usage:{name}",
        "spandag: %s of a model call is left out: %r is no amount",
        name,
        value,
    )
    return None


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
