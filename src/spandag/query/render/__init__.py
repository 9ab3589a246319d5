"""Answers as text for people: lines of styled pieces, without any terminal's codes in them."""

from __future__ import annotations

from spandag.query.render.attempts import render_attempts
from spandag.query.render.changes import render_changes
from spandag.query.render.costs import render_costs
from spandag.query.render.diff import render_diff
from spandag.query.render.diff_markdown import diff_markdown
from spandag.query.render.dot import render_dot
from spandag.query.render.folding import NO_FOLDS, Folds, folds
from spandag.query.render.formats import ENDLESS, Line, Page, to_text
from spandag.query.render.lineage import render_lineage
from spandag.query.render.mermaid import render_mermaid
from spandag.query.render.node import render_node
from spandag.query.render.path import render_path
from spandag.query.render.rates import render_rates
from spandag.query.render.redos import render_redos
from spandag.query.render.root_cause import render_root_cause
from spandag.query.render.runs import render_runs
from spandag.query.render.search import render_search
from spandag.query.render.sessions import render_sessions
from spandag.query.render.show import render_show
from spandag.query.render.strip import render_strip
from spandag.query.render.timeline import render_timeline
from spandag.query.render.trajectories import render_trajectories
from spandag.query.render.tree import render_header, render_tree, shown_errors
from spandag.query.render.unresolved import render_unresolved
from spandag.query.render.waste import render_waste

__all__ = [
    "ENDLESS",
    "NO_FOLDS",
    "Folds",
    "Line",
    "Page",
    "diff_markdown",
    "folds",
    "render_attempts",
    "render_changes",
    "render_costs",
    "render_diff",
    "render_dot",
    "render_header",
    "render_lineage",
    "render_mermaid",
    "render_node",
    "render_path",
    "render_rates",
    "render_redos",
    "render_root_cause",
    "render_runs",
    "render_search",
    "render_sessions",
    "render_show",
    "render_strip",
    "render_timeline",
    "render_trajectories",
    "render_tree",
    "render_unresolved",
    "render_waste",
    "shown_errors",
    "to_text",
]
