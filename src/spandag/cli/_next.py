"""What could be typed next."""

from __future__ import annotations

from spandag.query import Tree, TreeNode
from spandag.query.liveness import INTERRUPTED, RUNNING
from spandag.query.resolve import SHORT_ID
from spandag.semconv import NodeType


def after_tree(tree: Tree, *, ids: bool = False) -> list[tuple[str, str]]:
    """Commands that lead on from a tree, each with what it shows.

    Args:
        tree: What was shown.
        ids: Whether the nodes' ids were.
    """
    run = tree.run.id[:SHORT_ID]
    commands = []
    if tree.run.status == RUNNING:
        commands.append((f"spandag tree {run} --follow", "the same while it goes on"))
    if tree.run.redos:
        commands.append((f"spandag redos {run}", "what was done again, why, and at what cost"))
    node, what = _of_interest(tree)
    if node is not None:
        commands.append((f"spandag node {node.id[:SHORT_ID]}", what))
    if not ids:
        commands.append((f"spandag tree {run} --ids", "the same with the nodes' ids"))
    if tree.hidden:
        spans = "a span" if tree.hidden == 1 else f"{tree.hidden} spans"
        commands.append((f"spandag tree {run} --all", f"the same with {spans} of other libraries"))
    return commands or [("spandag runs", "all runs")]


def _of_interest(tree: Tree) -> tuple[TreeNode | None, str]:
    """The node that one would look at first: the deepest failure or interruption, else the last model call."""
    for status, what in (("failed", "what failed"), (INTERRUPTED, "what was interrupted")):
        found = [node for node in tree.nodes if node.status == status]
        if found:
            return max(found, key=lambda node: node.depth), what
    calls = [node for node in tree.nodes if node.node_type == NodeType.LLM]
    return (calls[-1], "the last model call") if calls else (None, "")
