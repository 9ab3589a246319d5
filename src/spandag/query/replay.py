"""How did a run go, moment by moment?"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from spandag.query.choices import choices
from spandag.query.following import ENDED, STARTED, Change
from spandag.query.liveness import INTERRUPTED, RUNNING
from spandag.query.tree import Tree, rows_of, tree_of_rows
from spandag.query.tree_node import Row, TreeNode
from spandag.query.undisturbed import undisturbed
from spandag.semconv import NodeType
from spandag.store import Store, TreeRows
from spandag.store.records import TREE_COLUMNS

_NS = 1_000_000_000
_ACTIVE = "active"
_SUPERSEDED = "superseded"

_ID, _PARENT, _STATUS, _DISPOSITION, _OUTCOME, _STARTED_AT, _ENDED_AT, _ERROR_TYPE, _ERROR_MESSAGE = map(
    TREE_COLUMNS.index,
    (
        "id",
        "parent_node_id",
        "status",
        "disposition",
        "outcome",
        "started_at",
        "ended_at",
        "error_type",
        "error_message",
    ),
)


@dataclass(frozen=True, slots=True)
class ReplayEvent:
    """Something that happened in a run.

    Attributes:
        run_id: The run.
        change: ``started``, ``ended`` or ``interrupted``.
        offset: Nanoseconds since the first event. An interruption, which nobody was there to note, comes last.
        timestamp: When, in Unix nanoseconds; None for an interruption.
        choice: At the end of an approval what was chosen; None elsewhere.
        node: The node as it was then: what has started is ``running``, without tokens and cost. Its
            children are those that it has in the end.
    """

    run_id: str
    change: str
    offset: int
    timestamp: int | None
    choice: str | None
    node: TreeNode

    def as_change(self) -> Change:
        """The same as somebody sees it who follows the run."""
        is_first = self.change == STARTED
        return Change(self.run_id, self.change, self.timestamp, is_first, self.choice, self.node)


class Replay:
    """A recorded run that can be looked at as it was at any moment.

    Args:
        rows: The run, with what is known of what has not ended.
        chosen: By approval what was chosen.
        all_spans: As of `spandag.query.tree`.

    Attributes:
        tree: The run as it is now.
        events: All that happened, in order.
        started_at: When the first event was, in Unix nanoseconds.
        duration: Nanoseconds from the first to the last event.
    """

    def __init__(self, rows: TreeRows, chosen: dict[str, str], *, all_spans: bool = False) -> None:
        self._all_spans = all_spans
        self.tree = replace(tree_of_rows(rows, all_spans=all_spans), choices=chosen)
        starts = _starts(rows.nodes)
        self._rows = replace(rows, nodes=sorted(rows.nodes, key=lambda row: starts[row[_ID]]))
        self._starts = [starts[row[_ID]] for row in self._rows.nodes]
        self._ends = {row[_ID]: _end(row) for row in rows.nodes}
        self._superseded_at = _superseded_at(self.tree.nodes)
        self.started_at: int = min((node.started_at for node in self.tree.nodes), default=0)
        self.events = self._events()
        self.duration = self.events[-1].offset if self.events else 0

    def at(self, offset: int) -> Tree:
        """The run as it was so many nanoseconds after its first event."""
        now = self.started_at + offset
        rows, ends = self._rows, self._ends

        def is_over(node_id: str) -> bool:
            end = ends.get(node_id)
            return end is not None and end <= now

        run = rows.run
        if run.ended_at is None or run.ended_at > now:
            run = run._replace(status=RUNNING, ended_at=None)
        tree = tree_of_rows(
            replace(
                rows,
                run=run,
                nodes=[
                    self._as_of(now, row) if is_over(row[_ID]) else _open(row)
                    for row in rows.nodes[: bisect_right(self._starts, now)]
                ],
                costs=[row for row in rows.costs if is_over(row[0])],
                branches=[
                    branch
                    if branch.ended_at is not None and branch.ended_at <= now
                    else branch._replace(status=_ACTIVE, ended_at=None)
                    for branch in rows.branches
                    if branch.started_at <= now
                ],
            ),
            all_spans=self._all_spans,
        )
        chosen = self.tree.choices.items()
        return replace(tree, choices={node_id: choice for node_id, choice in chosen if is_over(node_id)})

    def _as_of(self, now: int, row: Row) -> Row:
        """A node that has ended, before what made it of no use."""
        if row[_DISPOSITION] == _SUPERSEDED and self._superseded_at.get(row[_ID], now) > now:
            return (*row[:_DISPOSITION], _ACTIVE, *row[_DISPOSITION + 1 :])
        return row

    def _events(self) -> list[ReplayEvent]:
        run_id = self._rows.run.id
        begun = tree_of_rows(
            replace(self._rows, nodes=list(map(_open, self._rows.nodes)), costs=[]), all_spans=self._all_spans
        )
        begun_nodes = {node.id: node for node in begun.nodes}
        found: list[tuple[int, int, str, TreeNode]] = []
        last = self.started_at
        open_nodes: list[tuple[int, TreeNode]] = []
        place = 0
        # What happens at the same time happens in the order of the tree: what is above starts first and ends last.
        for node in [*self.tree.nodes, None]:
            while open_nodes and (node is None or open_nodes[-1][1].depth >= node.depth):
                end, ended = open_nodes.pop()
                place += 1
                found.append((end, place, ENDED, ended))
            if node is None:
                break
            place += 1
            start = node.started_at
            found.append((start, place, STARTED, begun_nodes[node.id]))
            # One that has not ended is passed by here, and stays open for those below it.
            end_of = self._ends[node.id]
            open_nodes.append((-1 if end_of is None else end_of, node))
        found = [each for each in found if each[0] >= 0]
        found.sort(key=lambda each: each[:2])
        if found:
            last = found[-1][0]
        chosen = self.tree.choices
        events = [
            ReplayEvent(
                run_id,
                change,
                time - self.started_at,
                time,
                chosen.get(node.id) if change == ENDED else None,
                node,
            )
            for time, _, change, node in found
        ]
        events += [
            ReplayEvent(run_id, INTERRUPTED, last - self.started_at, None, None, node)
            for node in reversed(self.tree.nodes)
            if node.status == INTERRUPTED
        ]
        return events


def _starts(nodes: Sequence[Row]) -> dict[str, int]:
    """By node from when on it is there: where clocks differ, from the start of the first below it on."""
    parents = {row[_ID]: row[_PARENT] for row in nodes}
    starts = {row[_ID]: row[_STARTED_AT] for row in nodes}
    for row in nodes:
        start, above = row[_STARTED_AT], row[_PARENT]
        while above in starts and starts[above] > start:
            starts[above] = start
            above = parents[above]
    return starts


def replay(store: Store, run: str, *, all_spans: bool = False) -> Replay:
    """A recorded run, to be played back; of one that goes on, what is there.

    Args:
        store: Where it is.
        run: As `spandag.query.resolve_run` takes it.
        all_spans: As of `spandag.query.tree`.

    Raises:
        QueryError: No run is meant, or several are.
    """
    with store.connection() as connection, undisturbed():
        rows = rows_of(connection, run)
        return Replay(rows, choices(connection, rows), all_spans=all_spans)


class Rhythm:
    """When the events of a run are shown.

    Args:
        offsets: Of the events, in nanoseconds, in order.
        speed: How many times as fast as they were; 0 for all at once.
        max_pause: The longest pause between two events as they are shown, in seconds; None for no limit.

    Attributes:
        due: For each event when it is shown, in seconds from the start.
    """

    def __init__(self, offsets: Sequence[int], *, speed: float, max_pause: float | None) -> None:
        self._offsets = offsets
        self.due: list[float] = [0.0] if offsets else []
        for before, after in pairwise(offsets):
            pause = (after - before) / _NS / speed if speed else 0.0
            self.due.append(self.due[-1] + (pause if max_pause is None else min(pause, max_pause)))

    @property
    def seconds(self) -> float:
        """How long it takes altogether."""
        return self.due[-1] if self.due else 0.0

    def offset_at(self, seconds: float) -> int:
        """How far the run is when so much time has passed, in nanoseconds."""
        place = bisect_right(self.due, seconds)
        if place == 0:
            return 0
        if place == len(self.due):
            return self._offsets[-1]
        before, after = self._offsets[place - 1], self._offsets[place]
        pause = self.due[place] - self.due[place - 1]
        # Never quite there: what happens next happens when it is due.
        return min(before + int((after - before) * (seconds - self.due[place - 1]) / pause), after - 1)


def _end(row: Row) -> int | None:
    """When a node ended; not before it started, whatever its clock says."""
    ended_at: int | None = row[_ENDED_AT]
    return None if ended_at is None else max(ended_at, row[_STARTED_AT])


def _open(row: Row) -> Row:
    """A node as it was while it was running."""
    changed: list[Any] = list(row)
    changed[_STATUS], changed[_DISPOSITION] = RUNNING, _ACTIVE
    changed[_OUTCOME] = changed[_ENDED_AT] = changed[_ERROR_TYPE] = changed[_ERROR_MESSAGE] = None
    return tuple(changed)


def _superseded_at(nodes: Sequence[TreeNode]) -> dict[str, int]:
    """For what a later attempt has made of no use when that attempt started."""
    attempts: defaultdict[str | None, list[TreeNode]] = defaultdict(list)
    for node in nodes:
        if node.node_type == NodeType.STEP and node.step_node_id is not None:
            attempts[node.step_node_id].append(node)
    own: dict[str, int] = {}
    for of_step in attempts.values():
        of_step.sort(key=lambda node: (node.attempt or 1, node.started_at))
        for earlier, later in pairwise(of_step):
            own[earlier.id] = later.started_at
    found: dict[str, int] = {}
    if own:
        for node in nodes:
            above = found.get(node.parent_node_id or "")
            times = [time for time in (own.get(node.id), above) if time is not None]
            if times:
                found[node.id] = min(times)
    return found
