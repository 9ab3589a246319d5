"""How often are steps done again, and does it help?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal_column, select

from spandag.query.ancestors import AGENTS
from spandag.query.asked import at_least, one_of
from spandag.query.over_runs import first_day, has_spent_limit, runs_behind, with_spent_limit
from spandag.query.text import decoded
from spandag.semconv import NodeType, Outcome
from spandag.store import Store, load_run, schema
from spandag.store.records import NodeRecord
from spandag.store.rows import BRANCH_POINT_PREFIX

By = Literal["step", "agent", "model"]
"""What rates are told by."""

_ENDED = {
    "completed": Outcome.ACCEPTED,
    Outcome.ACCEPTED: Outcome.ACCEPTED,
    Outcome.REJECTED: Outcome.REJECTED,
    Outcome.FAILED: Outcome.FAILED,
    Outcome.CANCELLED: Outcome.CANCELLED,
}
"""What ended well without saying its outcome is accepted."""

_RUNS, _NODES = schema.workflow_runs, schema.dag_nodes


@dataclass(frozen=True, slots=True)
class Rate:
    """How the attempts went of one step, agent or model.

    Attributes:
        step: By step: the name that the attempts have.
        agent_name: By agent: one that worked in the attempts; None where none did.
        provider: By model: whose it is.
        model: By model: one that was called in the attempts; None where none was.
        steps: How many steps.
        attempts: How many attempts at them.
        redos: How many of these were redos.
        redone: How many of the steps were done again at least once.
        accepted: How many attempts were accepted, or ended well without a word about it.
        rejected: How many were rejected.
        failed: How many failed.
        cancelled: How many were cancelled.
        unfinished: How many have not ended.
        exhausted: How many were rejected with no redo left, whether the program went on with them or not.
        mean_attempts: Attempts for each step.
        redo_rate: The share of the steps that were done again, from 0 to 1.
        first_success_rate: The share of the first attempts that were accepted, of those that have ended; None
            where none has.
        redo_success_rate: The same of the redos.
    """

    step: str | None
    agent_name: str | None
    provider: str | None
    model: str | None
    steps: int
    attempts: int
    redos: int
    redone: int
    accepted: int
    rejected: int
    failed: int
    cancelled: int
    unfinished: int
    exhausted: int
    mean_attempts: float
    redo_rate: float
    first_success_rate: float | None
    redo_success_rate: float | None


class _Attempt(NamedTuple):
    run_id: str
    id: str
    step_node_id: str
    name: str
    outcome: str | None
    exhausted: bool


_Key = tuple[str | None, ...]
_Workers = dict[tuple[str, str], set[_Key]]
"""By run and attempt who worked in it."""


@dataclass(slots=True)
class _Sums:
    steps: set[tuple[str, str]] = field(default_factory=set)
    redone: set[tuple[str, str]] = field(default_factory=set)
    outcomes: defaultdict[tuple[bool, str | None], int] = field(default_factory=lambda: defaultdict(int))
    exhausted: int = 0

    def add(self, attempt: _Attempt) -> None:
        step = attempt.run_id, attempt.step_node_id
        is_redo = attempt.id != attempt.step_node_id
        self.steps.add(step)
        if is_redo:
            self.redone.add(step)
        self.outcomes[is_redo, attempt.outcome] += 1
        self.exhausted += attempt.exhausted


def rates(store: Store, *, by: By = "step", days: int | None = None, now: int | None = None) -> list[Rate]:
    """Redo and success rates of steps, over all runs.

    By agent and by model, an attempt counts for each that worked in it, where no other step is in
    between; so these do not add up to the attempts that there were.

    Args:
        store: Where the runs are.
        by: Whether rates are told by step, by agent or by model.
        days: Of runs that started in the last so many days in UTC, today included; None for all.
        now: The time in Unix nanoseconds, instead of that of the database's clock.

    Returns:
        Those with the most redos first, then those with the most attempts.

    Raises:
        QueryError: There is nothing of the kind to tell them by, or no such number of days.
    """
    one_of("way to tell them by", by, get_args(By))
    at_least(1, days, "the number of days")
    sums: defaultdict[_Key, _Sums] = defaultdict(_Sums)
    with store.connection() as connection:
        since = first_day(connection, days, now)
        _add(sums, by, _settled_attempts(connection, since), _settled_workers(connection, by, since))
        for run_id in runs_behind(connection):
            attempts, workers = _behind(connection, run_id, by, since)
            _add(sums, by, attempts, workers)
    found = [_rate(by, key, each) for key, each in sums.items()]
    found.sort(
        key=lambda rate: (
            -rate.redos,
            -rate.attempts,
            rate.step or "",
            rate.agent_name or "",
            rate.provider or "",
            rate.model or "",
        )
    )
    return found


def _add(sums: defaultdict[_Key, _Sums], by: By, attempts: Iterable[_Attempt], workers: _Workers) -> None:
    nobody: set[_Key] = {(None, None) if by == "model" else (None,)}
    for attempt in attempts:
        if by == "step":
            sums[attempt.name,].add(attempt)
        else:
            for key in workers.get((attempt.run_id, attempt.id), nobody):
                sums[key].add(attempt)


def _settled_attempts(connection: Connection, since: int) -> Iterator[_Attempt]:
    # In these words, or SQLite does not use the index.
    is_step: ColumnElement[Any] = literal_column(f"dag_nodes.{schema.IS_STEP}")
    rows = connection.execute(
        select(
            _NODES.c.run_id,
            _NODES.c.id,
            func.coalesce(_NODES.c.step_node_id, _NODES.c.id),
            _NODES.c.name,
            func.coalesce(_NODES.c.outcome, _NODES.c.status),
            has_spent_limit(connection),
        )
        .select_from(_NODES)
        .join(_RUNS, _RUNS.c.id == _NODES.c.run_id)
        .where(is_step, schema.IS_SETTLED, _started(since))
    )
    for run_id, node_id, step, name, outcome, is_exhausted in rows:
        yield _Attempt(run_id, node_id, step, name, _ENDED.get(outcome), bool(is_exhausted))


def _started(since: int) -> ColumnElement[bool]:
    # A run that has not derived its start is behind, and not among these.
    return _RUNS.c.started_at >= since


def _settled_workers(connection: Connection, by: By, since: int) -> _Workers:
    """Who worked in which attempt: the redo of the nearest branch point, if that is of the nearest step."""
    found: _Workers = defaultdict(set)
    if by == "step":
        return found
    point = _NODES.alias("point")
    prefix = len(BRANCH_POINT_PREFIX)
    attempt = case(
        (point.c.step_node_id == _NODES.c.step_node_id, func.substr(_NODES.c.branch_id, prefix + 1)),
        else_=_NODES.c.step_node_id,
    )
    types = sorted(AGENTS) if by == "agent" else [NodeType.LLM]
    columns = [_NODES.c.name] if by == "agent" else [_NODES.c.provider, _NODES.c.model]
    rows = connection.execute(
        select(_NODES.c.run_id, attempt, *columns)
        .select_from(_NODES)
        .join(_RUNS, _RUNS.c.id == _NODES.c.run_id)
        .outerjoin(point, and_(point.c.run_id == _NODES.c.run_id, point.c.id == _NODES.c.branch_id))
        .where(
            _NODES.c.node_type.in_(types),
            _NODES.c.step_node_id.is_not(None),
            schema.IS_SETTLED,
            _started(since),
        )
        .distinct()
    )
    for run_id, node_id, *key in rows:
        found[run_id, node_id].add(tuple(key))
    return found


def _behind(connection: Connection, run_id: str, by: By, since: int) -> tuple[list[_Attempt], _Workers]:
    rows = load_run(connection, run_id)
    workers: _Workers = defaultdict(set)
    if rows is None or rows.run.started_at is None or rows.run.started_at < since:
        return [], workers
    by_id = {node.id: node for node in rows.nodes}
    steps = [node for node in rows.nodes if node.node_type == NodeType.STEP]
    exhausted = with_spent_limit(connection, run_id)
    attempts = [
        _Attempt(
            run_id,
            node.id,
            node.step_node_id or node.id,
            node.name,
            _ENDED.get(node.outcome or node.status),
            node.id in exhausted,
        )
        for node in steps
    ]
    types = AGENTS if by == "agent" else {NodeType.LLM}
    for node in rows.nodes if by != "step" else ():
        if node.node_type in types and node.step_node_id is not None:
            key: _Key = (node.name,) if by == "agent" else (node.provider, node.model)
            workers[run_id, _attempt_of(node, by_id)].add(key)
    return attempts, workers


def _attempt_of(node: NodeRecord, by_id: dict[str, NodeRecord]) -> str:
    point = by_id.get(node.branch_id or "")
    if point is not None and point.step_node_id == node.step_node_id:
        return point.id.removeprefix(BRANCH_POINT_PREFIX)
    return node.step_node_id or ""


def _rate(by: By, key: _Key, sums: _Sums) -> Rate:
    def number(outcome: str | None, *, redos: tuple[bool, ...] = (False, True)) -> int:
        return sum(sums.outcomes.get((is_redo, outcome), 0) for is_redo in redos)

    def success(*, redos: bool) -> float | None:
        ended = sum(n for (is_redo, outcome), n in sums.outcomes.items() if is_redo == redos and outcome)
        return number(Outcome.ACCEPTED, redos=(redos,)) / ended if ended else None

    attempts = sum(sums.outcomes.values())
    return Rate(
        step=decoded(key[0]) if by == "step" else None,
        agent_name=decoded(key[0]) if by == "agent" else None,
        provider=decoded(key[0]) if by == "model" else None,
        model=decoded(key[1]) if by == "model" else None,
        steps=len(sums.steps),
        attempts=attempts,
        redos=sum(n for (is_redo, _), n in sums.outcomes.items() if is_redo),
        redone=len(sums.redone),
        accepted=number(Outcome.ACCEPTED),
        rejected=number(Outcome.REJECTED),
        failed=number(Outcome.FAILED),
        cancelled=number(Outcome.CANCELLED),
        unfinished=number(None),
        exhausted=sums.exhausted,
        mean_attempts=attempts / len(sums.steps),
        redo_rate=len(sums.redone) / len(sums.steps),
        first_success_rate=success(redos=False),
        redo_success_rate=success(redos=True),
    )
