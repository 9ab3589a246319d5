"""What was spent on work that did not count in the end, and why was it thrown away?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

from sqlalchemy import Connection, or_, select

from spandag.query.ancestors import agent_of, nearest
from spandag.query.asked import at_least, one_of
from spandag.query.liveness import load_tree
from spandag.query.over_runs import has_step, newest_answers
from spandag.query.rejections import rejections
from spandag.query.resolve import resolve_run
from spandag.query.runs import REDO, Run, summary
from spandag.query.spent import NOTHING, Spent, own_spending
from spandag.query.text import decoded
from spandag.query.tree_node import Row
from spandag.semconv import NodeType, Outcome
from spandag.store import Store, TreeRows, schema
from spandag.store.derive import ABANDONED, SUPERSEDED
from spandag.store.records import TREE_COLUMNS
from spandag.store.rows import BRANCH_POINT_PREFIX

By = Literal["step", "agent", "model"]
"""What waste and rates are told by."""

THROWN_AWAY = (SUPERSEDED, ABANDONED)

_COLUMNS = (
    "id",
    "parent_node_id",
    "node_type",
    "name",
    "status",
    "step_node_id",
    "disposition",
    "step_number",
)
_ID, _PARENT, _NODE_TYPE, _NAME, _STATUS, _STEP, _DISPOSITION, _STEP_NUMBER = map(
    TREE_COLUMNS.index, _COLUMNS
)
_ATTEMPT, _OUTCOME, _STARTED_AT, _ENDED_AT, _MODEL, _PROVIDER, _ERROR_TYPE, _ERROR_MESSAGE = map(
    TREE_COLUMNS.index,
    ("attempt", "outcome", "started_at", "ended_at", "model", "provider", "error_type", "error_message"),
)
_NS_PER_MS = 1_000_000

_BRANCHES, _ORIGINAL = schema.branches, schema.dag_nodes.alias("original")
# Of a redo whose attempt 1 was lost no step may be thrown away, but what that left behind is.
_HAS_LOST_ORIGINAL = (
    select(_BRANCHES.c.branch_node_id)
    .where(
        _BRANCHES.c.run_id == schema.workflow_runs.c.id,
        _BRANCHES.c.kind == REDO,
        ~select(_ORIGINAL.c.id)
        .where(_ORIGINAL.c.run_id == _BRANCHES.c.run_id, _ORIGINAL.c.id == _BRANCHES.c.source_node_id)
        .exists(),
    )
    .exists()
)


@dataclass(frozen=True, slots=True)
class WasteReason:
    """Why an attempt was thrown away, with all that is below it.

    Attributes:
        node_id: The attempt.
        step: The step's name.
        attempt: From 1.
        started_at: Unix nanoseconds.
        outcome: ``accepted``, ``rejected``, ``failed`` or ``cancelled``; None where it has not ended.
        hypothesis: What another attempt should do better: of the redo that took its place, else of its
            rejection; None where nobody said it.
        requested_by: Who asked for that.
        error_type: What went wrong.
        error_message: The error's message.
    """

    node_id: str
    step: str
    attempt: int
    started_at: int
    outcome: str | None
    hypothesis: str | None
    requested_by: str | None
    error_type: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class WasteItem:
    """What was thrown away of one step, agent or model.

    Attributes:
        disposition: ``superseded`` where another attempt took its place, else ``abandoned``.
        step_node_id: By step: attempt 1 of the step, the nearest to the work.
        step: By step: its name; None where no attempt of it is stored.
        step_number: By step: its number within the phase.
        agent_name: By agent: the nearest above the work; None where there is none.
        provider: By model: whose it is.
        model: By model: which.
        attempts: In how many attempts that were thrown away it took part; by step, how many of its own were.
        spent: Tokens, cost and model calls.
        duration_ms: Milliseconds during which at least a part of it was going on. Agents work within steps
            and in parallel, so these do not add up.
        token_share: Of all tokens of the run, from 0 to 1; None where the run has none.
        cost_share: Of the run's cost; None where not all prices are known, or it cost nothing.
        reasons: Why, by attempt, in the order of their start.
    """

    disposition: str
    step_node_id: str | None
    step: str | None
    step_number: int | None
    agent_name: str | None
    provider: str | None
    model: str | None
    attempts: int
    spent: Spent
    duration_ms: float
    token_share: float | None
    cost_share: float | None
    reasons: list[WasteReason]


@dataclass(frozen=True, slots=True)
class Waste:
    """What was thrown away of a run.

    Attributes:
        run: The run, with what it spent as a whole.
        by: ``step``, ``agent`` or ``model``.
        spent: Tokens, cost and model calls on superseded and abandoned work.
        duration_ms: Milliseconds during which such work was going on.
        token_share: As of `WasteItem`, of all of it.
        cost_share: The same.
        items: By what was asked for; most tokens first, then what started first.
    """

    run: Run
    by: By
    spent: Spent
    duration_ms: float
    token_share: float | None
    cost_share: float | None
    items: list[WasteItem]


def waste(store: Store, run: str | None = None, *, limit: int | None = 20, by: By = "step") -> list[Waste]:
    """What was spent on superseded and abandoned work, of a run or of the newest runs that have any.

    Only model calls that are counted take part, as in ``v_waste``.

    Args:
        store: Where they are.
        run: As `spandag.query.resolve_run` takes it; None for all runs.
        limit: Of how many runs at most; None for all. Of no effect where a run is named.
        by: Whether it is told by step, by agent or by model.

    Returns:
        Newest run first; runs of which nothing was thrown away are left out.

    Raises:
        QueryError: No run is meant, or several are; or the limit makes no sense, or what it is told by.
    """
    at_least(0, limit, "the limit")
    one_of("way to tell it by", by, get_args(By))
    with store.connection() as connection:
        answer = partial(_of_run, connection, by)
        if run is None:
            condition = or_(has_step(schema.dag_nodes.c.disposition.in_(THROWN_AWAY)), _HAS_LOST_ORIGINAL)
            return newest_answers(connection, condition, answer, limit)
        rows = load_tree(connection, resolve_run(connection, run))
        found = None if rows is None else answer(rows)
        return [] if found is None else [found]


def _of_run(connection: Connection, by: By, rows: TreeRows) -> Waste | None:
    by_id = {row[_ID]: row for row in rows.nodes}
    thrown = [
        row
        for row in rows.nodes
        if row[_DISPOSITION] in THROWN_AWAY and row[_NODE_TYPE] != NodeType.BRANCH_POINT
    ]
    if not thrown:
        return None
    run = summary(rows)
    own = own_spending(rows.costs)
    causes = _causes(by_id)
    reasons = _reasons(
        connection, rows, [by_id[each] for each in {causes[row[_ID]] for row in thrown} if each]
    )
    agents = nearest(by_id, agent_of) if by == "agent" else {}
    groups: defaultdict[tuple[str | None, ...], list[Row]] = defaultdict(list)
    for row in thrown:
        if by == "step":
            groups[row[_DISPOSITION], row[_STEP]].append(row)
        elif by == "agent":
            groups[row[_DISPOSITION], agents[row[_ID]]].append(row)
        elif row[_NODE_TYPE] == NodeType.LLM:
            groups[row[_DISPOSITION], row[_PROVIDER], row[_MODEL]].append(row)
    names = _step_names(rows)
    items: list[tuple[tuple[int, int, str], WasteItem]] = []
    for (disposition, *key), members in groups.items():
        spent = _sum(own.get(row[_ID], NOTHING) for row in members)
        if by == "agent" and key[0] is None and not spent.calls:
            # Steps and phases themselves: nobody was at work.
            continue
        why = {cause: reasons[cause] for row in members if (cause := causes[row[_ID]]) is not None}
        step_node_id = key[0] if by == "step" else None
        name, number = names.get(step_node_id, (None, None))
        began = min((row[_STARTED_AT], row[_ID]) for row in members)
        item = WasteItem(
            disposition=str(disposition),
            step_node_id=step_node_id,
            step=name,
            step_number=number,
            agent_name=decoded(key[0]) if by == "agent" else None,
            provider=decoded(key[0]) if by == "model" else None,
            model=decoded(key[1]) if by == "model" else None,
            attempts=sum(row[_NODE_TYPE] == NodeType.STEP for row in members) if by == "step" else len(why),
            spent=spent,
            duration_ms=_milliseconds(members),
            token_share=_share(spent.tokens, run.spent.tokens),
            cost_share=_cost_share(spent, run.spent),
            reasons=sorted(why.values(), key=_by_start),
        )
        items.append(((-spent.tokens, *began), item))
    items.sort(key=lambda each: each[0])
    total = _sum(own.get(row[_ID], NOTHING) for row in thrown)
    return Waste(
        run=run,
        by=by,
        spent=total,
        duration_ms=_milliseconds(thrown),
        token_share=_share(total.tokens, run.spent.tokens),
        cost_share=_cost_share(total, run.spent),
        items=[item for _, item in items],
    )


def _causes(by_id: dict[str, Row]) -> dict[str, str | None]:
    """By node the attempt that took it along when it was thrown away: the nearest that itself was.

    An attempt within one that was thrown away can have been accepted.
    """
    last: dict[str, int] = {}
    for row in by_id.values():
        if row[_NODE_TYPE] == NodeType.STEP:
            step = row[_STEP] or row[_ID]
            last[step] = max(last.get(step, 1), _number(row))

    def itself(row: Row) -> str | None:
        if row[_NODE_TYPE] != NodeType.STEP or row[_DISPOSITION] not in THROWN_AWAY:
            return None
        superseded = _number(row) < last[row[_STEP] or row[_ID]]
        given_up = (row[_OUTCOME] or row[_STATUS]) in (Outcome.REJECTED, Outcome.FAILED, Outcome.CANCELLED)
        own = SUPERSEDED if superseded else ABANDONED if given_up else None
        above = by_id.get(row[_PARENT])
        # What is worse than what is above it is so by itself.
        is_worse = above is None or above[_DISPOSITION] != row[_DISPOSITION]
        found: str = row[_ID]
        return found if own == row[_DISPOSITION] or is_worse else None

    return nearest(by_id, itself)


def _number(row: Row) -> int:
    """Which attempt it is, from 1."""
    is_redo = row[_STEP] is not None and row[_STEP] != row[_ID]
    return max(row[_ATTEMPT] or 1, 2 if is_redo else 1)


def _reasons(connection: Connection, rows: TreeRows, attempts: list[Row]) -> dict[str, WasteReason]:
    """By attempt why it was thrown away."""
    redos: defaultdict[str | None, list[tuple[int, int, str]]] = defaultdict(list)
    for row in rows.nodes:
        if row[_NODE_TYPE] == NodeType.STEP and row[_STEP] != row[_ID]:
            redos[row[_STEP]].append((_number(row), row[_STARTED_AT], row[_ID]))
    for later in redos.values():
        later.sort()
    branches = {branch.branch_node_id: branch for branch in rows.branches}
    run_id = rows.run.id
    said = rejections(connection, ((run_id, row[_ID]) for row in attempts))
    found = {}
    for row in attempts:
        number = _number(row)
        after = next((redo for n, _, redo in redos.get(row[_STEP], ()) if n > number), None)
        branch = branches.get(f"{BRANCH_POINT_PREFIX}{after}")
        rejection = said.get((run_id, row[_ID]))
        hypothesis = decoded(branch.hypothesis) if branch is not None else None
        requested_by = decoded(branch.requested_by) if branch is not None else None
        if rejection is not None:
            hypothesis, requested_by = (
                hypothesis or rejection.hypothesis,
                requested_by or rejection.requested_by,
            )
        found[row[_ID]] = WasteReason(
            node_id=row[_ID],
            step=decoded(row[_NAME]),
            attempt=number,
            started_at=row[_STARTED_AT],
            outcome=row[_OUTCOME],
            hypothesis=hypothesis,
            requested_by=requested_by,
            error_type=decoded(row[_ERROR_TYPE]),
            error_message=decoded(row[_ERROR_MESSAGE]),
        )
    return found


def _by_start(reason: WasteReason) -> tuple[int, str]:
    return reason.started_at, reason.node_id


def _step_names(rows: TreeRows) -> dict[str | None, tuple[str | None, int | None]]:
    """By step its name and number: of attempt 1, else of the first that is stored."""
    names: dict[str | None, tuple[str | None, int | None]] = {}
    steps = [row for row in rows.nodes if row[_NODE_TYPE] == NodeType.STEP]
    for row in sorted(steps, key=lambda row: (_number(row), row[_STARTED_AT], row[_ID])):
        names.setdefault(row[_STEP], (decoded(row[_NAME]), row[_STEP_NUMBER]))
    return names


def _sum(each: Iterable[Spent]) -> Spent:
    total = NOTHING
    for spent in each:
        if spent is not NOTHING:
            total = total.plus(spent)
    return total


def _milliseconds(rows: list[Row]) -> float:
    """During which at least one of these was going on; what has not ended counts by what ended within it."""
    total, until = 0, -(2**63)
    for start, end in sorted(
        (row[_STARTED_AT], row[_ENDED_AT]) for row in rows if row[_ENDED_AT] is not None
    ):
        if end > until:
            total += end - max(start, until)
            until = end
    return total / _NS_PER_MS


def _cost_share(part: Spent, whole: Spent) -> float | None:
    """Of sums that are lower bounds there is none."""
    if whole.unpriced_calls or not whole.cost_usd:
        return None
    return (part.cost_usd or 0.0) / whole.cost_usd


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
