"""A node in its place in a tree, as a look at what the database gave."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar, overload

from spandag.query.spent import NOTHING, Spent
from spandag.query.text import decoded
from spandag.store.records import TREE_COLUMNS, BranchRecord

T = TypeVar("T")

Row = tuple[Any, ...]
"""`TREE_COLUMNS` of a node."""

_ID = TREE_COLUMNS.index("id")


class _Column(Generic[T]):
    """A column of the node's own row, or of its branch's."""

    def __init__(self, name: str, *, of_branch: bool = False, is_text: bool = False) -> None:
        self._name = name
        self._place = -1 if of_branch else TREE_COLUMNS.index(name)
        self._is_text = is_text

    @overload
    def __get__(self, node: None, owner: type) -> _Column[T]: ...
    @overload
    def __get__(self, node: TreeNode, owner: type) -> T: ...
    def __get__(self, node: TreeNode | None, owner: type) -> Any:
        if node is None:
            return self
        value = node._row[self._place] if self._place >= 0 else getattr(node._branch, self._name, None)
        return decoded(value) if self._is_text else value


class TreeNode:
    """A node in its place; the fields up to `error_message` are columns of ``dag_nodes``.

    Attributes:
        id: The span id; of a branch point ``bp:`` and the redo's span id.
        parent_node_id: The node above it in this tree; None at the top. A node whose recorded parent is
            not stored is below the run.
        depth: 0 at the top of this tree.
        node_type: One of `spandag.semconv.NodeType`.
        name: Of the agent, tool, model, step …
        agent: The agent at work, as recorded on its span.
        status: ``pending``, ``completed``, ``failed``, ``cancelled`` or ``skipped``; of one that has started
            and not ended ``running``, ``interrupted`` where the process that held it open is gone, ``open``
            where nobody said who holds it open.
        step_node_id: Attempt 1 of the step that it is part of.
        branch_id: The branch point of the redo that it is part of.
        disposition: ``active``, ``abandoned`` or ``superseded``: the worst of its own and its ancestors'.
        step_number: Of a step within its phase, of an iteration within its agent.
        attempt: Of a step and its branch point, from 1.
        outcome: Of an attempt: ``accepted``, ``rejected``, ``failed`` or ``cancelled``.
        started_at: Unix nanoseconds.
        ended_at: Unix nanoseconds; None where it has not ended.
        model: The model asked for.
        provider: Whose model it is.
        error_type: What went wrong.
        error_message: The error's message.
        branch_name: ``redo_1`` … on a branch point; None elsewhere, as are the next two.
        hypothesis: Why the redo should do better.
        requested_by: Who asked for the redo.
        spent: Tokens, cost and model calls at and below it.
        children: Ids of the nodes below it, in order.
    """

    # A run can have 100,000 nodes, of which most questions read a few columns: each keeps the row
    # that it is, rather than 20 values of it.
    __slots__ = ("_above", "_below", "_branch", "_row", "depth", "spent")

    id = _Column[str]("id")
    node_type = _Column[str]("node_type")
    name = _Column[str]("name", is_text=True)
    agent = _Column[str | None]("agent", is_text=True)
    status = _Column[str]("status")
    step_node_id = _Column[str | None]("step_node_id")
    branch_id = _Column[str | None]("branch_id")
    disposition = _Column[str | None]("disposition")
    step_number = _Column[int | None]("step_number")
    attempt = _Column[int | None]("attempt")
    outcome = _Column[str | None]("outcome")
    started_at = _Column[int]("started_at")
    ended_at = _Column[int | None]("ended_at")
    model = _Column[str | None]("model", is_text=True)
    provider = _Column[str | None]("provider", is_text=True)
    error_type = _Column[str | None]("error_type", is_text=True)
    error_message = _Column[str | None]("error_message", is_text=True)
    branch_name = _Column[str | None]("branch_name", of_branch=True, is_text=True)
    hypothesis = _Column[str | None]("hypothesis", of_branch=True, is_text=True)
    requested_by = _Column[str | None]("requested_by", of_branch=True, is_text=True)

    FIELDS = (
        "id",
        "parent_node_id",
        "depth",
        *TREE_COLUMNS[TREE_COLUMNS.index("node_type") : TREE_COLUMNS.index("order_index")],
        "branch_name",
        "hypothesis",
        "requested_by",
        "spent",
        "children",
    )
    """What it has, in order."""

    def __init__(
        self,
        row: Row,
        above: TreeNode | None,
        branch: BranchRecord | None,
        spent: Spent,
        below: list[Row],
    ) -> None:
        self._row = row
        self._above = above
        self._branch = branch
        self.depth: int = 0 if above is None else above.depth + 1
        self.spent = spent
        self._below = below

    def adopt(self, row: Row) -> None:
        """Add a node to those below it; of one that was made with a list of its own."""
        self._below.append(row)

    @property
    def children(self) -> list[str]:
        """Ids of the nodes below it, in order."""
        return [row[_ID] for row in self._below]

    @property
    def parent_node_id(self) -> str | None:
        """The node above it in this tree."""
        return None if self._above is None else self._above.id

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TreeNode):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.FIELDS)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<TreeNode {self.id}: {self.node_type} {self.name!r}>"


def rows_of_nodes(nodes: Iterable[TreeNode]) -> list[Row]:
    """The rows that nodes are made of."""
    return [node._row for node in nodes]


def sum_up(nodes: Sequence[TreeNode]) -> None:
    """Add to each node what was spent below it; each stands after the one that it is below."""
    for node in reversed(nodes):
        above, spent = node._above, node.spent
        if spent is not NOTHING and above is not None:
            above.spent = spent if above.spent is NOTHING else above.spent.plus(spent)
