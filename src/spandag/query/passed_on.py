"""Where did an error come from? An exception is recorded by everything that it passes through."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from spandag.query.tree_node import TreeNode
from spandag.semconv import NodeType

_PASSED_ON = 16


def own_errors(nodes: Sequence[TreeNode]) -> set[str]:
    """The nodes that say an error of their own: not those that only pass on what a node below says.

    Args:
        nodes: Of a tree, each after its parent.
    """
    said: dict[str, set[tuple[str | None, str | None]]] = {}
    own = set()
    for node in reversed(nodes):
        below = said.pop(node.id, set())
        if node.error_type or node.error_message:
            error = (node.error_type, node.error_message)
            if error not in below and node.node_type != NodeType.BRANCH_POINT:
                own.add(node.id)
            below.add(error)
        if below and node.parent_node_id is not None:
            # Bounded: 100,000 different failures must not take quadratic time.
            said.setdefault(node.parent_node_id, set()).update(itertools.islice(below, _PASSED_ON))
    return own
