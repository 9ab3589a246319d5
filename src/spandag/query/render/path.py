"""What counted in a run, as a drawn tree."""

from __future__ import annotations

from spandag.query.render.folding import Folds
from spandag.query.render.formats import DIM, Line, Page, cost, count
from spandag.query.render.tree import render_tree
from spandag.query.spent import NOTHING
from spandag.query.tree import Tree


def render_path(path: Tree, page: Page, *, ids: bool = False, folded: Folds | None = None) -> list[Line]:
    """Draw the active path of a run, with how much of the run it is.

    Args:
        path: The run and its active nodes.
        page: Where to draw it.
        ids: As of `spandag.query.render.render_tree`.
        folded: As of `spandag.query.render.render_tree`.
    """
    lines = render_tree(path, page, ids=ids, folded=folded)
    whole, counted = path.run.spent, NOTHING
    for node in path.nodes:
        if node.depth == 0:
            counted = counted.plus(node.spent)
    if not whole.calls:
        return lines
    facts = [
        f"counted in the end: {counted.calls} of {whole.calls} model calls",
        f"{count(counted.tokens)} tokens",
        cost(counted, page.glyphs),
    ]
    separator = f" {page.glyphs.dot} "
    return [*lines[:2], page.cut([(separator.join(fact for fact in facts if fact), DIM)]), *lines[2:]]
