"""What follows from the facts of a run: one pure function.

The same facts give the same result, in whatever order they were written: no
clock, nothing random, every order settled by start and id. Nothing recurses,
so that depth does not matter, and the time is that of sorting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from spandag import semconv
from spandag.semconv import NodeType, Outcome
from spandag.store.edges import handoff_edges, sibling_edges
from spandag.store.records import CostRecord, EventRecord, ForkRecord, NodeRecord, RedoRecord, RunRows
from spandag.store.rows import DERIVED, DERIVED_EDGES, NODE_STATUSES, RECORDED, EdgeRow
from spandag.store.tree import Tree, build

ACTIVE = "active"
ABANDONED = "abandoned"
SUPERSEDED = "superseded"

_WORSE = {ACTIVE: 0, ABANDONED: 1, SUPERSEDED: 2}
# What only damage can have written: it must stand out, and keep no other run from being listed.
_STATUS_OF_UNKNOWN = "failed"
_GIVEN_UP = frozenset({Outcome.REJECTED, Outcome.FAILED, Outcome.CANCELLED})
_NOT_GENAI = frozenset({NodeType.SPAN, NodeType.BRANCH_POINT})
_AGENTS = frozenset({NodeType.AGENT, NodeType.SUB_AGENT})
_MODEL_EVENTS = frozenset({semconv.EVENT_MODEL_SELECTED, semconv.EVENT_MODEL_SWITCHED})

META_MODEL = "model"
META_PREVIOUS_MODEL = "previous_model"


class Place(NamedTuple):
    """The derived columns of a node, named as in ``dag_nodes``."""

    parent_node_id: str | None
    depth: int
    order_index: int
    step_node_id: str | None
    branch_id: str | None
    disposition: str


class Charge(NamedTuple):
    """The derived columns of a cost record, named as in ``cost_records``."""

    agent_name: str | None
    counted: bool


class Identity(NamedTuple):
    """The derived columns of a run that follow from its nodes, named as in ``workflow_runs``.

    The task is not among them: it is the root node's input preview, which is
    not loaded with the nodes.
    """

    root_node_id: str | None
    name: str | None
    status: str | None
    started_at: int | None
    ended_at: int | None
    session_id: str | None
    user_id: str | None
    branch_parent_id: str | None
    is_branch: bool
    branch_depth: int
    root_run_id: str


@dataclass(frozen=True, slots=True)
class Derived:
    """Everything that follows from the facts of a run.

    Attributes:
        run: For ``workflow_runs``.
        places: For each node.
        edges: All edges of the kinds `DERIVED_EDGES`.
        events: All events of origin `DERIVED`.
        charges: For each cost record, by node.
    """

    run: Identity
    places: dict[str, Place]
    edges: list[EdgeRow]
    events: list[EventRecord]
    charges: dict[str, Charge]


class _Above(NamedTuple):
    """What a node inherits from the nodes above it."""

    depth: int = -1
    step: str | None = None
    branch: str | None = None
    disposition: str = ACTIVE
    agent: str | None = None
    scope: str | None = None
    below_llm: bool = False
    below_usage: bool = False
    unmeasured: str | None = None
    model_recorded: bool = False
    below_run: bool = False
    below_genai: bool = False


def derive(rows: RunRows) -> Derived:
    """Derive a run.

    Args:
        rows: Its facts; whatever was derived before is ignored.
    """
    run_id = rows.run.id
    tree = build(rows.nodes)
    costs = {cost.node_id: cost for cost in rows.costs}
    recorded = [event for event in rows.events if event.origin == RECORDED]
    model_events = {event.node_id for event in recorded if event.event_type in _MODEL_EVENTS}
    own = _own_dispositions(tree)
    lost = _lost_attempts(tree, rows.redos)

    places: dict[str, Place] = {}
    charges: dict[str, Charge] = {}
    # Model calls that say nothing and are made of others that stand for them.
    made_of_others: set[str] = set()
    scopes: dict[str, str | None] = {}
    calls: list[tuple[NodeRecord, str | None]] = []
    top_runs: list[NodeRecord] = []
    top_genai: list[NodeRecord] = []
    inherited: dict[str | None, _Above] = {None: _Above()}

    for node, index in tree.walk():
        above = inherited[tree.parents[node.id]]
        lost_step = lost.get(tree.lost.get(node.id))
        attempt = tree.attempts.get(node.id)
        if lost_step is not None and (attempt is None or attempt.step != lost_step):
            above = above._replace(step=lost_step, disposition=SUPERSEDED)
        is_genai = node.node_type not in _NOT_GENAI
        disposition = max(above.disposition, own.get(node.span_id, ACTIVE), key=_WORSE.__getitem__)
        step = (attempt.step if attempt is not None else None) or above.step
        agent = (node.name if node.node_type in _AGENTS else node.agent) or above.agent
        places[node.id] = Place(
            tree.parents[node.id], above.depth + 1, index, step, above.branch, disposition
        )
        scopes[node.id] = above.scope
        # An agent below another has models of its own.
        model_recorded = node.id in model_events or (above.model_recorded and node.node_type not in _AGENTS)
        cost = costs.get(node.id)
        has_usage = cost is not None and _has_usage(cost)
        if cost is not None:
            charges[node.id] = Charge(agent, not above.below_usage)
            if above.unmeasured is not None:
                made_of_others.add(above.unmeasured)
        is_llm = node.node_type == NodeType.LLM
        chooses_model = is_llm and not above.below_llm and not model_recorded and not _only_reads(cost)
        if chooses_model and node.model is not None:
            calls.append((node, agent))
        if node.node_type == NodeType.RUN and not above.below_run:
            top_runs.append(node)
        if is_genai and not above.below_genai:
            top_genai.append(node)
        inherited[node.id] = _Above(
            above.depth + 1,
            step,
            node.id if node.node_type == NodeType.BRANCH_POINT else above.branch,
            disposition,
            agent,
            node.id if node.node_type == NodeType.CONVERSATION else above.scope,
            above.below_llm or is_llm,
            above.below_usage or (is_llm and has_usage),
            above.unmeasured if cost is None else None if has_usage else node.id,
            model_recorded,
            above.below_run or node.node_type == NodeType.RUN,
            above.below_genai or is_genai,
        )

    for node_id in made_of_others:
        charges[node_id] = charges[node_id]._replace(counted=False)
    edges = {edge[:4]: edge for edge in sibling_edges(run_id, tree)}
    for edge in handoff_edges(run_id, tree, recorded, scopes):
        edges[edge[:4]] = edge
    return Derived(
        run=_identity(run_id, top_runs, top_genai, rows.forks, places),
        places=places,
        edges=sorted(edges.values()),
        events=sorted(_model_events(calls), key=lambda event: (event.node_id, event.seq)),
        charges=charges,
    )


def apply(rows: RunRows, derived: Derived, task: str | None) -> RunRows:
    """The rows with what was derived from them, as the store has them once it has settled.

    Args:
        rows: Facts, and possibly what was derived earlier.
        derived: What `derive` made of them.
        task: The run's task.
    """
    run = rows.run._replace(**derived.run._asdict(), task=task, derived_version=rows.run.facts_version)
    return replace(
        rows,
        run=run,
        nodes=[node._replace(**derived.places[node.id]._asdict()) for node in rows.nodes],
        edges=[e for e in rows.edges if e.dependency_type not in DERIVED_EDGES] + derived.edges,
        events=[e for e in rows.events if e.origin != DERIVED] + derived.events,
        costs=[
            cost._replace(**derived.charges[cost.node_id]._asdict())
            if cost.node_id in derived.charges
            else cost
            for cost in rows.costs
        ],
    )


def _own_dispositions(tree: Tree) -> dict[str, str]:
    """By span id: what became of each attempt, regardless of what is above it."""
    steps = [
        (tree.nodes[node_id], attempt)
        for node_id, attempt in tree.attempts.items()
        if tree.nodes[node_id].node_type == NodeType.STEP
    ]
    latest: dict[str | None, int] = {}
    for _, attempt in steps:
        latest[attempt.step] = max(latest.get(attempt.step, 1), attempt.number)
    dispositions = {}
    for node, attempt in steps:
        if attempt.number < latest[attempt.step]:
            dispositions[node.span_id] = SUPERSEDED
        elif (node.outcome or node.status) in _GIVEN_UP:
            dispositions[node.span_id] = ABANDONED
    return dispositions


def _lost_attempts(tree: Tree, redos: Sequence[RedoRecord]) -> dict[str | None, str]:
    """By the span id of each attempt that is not stored, though a later one is, its step.

    A redo says which is attempt 1 and, by its link, which is the attempt before: what these left behind is
    superseded like them.
    """
    lost: dict[str | None, str] = {}
    for attempt in tree.attempts.values():
        if attempt.step is not None and attempt.step not in tree.nodes and attempt.number > 1:
            lost[attempt.step] = attempt.step
    for node_id, before in redos:
        redo = tree.attempts.get(node_id)
        if redo is not None and redo.step is not None and before not in tree.nodes:
            lost.setdefault(before, redo.step)
    return lost


def _has_usage(cost: CostRecord) -> bool:
    return cost.input_tokens is not None or cost.output_tokens is not None or cost.cost_usd is not None


def _only_reads(cost: CostRecord | None) -> bool:
    """Whether a call is an embedding: its model is not the one that the agent thinks with."""
    return cost is not None and cost.input_tokens is not None and cost.output_tokens is None


def _model_events(calls: Sequence[tuple[NodeRecord, str | None]]) -> list[EventRecord]:
    """The first model of each agent, and each change to another, where no span says so itself."""
    events = []
    models: dict[str | None, str | None] = {}
    for node, agent in sorted(calls, key=lambda call: (call[0].started_at, call[0].id)):
        previous = models.get(agent)
        if previous == node.model:
            continue
        models[agent] = node.model
        meta = {META_MODEL: node.model}
        if previous is not None:
            meta[META_PREVIOUS_MODEL] = previous
        kind = semconv.EVENT_MODEL_SELECTED if previous is None else semconv.EVENT_MODEL_SWITCHED
        events.append(EventRecord(node.id, -1, kind, None, agent, node.started_at, DERIVED, meta))
    return events


def _identity(
    run_id: str,
    runs: Sequence[NodeRecord],
    genai: Sequence[NodeRecord],
    forks: Sequence[ForkRecord],
    places: Mapping[str, Place],
) -> Identity:
    """Who the run is: its topmost run node, else its topmost GenAI node; the earliest where there are several.

    Args:
        run_id: The run.
        runs: Run nodes that are below no other.
        genai: GenAI nodes that are below no other.
        forks: What nodes say of runs that they go on from; that of the root node counts.
        places: Of all nodes.
    """
    tops = runs or genai
    if not tops:
        return Identity(None, None, None, None, None, None, None, None, False, 0, run_id)
    root = min(tops, key=lambda node: (node.started_at, node.id))
    # Without a run node several calls can share a trace, below a web request for instance.
    parts = [root] if runs else genai
    ends = [node.ended_at for node in parts]
    # As `spandag.export.branches.fork_of`: a part of another span is no fork.
    fork = next((fork for fork in forks if fork.node_id == root.id and places[root.id].depth == 0), None)
    return Identity(
        root_node_id=root.id,
        name=root.name,
        status=min(map(_known_status, parts), key=NODE_STATUSES.index) if None not in ends else "running",
        started_at=root.started_at,
        ended_at=None if None in ends else max(end for end in ends if end is not None),
        session_id=root.session_id,
        user_id=root.user_id,
        branch_parent_id=None if fork is None else fork.parent_run_id,
        is_branch=fork is not None,
        branch_depth=0 if fork is None else fork.depth or 1,
        root_run_id=run_id if fork is None else fork.root_run_id or fork.parent_run_id,
    )


def _known_status(node: NodeRecord) -> str:
    return node.status if node.status in NODE_STATUSES else _STATUS_OF_UNKNOWN
