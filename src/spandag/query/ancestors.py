"""What a node has from those above it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from spandag.query.tree_node import Row, TreeNode
from spandag.semconv import NodeType
from spandag.store.records import TREE_COLUMNS

T = TypeVar("T")

AGENTS = frozenset({NodeType.AGENT, NodeType.SUB_AGENT})
"""Types of nodes that are an agent at work."""

_ID, _PARENT, _NODE_TYPE, _NAME, _AGENT = map(
    TREE_COLUMNS.index, ("id", "parent_node_id", "node_type", "name", "agent")
)


def nearest(by_id: Mapping[str, Row], own: Callable[[Row], T | None]) -> dict[str, T | None]:
    """By node what it says itself, else the nearest above it that says something; None where none does.

    Each node is looked at once, however deep the tree.

    Args:
        by_id: All nodes of a run.
        own: What a node says itself.
    """
    found: dict[str, T | None] = {}
    for start in by_id:
        path: list[str] = []
        at: str | None = start
        said: T | None = None
        while at is not None and at in by_id:
            if at in found:
                said = found[at]
                break
            path.append(at)
            said = own(by_id[at])
            if said is not None:
                break
            # Taken as nothing until it is known: so no circle is walked twice.
            found[at] = None
            at = by_id[at][_PARENT]
        for node_id in path:
            found[node_id] = said
    return found


def agent_of(row: Row) -> str | None:
    """The agent that a node says is at work, as the store derives ``cost_records.agent_name``."""
    agent: str | None = row[_NAME] if row[_NODE_TYPE] in AGENTS else row[_AGENT]
    return agent or None


def phase_of(row: Row) -> str | None:
    """The name of a phase."""
    name: str = row[_NAME]
    return name if row[_NODE_TYPE] == NodeType.PHASE else None


def phase_above(node: TreeNode | None, by_id: Mapping[str, TreeNode]) -> TreeNode | None:
    """The nearest phase above a node of a tree; the node itself where it is one.

    Args:
        node: The node, if any.
        by_id: All nodes of its tree.
    """
    while node is not None and node.node_type != NodeType.PHASE:
        node = by_id.get(node.parent_node_id or "")
    return node


def step_around(node: TreeNode, by_id: Mapping[str, TreeNode]) -> TreeNode | None:
    """The nearest attempt that a node of a tree is within; never the node itself.

    Args:
        node: The node.
        by_id: All nodes of its tree.
    """
    around = by_id.get(node.parent_node_id or "")
    while around is not None and around.node_type != NodeType.STEP:
        around = by_id.get(around.parent_node_id or "")
    return around


def phase_name(node: TreeNode | None, by_id: Mapping[str, TreeNode]) -> str | None:
    """The name of `phase_above`; None where there is none."""
    phase = phase_above(node, by_id)
    return None if phase is None else phase.name
