"""A run as a Mermaid flowchart, as GitHub and many editors draw it from a block of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from spandag.query.graph import Graph
from spandag.query.render.graph import Box, Closed, Opened, arrows, heading, pieces
from spandag.semconv import NodeType

MOST_EDGES = 500
"""So many edges Mermaid draws where it is not configured otherwise (``maxEdges``)."""

# What Mermaid, or the Markdown and HTML in it, would take for its own; an underscore only beside a word.
_ESCAPED = re.compile(r'["#<>&`*~\\]|\$\$+|(?<![^\W_])_+|_+(?![^\W_])')
_SHAPES = {
    NodeType.RUN: ('(["', '"])'),
    NodeType.LLM: ('("', '")'),
    NodeType.TOOL: ('[["', '"]]'),
    NodeType.CODE: ('[["', '"]]'),
    NodeType.APPROVAL: ('{{"', '"}}'),
}


def render_mermaid(graph: Graph) -> Iterator[str]:
    """The lines of a flowchart.

    Args:
        graph: What to draw.
    """
    yield "flowchart TB"
    yield f"    %% {_comment(heading(graph))}"
    indent = 1
    superseded = []
    for piece in pieces(graph):
        if isinstance(piece, Closed):
            indent -= 1
            yield f"{'    ' * indent}end"
            continue
        space = "    " * indent
        if isinstance(piece, Opened):
            yield f'{space}subgraph redo{piece.number}["{_text(piece.title)}"]'
            indent += 1
            if piece.is_superseded:
                superseded.append(f"redo{piece.number}")
        else:
            yield f"{space}n{piece.number}{_box(piece)}"
    for arrow in arrows(graph):
        line = f'-. "{_text(arrow.label)}" .->' if arrow.label else "-->"
        yield f"    n{arrow.source} {line} n{arrow.target}"
    yield "    classDef superseded opacity:0.45,stroke-dasharray:4 3"
    yield "    classDef failed stroke:#c00,stroke-width:2px"
    if superseded:
        yield f"    class {','.join(superseded)} superseded"


def _box(box: Box) -> str:
    opening, closing = _SHAPES.get(box.node_type, ('["', '"]'))
    text = "<br/>".join(map(_text, box.lines))
    return f"{opening}{text}{closing}{':::' + box.look if box.look else ''}"


def _text(text: str) -> str:
    return _ESCAPED.sub(lambda match: "".join(f"#{ord(character)};" for character in match[0]), text)


def _comment(text: str) -> str:
    # A brace after two percent signs would be a directive.
    return text.replace("{", "(").replace("}", ")").replace("%", " ")
