"""Questions about what is stored: one function each, with typed results.

What they return is data; `spandag.query.render` makes text of it.
"""

from __future__ import annotations

from spandag.query.as_json import as_json
from spandag.query.attempts import Attempt, attempts
from spandag.query.costs import Cost, costs
from spandag.query.diff import Diff, Difference, DiffSide, Divergence, NodePair, diff
from spandag.query.diff_content import ContentChange, MessageChange
from spandag.query.errors import AmbiguousError, QueryError
from spandag.query.export_jsonl import export_jsonl
from spandag.query.export_otlp import Exported, export_otlp
from spandag.query.graph import Graph, GraphNode, graph_of_tree
from spandag.query.lineage import Lineage, LineageRun, lineage
from spandag.query.node import Message, NodeDetail, SpanLink, node
from spandag.query.path import path
from spandag.query.rates import Rate, rates
from spandag.query.redos import AttemptSummary, Redo, redos
from spandag.query.replay import Replay, ReplayEvent, Rhythm, replay
from spandag.query.resolve import NodeId, resolve_node, resolve_run
from spandag.query.root_cause import FailedNode, Failure, LastCall, RootCause, root_cause
from spandag.query.runs import Run, runs
from spandag.query.search import Found, Hit, search
from spandag.query.sessions import Session, sessions
from spandag.query.show import RunSummary, show
from spandag.query.spent import Spent
from spandag.query.strip import Strip, StripAttempt, strip
from spandag.query.timeline import Timeline, TimelineEvent, timeline
from spandag.query.trajectories import Action, Trajectory, recent_trajectories
from spandag.query.tree import Tree, tree
from spandag.query.tree_node import TreeNode
from spandag.query.unresolved import Unresolved, unresolved
from spandag.query.waste import Waste, WasteItem, WasteReason, waste

__all__ = [
    "Action",
    "AmbiguousError",
    "Attempt",
    "AttemptSummary",
    "ContentChange",
    "Cost",
    "Diff",
    "DiffSide",
    "Difference",
    "Divergence",
    "Exported",
    "FailedNode",
    "Failure",
    "Found",
    "Graph",
    "GraphNode",
    "Hit",
    "LastCall",
    "Lineage",
    "LineageRun",
    "Message",
    "MessageChange",
    "NodeDetail",
    "NodeId",
    "NodePair",
    "QueryError",
    "Rate",
    "Redo",
    "Replay",
    "ReplayEvent",
    "Rhythm",
    "RootCause",
    "Run",
    "RunSummary",
    "Session",
    "SpanLink",
    "Spent",
    "Strip",
    "StripAttempt",
    "Timeline",
    "TimelineEvent",
    "Trajectory",
    "Tree",
    "TreeNode",
    "Unresolved",
    "Waste",
    "WasteItem",
    "WasteReason",
    "as_json",
    "attempts",
    "costs",
    "diff",
    "export_jsonl",
    "export_otlp",
    "graph_of_tree",
    "lineage",
    "node",
    "path",
    "rates",
    "recent_trajectories",
    "redos",
    "replay",
    "resolve_node",
    "resolve_run",
    "root_cause",
    "runs",
    "search",
    "sessions",
    "show",
    "strip",
    "timeline",
    "tree",
    "unresolved",
    "waste",
]
