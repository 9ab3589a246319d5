"""What could be typed next."""

from __future__ import annotations

from spandag.query import Tree, TreeNode
from spandag.query.liveness import INTERRUPTED, RUNNING
from spandag.query.resolve import SHORT_ID
from spandag.semconv import NodeType


def after_tree(tree: Tree, *, ids: bool = False, folded: int = 0) -> list[tuple[str, str]]:
    """Commands that lead on from a tree, each with what it shows.

    Args:
        tree: What was shown.
        ids: Whether the nodes' ids were.
        folded: How many nodes were not, since they are like those beside them.
    """
    run = tree.run.id[:SHORT_ID]
    commands = []
    if tree.run.status == RUNNING:
        commands.append((f"spandag tree {run} --follow", "the same while it goes on"))
    if tree.run.redos:
        commands.append((f"spandag redos {run}", "what was done again, and why"))
    node, what = _of_interest(tree)
    if node is not None:
        commands.append((f"spandag node {node.id[:SHORT_ID]}", what))
    if not ids:
        commands.append((f"spandag tree {run} --ids", "the same with the nodes' ids"))
    more = all_of(tree, folded)
    if more:
        commands.append((f"spandag tree {run} --all", f"the same with {more}"))
    return commands or [("spandag runs", "all runs")]


def all_of(tree: Tree, folded: int) -> str:
    """What an answer leaves out that ``--all`` shows; empty where that is nothing.

    Args:
        tree: What was shown.
        folded: As of `after_tree`.
    """
    hidden = "a span" if tree.hidden == 1 else f"{tree.hidden:,} spans"
    more = [f"{folded:,} more nodes"] if folded else []
    return " and ".join(more + ([f"{hidden} of other libraries"] if tree.hidden else []))


def _of_interest(tree: Tree) -> tuple[TreeNode | None, str]:
    """The node that one would look at first: the deepest failure or interruption, else the last model call."""
    for status, what in (("failed", "what failed"), (INTERRUPTED, "what was interrupted")):
        found = [node for node in tree.nodes if node.status == status]
        if found:
            return max(found, key=lambda node: node.depth), what
    calls = [node for node in tree.nodes if node.node_type == NodeType.LLM]
    return (calls[-1], "the last model call") if calls else (None, "")
