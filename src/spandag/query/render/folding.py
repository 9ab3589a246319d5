"""The same thing over and over: which nodes of a tree one line can stand for."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spandag.query.liveness import INTERRUPTED
from spandag.query.render.formats import Line, Page, duration
from spandag.query.spent import NOTHING, Spent
from spandag.query.tree import Tree
from spandag.query.tree_node import TreeNode
from spandag.semconv import NodeType, Outcome

MOST_ALIKE = 10
"""How many like siblings in a row, or like rounds of several, are shown; of more, the first two and the last."""

_FIRST = 2
_LAST = 1
# An agent calls its model, then a few tools: of how many siblings a round can consist.
_LONGEST_ROUND = 6
# What one wants to see, however often it happens.
_NOTEWORTHY = frozenset({"failed", "cancelled", INTERRUPTED, Outcome.REJECTED})


class Fold(NamedTuple):
    """Siblings that one line stands for.

    Attributes:
        round: What repeats itself: siblings that follow each other, one where each is like the one before; of
            the first time.
        times: How often.
        started_at: When the first started, in Unix nanoseconds.
        ended_at: When the last ended; None where one has not ended.
        spent: Tokens, cost and model calls of all of them.
    """

    round: tuple[TreeNode, ...]
    times: int
    started_at: int
    ended_at: int | None
    spent: Spent

    @property
    def telling(self) -> TreeNode:
        """The one by whose status it is shown: the first that has not simply ended well, else the first."""
        return next((node for node in self.round if node.status != "completed"), self.round[0])


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


def folds(tree: Tree) -> Folds:
    """Find like siblings in a row: of one type, name and status, with the like below them, and no error or redo.

    Also several that follow each other again and again, as a model call and the tools that it asks for.
    """
    nodes = tree.nodes
    by_first: dict[str, Fold] = {}
    hidden: set[str] = set()
    for alike, length in _repeated(tree):
        folded = alike[_FIRST * length : -_LAST * length]
        by_first[folded[0].id] = _fold(folded, length)
        hidden.update(node.id for node in folded)
    if hidden:
        for node in nodes:
            if node.parent_node_id in hidden:
                hidden.add(node.id)
    return Folds({node_id: fold for node_id, fold in by_first.items() if _is_top(fold, hidden)}, hidden)


def fold_label(fold: Fold, page: Page, labels: Sequence[Line]) -> Line:
    """What stands for folded siblings.

    Args:
        fold: The siblings.
        page: Where to.
        labels: Of what repeats itself.
    """
    more = f"{page.glyphs.ellipsis} {fold.times:,} more "
    if len(labels) == 1:
        return [(more, "italic"), *labels[0]]
    line: Line = [(f"{more}{page.glyphs.times} (", "italic")]
    for place, label in enumerate(labels):
        line += [(", " if place else "", "italic"), *label]
    return [*line, (")", "italic")]


def fold_took(fold: Fold) -> str:
    """From the start of the first to the end of the last."""
    return duration(fold.started_at, fold.ended_at)


def _repeated(tree: Tree) -> Iterator[tuple[list[TreeNode], int]]:
    """Siblings in a row that repeat themselves too often to be shown, with how many of them are a round."""
    likes = _likes(tree)
    below: dict[str | None, list[TreeNode]] = {}
    for node in tree.nodes:
        below.setdefault(node.parent_node_id, []).append(node)
    for siblings in below.values():
        if len(siblings) <= MOST_ALIKE:
            continue
        same = _same_after([likes[node.id] for node in siblings])
        start = 0
        while start < len(siblings):
            length, times = _round_at(start, same)
            if times:
                yield siblings[start : start + times * length], length
            start += times * length or 1


def _same_after(likes: Sequence[int | None]) -> list[list[int]]:
    """For each length of a round and each place, how many from there on are like what is so much further on."""
    found = []
    for length in range(1, _LONGEST_ROUND + 1):
        same = [0] * (len(likes) + 1)
        for place in range(len(likes) - length - 1, -1, -1):
            if likes[place] is not None and likes[place] == likes[place + length]:
                same[place] = same[place + 1] + 1
        found.append(same)
    return found


def _round_at(start: int, same: Sequence[Sequence[int]]) -> tuple[int, int]:
    """The shortest round that begins at a place and comes too often, and how often; never where there is none."""
    for length, after in enumerate(same, 1):
        times = after[start] // length + 1
        if times > MOST_ALIKE:
            return length, times
    return 1, 0


def _likes(tree: Tree) -> dict[str, int | None]:
    """By node a number that all that are like it have; None where something about it is noteworthy."""
    numbers: dict[Hashable, int] = {}
    likes: dict[str, int | None] = {}
    # What is below each node, from its last child to its first, the same in a row but once.
    below: dict[str, list[int | None]] = {}
    for node in reversed(tree.nodes):
        children = below.pop(node.id, [])
        like = None
        if None not in children and not _is_noteworthy(node):
            choice = tree.choices.get(node.id)
            look = (node.node_type, node.name, node.status, node.outcome, node.disposition, choice, *children)
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


def _fold(folded: Sequence[TreeNode], length: int) -> Fold:
    spent = NOTHING
    for node in folded:
        spent = spent.plus(node.spent)
    ends = [node.ended_at for node in folded]
    ended_at = None if None in ends else max(end for end in ends if end is not None)
    started_at = min(node.started_at for node in folded)
    return Fold(tuple(folded[:length]), len(folded) // length, started_at, ended_at, spent)


def _is_top(fold: Fold, hidden: set[str]) -> bool:
    return fold.round[0].parent_node_id not in hidden
