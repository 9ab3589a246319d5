"""What happens in a run, one line a change."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from spandag.query.following import ENDED, STARTED, Change
from spandag.query.render.formats import DIM, Line, Page, cost, duration, moment, tokens
from spandag.query.render.marks import status_cell
from spandag.query.render.reasons import error_of
from spandag.query.render.tree import MOST_CHOICE, node_label
from spandag.query.resolve import SHORT_ID
from spandag.semconv import NodeType

_INDENT = "  "
_GAP = "  "
_TIME = len("2026-01-01 00:00:00")


def render_changes(
    changes: Sequence[Change], page: Page, *, errors: Collection[str] = (), ids: bool = False
) -> list[Line]:
    """A line for each change: when, what became of it, and where in the tree it is.

    Args:
        changes: In the order in which they are shown.
        page: Where to.
        errors: Ids of the nodes whose error is shown.
        ids: Whether to show the beginning of each node's id.
    """
    return [
        _change(change, page, with_error=change.node.id in errors, ids=ids)
        for change in changes
        # That it ends says the redo below it.
        if change.node.node_type != NodeType.BRANCH_POINT or change.is_first
    ]


def _change(change: Change, page: Page, *, with_error: bool, ids: bool) -> Line:
    node, glyphs = change.node, page.glyphs
    is_branch_point = node.node_type == NodeType.BRANCH_POINT
    text, style = status_cell(node.outcome or node.status, glyphs, mark_only_if_done=True)
    mark, _, word = text.partition(" ")
    word = page.line(change.choice, MOST_CHOICE) or word
    time = node.started_at if is_branch_point else change.timestamp
    line: Line = [(moment(time).ljust(_TIME) + _GAP, DIM)]
    line.append((" " if is_branch_point else mark, style))
    line.append((" " + _INDENT * node.depth, ""))
    if ids:
        line.append((f"{node.id if is_branch_point else node.id[:SHORT_ID]} ", "dim cyan"))
    line += node_label(node, page, several=(node.attempt or 1) > 1)
    if is_branch_point:
        return page.cut(line)
    if word and change.change != STARTED:
        line.append((_GAP + word, style))
    if change.change == ENDED:
        facts = (duration(node.started_at, node.ended_at), tokens(node.spent), cost(node.spent, glyphs))
        line += [(_GAP + fact, DIM) for fact in facts if fact]
    if with_error:
        line.append((_GAP + error_of(node, page), "red"))
    return page.cut(line)
