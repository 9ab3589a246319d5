"""Questions about what is stored: one function each, with typed results.

What they return is data; `spandag.query.render` makes text of it.
"""

from __future__ import annotations

from spandag.query.as_json import as_json
from spandag.query.attempts import Attempt, attempts
from spandag.query.errors import AmbiguousError, QueryError
from spandag.query.node import Message, NodeDetail, SpanLink, node
from spandag.query.path import path
from spandag.query.redos import AttemptSummary, Redo, redos
from spandag.query.resolve import NodeId, resolve_node, resolve_run
from spandag.query.runs import Run, runs
from spandag.query.sessions import Session, sessions
from spandag.query.show import RunSummary, show
from spandag.query.spent import Spent
from spandag.query.timeline import Timeline, TimelineEvent, timeline
from spandag.query.tree import Tree, tree
from spandag.query.tree_node import TreeNode

__all__ = [
    "AmbiguousError",
    "Attempt",
    "AttemptSummary",
    "Message",
    "NodeDetail",
    "NodeId",
    "QueryError",
    "Redo",
    "Run",
    "RunSummary",
    "Session",
    "SpanLink",
    "Spent",
    "Timeline",
    "TimelineEvent",
    "Tree",
    "TreeNode",
    "as_json",
    "attempts",
    "node",
    "path",
    "redos",
    "resolve_node",
    "resolve_run",
    "runs",
    "sessions",
    "show",
    "timeline",
    "tree",
]
