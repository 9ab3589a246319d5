"""The same thing over and over: which nodes of a tree one line can stand for."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spandag.query.liveness import INTERRUPTED
from spandag.query.render.formats import Line, Page, duration
from spandag.query.spent import NOTHING, Spent
from spandag.query.tree_node import TreeNode
from spandag.semconv import NodeType, Outcome

MOST_ALIKE = 10
"""How many like siblings in a row are shown; of more, the first two and the last."""

_FIRST = 2
_LAST = 1
# What one wants to see, however often it happens.
_NOTEWORTHY = frozenset({"failed", "cancelled", INTERRUPTED, Outcome.REJECTED})


class Fold(NamedTuple):
    """Siblings that one line stands for.

    Attributes:
        first: The first of them.
        number: How many there are, without what is below them.
        started_at: When the first started, in Unix nanoseconds.
        ended_at: When the last ended; None where one has not ended.
        spent: Tokens, cost and model calls of all of them.
    """

    first: TreeNode
    number: int
    started_at: int
    ended_at: int | None
    spent: Spent


@dataclass(frozen=True, slots=True)
class Folds:
    """What is folded away in a tree.

    Attributes:
        by_first: By the id of their first node the siblings that a line stands for.
        hidden: Ids of all nodes that are not shown, whatever is below them included.
    """

    by_first: dict[str, Fold]
    hidden: set[str]


NO_FOLDS = Folds({}, set())


def folds(nodes: Sequence[TreeNode]) -> Folds:
    """Find like siblings in a row: of one type, name and status, with the like below them, and no error or redo.

    Args:
        nodes: Of a tree, each after its parent.
    """
    by_first: dict[str, Fold] = {}
    hidden: set[str] = set()
    for alike in _rows_of_alike(nodes):
        folded = alike[_FIRST:-_LAST]
        by_first[folded[0].id] = _fold(folded)
        hidden.update(node.id for node in folded)
    if hidden:
        for node in nodes:
            if node.parent_node_id in hidden:
                hidden.add(node.id)
    return Folds({node_id: fold for node_id, fold in by_first.items() if _is_top(fold, hidden)}, hidden)


def fold_label(fold: Fold, page: Page, label: Line) -> Line:
    """What stands for folded siblings.

    Args:
        fold: The siblings.
        page: Where to.
        label: Of each of them.
    """
    return [(f"{page.glyphs.ellipsis} {fold.number:,} more ", "italic"), *label]


def fold_took(fold: Fold) -> str:
    """From the start of the first to the end of the last."""
    return duration(fold.started_at, fold.ended_at)


def _rows_of_alike(nodes: Sequence[TreeNode]) -> Iterator[list[TreeNode]]:
    """Siblings in a row that are alike and too many to be shown."""
    likes = _likes(nodes)
    rows: dict[str | None, list[TreeNode]] = {}
    for node in nodes:
        parent = node.parent_node_id
        row = rows.get(parent)
        like = likes[node.id]
        if row and like is not None and likes[row[-1].id] == like:
            row.append(node)
            continue
        if row and len(row) > MOST_ALIKE:
            yield row
        rows[parent] = [node]
    yield from (row for row in rows.values() if len(row) > MOST_ALIKE)


def _likes(nodes: Sequence[TreeNode]) -> dict[str, int | None]:
    """By node a number that all that are like it have; None where something about it is noteworthy."""
    numbers: dict[Hashable, int] = {}
    likes: dict[str, int | None] = {}
    # What is below each node, from its last child to its first, the same in a row but once.
    below: dict[str, list[int | None]] = {}
    for node in reversed(nodes):
        children = below.pop(node.id, [])
        like = None
        if None not in children and not _is_noteworthy(node):
            look = (node.node_type, node.name, node.status, node.outcome, node.disposition, *children)
            like = numbers.setdefault(look, len(numbers))
        likes[node.id] = like
        parent = node.parent_node_id
        if parent is not None:
            siblings = below.setdefault(parent, [])
            if not siblings or siblings[-1] != like:
                siblings.append(like)
    return likes


def _is_noteworthy(node: TreeNode) -> bool:
    return bool(
        node.node_type == NodeType.BRANCH_POINT
        or node.status in _NOTEWORTHY
        or node.outcome in _NOTEWORTHY
        or (node.attempt or 1) > 1
        or node.error_type
        or node.error_message
    )


def _fold(folded: Sequence[TreeNode]) -> Fold:
    spent = NOTHING
    for node in folded:
        spent = spent.plus(node.spent)
    ends = [node.ended_at for node in folded]
    ended_at = None if None in ends else max(end for end in ends if end is not None)
    return Fold(folded[0], len(folded), min(node.started_at for node in folded), ended_at, spent)


def _is_top(fold: Fold, hidden: set[str]) -> bool:
    return fold.first.parent_node_id not in hidden
