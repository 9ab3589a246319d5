"""Questions about what is stored: one function each, with typed results.

What they return is data; `spandag.query.render` makes text of it.
"""

from __future__ import annotations

from spandag.query.as_json import as_json
from spandag.query.errors import QueryError
from spandag.query.export_jsonl import export_jsonl
from spandag.query.export_otlp import Exported, export_otlp
from spandag.query.graph import Graph, GraphNode, graph_of_tree
from spandag.query.node import Message, NodeDetail, SpanLink, node
from spandag.query.redos import AttemptSummary, Redo, redos
from spandag.query.resolve import NodeId, resolve_node, resolve_run
from spandag.query.runs import Run, runs
from spandag.query.spent import Spent
from spandag.query.strip import Strip, StripAttempt, strip
from spandag.query.tree import Tree, tree
from spandag.query.tree_node import TreeNode

__all__ = [
    "AttemptSummary",
    "Exported",
    "Graph",
    "GraphNode",
    "Message",
    "NodeDetail",
    "NodeId",
    "QueryError",
    "Redo",
    "Run",
    "SpanLink",
    "Spent",
    "Strip",
    "StripAttempt",
    "Tree",
    "TreeNode",
    "as_json",
    "export_jsonl",
    "export_otlp",
    "graph_of_tree",
    "node",
    "redos",
    "resolve_node",
    "resolve_run",
    "runs",
    "strip",
    "tree",
]
