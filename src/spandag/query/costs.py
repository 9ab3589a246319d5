"""What does it cost: by agent, model, session, day or run?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import BigInteger, Connection, case, func, literal_column, select

from spandag.query.asked import at_least, one_of
from spandag.query.over_runs import day_of, first_day, runs_behind
from spandag.query.spent import NOTHING, Spent
from spandag.query.text import decoded
from spandag.store import Store, load_run, schema
from spandag.store.limits import DAY_NS

By = Literal["agent", "model", "session", "day", "run"]
"""What costs are told by."""

_RUNS, _COSTS = schema.workflow_runs, schema.cost_records


@dataclass(frozen=True, slots=True)
class Cost:
    """What one agent, model, session, day or run has spent.

    Attributes:
        agent_name: By agent: the nearest above the calls; None where there is none.
        provider: By model: whose it is.
        model: By model: which.
        session_id: By session; None for runs without one.
        day: By day, in UTC, as ``2026-01-31``: when the calls ended; None for an absurd clock's.
        run_id: By run.
        run_name: By run: its name.
        spent: Tokens, cost and model calls.
        cache_read_tokens: Input tokens that came from the providers' caches.
        cache_write_tokens: Input tokens written to the providers' caches.
        reasoning_tokens: Output tokens spent on reasoning.
    """

    agent_name: str | None
    provider: str | None
    model: str | None
    session_id: str | None
    day: str | None
    run_id: str | None
    run_name: str | None
    spent: Spent
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int


class _Sum(NamedTuple):
    spent: Spent = NOTHING
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0

    def plus(self, other: _Sum) -> _Sum:
        return _Sum(
            self.spent.plus(other.spent),
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.reasoning + other.reasoning,
        )


_Key = tuple[Any, ...]


def costs(store: Store, *, by: By = "agent", days: int | None = None, now: int | None = None) -> list[Cost]:
    """Tokens, cost and model calls of all runs; only calls that are counted take part.

    Args:
        store: Where the runs are.
        by: What they are summed by.
        days: Of calls that ended in the last so many days in UTC, today included; None for all.
        now: The time in Unix nanoseconds, instead of that of the database's clock.

    Returns:
        Days in order; otherwise what costs the most first, then what took the most tokens.

    Raises:
        QueryError: There is nothing of the kind to sum them by, or no such number of days.
    """
    one_of("way to sum them by", by, get_args(By))
    at_least(1, days, "the number of days")
    sums: defaultdict[_Key, _Sum] = defaultdict(_Sum)
    with store.connection() as connection:
        since = first_day(connection, days, now)
        for key, each in _settled(connection, by, since):
            sums[key] = sums[key].plus(each)
        for run_id in runs_behind(connection):
            for key, each in _behind(connection, run_id, by, since):
                sums[key] = sums[key].plus(each)
    found = [_cost(by, key, each) for key, each in sums.items()]
    if by == "day":
        found.sort(key=lambda cost: cost.day or "")
    else:
        found.sort(
            key=lambda cost: (
                -(cost.spent.cost_usd or 0.0),
                -cost.spent.tokens,
                *(
                    part or ""
                    for part in (cost.agent_name, cost.provider, cost.model, cost.session_id, cost.run_id)
                ),
            )
        )
    return found


def _settled(connection: Connection, by: By, since: int) -> Iterator[tuple[_Key, _Sum]]:
    columns: dict[By, list[Any]] = {
        "agent": [_COSTS.c.agent_name],
        "model": [_COSTS.c.provider, _COSTS.c.model],
        "session": [_RUNS.c.session_id],
        # Whole days since 1970.
        "day": [literal_column(f"cost_records.timestamp / {DAY_NS}", BigInteger)],
        "run": [_RUNS.c.id, _RUNS.c.name],
    }
    keys = columns[by]
    rows = connection.execute(
        select(
            *keys,
            func.count().label("calls"),
            func.sum(_COSTS.c.input_tokens),
            func.sum(_COSTS.c.output_tokens),
            func.sum(_COSTS.c.cost_usd),
            func.sum(case((_COSTS.c.cost_usd.is_(None), 1), else_=0)),
            func.sum(_COSTS.c.cache_read_tokens),
            func.sum(_COSTS.c.cache_write_tokens),
            func.sum(_COSTS.c.reasoning_tokens),
        )
        .select_from(_COSTS)
        .join(_RUNS, _RUNS.c.id == _COSTS.c.run_id)
        .where(_COSTS.c.counted, schema.IS_SETTLED, _COSTS.c.timestamp >= since)
        .group_by(*keys)
    )
    for row in rows:
        key, (calls, tokens_in, tokens_out, cost, unpriced, *others) = (
            tuple(row[: len(keys)]),
            row[len(keys) :],
        )
        # PostgreSQL sums to Decimal.
        cached, written, reasoning = (int(each or 0) for each in others)
        spent = Spent(calls, int(tokens_in or 0), int(tokens_out or 0), cost, int(unpriced))
        yield key, _Sum(spent, cached, written, reasoning)


def _behind(connection: Connection, run_id: str, by: By, since: int) -> Iterator[tuple[_Key, _Sum]]:
    rows = load_run(connection, run_id)
    for cost in rows.costs if rows is not None else ():
        if rows is None or not cost.counted or cost.timestamp < since:
            continue
        key: _Key = {
            "agent": (cost.agent_name,),
            "model": (cost.provider, cost.model),
            "session": (rows.run.session_id,),
            "day": (cost.timestamp // DAY_NS,),
            "run": (rows.run.id, rows.run.name),
        }[by]
        unpriced = int(cost.cost_usd is None)
        spent = Spent(1, cost.input_tokens or 0, cost.output_tokens or 0, cost.cost_usd, unpriced)
        yield (
            key,
            _Sum(
                spent, cost.cache_read_tokens or 0, cost.cache_write_tokens or 0, cost.reasoning_tokens or 0
            ),
        )


def _cost(by: By, key: _Key, sums: _Sum) -> Cost:
    return Cost(
        agent_name=decoded(key[0]) if by == "agent" else None,
        provider=decoded(key[0]) if by == "model" else None,
        model=decoded(key[1]) if by == "model" else None,
        session_id=decoded(key[0]) if by == "session" else None,
        day=day_of(key[0] * DAY_NS) if by == "day" else None,
        run_id=key[0] if by == "run" else None,
        run_name=decoded(key[1]) if by == "run" else None,
        spent=sums.spent,
        cache_read_tokens=sums.cache_read,
        cache_write_tokens=sums.cache_write,
        reasoning_tokens=sums.reasoning,
    )
