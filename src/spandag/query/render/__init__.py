"""Answers as text for people: lines of styled pieces, without any terminal's codes in them."""

from __future__ import annotations

from spandag.query.render.changes import render_changes
from spandag.query.render.dot import render_dot
from spandag.query.render.formats import Line, Page, to_text
from spandag.query.render.mermaid import render_mermaid
from spandag.query.render.node import render_node
from spandag.query.render.redos import render_redos
from spandag.query.render.runs import render_runs
from spandag.query.render.strip import render_strip
from spandag.query.render.tree import render_header, render_tree, shown_errors

__all__ = [
    "Line",
    "Page",
    "render_changes",
    "render_dot",
    "render_header",
    "render_mermaid",
    "render_node",
    "render_redos",
    "render_runs",
    "render_strip",
    "render_tree",
    "shown_errors",
    "to_text",
]
