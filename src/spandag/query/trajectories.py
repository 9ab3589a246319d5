"""What has an agent done lately, and how did it go?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, TextClause, literal_column, select, text

from spandag.query.ancestors import AGENTS
from spandag.query.asked import as_text, at_least
from spandag.query.liveness import load_tree
from spandag.query.rejections import Attempt, Rejection, rejections
from spandag.query.spent import NOTHING, Spent, own_spending
from spandag.query.text import decoded
from spandag.query.waste import THROWN_AWAY, WasteReason
from spandag.semconv import NodeType, Outcome
from spandag.store import Store, TreeRows, schema
from spandag.store.records import TREE_COLUMNS
from spandag.store.text import storable

_MOST_INDEXED = 512
_RUNS, _NODES = schema.workflow_runs, schema.dag_nodes

# In these words, or SQLite does not use the index.
_IS_AGENT: ColumnElement[Any] = literal_column(
    f"dag_nodes.{schema.IS_AGENT.replace('(name)', '(dag_nodes.name)')}"
)


@dataclass(frozen=True, slots=True)
class Action:
    """Something that an agent did: a tool that it called, code that it ran, or another agent that it asked.

    Attributes:
        node_id: The node.
        node_type: ``tool``, ``code``, ``agent`` or ``sub_agent``.
        name: Of the tool or agent.
        status: As in `spandag.query.TreeNode`.
        error_type: What went wrong.
        error_message: The error's message.
    """

    node_id: str
    node_type: str
    name: str
    status: str
    error_type: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One run of an agent: a turn in a conversation, or from its task to its answer.

    Attributes:
        run_id: The run of the store that it is part of.
        run_name: Its name.
        node_id: The agent's node.
        agent_name: The agent.
        status: As in `spandag.query.TreeNode`.
        started_at: Unix nanoseconds.
        ended_at: Unix nanoseconds; None where it has not ended.
        error_type: What the agent failed with.
        error_message: The error's message.
        step: The nearest step that it worked for; None where there is none, as are the next five.
        step_number: Its number within its phase.
        attempt: Which attempt at the step.
        outcome: Of the attempt: ``accepted``, ``rejected``, ``failed`` or ``cancelled``; None where it has not ended.
        hypothesis: Of a rejected attempt: what another one should do better.
        requested_by: Who rejected it.
        disposition: ``active`` where its work counted; ``superseded`` or ``abandoned`` where it was thrown away,
            be it with an attempt around the one that it worked for.
        reason: Why it was thrown away: what became of the nearest attempt around it that was rejected, failed or
            was cancelled. None where it was not, or where nothing says why.
        iterations: Its ReAct steps; 0 for agents that have none.
        actions: What it did, in the order of their start. What other agents did for it is theirs; code in which
            tools were called is told by these, unless it failed.
        spent: Tokens, cost and model calls, with those of agents that worked for it.
    """

    run_id: str
    run_name: str | None
    node_id: str
    agent_name: str
    status: str
    started_at: int
    ended_at: int | None
    error_type: str | None
    error_message: str | None
    step: str | None
    step_number: int | None
    attempt: int | None
    outcome: str | None
    hypothesis: str | None
    requested_by: str | None
    disposition: str | None
    reason: WasteReason | None
    iterations: int
    actions: list[Action]
    spent: Spent


class _Node(NamedTuple):
    id: str
    parent_node_id: str | None
    node_type: str
    name: str
    status: str
    step_number: int | None
    attempt: int | None
    outcome: str | None
    disposition: str | None
    started_at: int
    ended_at: int | None
    error_type: str | None
    error_message: str | None


_NOT_SAID = Rejection(None, None)
_GIVEN_UP = frozenset({Outcome.REJECTED, Outcome.FAILED, Outcome.CANCELLED})
_OF_ROW = [TREE_COLUMNS.index(name) for name in _Node._fields]


_Place = tuple[str, str]
"""A run, and the node of an agent in it."""


@dataclass(slots=True)
class _Turn:
    """What is read of one run of an agent.

    Attributes:
        below: Its node and those below it, every node after its parent.
        above: Those above it, the nearest first.
        costs: By model call below it what it took.
    """

    below: list[_Node] = field(default_factory=list)
    above: list[_Node] = field(default_factory=list)
    costs: dict[str, Spent] = field(default_factory=dict)


@cache
def _sql(turns: int, recursion: str, selected: str) -> TextClause:
    """A recursion from some nodes over those of their runs; nothing else is read of these."""
    columns = ", ".join(_Node._fields)
    of_node = ", ".join(f"node.{name}" for name in _Node._fields)
    agents = " OR ".join(f"(node.run_id = :run_{i} AND node.id = :node_{i})" for i in range(turns))
    return text(f"""WITH RECURSIVE found(run_id, agent_id, level, {columns}) AS (
    SELECT node.run_id, node.id, 0, {of_node} FROM dag_nodes AS node WHERE {agents}
    UNION ALL
    SELECT found.run_id, found.agent_id, found.level + 1, {of_node}
    FROM found JOIN dag_nodes AS node ON node.run_id = found.run_id AND {recursion}
)
{selected} ORDER BY found.level""")


_BELOW = "node.parent_node_id = found.id"
_WITH_COSTS = """SELECT found.*, cost.node_id, cost.input_tokens, cost.output_tokens, cost.cost_usd
FROM found LEFT JOIN cost_records AS cost
    ON cost.run_id = found.run_id AND cost.node_id = found.id AND cost.counted"""
_ABOVE = "node.id = found.parent_node_id"
_WITHOUT_COSTS = "SELECT found.* FROM found WHERE found.level > 0"
# As many turns are read in one statement.
_AT_ONCE = 50


def recent_trajectories(store: Store, agent: str, limit: int = 5) -> list[Trajectory]:
    """The last runs of an agent, for whoever is to learn from them: the agent itself, for instance.

    Nothing but the agents' own nodes is read of a run, unless it goes on or is behind. Where the store
    is large this is still quick, so it can be asked before each run of an agent; `spandag.query.render.
    render_trajectories` makes a text of it that fits into a prompt.

    Args:
        store: Where they are.
        agent: The agent's name, as it is recorded.
        limit: How many at most.

    Returns:
        The one that started last comes first.

    Raises:
        QueryError: The agent is no text, or the limit makes no sense.
    """
    name = storable(as_text(agent, "an agent"))
    at_least(0, limit, "the limit")
    conditions: list[ColumnElement[bool]] = [_NODES.c.name == name]
    if len(name) <= _MOST_INDEXED:
        conditions.append(_IS_AGENT)
    else:
        conditions.append(_NODES.c.node_type.in_(sorted(AGENTS)))
    statement = (
        select(
            _NODES.c.run_id,
            _NODES.c.id,
            _NODES.c.ended_at,
            _RUNS.c.name,
            schema.IS_SETTLED.label("is_settled"),
        )
        .join(_RUNS, _RUNS.c.id == _NODES.c.run_id)
        .where(*conditions)
        .order_by(_NODES.c.started_at.desc(), _NODES.c.run_id, _NODES.c.id)
        .limit(limit)
    )
    with store.connection() as connection:
        found = connection.execute(statement).all()
        turns = _read(
            connection, [(row.run_id, row.id) for row in found if row.is_settled and row.ended_at is not None]
        )
        loaded: dict[str, TreeRows | None] = {}
        names: dict[_Place, str | None] = {}
        for run_id, node_id, _, run_name, _ in found:
            turn = turns.get((run_id, node_id))
            if turn is None or any(node.ended_at is None for node in turn.below):
                # What is behind has no place yet; of what has not ended more is to be known.
                if run_id not in loaded:
                    loaded[run_id] = load_tree(connection, run_id)
                rows = loaded[run_id]
                if rows is None:
                    continue
                turns[run_id, node_id] = turn = _of_rows(rows, node_id)
                run_name = rows.run.name
            if turn.below:
                names[run_id, node_id] = run_name
        asked = {
            (run_id, attempt.id)
            for run_id, node_id in names
            for attempt in _attempts_behind(turns[run_id, node_id])
            if attempt is not None and attempt.outcome is not None
        }
        said = rejections(connection, asked)
        return [
            _trajectory(run_id, name, turns[run_id, node_id], said)
            for (run_id, node_id), name in names.items()
        ]


def agents(store: Store, limit: int = 20) -> list[str]:
    """The names of agents that have run, in alphabetical order.

    Args:
        store: Where.
        limit: How many at most.

    Raises:
        QueryError: The limit makes no sense.
    """
    at_least(0, limit, "the limit")
    statement = select(_NODES.c.name).where(_IS_AGENT).distinct().order_by(_NODES.c.name).limit(limit)
    with store.connection() as connection:
        return [decoded(name) for name in connection.execute(statement).scalars()]


def _read(connection: Connection, agents: Sequence[_Place]) -> dict[_Place, _Turn]:
    """By run and node of an agent what is read of it."""
    turns: defaultdict[_Place, _Turn] = defaultdict(_Turn)
    for start in range(0, len(agents), _AT_ONCE):
        some = agents[start : start + _AT_ONCE]
        values = {}
        for i, (run_id, node_id) in enumerate(some):
            values[f"run_{i}"], values[f"node_{i}"] = run_id, node_id
        for run_id, agent_id, _, *columns in connection.execute(_sql(len(some), _BELOW, _WITH_COSTS), values):
            *of_node, counted, tokens_in, tokens_out, cost = columns
            node = _Node._make(of_node)
            turn = turns[run_id, agent_id]
            turn.below.append(node)
            if counted is not None:
                turn.costs[node.id] = Spent(1, tokens_in or 0, tokens_out or 0, cost, int(cost is None))
        for run_id, agent_id, _, *of_node in connection.execute(
            _sql(len(some), _ABOVE, _WITHOUT_COSTS), values
        ):
            turns[run_id, agent_id].above.append(_Node._make(of_node))
    return dict(turns)


def _of_rows(rows: TreeRows, node_id: str) -> _Turn:
    """As of `_read`, of a run that is loaded."""
    nodes = {row[0]: _Node._make(row[place] for place in _OF_ROW) for row in rows.nodes}
    children: dict[str | None, list[_Node]] = {}
    for node in nodes.values():
        children.setdefault(node.parent_node_id, []).append(node)
    below = [nodes[node_id]] if node_id in nodes else []
    for node in below:
        below.extend(children.get(node.id, ()))
    above = []
    at = nodes.get(below[0].parent_node_id or "") if below else None
    while at is not None:
        above.append(at)
        at = nodes.get(at.parent_node_id or "")
    return _Turn(below, above, dict(own_spending(rows.costs)))


def _attempts_behind(turn: _Turn) -> tuple[_Node | None, _Node | None]:
    """The nearest attempt that an agent worked for, and the one because of which its work was thrown away."""
    steps = [node for node in turn.above if node.node_type == NodeType.STEP]
    step = steps[0] if steps else None
    if turn.below[0].disposition not in THROWN_AWAY:
        return step, None
    return step, next((each for each in steps if (each.outcome or each.status) in _GIVEN_UP), None)


def _trajectory(
    run_id: str, run_name: str | None, turn: _Turn, said: Mapping[Attempt, Rejection]
) -> Trajectory:
    agent = turn.below[0]
    step, cause = _attempts_behind(turn)
    rejection = said.get((run_id, step.id), _NOT_SAID) if step is not None else _NOT_SAID
    spent = NOTHING
    for node in turn.below:
        if node.id in turn.costs:
            spent = spent.plus(turn.costs[node.id])
    own = _own(turn.below)
    return Trajectory(
        run_id=run_id,
        run_name=decoded(run_name),
        node_id=agent.id,
        agent_name=decoded(agent.name),
        status=agent.status,
        started_at=agent.started_at,
        ended_at=agent.ended_at,
        error_type=decoded(agent.error_type),
        error_message=decoded(agent.error_message),
        step=None if step is None else decoded(step.name),
        step_number=None if step is None else step.step_number,
        attempt=None if step is None else step.attempt or 1,
        outcome=None if step is None else step.outcome,
        hypothesis=rejection.hypothesis,
        requested_by=rejection.requested_by,
        disposition=agent.disposition,
        reason=None if cause is None else _reason(cause, said.get((run_id, cause.id), _NOT_SAID)),
        iterations=sum(node.node_type == NodeType.ITERATION for node in own),
        actions=_actions(own),
        spent=spent,
    )


def _reason(attempt: _Node, rejection: Rejection) -> WasteReason:
    return WasteReason(
        node_id=attempt.id,
        step=decoded(attempt.name),
        attempt=attempt.attempt or 1,
        started_at=attempt.started_at,
        outcome=attempt.outcome,
        hypothesis=rejection.hypothesis,
        requested_by=rejection.requested_by,
        error_type=decoded(attempt.error_type),
        error_message=decoded(attempt.error_message),
    )


def _own(below: Sequence[_Node]) -> list[_Node]:
    """What an agent did itself: not what is below other agents. Parents come first."""
    mine = {below[0].id}
    found = []
    for node in below[1:]:
        if node.parent_node_id in mine:
            found.append(node)
            if node.node_type not in AGENTS:
                mine.add(node.id)
    return found


def _actions(own: Sequence[_Node]) -> list[Action]:
    acting = {NodeType.TOOL, NodeType.CODE, *AGENTS}
    by_id = {node.id: node for node in own}
    with_actions: set[str] = set()
    for node in own:
        if node.node_type in acting:
            at = by_id.get(node.parent_node_id or "")
            while at is not None and at.id not in with_actions:
                with_actions.add(at.id)
                at = by_id.get(at.parent_node_id or "")
    return [
        Action(
            node.id,
            node.node_type,
            decoded(node.name),
            node.status,
            decoded(node.error_type),
            decoded(node.error_message),
        )
        for node in sorted(own, key=lambda node: (node.started_at, node.id))
        if node.node_type in acting
        and (node.node_type != NodeType.CODE or node.id not in with_actions or node.status == "failed")
    ]
