"""Which runs were forked from which, and what became of them?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, select

from spandag.query.liveness import load_tree
from spandag.query.over_runs import AT_ONCE, runs_behind
from spandag.query.resolve import resolve_run
from spandag.query.runs import Run, summaries
from spandag.query.text import decoded
from spandag.semconv import LinkType
from spandag.store import Store, schema
from spandag.store.tombstones import tombstoned

FORK = "fork"
"""The kind of a branch that is a fork."""

_RUNS = schema.workflow_runs


@dataclass(frozen=True, slots=True)
class LineageRun:
    """A run in the tree of forks.

    Attributes:
        run: The run.
        level: 0 for the first run, 1 for its forks, and so on.
        parent_run_id: The run above it in this tree; None at the top.
        source_node_id: The node of that run that it goes on from; None where it does not say.
        source_node_type: The node's type; None where it is not stored.
        source_name: The node's name.
        branch_name: The fork's name.
        hypothesis: Why it should do better.
        requested_by: Who asked for it.
    """

    run: Run
    level: int
    parent_run_id: str | None
    source_node_id: str | None
    source_node_type: str | None
    source_name: str | None
    branch_name: str | None
    hypothesis: str | None
    requested_by: str | None


@dataclass(frozen=True, slots=True)
class Lineage:
    """The family of a run.

    Attributes:
        run_id: The run that was asked about.
        root_run_id: The first run of the family that is stored.
        branch_parent_id: The run that this one was forked from, which is not stored; None where it was not forked.
        parent_pruned: Whether that run was removed.
        runs: Every run after the one that it was forked from, forks of the same run by their start.
    """

    run_id: str
    root_run_id: str
    branch_parent_id: str | None
    parent_pruned: bool
    runs: list[LineageRun]


def lineage(store: Store, run: str) -> Lineage:
    """The first run of a run's family, with all forks, forks of forks, and so on.

    Runs that say they were forked from each other in a circle are a family whose first is the one that
    started first.

    Args:
        store: Where they are.
        run: As `spandag.query.resolve_run` takes it.

    Raises:
        QueryError: No run is meant, or several are.
    """
    with store.connection() as connection:
        run_id = resolve_run(connection, run)
        family = _Family(connection)
        root_id, lost_parent = family.root_of(run_id)
        below = family.below(root_id)
        ids = [root_id, *(child for children in below.values() for child in children)]
        known = summaries(connection, ids)
        in_order = _in_order(root_id, below, known)
        forks = _forks(connection, [(each, parent) for each, _, parent in in_order], known)
        return Lineage(
            run_id=run_id,
            root_run_id=root_id,
            branch_parent_id=lost_parent,
            parent_pruned=lost_parent is not None and bool(tombstoned(connection, [lost_parent])),
            runs=[
                LineageRun(known[each], level, parent, *forks.get(each, (None,) * 6))
                for each, level, parent in in_order
            ],
        )


class _Family:
    """Who was forked from whom; of runs that are behind, as derived in memory."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._behind: dict[str, str | None] = dict.fromkeys(runs_behind(connection))
        links = schema.span_links
        waiting = sorted(self._behind)
        for start in range(0, len(waiting), AT_ONCE):
            linked = select(links.c.run_id).where(
                links.c.run_id.in_(waiting[start : start + AT_ONCE]), links.c.link_type == LinkType.FORK_OF
            )
            for run_id in connection.execute(linked.distinct()).scalars().all():
                rows = load_tree(connection, run_id)
                self._behind[run_id] = None if rows is None else rows.run.branch_parent_id

    def root_of(self, run_id: str) -> tuple[str, str | None]:
        """The first run above a run that is stored, and the run that it was forked from."""
        path = {run_id: None}
        at = run_id
        while True:
            _, parent = self._parent(at)
            if parent is None:
                return at, None
            if parent in path:
                circle = list(path)
                return self._first(circle[circle.index(parent) :]), None
            if not self._parent(parent)[0]:
                return at, parent
            path[parent] = None
            at = parent

    def below(self, root_id: str) -> dict[str, list[str]]:
        """By run those that were forked from it, below one run; each of them once."""
        of_behind: defaultdict[str, list[str]] = defaultdict(list)
        for run_id, parent in self._behind.items():
            if parent is not None:
                of_behind[parent].append(run_id)
        found: defaultdict[str, list[str]] = defaultdict(list)
        seen = {root_id}
        level = [root_id]
        while level:
            pairs = [*self._settled_below(level)]
            pairs += [(child, parent) for parent in level for child in of_behind.get(parent, ())]
            level = []
            for child, parent in pairs:
                if child not in seen:
                    seen.add(child)
                    found[parent].append(child)
                    level.append(child)
        return found

    def _settled_below(self, parents: list[str]) -> Iterable[tuple[str, str]]:
        for start in range(0, len(parents), AT_ONCE):
            some = parents[start : start + AT_ONCE]
            rows = self._connection.execute(
                select(_RUNS.c.id, _RUNS.c.branch_parent_id).where(
                    _RUNS.c.branch_parent_id.in_(some), schema.IS_SETTLED
                )
            )
            yield from ((child, parent) for child, parent in rows)

    def _parent(self, run_id: str) -> tuple[bool, str | None]:
        if run_id in self._behind:
            return True, self._behind[run_id]
        row = self._connection.execute(
            select(_RUNS.c.branch_parent_id).where(_RUNS.c.id == run_id)
        ).one_or_none()
        return (False, None) if row is None else (True, row[0])

    def _first(self, circle: list[str]) -> str:
        starts = self._connection.execute(
            select(_RUNS.c.started_at, _RUNS.c.id).where(_RUNS.c.id.in_(circle))
        ).all()
        return str(min((started_at or 0, run_id) for started_at, run_id in starts)[1])


def _in_order(
    root_id: str, below: dict[str, list[str]], known: dict[str, Run]
) -> list[tuple[str, int, str | None]]:
    """Runs with their level and the run above, each after the one above; what is no run is left out."""
    found: list[tuple[str, int, str | None]] = []
    waiting: list[tuple[str, int, str | None]] = [(root_id, 0, None)]
    while waiting:
        run_id, level, parent = waiting.pop()
        if run_id in known:
            found.append((run_id, level, parent))
        children = sorted(
            (child for child in below.get(run_id, ()) if child in known),
            key=lambda child: (known[child].started_at or 0, child),
        )
        waiting += [(child, level + 1, run_id) for child in reversed(children)]
    return found


def _forks(
    connection: Connection, pairs: list[tuple[str, str | None]], known: dict[str, Run]
) -> dict[str, tuple[str | None, ...]]:
    """By fork: source node, its type and name, and name, hypothesis and requester of the fork."""
    branches, nodes = schema.branches, schema.dag_nodes
    found: dict[str, tuple[str | None, ...]] = {}
    forked = [(child, known[child].branch_parent_id) for child, _ in pairs if known[child].is_branch]
    for start in range(0, len(forked), AT_ONCE // 2):
        some = forked[start : start + AT_ONCE // 2]
        children = [child for child, _ in some]
        parents = dict(some)
        rows = connection.execute(
            select(
                branches.c.child_run_id,
                branches.c.branch_node_id,
                branches.c.source_node_id,
                branches.c.branch_name,
                branches.c.hypothesis,
                branches.c.requested_by,
            ).where(
                branches.c.run_id.in_([*children, *(each for each in parents.values() if each is not None)]),
                branches.c.kind == FORK,
                branches.c.child_run_id.in_(children),
            )
        ).all()
        mine = [row for row in rows if row.branch_node_id == known[row.child_run_id].root_node_id]
        sources = {row.source_node_id for row in mine if row.source_node_id is not None}
        named = {
            (row.run_id, row.id): (row.node_type, decoded(row.name))
            for row in connection.execute(
                select(nodes.c.run_id, nodes.c.id, nodes.c.node_type, nodes.c.name).where(
                    nodes.c.run_id.in_({each for each in parents.values() if each is not None}),
                    nodes.c.id.in_(sources),
                )
            )
        }
        for row in mine:
            node_type, name = named.get((parents[row.child_run_id], row.source_node_id), (None, None))
            found[row.child_run_id] = (
                row.source_node_id,
                node_type,
                name,
                decoded(row.branch_name),
                decoded(row.hypothesis),
                decoded(row.requested_by),
            )
    return found
