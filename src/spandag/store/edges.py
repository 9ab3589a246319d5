"""What led to what among the nodes of a run, as far as it follows from their times."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping, Sequence

from spandag import semconv
from spandag.semconv import NodeType, Outcome
from spandag.store.records import EventRecord
from spandag.store.rows import EdgeRow
from spandag.store.tree import Item, Tree

_AGENTS = frozenset({NodeType.AGENT, NodeType.SUB_AGENT})


def sibling_edges(run_id: str, tree: Tree) -> Iterator[EdgeRow]:
    """Sequential and parallel edges.

    What starts after everything before it ended follows on the one that ended
    last. What overlaps is a parallel group: one edge from its first member to
    each other; whatever comes next follows on the member that ended last.
    Attempts of a step count as one; its edge leaves the accepted attempt, or
    the last one where none was accepted. Spans of other libraries take no part.
    """
    for items in tree.items.values():
        first = last = None
        end: float = -math.inf
        for item in items:
            if item[0].node_type == NodeType.SPAN:
                continue
            item_end = max(math.inf if node.ended_at is None else node.ended_at for node in item)
            if first is None or last is None:
                first = last = item
            elif item[0].started_at >= end:
                yield EdgeRow(run_id, _exit(last, tree), item[0].id, "sequential", None)
                first = last = item
            else:
                yield EdgeRow(run_id, first[0].id, item[0].id, "parallel", None)
                if item_end > end:
                    last = item
            end = max(end, item_end)


def _exit(item: Item, tree: Tree) -> str:
    """Where the path goes on from a step: its accepted attempt, else its last."""
    attempts = [
        tree.nodes.get(node.span_id, node) if node.node_type == NodeType.BRANCH_POINT else node
        for node in item
    ]
    accepted = [node for node in attempts if node.outcome == Outcome.ACCEPTED]
    return (accepted or attempts)[-1].id


def handoff_edges(
    run_id: str, tree: Tree, events: Sequence[EventRecord], scopes: Mapping[str, str | None]
) -> Iterator[EdgeRow]:
    """Edges from the agent that handed over to the one that took over.

    Args:
        run_id: The run.
        tree: Its tree.
        events: Its recorded events.
        scopes: For each node the conversation that it is part of.
    """
    handoffs = [event for event in events if event.event_type == semconv.EVENT_HANDOFF and event.seq >= 0]
    if not handoffs:
        return
    turns: dict[tuple[str | None, str], list[tuple[int, str]]] = {}
    for node in tree.nodes.values():
        if node.node_type in _AGENTS:
            turns.setdefault((scopes[node.id], node.name), []).append((node.started_at, node.id))
    for starts in turns.values():
        starts.sort()
    for event in handoffs:
        deciding = tree.nodes.get(event.node_id)
        if deciding is None:
            continue
        # Whatever was written there, a run must not be beyond deriving.
        meta = event.meta if isinstance(event.meta, dict) else {}
        at = deciding.started_at if event.timestamp is None else event.timestamp
        scope = scopes[deciding.id]
        before = turns.get((scope, str(meta.get(semconv.HANDOFF_FROM))), [])
        after = turns.get((scope, str(meta.get(semconv.HANDOFF_TO))), [])
        source = bisect.bisect_right(before, (at, "\U0010ffff")) - 1
        target = bisect.bisect_left(after, (at, ""))
        if source >= 0 and target < len(after) and before[source] != after[target]:
            yield EdgeRow(run_id, before[source][1], after[target][1], "handoff", None)
