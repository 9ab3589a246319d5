"""How often was a step tried, and what became of each attempt?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from spandag.query.ancestors import phase_name, step_around
from spandag.query.asked import as_text
from spandag.query.errors import AmbiguousError, QueryError
from spandag.query.liveness import load_tree
from spandag.query.resolve import (
    LAST,
    SHORT_ID,
    is_node_id,
    resolve_lost_original,
    resolve_node,
    resolve_run,
)
from spandag.query.runs import REDO
from spandag.query.spent import Spent
from spandag.query.suggest import on_one_line
from spandag.query.text import decoded
from spandag.query.tree import tree_of_rows
from spandag.query.tree_node import TreeNode
from spandag.query.undisturbed import undisturbed
from spandag.semconv import NodeType
from spandag.store import Store, TreeRows
from spandag.store.rows import BRANCH_POINT_PREFIX

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a step, as in the view ``v_attempts``.

    Attributes:
        run_id: The run.
        run_name: Its name.
        phase: The phase that the step is in, if any.
        step_node_id: Attempt 1 of the step, stored or not.
        step: The step's name.
        step_number: Its number within the phase.
        attempt: From 1.
        node_id: The attempt's node.
        branch_node_id: The branch point of the redo that led to it; None for attempt 1.
        status: Of the node, as in `spandag.query.TreeNode`.
        outcome: ``accepted``, ``rejected``, ``failed`` or ``cancelled``; None where nothing says.
        disposition: ``active``, ``abandoned`` or ``superseded``.
        hypothesis: Why it should do better than the one before.
        requested_by: Who asked for it.
        started_at: Unix nanoseconds.
        ended_at: Unix nanoseconds; None where it has not ended.
        error_type: What went wrong.
        error_message: The error's message.
        spent: Tokens, cost and model calls at and below it.
    """

    run_id: str
    run_name: str | None
    phase: str | None
    step_node_id: str | None
    step: str
    step_number: int | None
    attempt: int
    node_id: str
    branch_node_id: str | None
    status: str
    outcome: str | None
    disposition: str | None
    hypothesis: str | None
    requested_by: str | None
    started_at: int
    ended_at: int | None
    error_type: str | None
    error_message: str | None
    spent: Spent


def attempts(store: Store, step: str, *, run: str | None = None) -> list[Attempt]:
    """Every attempt of a step, in their order.

    Args:
        store: Where they are.
        step: The name of a step of the run; or a node as `spandag.query.resolve_node` takes it: an attempt,
            the branch point of a redo, or whatever is part of one. Attempt 1 may be missing in the store.
        run: As `spandag.query.resolve_run` takes it. By default a step's name is looked up in the newest
            run, and a node's id in all.

    Raises:
        QueryError: No step is meant, or several are.
    """
    with store.connection() as connection, undisturbed():
        rows, nodes, step_node_id = _found(connection, as_text(step, "a step").strip(), run)
    by_id = {node.id: node for node in nodes}
    redos = {branch.branch_node_id: branch for branch in rows.branches if branch.kind == REDO}
    found = []
    for node in nodes:
        if node.node_type != NodeType.STEP or node.step_node_id != step_node_id:
            continue
        redo = redos.get(BRANCH_POINT_PREFIX + node.id)
        found.append(
            Attempt(
                run_id=rows.run.id,
                run_name=decoded(rows.run.name),
                phase=phase_name(node, by_id),
                step_node_id=node.step_node_id,
                step=node.name,
                step_number=node.step_number,
                attempt=node.attempt or 1,
                node_id=node.id,
                branch_node_id=redo.branch_node_id if redo else None,
                status=node.status,
                outcome=node.outcome,
                disposition=node.disposition,
                hypothesis=decoded(redo.hypothesis) if redo else None,
                requested_by=decoded(redo.requested_by) if redo else None,
                started_at=node.started_at,
                ended_at=node.ended_at,
                error_type=node.error_type,
                error_message=node.error_message,
                spent=node.spent,
            )
        )
    return sorted(found, key=lambda attempt: (attempt.attempt, attempt.started_at, attempt.node_id))


def _found(connection: Connection, text: str, run: str | None) -> tuple[TreeRows, list[TreeNode], str]:
    """The run, its nodes, and which of its steps is meant."""
    run_text, slash, node_text = text.rpartition("/")
    is_id = is_node_id(node_text)
    if not is_id:
        # Names first: "add" and "face" are beginnings of ids as well.
        named = _by_name(connection, text, run or LAST)
        if named is not None:
            return named
    if run is not None and not slash:
        text = f"{run}/{text}"
    try:
        node = resolve_node(connection, text)
    except AmbiguousError:
        raise
    except QueryError as error:
        # Every redo names attempt 1, which other questions pass on whether it is stored or not.
        lost = resolve_lost_original(connection, text)
        if lost is not None:
            return *_loaded(connection, lost.run_id), lost.id
        if is_id or (slash and run is None):
            raise
        raise QueryError(_unknown(connection, node_text or text, run or run_text or LAST)) from error
    rows, nodes = _loaded(connection, node.run_id)
    at = next((each for each in nodes if each.id == node.id), None)
    if at is None or at.step_node_id is None:
        what = "that" if at is None else f"{at.node_type} {on_one_line(at.name)}"
        raise QueryError(f"{what} is part of no step; {_steps_of(nodes, f'run {node.run_id[:SHORT_ID]}')}")
    return rows, nodes, at.step_node_id


def _loaded(connection: Connection, run_id: str) -> tuple[TreeRows, list[TreeNode]]:
    rows = load_tree(connection, run_id)
    if rows is None:
        raise QueryError(f"run {run_id} was removed meanwhile")
    # With spans of other libraries: one of them can be asked about.
    return rows, tree_of_rows(rows, all_spans=True).nodes


def _by_name(connection: Connection, name: str, run: str) -> tuple[TreeRows, list[TreeNode], str] | None:
    rows, nodes = _loaded(connection, resolve_run(connection, run))
    steps = [node for node in nodes if node.node_type == NodeType.STEP]
    found = [node for node in steps if node.name == name]
    if not found:
        found = [node for node in steps if node.name.casefold() == name.casefold()]
    ids = dict.fromkeys(node.step_node_id for node in found if node.step_node_id is not None)
    if not ids:
        return None
    if len(ids) == 1:
        return rows, nodes, next(iter(ids))
    by_id = {node.id: node for node in nodes}
    firsts = {node.step_node_id: node for node in reversed(found)}
    shown = [_described(firsts[step_id], by_id) for step_id in list(ids)[:_SHOWN]]
    more = ", …" if len(ids) > _SHOWN else ""
    raise AmbiguousError(
        f"{name!r} is ambiguous: {len(ids)} steps of run {rows.run.id[:SHORT_ID]} have this name, "
        f"ask by node: {', '.join(shown)}{more}"
    )


def _described(step: TreeNode, by_id: dict[str, TreeNode]) -> str:
    phase = phase_name(step, by_id)
    facts = [f"phase {on_one_line(phase)}"] if phase else []
    # A step within another one is there once in each attempt.
    around = step_around(step, by_id)
    facts += [f"{on_one_line(around.name)} attempt {around.attempt or 1}"] if around is not None else []
    facts += [f"step {step.step_number}"] if step.step_number is not None else []
    return f"{step.id[:SHORT_ID]} ({', '.join(facts)})" if facts else step.id[:SHORT_ID]


def _unknown(connection: Connection, text: str, run: str) -> str:
    run_id = resolve_run(connection, run)
    _, nodes = _loaded(connection, run_id)
    start = f"no step or node of run {run_id[:SHORT_ID]} is called {text!r}; "
    names = _names(nodes)
    close = difflib.get_close_matches(text.casefold(), [name.casefold() for name in names[:1000]], n=1)
    if close:
        meant = next(name for name in names if name.casefold() == close[0])
        return f"{start}did you mean {on_one_line(meant)!r}?"
    return start + _steps_of(nodes, "it")


def _steps_of(nodes: Iterable[TreeNode], where: str) -> str:
    names = _names(nodes)
    if not names:
        return f"{where} has no steps"
    more = ", …" if len(names) > _SHOWN else ""
    return f"steps of {where}: {', '.join(map(on_one_line, names[:_SHOWN]))}{more}"


def _names(nodes: Iterable[TreeNode]) -> Sequence[str]:
    return list(dict.fromkeys(node.name for node in nodes if node.node_type == NodeType.STEP))
