"""A run as a drawn tree, one line a node."""

from __future__ import annotations

from typing import NamedTuple

from spandag.query.liveness import RUNNING
from spandag.query.passed_on import own_errors
from spandag.query.render.folding import Folds, fold_label, fold_took, folds
from spandag.query.render.formats import (
    DIM,
    Glyphs,
    Line,
    Page,
    cost,
    duration,
    moment,
    padded,
    tokens,
    width_of,
)
from spandag.query.render.marks import status_cell
from spandag.query.render.reasons import error_of, kind_and_name, redo_line
from spandag.query.resolve import SHORT_ID
from spandag.query.runs import Run
from spandag.query.tree import Tree
from spandag.query.tree_node import TreeNode
from spandag.semconv import NodeType, Outcome

_SUPERSEDED = "superseded"

_GAP = "  "
_LEAST_LABEL = 24
_LEAST_NAME = 12
MOST_CHOICE = 16
"""How many characters of what somebody chose are shown."""
# Where there is no end to a page, one long name must not move what stands behind the others.
_MOST_LABEL = 200
_MOST_LEVELS = 60
_INDENT = 3

_TYPE_STYLES = {
    NodeType.AGENT: "blue",
    NodeType.SUB_AGENT: "blue",
    NodeType.CONVERSATION: "blue",
    NodeType.LLM: "magenta",
    NodeType.TOOL: "cyan",
    NodeType.CODE: "cyan",
    NodeType.APPROVAL: "yellow",
}
_BOLD_NAMES = frozenset({NodeType.RUN, NodeType.PHASE, NodeType.STEP})


class _Row(NamedTuple):
    """A node's line before it is known how wide the columns are."""

    node: TreeNode
    prefix: str
    below: str
    label: Line
    status: tuple[str, str]
    cells: tuple[str, ...]


def render_tree(
    tree: Tree, page: Page, *, ids: bool = False, now: int | None = None, folded: Folds | None = None
) -> list[Line]:
    """Draw a run.

    Args:
        tree: The run and its nodes.
        page: Where to draw it.
        ids: Whether to show the beginning of each node's id.
        now: The time in Unix nanoseconds, to show how long what is running has been so far.
        folded: For which like siblings in a row one line stands; by default for all where there are
            many, with `NO_FOLDS` for none.
    """
    lines = [*render_header(tree.run, page, now=now), []]
    rows = _rows(tree, page, ids, now, folds(tree) if folded is None else folded)
    status_width = max((width_of(row.status[0]) for row in rows), default=0)
    cell_widths = [max((width_of(row.cells[i]) for row in rows), default=0) for i in range(3)]
    right = sum(width + len(_GAP) for width in (status_width, *cell_widths) if width)
    drawn = (width_of(row.prefix) + _length(row.label) for row in rows if not _is_branch_point(row.node))
    label_width = min(max(drawn, default=0), max(page.width - right, _LEAST_LABEL), _MOST_LABEL)
    errors = shown_errors(tree)
    for row in rows:
        dim = row.node.disposition == _SUPERSEDED
        if _is_branch_point(row.node):
            line: Line = [(row.prefix, DIM), *row.label]
        else:
            line = [(row.prefix, DIM), *_fitted(row.label, label_width - width_of(row.prefix), page)]
            line.append((_GAP + padded(row.status[0], status_width), row.status[1]))
            line += [
                (_GAP + padded(cell, width, right=True), DIM)
                for cell, width in zip(row.cells, cell_widths, strict=True)
                if width
            ]
        lines.append(_dimmed(page.cut(line), row.status) if dim else page.cut(line))
        if row.node.id in errors:
            text = error_of(row.node, page)
            lines.append(page.cut([(row.below, DIM), (text, "dim red" if dim else "red")]))
    return lines


def render_header(run: Run, page: Page, *, now: int | None = None) -> list[Line]:
    """What a run is and what it took, in two lines where the page is wide enough.

    Args:
        run: The run.
        page: Where to.
        now: As of `render_tree`.
    """
    glyphs = page.glyphs
    facts = [
        f"run {run.id[:SHORT_ID]}",
        _took(run, now),
        *([f"{run.spent.calls} model call" + "s" * (run.spent.calls != 1)] if run.spent.calls else []),
        tokens(run.spent),
        cost(run.spent, glyphs),
        *([f"{run.redos} redo" + "s" * (run.redos != 1)] if run.redos else []),
        *([f"session {page.line(run.session_id, 40)}"] if run.session_id else []),
    ]
    separator = f" {glyphs.dot} "
    title = page.line(run.name) or "(no agent in this trace)"
    return [
        page.cut(
            [
                (title, "bold"),
                (_GAP, ""),
                status_cell(run.status, glyphs),
                (_GAP + moment(run.started_at), DIM),
            ]
        ),
        *page.wrapped([(separator.join(fact for fact in facts if fact), DIM)]),
    ]


def deepest_indent(page: Page) -> int:
    """How many levels are drawn one within the other; what is deeper stays at the last."""
    return min(max((page.width - _LEAST_LABEL * 2) // _INDENT, 2), _MOST_LEVELS)


def _rows(tree: Tree, page: Page, ids: bool, now: int | None, folded: Folds) -> list[_Row]:
    glyphs = page.glyphs
    last_below = {node.parent_node_id: node.id for node in tree.nodes}
    with_redo = {node.step_node_id for node in tree.nodes if _is_branch_point(node)}
    # Where the drawing would take the whole width, deeper nodes stay at one indentation.
    deepest = deepest_indent(page)
    below: dict[str, str] = {}
    rows = []
    for node in tree.nodes:
        fold = folded.by_first.get(node.id)
        if fold is None and node.id in folded.hidden:
            continue
        parent_id = node.parent_node_id
        if parent_id is None:
            prefix = continued = ""
        elif node.depth > deepest:
            prefix = continued = f"{below[parent_id].rstrip()[: deepest * _INDENT]} "
            prefix = f"{continued}{glyphs.ellipsis}{node.depth} "
        else:
            last = last_below[parent_id] == node.id
            prefix = below[parent_id] + (glyphs.corner if last else glyphs.tee)
            continued = below[parent_id] + (glyphs.blank if last else glyphs.bar)
        below[node.id] = continued
        if fold is not None:
            labels = [node_label(each, page, several=False, numbered=False) for each in fold.round]
            status = _chosen(_status(fold.telling, glyphs, several=False), tree, fold.telling, page)
            cells = (fold_took(fold), tokens(fold.spent), cost(fold.spent, glyphs))
            rows.append(_Row(node, prefix, continued, fold_label(fold, page, labels), status, cells))
            continue
        label = node_label(node, page, several=node.step_node_id in with_redo)
        if ids:
            shown = node.id if _is_branch_point(node) else node.id[:SHORT_ID]
            label = [(f"{shown} ", "dim cyan"), *label]
        rows.append(
            _Row(
                node,
                prefix,
                continued + (glyphs.bar if node.id in last_below and node.depth < deepest else glyphs.blank),
                label,
                _chosen(_status(node, glyphs, several=node.step_node_id in with_redo), tree, node, page),
                (_took(node, now), tokens(node.spent), cost(node.spent, glyphs)),
            )
        )
    return rows


def node_label(node: TreeNode, page: Page, *, several: bool, numbered: bool = True) -> Line:
    """A node's type and name.

    Args:
        node: The node.
        page: Where to.
        several: Whether it is an attempt of several.
        numbered: Whether to say the number of a step or iteration; not where it stands for several of them.
    """
    if _is_branch_point(node):
        return redo_line(page, node.branch_name, node.hypothesis, node.requested_by)
    kind, name = kind_and_name(node.node_type, node.name, node.step_number, page)
    style = "bold" if node.node_type in _BOLD_NAMES else ""
    if node.node_type == NodeType.STEP and node.step_number is not None:
        kind = f"{kind} {node.step_number}"
    if not numbered:
        kind = node.node_type
    label: Line = [(kind, _TYPE_STYLES.get(node.node_type, DIM))]
    if name:
        label += [(" ", ""), (name, style)]
    if node.node_type == NodeType.STEP and several:
        label.append((f" {page.glyphs.dot} attempt {node.attempt or 1}", DIM))
    return label


def _status(node: TreeNode, glyphs: Glyphs, *, several: bool) -> tuple[str, str]:
    """Mark and word; a word only where it says more than the mark."""
    accepted_after_all = several and node.outcome == Outcome.ACCEPTED
    return status_cell(node.outcome or node.status, glyphs, mark_only_if_done=not accepted_after_all)


def _chosen(status: tuple[str, str], tree: Tree, node: TreeNode, page: Page) -> tuple[str, str]:
    """Of somebody who was asked also what he chose."""
    choice = tree.choices.get(node.id)
    return status if choice is None else (f"{status[0]} {page.line(choice, MOST_CHOICE)}", status[1])


def _took(what: Run | TreeNode, now: int | None) -> str:
    """How long something took, or has taken so far."""
    return duration(what.started_at, now if what.status == RUNNING else what.ended_at)


def shown_errors(tree: Tree) -> set[str]:
    """The nodes whose error is shown: not those that only pass on what a node below says."""
    return own_errors(tree.nodes)


def _dimmed(line: Line, status: tuple[str, str]) -> Line:
    """The line of a superseded node: only what became of it, where that has a word, keeps its colour."""
    mark_only = " " not in status[0]
    return [
        (text, style if style == status[1] and text.strip() == status[0] and not mark_only else DIM)
        for text, style in line
    ]


def _fitted(label: Line, width: int, page: Page) -> Line:
    """A label in exactly a width; of attempts, which one it is stays to be seen."""
    *named, last = label
    rest = [last] if last[0].startswith(f" {page.glyphs.dot} ") else []
    room = width - _length(rest)
    if rest and room >= _LEAST_NAME:
        fitted = [*Page(room, page.encoding).cut(named), *rest]
    else:
        fitted = Page(max(width, 1), page.encoding).cut(label)
    return [*fitted, (" " * (width - _length(fitted)), "")]


def _length(label: Line) -> int:
    return sum(width_of(text) for text, _ in label)


def _is_branch_point(node: TreeNode) -> bool:
    return node.node_type == NodeType.BRANCH_POINT
