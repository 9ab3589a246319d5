"""Questions about what is stored: one function each, with typed results.

What they return is data; `spandag.query.render` makes text of it.
"""

from __future__ import annotations

from spandag.query.as_json import as_json
from spandag.query.diff import Diff, Difference, DiffSide, Divergence, NodePair, diff
from spandag.query.diff_content import ContentChange, MessageChange
from spandag.query.errors import QueryError
from spandag.query.node import Message, NodeDetail, SpanLink, node
from spandag.query.redos import AttemptSummary, Redo, redos
from spandag.query.replay import Replay, ReplayEvent, Rhythm, replay
from spandag.query.resolve import NodeId, resolve_node, resolve_run
from spandag.query.runs import Run, runs
from spandag.query.spent import Spent
from spandag.query.tree import Tree, tree
from spandag.query.tree_node import TreeNode

__all__ = [
    "AttemptSummary",
    "ContentChange",
    "Diff",
    "DiffSide",
    "Difference",
    "Divergence",
    "Message",
    "MessageChange",
    "NodeDetail",
    "NodeId",
    "NodePair",
    "QueryError",
    "Redo",
    "Replay",
    "ReplayEvent",
    "Rhythm",
    "Run",
    "SpanLink",
    "Spent",
    "Tree",
    "TreeNode",
    "as_json",
    "diff",
    "node",
    "redos",
    "replay",
    "resolve_node",
    "resolve_run",
    "runs",
    "tree",
]
