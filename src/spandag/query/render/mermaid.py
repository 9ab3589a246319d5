"""A run as a Mermaid flowchart, as GitHub and many editors draw it from a block of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from spandag.query.graph import Graph
from spandag.query.render.graph import Box, Closed, Opened, arrows, heading, pieces
from spandag.semconv import NodeType

MOST_EDGES = 500
"""So many edges Mermaid draws where it is not configured otherwise (``maxEdges``)."""

MOST_CHARACTERS = 50_000
"""So long a text it takes (``maxTextSize``), as JavaScript counts: in UTF-16."""

# What Mermaid, or the Markdown and HTML in it, would take for its own; an underscore only beside a word.
# Two percent signs and a brace are a directive wherever they stand, in the midst of a text too.
_ESCAPED = re.compile(r'["#<>&`*~\\]|%%+|(?<![^\W_])_+|_+(?![^\W_])')
# What it looks for only in the text that it draws, where escapes are characters again: a line break, a
# formula, an icon. A space without width between its characters is not seen, and they are text.
_SOUGHT_LATER = re.compile(r"\\(?=n)|\$(?=\$)|fa[a-z]?:(?=fa-)")
_NO_WIDTH = "\u200b"
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
    # A run has far more beside each other than below: downwards it would be a strip that nobody can read.
    yield "flowchart LR"
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
    # No opacity: Mermaid gives it to a box and to the text in it, which then has it twice.
    yield "    classDef superseded fill-opacity:0.3,stroke:#999,stroke-dasharray:4 3,color:#767676"
    yield "    classDef failed stroke:#c00,stroke-width:2px"
    if superseded:
        yield f"    class {','.join(superseded)} superseded"


def edges_and_characters(graph: Graph) -> tuple[int, int]:
    """What Mermaid has limits for: how many edges a drawing has, and how long its text is.

    Args:
        graph: What to draw.
    """
    text = "".join(f"{line}\n" for line in render_mermaid(graph))
    return sum(1 for _ in arrows(graph)), len(text.encode("utf-16-le")) // 2


def is_drawn(graph: Graph) -> bool:
    """Whether Mermaid draws it where it is not configured otherwise.

    Args:
        graph: What to draw.
    """
    edges, characters = edges_and_characters(graph)
    return edges <= MOST_EDGES and characters <= MOST_CHARACTERS


def _box(box: Box) -> str:
    opening, closing = _SHAPES.get(box.node_type, ('["', '"]'))
    text = "<br/>".join(map(_text, box.lines))
    return f"{opening}{text}{closing}{':::' + box.look if box.look else ''}"


def _text(text: str) -> str:
    apart = _SOUGHT_LATER.sub(lambda match: match[0] + _NO_WIDTH, text)
    return _ESCAPED.sub(lambda match: "".join(f"#{ord(character)};" for character in match[0]), apart)


def _comment(text: str) -> str:
    # A brace after two percent signs would be a directive.
    return text.replace("{", "(").replace("}", ")").replace("%", " ")
