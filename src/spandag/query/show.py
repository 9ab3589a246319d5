"""What was a run, and what did it take?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, or_, select

from spandag.query.ancestors import phase_above, step_around
from spandag.query.liveness import load_tree, runs_with_standings
from spandag.query.passed_on import own_errors
from spandag.query.redos import Redo, redos_of_rows
from spandag.query.runs import Run, node_types
from spandag.query.spent import NOTHING, Spent, own_spending
from spandag.query.text import decoded
from spandag.query.tree import rows_of, tree_of_rows
from spandag.query.tree_node import TreeNode
from spandag.query.undisturbed import undisturbed
from spandag.semconv import LinkType, NodeType
from spandag.store import Store, TreeRows, schema
from spandag.store.derive import ABANDONED, SUPERSEDED
from spandag.store.facts import read_header
from spandag.store.records import TREE_COLUMNS
from spandag.store.tombstones import tombstoned

_MOST_ERRORS = 10


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What the calls of one model took, as in the view ``v_cost_by_model``.

    Attributes:
        provider: Whose model it is.
        model: Its name.
        unmeasured_calls: Model calls that said neither tokens nor a price; those that answered are among `calls`.
        spent: Tokens, cost and model calls.
    """

    provider: str | None
    model: str | None
    unmeasured_calls: int
    spent: Spent


@dataclass(frozen=True, slots=True)
class PhaseSummary:
    """One phase.

    Attributes:
        node_id: Its node.
        name: Its name.
        status: Of the node, as in `spandag.query.TreeNode`.
        disposition: ``active``, ``abandoned`` or ``superseded``.
        started_at: Unix nanoseconds.
        ended_at: Unix nanoseconds; None where it has not ended.
        spent: Tokens, cost and model calls in it.
    """

    node_id: str
    name: str
    status: str
    disposition: str | None
    started_at: int
    ended_at: int | None
    spent: Spent


@dataclass(frozen=True, slots=True)
class StepSummary:
    """One step with all of its attempts.

    Attributes:
        step_node_id: Attempt 1, stored or not.
        enclosing_step_node_id: Attempt 1 of the nearest step above it, in whose sums it takes part; None where it
            is within no other.
        phase_node_id: The nearest phase above it, if any.
        phase: The phase's name.
        step: The step's name.
        step_number: Its number within the phase.
        attempts: How many are stored.
        node_id: The last attempt.
        status: Of the last attempt, as in `spandag.query.TreeNode`.
        outcome: Of the last attempt; None where nothing says.
        disposition: Of the last attempt: ``active``, ``abandoned``, or ``superseded`` where it is part of another
            attempt that was.
        started_at: When its first attempt started, in Unix nanoseconds.
        ended_at: When its last attempt ended; None where that has not.
        spent: Tokens, cost and model calls of all attempts.
    """

    step_node_id: str | None
    enclosing_step_node_id: str | None
    phase_node_id: str | None
    phase: str | None
    step: str
    step_number: int | None
    attempts: int
    node_id: str
    status: str
    outcome: str | None
    disposition: str | None
    started_at: int
    ended_at: int | None
    spent: Spent


@dataclass(frozen=True, slots=True)
class NodeError:
    """Something that went wrong.

    Attributes:
        node_id: The node that says so; those above it that only pass it on are left out.
        node_type: Its type.
        name: Its name.
        disposition: ``active``, or what the work that it is part of became.
        started_at: When the node started, in Unix nanoseconds.
        error_type: What went wrong.
        error_message: The error's message.
    """

    node_id: str
    node_type: str
    name: str
    disposition: str | None
    started_at: int
    error_type: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class WasteSum:
    """What was spent on work that did not count.

    Attributes:
        disposition: ``superseded`` or ``abandoned``.
        spent: Tokens, cost and model calls.
    """

    disposition: str
    spent: Spent


@dataclass(frozen=True, slots=True)
class RelatedRun:
    """A run that this one was forked from, or that was forked from this one.

    Attributes:
        run_id: Its id.
        name: Its name; None where it is not stored.
        status: As of `spandag.query.Run`; ``pruned`` for one that was removed, None where it never came.
        started_at: Unix nanoseconds.
    """

    run_id: str
    name: str | None
    status: str | None
    started_at: int | None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run on one page.

    Attributes:
        run: The run itself: name, task, status, times, session, what it took.
        node_types: How many nodes it has of each type; spans of other libraries are among them.
        models: Its models, the most expensive first.
        phases: Its phases, in order.
        steps: Its steps, in order.
        redos: Its redos, in order of time.
        errors: What went wrong first, in order of time.
        error_count: How much went wrong in all.
        waste: What was spent on superseded and on abandoned work, where anything was.
        parent: The run that it was forked from.
        forks: The runs that were forked from it, oldest first.
    """

    run: Run
    node_types: dict[str, int]
    models: list[ModelUse]
    phases: list[PhaseSummary]
    steps: list[StepSummary]
    redos: list[Redo]
    errors: list[NodeError]
    error_count: int
    waste: list[WasteSum]
    parent: RelatedRun | None
    forks: list[RelatedRun]


def show(store: Store, run: str) -> RunSummary:
    """Everything about a run that fits on a page.

    Args:
        store: Where it is.
        run: As `spandag.query.resolve_run` takes it.

    Raises:
        QueryError: No run is meant, or several are.
    """
    with store.connection() as connection, undisturbed():
        rows = rows_of(connection, run)
        parent_id = rows.run.branch_parent_id
        parent = None if parent_id is None else _parent(connection, parent_id)
        forks = _forks(connection, rows.run.id)
    tree = tree_of_rows(rows)
    by_id = {node.id: node for node in tree.nodes}
    errors = _errors(tree.nodes)
    types = node_types(rows)
    return RunSummary(
        run=tree.run,
        node_types={name: types[name] for name in sorted(types)},
        models=_models(rows),
        phases=[
            PhaseSummary(
                node.id, node.name, node.status, node.disposition, node.started_at, node.ended_at, node.spent
            )
            for node in tree.nodes
            if node.node_type == NodeType.PHASE
        ],
        steps=_steps(tree.nodes, by_id),
        redos=redos_of_rows(rows, by_id),
        errors=errors[:_MOST_ERRORS],
        error_count=len(errors),
        waste=_waste(rows),
        parent=parent,
        forks=forks,
    )


def _steps(nodes: Sequence[TreeNode], by_id: dict[str, TreeNode]) -> list[StepSummary]:
    attempts: defaultdict[str, list[TreeNode]] = defaultdict(list)
    for node in nodes:
        if node.node_type == NodeType.STEP:
            attempts[node.step_node_id or node.id].append(node)
    found = []
    for step_id, of_step in attempts.items():
        last = max(of_step, key=lambda node: (node.attempt or 1, node.started_at, node.id))
        phase = phase_above(last, by_id)
        around = step_around(last, by_id)
        spent = NOTHING
        for node in of_step:
            spent = spent.plus(node.spent)
        found.append(
            StepSummary(
                step_node_id=step_id,
                enclosing_step_node_id=None if around is None else around.step_node_id or around.id,
                phase_node_id=phase.id if phase else None,
                phase=phase.name if phase else None,
                step=last.name,
                step_number=last.step_number,
                attempts=len(of_step),
                node_id=last.id,
                status=last.status,
                outcome=last.outcome,
                disposition=last.disposition,
                started_at=min(node.started_at for node in of_step),
                ended_at=last.ended_at,
                spent=spent,
            )
        )
    return found


def _errors(nodes: Sequence[TreeNode]) -> list[NodeError]:
    """What went wrong, by its time, where it was first said."""
    own = own_errors(nodes)
    found = [
        NodeError(
            node.id,
            node.node_type,
            node.name,
            node.disposition,
            node.started_at,
            node.error_type,
            node.error_message,
        )
        for node in nodes
        if node.id in own
    ]
    return sorted(found, key=lambda error: (error.started_at, error.node_id))


_ID, _NODE_TYPE, _MODEL, _PROVIDER, _DISPOSITION = map(
    TREE_COLUMNS.index, ("id", "node_type", "model", "provider", "disposition")
)


def _models(rows: TreeRows) -> list[ModelUse]:
    own = own_spending(rows.costs)
    # What is not counted is part of another call, or made of others.
    told = {row[0] for row in rows.costs if not row[1] or any(said is not None for said in row[2:])}
    spent: dict[tuple[str | None, str | None], Spent] = {}
    unmeasured: Counter[tuple[str | None, str | None]] = Counter()
    for row in rows.nodes:
        if row[_NODE_TYPE] != NodeType.LLM:
            continue
        key = row[_PROVIDER], row[_MODEL]
        if row[_ID] in own:
            spent[key] = spent.get(key, NOTHING).plus(own[row[_ID]])
        if row[_ID] not in told:
            unmeasured[key] += 1
    found = [
        ModelUse(decoded(key[0]), decoded(key[1]), unmeasured[key], spent.get(key, NOTHING))
        for key in spent.keys() | unmeasured.keys()
    ]
    return sorted(
        found,
        key=lambda use: (
            -(use.spent.cost_usd or 0),
            -use.spent.tokens,
            use.provider or "",
            use.model or "",
        ),
    )


def _waste(rows: TreeRows) -> list[WasteSum]:
    own = own_spending(rows.costs)
    sums = dict.fromkeys((SUPERSEDED, ABANDONED), NOTHING)
    for row in rows.nodes:
        if row[_DISPOSITION] in sums and row[_ID] in own:
            sums[row[_DISPOSITION]] = sums[row[_DISPOSITION]].plus(own[row[_ID]])
    return [WasteSum(disposition, spent) for disposition, spent in sums.items() if spent.calls]


def _parent(connection: Connection, run_id: str) -> RelatedRun:
    found = _related(connection, [run_id])
    if found:
        return found[0]
    removed = tombstoned(connection, [run_id])
    return RelatedRun(run_id, None, "pruned" if removed else None, None)


def _forks(connection: Connection, run_id: str) -> list[RelatedRun]:
    """The forks of a run, oldest first; of those whose derivation is behind only the links tell."""
    runs, links = schema.workflow_runs, schema.span_links
    says = select(links.c.node_id).where(
        links.c.run_id == runs.c.id, links.c.linked_run_id == run_id, links.c.link_type == LinkType.FORK_OF
    )
    ids = connection.execute(
        select(runs.c.id).where(
            or_(runs.c.branch_parent_id == run_id, and_(~schema.IS_SETTLED, says.exists()))
        )
    ).scalars()
    found = _related(connection, list(ids), parent=run_id)
    return sorted(found, key=lambda fork: (fork.started_at or 0, fork.run_id))


def _related(connection: Connection, ids: Sequence[str], *, parent: str | None = None) -> list[RelatedRun]:
    """Those of some runs that are stored, with what is known of what has not ended.

    Args:
        connection: Of the store.
        ids: Whole ids.
        parent: The run that they have to be forks of, if any.
    """
    records = [record for run_id in ids if (record := read_header(connection, run_id)) is not None]
    settled = [record for record in records if record.is_settled]
    found = runs_with_standings(connection, settled)
    for record in records:
        if not record.is_settled:
            rows = load_tree(connection, record.id)
            found += [] if rows is None else [rows.run]
    return [
        RelatedRun(run.id, decoded(run.name), run.status, run.started_at)
        for run in found
        if parent is None or run.branch_parent_id == parent
    ]
