"""What has happened in a run since one last looked?"""

from __future__ import annotations

import time
from dataclasses import dataclass

from spandag.query.errors import QueryError
from spandag.query.liveness import INTERRUPTED, OPEN, RUNNING, load_tree
from spandag.query.tree import Tree, whole_tree
from spandag.query.tree_node import TreeNode
from spandag.query.undisturbed import undisturbed
from spandag.semconv import NodeType
from spandag.store import Store, TreeRows
from spandag.store.facts import read_header
from spandag.store.records import TREE_COLUMNS

STARTED = "started"
ENDED = "ended"

# Whether its processes are alive has to be asked even where nothing new is written.
_LOOK_AGAIN_S = 3.0
# How long what is open below something that has ended is waited for: its end may just not be written yet.
_LATE_S = 3.0

_LAST = 2**63

_ID, _PARENT, _STATUS, _ENDED_AT = map(TREE_COLUMNS.index, ("id", "parent_node_id", "status", "ended_at"))


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to a node.

    Attributes:
        run_id: The run.
        change: ``started``, ``ended`` or ``interrupted``. What had ended when it was first seen has only ended.
        timestamp: When, in Unix nanoseconds; None for an interruption, which nobody was there to note.
        is_first: Whether it is the first that is seen of the node.
        choice: At the end of an approval what was chosen; None elsewhere.
        node: The node as it is now.
    """

    run_id: str
    change: str
    timestamp: int | None
    is_first: bool
    choice: str | None
    node: TreeNode


class Following:
    """A run that is looked at again and again.

    Args:
        store: Where it is.
        run_id: Its whole id.
        all_spans: As of `spandag.query.tree`.

    Attributes:
        tree: The run as it was when it was last looked at.
        is_over: Whether nothing more is to be expected: it has ended, or whoever ran it is gone.

    Raises:
        QueryError: There is no such run.
    """

    def __init__(self, store: Store, run_id: str, *, all_spans: bool = False) -> None:
        self._store = store
        self._run_id = run_id
        self._all_spans = all_spans
        self._version = -1
        self._looked_at = 0.0
        self._over_since: float | None = None
        self._seen: dict[str, str] = {}
        self.is_over = False
        self.tree: Tree
        self._load()

    def look(self) -> None:
        """Bring `tree` and `is_over` up to date.

        Raises:
            QueryError: The run was removed meanwhile.
        """
        with self._store.connection() as connection:
            run = read_header(connection, self._run_id)
        is_new = run is None or run.facts_version != self._version
        if is_new or time.monotonic() - self._looked_at >= _LOOK_AGAIN_S:
            self._load()

    def changes(self) -> list[Change]:
        """What has happened since this was last asked, in order of time; at first, all that has happened so far."""
        found = []
        for place, node in enumerate(self.tree.nodes):
            change, when = _state(node)
            before = self._seen.get(node.id)
            # That a process is alive, or not known, is nothing that happens to what it does.
            if before in (change, ENDED):
                continue
            self._seen[node.id] = change
            # A redo begins with its branch point; otherwise what is below ends first.
            begins = change == STARTED or (before is None and node.node_type == NodeType.BRANCH_POINT)
            at = node.started_at if begins else when
            order = (_LAST if at is None else at, not begins, place if begins else -place)
            choice = self.tree.choices.get(node.id) if change == ENDED else None
            found.append((order, Change(self._run_id, change, when, before is None, choice, node)))
        found.sort(key=lambda item: item[0])
        return [change for _, change in found]

    def _load(self) -> None:
        with undisturbed(), self._store.connection() as connection:
            rows = load_tree(connection, self._run_id)
            if rows is None:
                raise QueryError(f"run {self._run_id} was removed meanwhile")
            self.tree = whole_tree(connection, rows, all_spans=self._all_spans)
        self._version = rows.run.facts_version
        self._looked_at = time.monotonic()
        self._judge(rows)

    def _judge(self, rows: TreeRows) -> None:
        open_nodes = {
            row[_ID]: row[_PARENT]
            for row in rows.nodes
            if row[_ENDED_AT] is None and row[_STATUS] in (RUNNING, OPEN)
        }
        # A trace can have several runs one after the other, below the span of a command that goes on.
        if rows.run.status in (RUNNING, OPEN) or any(_goes_on(node, open_nodes) for node in open_nodes):
            self._over_since = None
        elif self._over_since is None:
            self._over_since = self._looked_at
        self.is_over = self._over_since is not None and (
            not open_nodes or self._looked_at - self._over_since >= _LATE_S
        )


def _state(node: TreeNode) -> tuple[str, int | None]:
    """What happened to a node last, and when."""
    if node.ended_at is not None:
        return ENDED, node.ended_at
    return (INTERRUPTED, None) if node.status == INTERRUPTED else (STARTED, node.started_at)


def _goes_on(node_id: str, open_nodes: dict[str, str | None]) -> bool:
    """Whether nothing above an open node has ended."""
    at: str | None = node_id
    while at is not None and at in open_nodes:
        at = open_nodes[at]
    return at is None
