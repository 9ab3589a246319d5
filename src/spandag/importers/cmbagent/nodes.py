"""What the nodes of a CMBAgent run are in our DAG: their types, parents, attempts and times.

Its nodes have no times, and most redos were never run under their branch point
but recorded on the step itself, whose branch point stays empty and pending.
What is missing follows from what there is: times from steps, events and
messages, else from the node before; the outcome of an attempt from whether
there was another.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from spandag.importers.cmbagent.records import Record, RunRecords, mapping, number, span_id, time_ns
from spandag.semconv import NodeType, Outcome

ENDED = frozenset({"completed", "failed", "cancelled"})
"""States in which a run is over."""

_TYPES = {
    "planning": NodeType.PHASE,
    "control": NodeType.PHASE,
    "parallel_group": NodeType.PHASE,
    "agent": NodeType.AGENT,
    "sub_agent": NodeType.SUB_AGENT,
    "approval": NodeType.APPROVAL,
}
_STEP = re.compile(r"step_(\d+)$")
_REDO = re.compile(r"redo_(\d+)$")
_OUTCOMES = {"completed": Outcome.ACCEPTED, "failed": Outcome.FAILED, "cancelled": Outcome.CANCELLED}
_LONGEST_NAME = 120


@dataclass(eq=False)
class Node:
    """A span to be.

    Attributes:
        span_id: Its span.
        node_type: Of `semconv.NodeType`.
        name: What it is called.
        status: Of ``dag_nodes.status``.
        parent: None for the root.
        order: Its place among its siblings.
        record: The row of ``dag_nodes``, where there is one.
        step: The row of ``workflow_steps``, where it is one.
        result: The same row, on the attempt that it tells the result of.
        number: Of a step.
        source: Of a redo the first attempt.
        attempt: Of a step, from 1.
        before: Of a redo the attempt before it.
        outcome: Of a step that has ended.
        hypothesis: Of a redo.
        is_ended: Whether it is over.
        start: Unix ns.
        end: Unix ns, also of what goes on: the last that is known of it.
    """

    span_id: int
    node_type: str
    name: str
    status: str
    parent: Node | None = None
    order: tuple[int, str] = (0, "")
    record: Record = field(default_factory=dict)
    step: Record = field(default_factory=dict)
    result: Record = field(default_factory=dict)
    number: int | None = None
    source: Node | None = None
    attempt: int = 1
    before: Node | None = None
    outcome: str | None = None
    hypothesis: str | None = None
    is_ended: bool = True
    start: int | None = None
    end: int | None = None


@dataclass
class RunNodes:
    """The nodes of a run.

    Attributes:
        root: The run itself.
        nodes: All others, parents first.
        of_node: By CMBAgent's node id; of a branch point its redo.
        of_step: By CMBAgent's step id the first attempt.
        branch_points: CMBAgent's ids of branch points.
    """

    root: Node
    nodes: list[Node] = field(default_factory=list)
    of_node: dict[str, Node] = field(default_factory=dict)
    of_step: dict[str, Node] = field(default_factory=dict)
    branch_points: set[str] = field(default_factory=set)

    def of(self, record: Record) -> Node:
        """Where an event or message belongs: its node, else its step, else the run."""
        found = self.of_node.get(str(record.get("node_id"))) or self.of_step.get(str(record.get("step_id")))
        return found or self.root


def nodes_of(records: RunRecords) -> RunNodes:
    """Put the nodes of a run together."""
    run = records.run
    is_ended = run.get("status") in ENDED
    root = Node(
        span_id(run["id"], "run", run["id"]),
        NodeType.RUN,
        str(run.get("mode") or "cmbagent"),
        str(run["status"]) if is_ended else "running",
        is_ended=is_ended,
    )
    result = RunNodes(root)
    redos = _redos(records)
    result.branch_points = {str(point["id"]) for redo in redos.values() for point in redo}
    _add_nodes(result, records, sources=set(redos))
    _add_steps_without_node(result, records)
    for source_id, points in redos.items():
        _add_redos(result, records, result.of_node[source_id], points)
    _connect(result, records)
    _find_times(result, records)
    return result


def _redos(records: RunRecords) -> dict[str, list[Record]]:
    """By the node that was done again, its branch points in order."""
    by_id = {str(node["id"]): node for node in records.nodes}
    leads_to = {str(edge["to_node_id"]): edge for edge in records.edges}
    found: dict[str, list[tuple[tuple[int, str], Record]]] = {}
    for node in records.nodes:
        if node["node_type"] != "branch_point":
            continue
        edge = leads_to.get(str(node["id"]), {})
        source = str(mapping(node.get("meta")).get("source_node_id") or edge.get("from_node_id"))
        if source in by_id and by_id[source]["node_type"] != "branch_point":
            names = (mapping(node.get("meta")).get("branch_name"), edge.get("condition"), node.get("agent"))
            numbers = [int(match[1]) for name in names if (match := _REDO.search(str(name)))]
            order = (min(numbers, default=1_000_000), str(node["id"]))
            found.setdefault(source, []).append((order, node))
    return {
        source: [node for _, node in sorted(points, key=lambda point: point[0])]
        for source, points in sorted(found.items())
    }


def _add_nodes(result: RunNodes, records: RunRecords, *, sources: set[str]) -> None:
    steps = {number(step["step_number"]): step for step in records.steps}
    # What was run under a branch point has the step's number as well; the step itself comes first.
    for record in sorted(
        records.nodes, key=lambda node: str(node.get("parent_node_id")) in result.branch_points
    ):
        node_id = str(record["id"])
        if node_id in result.branch_points:
            continue
        meta = mapping(record.get("meta"))
        kind = str(record["node_type"])
        step_number = number(meta.get("step_number"))
        if step_number is None and (match := _STEP.search(str(meta.get("id") or node_id))):
            step_number = int(match[1])
        step = steps.pop(step_number, None) if kind == "agent" else None
        agent = str(record.get("agent") or kind)
        node = Node(
            span_id(records.run["id"], "node", node_id),
            _TYPES.get(kind, NodeType.SPAN),
            str(meta.get("label") or kind) if _TYPES.get(kind) == NodeType.PHASE else agent,
            str((step or record).get("status") or record.get("status") or "pending"),
            order=_order(record),
            record=record,
        )
        if kind == "agent" and (step or step_number is not None or node_id in sources):
            node.node_type, node.number = NodeType.STEP, step_number
            node.step = node.result = step or {}
            node.name = _name((step or {}).get("goal")) or _name(meta.get("label")) or agent
            if step is not None:
                result.of_step[str(step["id"])] = node
        result.of_node[node_id] = node
        result.nodes.append(node)


def _add_steps_without_node(result: RunNodes, records: RunRecords) -> None:
    for step in records.steps:
        if str(step["id"]) in result.of_step:
            continue
        node = Node(
            span_id(records.run["id"], "step", step["id"]),
            NodeType.STEP,
            _name(step.get("goal") or step.get("agent")) or "step",
            str(step.get("status") or "pending"),
            parent=result.root,
            order=(number(step["step_number"]) or 0, str(step["id"])),
            step=step,
            result=step,
            number=number(step["step_number"]),
        )
        result.of_step[str(step["id"])] = node
        result.nodes.append(node)


def _add_redos(result: RunNodes, records: RunRecords, source: Node, points: list[Record]) -> None:
    """The attempts after the first, each from its branch point and what was run under it."""
    final = source.status
    before = source
    for attempt, point in enumerate(points, 2):
        below = [
            child
            for child in result.nodes
            if str(child.record.get("parent_node_id")) == str(point["id"])
            and child.node_type in (NodeType.AGENT, NodeType.STEP)
        ]
        if below:
            redo = min(below, key=lambda child: child.order)
        else:
            redo = Node(span_id(records.run["id"], "node", point["id"]), "", "", final, record=point)
            result.nodes.append(redo)
        redo.node_type, redo.name, redo.number = NodeType.STEP, source.name, source.number
        redo.source, redo.before, redo.attempt = source, before, attempt
        redo.order = (*source.order[:1], f"{source.order[1]}:{attempt:06d}")
        meta = mapping(point.get("meta"))
        redo.hypothesis = str(meta.get("hypothesis") or "") or None
        result.of_node[str(point["id"])] = redo
        # There would be no other attempt had it been accepted; and where there is but one record of
        # all attempts, what it says of the end is said of the last.
        before.outcome = Outcome.REJECTED
        if not below or before.status not in ENDED:
            before.status = "completed"
        # A redo's result replaces the one before.
        redo.result, before.result = before.result, {}
        before = redo


def _connect(result: RunNodes, records: RunRecords) -> None:
    """Parents, and what became of nodes whose end was never written."""
    for node in result.nodes:
        parent = result.of_node.get(str(node.record.get("parent_node_id")))
        node.parent = parent if parent is not None and parent is not node else result.root
    for node in result.nodes:
        if node.source is not None:
            node.parent = node.source.parent
        _settle(node, result.root)
    for node in result.nodes:
        seen = {id(node)}
        at = node.parent
        while at is not None:
            if id(at) in seen:
                node.parent = result.root
                break
            seen.add(id(at))
            at = at.parent
    result.nodes.sort(key=lambda node: (_depth(node), node.order))


def _settle(node: Node, root: Node) -> None:
    if root.is_ended and node.status not in ENDED:
        if node.status in ("pending", "skipped"):
            node.status = "skipped"
        else:
            node.status = "completed" if root.status == "completed" else "cancelled"
    node.is_ended = node.status in ENDED or node.status == "skipped"
    if not node.is_ended:
        node.status = "pending" if node.status == "pending" else "running"
    elif node.node_type == NodeType.STEP and node.outcome is None:
        node.outcome = _OUTCOMES.get(node.status)


def _find_times(result: RunNodes, records: RunRecords) -> None:
    root, run = result.root, records.run
    _widen(root, run.get("started_at"), run.get("completed_at"))
    for node in result.nodes:
        _widen(node, node.step.get("started_at"), node.step.get("completed_at"))
    for event in records.events:
        _widen(result.of(event), event.get("started_at"), event.get("timestamp"), event.get("completed_at"))
    for message in records.messages:
        _widen(result.of(message), message.get("timestamp"))
    # What is below lies within what is above.
    for node in reversed(result.nodes):
        if node.parent is not None:
            _cover(node.parent, node.start, node.end)
    if root.start is None:
        root.start = root.end = time_ns((records.session or {}).get("created_at")) or 0
    last: dict[int, int] = {}
    for node in result.nodes:
        parent = node.parent or root
        after = last.get(id(parent), parent.start or 0)
        if node.before is not None:
            after = max(after, node.before.end or 0)
        if node.start is None or node.end is None:
            # Later than the one before, so that their order is kept; the record of a step that was
            # done again ends with its last attempt, and what is between must come before that.
            node.start = node.end = min(after + 1, *(at - 1 for at in _later_attempts(result, node)))
        last[id(parent)] = max(after, node.end)


def _later_attempts(result: RunNodes, node: Node) -> Iterator[int]:
    """When attempts after this one started, and a time that is never reached."""
    yield sys.maxsize
    for other in result.nodes:
        same = node.source is not None and other.source is node.source
        if same and other.attempt > node.attempt and other.start is not None:
            yield other.start


def _widen(node: Node, *times: object) -> None:
    known = [at for at in map(time_ns, times) if at is not None]
    if known:
        _cover(node, min(known), max(known))


def _cover(node: Node, start: int | None, end: int | None) -> None:
    starts = [at for at in (node.start, start) if at is not None]
    ends = [at for at in (node.end, end) if at is not None]
    node.start, node.end = min(starts, default=None), max(ends, default=None)


def _depth(node: Node) -> int:
    return len(list(_above(node)))


def _above(node: Node) -> Iterable[Node]:
    while node.parent is not None:
        node = node.parent
        yield node


def _order(record: Record) -> tuple[int, str]:
    return (number(record.get("order_index")) or 0, str(record["id"]))


def _name(value: object) -> str | None:
    lines = str(value or "").strip().splitlines()
    if not lines:
        return None
    return lines[0] if len(lines[0]) <= _LONGEST_NAME else lines[0][: _LONGEST_NAME - 1] + "…"
