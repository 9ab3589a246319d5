"""What has an agent done lately, and how did it go?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, TextClause, literal_column, select, text

from spandag.query.ancestors import AGENTS
from spandag.query.asked import as_text, at_least
from spandag.query.liveness import load_tree
from spandag.query.rejections import Rejection, rejections
from spandag.query.spent import NOTHING, Spent, own_spending
from spandag.query.text import decoded
from spandag.query.waste import THROWN_AWAY, WasteReason
from spandag.semconv import NodeType, Outcome
from spandag.store import Store, TreeRows, schema
from spandag.store.facts import TREE_COLUMNS
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


def _sql(recursion: str) -> str:
    """A recursion over the nodes of a run; nothing else is read of it."""
    columns = ", ".join(_Node._fields)
    of_node = ", ".join(f"node.{name}" for name in _Node._fields)
    return f"""WITH RECURSIVE found({columns}) AS (
    SELECT {of_node} FROM dag_nodes AS node WHERE node.run_id = :run_id AND node.id = :node_id
    UNION ALL
    SELECT {of_node} FROM found JOIN dag_nodes AS node ON node.run_id = :run_id AND {recursion}
)
"""


_BELOW: TextClause = text(
    _sql("node.parent_node_id = found.id")
    + """SELECT found.*, cost.node_id, cost.input_tokens, cost.output_tokens, cost.cost_usd
FROM found LEFT JOIN cost_records AS cost
    ON cost.run_id = :run_id AND cost.node_id = found.id AND cost.counted"""
)
_ABOVE: TextClause = text(_sql("node.id = found.parent_node_id") + "SELECT found.* FROM found")


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
            schema.IS_SETTLED,
        )
        .join(_RUNS, _RUNS.c.id == _NODES.c.run_id)
        .where(*conditions)
        .order_by(_NODES.c.started_at.desc(), _NODES.c.run_id, _NODES.c.id)
        .limit(limit)
    )
    with store.connection() as connection:
        loaded: dict[str, TreeRows | None] = {}
        found = []
        for run_id, node_id, ended_at, run_name, is_settled in connection.execute(statement).all():
            below: list[_Node] = []
            if is_settled and ended_at is not None:
                below, above, costs = _read(connection, run_id, node_id)
            if not below or any(node.ended_at is None for node in below):
                # What is behind has no place yet; of what has not ended more is to be known.
                if run_id not in loaded:
                    loaded[run_id] = load_tree(connection, run_id)
                rows = loaded[run_id]
                if rows is None:
                    continue
                below, above, costs = _of_rows(rows, node_id)
                run_name = rows.run.name
            if below:
                found.append(_trajectory(connection, run_id, run_name, below, above, costs))
        return found


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


def _read(
    connection: Connection, run_id: str, node_id: str
) -> tuple[list[_Node], list[_Node], dict[str, Spent]]:
    """An agent's node with those below it, those above it, and what was spent."""
    values = {"run_id": run_id, "node_id": node_id}
    below = []
    costs = {}
    for row in connection.execute(_BELOW, values):
        node = _Node._make(row[: len(_Node._fields)])
        below.append(node)
        counted, tokens_in, tokens_out, cost = row[len(_Node._fields) :]
        if counted is not None:
            costs[node.id] = Spent(1, tokens_in or 0, tokens_out or 0, cost, int(cost is None))
    above = [_Node._make(row) for row in connection.execute(_ABOVE, values)][1:]
    return below, above, costs


def _of_rows(rows: TreeRows, node_id: str) -> tuple[list[_Node], list[_Node], dict[str, Spent]]:
    """As `_read`, of a run that is loaded."""
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
    return below, above, own_spending(rows.costs)


def _trajectory(
    connection: Connection,
    run_id: str,
    run_name: str | None,
    below: Sequence[_Node],
    above: Sequence[_Node],
    costs: Mapping[str, Spent],
) -> Trajectory:
    agent = below[0]
    steps = [node for node in above if node.node_type == NodeType.STEP]
    step = steps[0] if steps else None
    cause = next((each for each in steps if (each.outcome or each.status) in _GIVEN_UP), None)
    if agent.disposition not in THROWN_AWAY:
        cause = None
    asked = {each.id for each in (step, cause) if each is not None and each.outcome is not None}
    said = rejections(connection, run_id, sorted(asked)) if asked else {}
    rejection = said.get(step.id, _NOT_SAID) if step is not None else _NOT_SAID
    spent = NOTHING
    for node in below:
        if node.id in costs:
            spent = spent.plus(costs[node.id])
    own = _own(below)
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
        reason=None if cause is None else _reason(cause, said.get(cause.id, _NOT_SAID)),
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
