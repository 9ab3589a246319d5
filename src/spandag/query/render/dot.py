"""A run as a graph for Graphviz: ``dot -Tsvg``."""

from __future__ import annotations

from collections.abc import Iterator

from spandag.query.graph import Graph
from spandag.query.render.graph import FAILED, SUPERSEDED, Box, Closed, Opened, arrows, heading, pieces
from spandag.semconv import NodeType

_GREY = "#999999"
# Dimmed, and still to be read.
_GREY_TEXT = "#767676"
_SHAPES = {
    NodeType.RUN: "oval",
    NodeType.LLM: "box",
    NodeType.TOOL: "component",
    NodeType.CODE: "component",
    NodeType.APPROVAL: "hexagon",
}
_LOOKS = {
    SUPERSEDED: f', style="rounded,dashed", color="{_GREY}", fontcolor="{_GREY_TEXT}"',
    FAILED: ', color="#cc0000"',
}


def render_dot(graph: Graph) -> Iterator[str]:
    """The lines of a graph in the language of Graphviz.

    Args:
        graph: What to draw.
    """
    yield f"digraph {_quoted(heading(graph))} {{"
    yield "  rankdir=TB"
    # Of lanes: beside the title there is room for the edge that enters.
    yield '  graph [labeljust=l, fontname="sans-serif", fontsize=10]'
    yield '  node [shape=box, style=rounded, fontname="sans-serif", fontsize=10]'
    yield '  edge [fontname="sans-serif", fontsize=9]'
    indent = 1
    for piece in pieces(graph):
        if isinstance(piece, Closed):
            indent -= 1
            yield f"{'  ' * indent}}}"
            continue
        space = "  " * indent
        if isinstance(piece, Opened):
            colour = f'; color="{_GREY}"; fontcolor="{_GREY_TEXT}"' if piece.is_superseded else ""
            yield f"{space}subgraph cluster_redo{piece.number} {{"
            indent += 1
            yield f"{'  ' * indent}label={_quoted(piece.title)}; style=dashed{colour}"
        else:
            yield f"{space}n{piece.number} [{_box(piece)}]"
    for arrow in arrows(graph):
        dotted = f" [style=dotted, label={_quoted(arrow.label)}]" if arrow.label else ""
        yield f"  n{arrow.source} -> n{arrow.target}{dotted}"
    yield "}"


def _box(box: Box) -> str:
    # A backslash and n is a line break of Graphviz's own.
    label = "\\n".join(map(_escaped, box.lines))
    shape = _SHAPES.get(box.node_type)
    return f'label="{label}"' + (f", shape={shape}" if shape else "") + _LOOKS.get(box.look, "")


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    # Graphviz reads HTML's entities in what it draws.
    return text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
