"""Words that several answers have in common."""

from __future__ import annotations

from spandag.query.render.formats import DIM, Line, Page
from spandag.query.tree_node import TreeNode
from spandag.semconv import NodeType


def said(page: Page, hypothesis: str | None, requested_by: str | None) -> str:
    """What should be done better, and who asked for it; empty where nobody said anything."""
    opening, closing = page.glyphs.quotes
    words = []
    if hypothesis:
        words.append(f"{opening}{page.line(hypothesis)}{closing}")
    if requested_by:
        words.append(f"asked by {page.line(requested_by, 60)}")
    return " ".join(words)


def redo_line(
    page: Page, name: str | None, hypothesis: str | None, requested_by: str | None, *, dim: bool = False
) -> Line:
    """A redo's name, who asked for it, and what it should do better."""
    line: Line = [(f"{page.glyphs.redo} {page.line(name) or 'redo'}", DIM if dim else "bold yellow")]
    if requested_by:
        line.append((f" asked by {page.line(requested_by, 60)}", DIM if dim else "yellow"))
    if hypothesis:
        line.append((f": {said(page, hypothesis, None)}", DIM if dim else ""))
    return line


def error(page: Page, error_type: str | None, error_message: str | None) -> str:
    """What went wrong, on one line; the type without its modules."""
    kind = page.line(error_type, 200).rpartition(".")[2]
    return ": ".join(part for part in (kind, page.line(error_message)) if part)


def error_of(node: TreeNode, page: Page) -> str:
    """As `error`, of a node."""
    return error(page, node.error_type, node.error_message)


def numbered(step: str | None, step_number: int | None, page: Page) -> str:
    """A step's number and name."""
    number = "" if step_number is None else f" {step_number}"
    return f"step{number} {page.line(step) or '(not stored)'}"


def kind_and_name(node_type: str, name: str, step_number: int | None, page: Page) -> tuple[str, str]:
    """What a node is and what it is called; the name of an iteration says nothing that is not above it.

    Args:
        node_type: One of `spandag.semconv.NodeType`.
        name: Its name.
        step_number: Of a step or an iteration.
        page: Where to.
    """
    kind = page.line(node_type, 80)
    if node_type == NodeType.ITERATION and step_number is not None:
        return f"{kind} {step_number}", ""
    return kind, page.line(name)


def percent(share: float | None) -> str:
    """A share as in ``42%``; empty where it is not known."""
    if share is None:
        return ""
    return f"{share:.1%}" if 0 < share < 0.0995 else f"{share:.0%}"


def milliseconds(duration_ms: float) -> tuple[int, int]:
    """A duration as the start and end that `duration` takes."""
    return 0, round(duration_ms * 1_000_000)
