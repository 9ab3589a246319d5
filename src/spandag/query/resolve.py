"""From what a person types to a run or a node: ``last``, whole ids, unique prefixes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, select

from spandag.query.asked import as_text
from spandag.query.errors import AmbiguousError, QueryError
from spandag.query.runs import REDO, newest
from spandag.query.suggest import close_nodes, close_runs, described_nodes, described_runs, lately
from spandag.store import schema
from spandag.store.rows import BRANCH_POINT_PREFIX
from spandag.store.tombstones import AGE, ASKED, SIZE

LAST = "last"
NO_RUNS = "the store has no runs yet; make one with: spandag demo"
SHORT_ID = 8
"""How many digits of an id are shown; they can be typed back."""

_BEFORE_LAST = re.compile(r"last(?:~(\d{1,6}))?")
_RUN_DIGITS = 32
_NODE_DIGITS = 16
_HEX = frozenset("0123456789abcdef")
_SHOWN = 5
# With fewer digits it is by chance that they begin the id of a run that is gone.
_LEAST_DIGITS = 4
_WHY_PRUNED = {AGE: "it was too old", SIZE: "to make room", ASKED: "on request"}


class NodeId(NamedTuple):
    """A node's place in the store."""

    run_id: str
    id: str


def is_run_id(text: str) -> bool:
    """Whether a text is the whole id of some run, in the store or not."""
    return len(text) == _RUN_DIGITS and _HEX.issuperset(text)


def is_node_id(text: str) -> bool:
    """Whether a text is the whole id of some node, in the store or not."""
    digits = text.lower().removeprefix(BRANCH_POINT_PREFIX)
    return len(digits) == _NODE_DIGITS and _HEX.issuperset(digits)


def resolve_run(connection: Connection, text: str) -> str:
    """The id of a run.

    Args:
        connection: Of the store.
        text: ``last`` for the newest run, ``last~1`` for the one before, a trace id, or the beginning of one.

    Raises:
        QueryError: No run is meant, or several are.
    """
    wanted = as_text(text, "a run").strip().lower()
    if before := _BEFORE_LAST.fullmatch(wanted):
        return _before_last(connection, int(before[1] or 0))
    table = schema.workflow_runs
    found = _matches(
        connection, select(table.c.id).order_by(table.c.id), table.c.id, wanted, _RUN_DIGITS, prefix_of_id=""
    )
    if len(found) == 1:
        return str(found[0][0])
    if found:
        ids = [run_id for (run_id,) in found]
        shown = zip(_told_apart(ids), described_runs(connection, ids[:_SHOWN]), strict=False)
        raise AmbiguousError(f"{text!r} is ambiguous: {_listed([''.join(each) for each in shown], len(ids))}")
    if pruned := _pruned(connection, wanted):
        raise QueryError(f"{pruned}; {_newest(connection)}")
    close = close_runs(connection, text, SHORT_ID)
    hint = f"did you mean {close}?" if close else _newest(connection)
    raise QueryError(f"no run starts with {text!r}; {hint}")


def _pruned(connection: Connection, digits: str) -> str | None:
    """That what is meant was a run, of which nothing is left but that."""
    table = schema.tombstones
    statement = select(table.c.run_id, table.c.reason).order_by(table.c.run_id)
    found = _matches(connection, statement, table.c.run_id, digits, _RUN_DIGITS, prefix_of_id="")
    if len(digits) < _LEAST_DIGITS or len(found) != 1:
        return None
    [(run_id, reason)] = found
    return f"run {run_id[:SHORT_ID]} was pruned ({_WHY_PRUNED.get(reason, reason)})"


def _before_last(connection: Connection, steps: int) -> str:
    found = newest(connection, steps + 1)
    if not found:
        raise QueryError(NO_RUNS)
    if len(found) <= steps:
        runs = "1 run" if len(found) == 1 else f"{len(found)} runs"
        raise QueryError(f"there is no run last~{steps}: the store has {runs}")
    return found[steps].id


def resolve_node(connection: Connection, text: str) -> NodeId:
    """The run and id of a node.

    Args:
        connection: Of the store.
        text: A span id or the beginning of one, or the same after a run and a slash, as in ``last/4f2a``.
            ``last`` is the root of the newest run.
            A branch point's id is ``bp:`` and the redo's span id.

    Raises:
        QueryError: No node is meant, or several are.
    """
    run_text, slash, node_text = as_text(text, "a node").strip().rpartition("/")
    table, runs = schema.dag_nodes, schema.workflow_runs
    if text.strip() == LAST:
        run = resolve_run(connection, LAST)
        root = connection.execute(select(runs.c.root_node_id).where(runs.c.id == run)).scalar()
        if root is not None:
            return NodeId(run, root)
    # Run by run, since the index of nodes begins with their run.
    statement = (
        select(table.c.run_id, table.c.id)
        .select_from(runs)
        .join(table, table.c.run_id == runs.c.id)
        .order_by(runs.c.id, table.c.id)
    )
    where, run_id = "no node", None
    if slash:
        run_id = resolve_run(connection, run_text)
        statement = statement.where(table.c.run_id == run_id)
        where = f"no node of run {run_id[:SHORT_ID]}"
    wanted = node_text.lower()
    prefix = BRANCH_POINT_PREFIX if wanted.startswith(BRANCH_POINT_PREFIX) else ""
    found = _matches(
        connection, statement, table.c.id, wanted.removeprefix(prefix), _NODE_DIGITS, prefix_of_id=prefix
    )
    if len(found) == 1:
        return NodeId(*found[0])
    if found:
        several_runs = len({run_id for run_id, _ in found}) > 1
        candidates = [NodeId(*each) for each in found[:_SHOWN]]
        named = [
            f"{run_id[:SHORT_ID]}/{node_id}{described}" if several_runs else f"{node_id}{described}"
            for (run_id, node_id), described in zip(
                candidates, described_nodes(connection, candidates), strict=True
            )
        ]
        raise AmbiguousError(f"{text!r} is ambiguous: {_listed(named, len(found))}")
    close = close_nodes(connection, node_text, SHORT_ID, run_id)
    hint = f"did you mean {close}?" if close else f"ids are shown by: spandag tree {run_text or LAST} --ids"
    raise QueryError(f"{where} starts with {node_text!r}; {hint}")


def resolve_lost_original(connection: Connection, text: str) -> NodeId | None:
    """Attempt 1 of a step that was redone, where nothing but its redos tells of it.

    Args:
        connection: Of the store.
        text: As `resolve_node` takes it, and found no node by.

    Returns:
        None where no redo names such an attempt.

    Raises:
        QueryError: Several are meant, or no run is.
    """
    run_text, slash, node_text = text.strip().rpartition("/")
    redos = schema.branches
    statement = (
        select(redos.c.run_id, redos.c.source_node_id)
        .where(redos.c.kind == REDO)
        .distinct()
        .order_by(redos.c.run_id, redos.c.source_node_id)
    )
    if slash:
        statement = statement.where(redos.c.run_id == resolve_run(connection, run_text))
    found = _matches(
        connection, statement, redos.c.source_node_id, node_text.lower(), _NODE_DIGITS, prefix_of_id=""
    )
    if len(found) > 1:
        named = [f"{run_id[:SHORT_ID]}/{node_id}" for run_id, node_id in found[:_SHOWN]]
        raise AmbiguousError(f"{text!r} is ambiguous: {_listed(named, len(found))}")
    return NodeId(*found[0]) if found else None


def _matches(
    connection: Connection,
    statement: Select[tuple[str]] | Select[tuple[str, str]],
    column: ColumnElement[str],
    digits: str,
    most_digits: int,
    *,
    prefix_of_id: str,
) -> Sequence[tuple[str, ...]]:
    if not digits or len(digits) > most_digits or not _HEX.issuperset(digits):
        return []
    start = prefix_of_id + digits
    if len(digits) == most_digits:
        condition = column == start
    else:
        # By the index: LIKE does not use it. A "g" comes after every digit in every collation.
        condition = and_(column >= start, column <= start + "g", column.startswith(start, autoescape=True))
    return [tuple(row) for row in connection.execute(statement.where(condition).limit(_SHOWN + 1))]


def _told_apart(ids: Sequence[str]) -> list[str]:
    """Ids of runs, long enough to be told apart."""
    digits = SHORT_ID
    while digits < _RUN_DIGITS and len({run_id[:digits] for run_id in ids}) < len(ids):
        digits += 1
    return [run_id[:digits] for run_id in ids]


def _listed(shown: Sequence[str], count: int) -> str:
    return ", ".join(shown) + (", …" if count > len(shown) else "")


def _newest(connection: Connection) -> str:
    found = lately(connection, SHORT_ID)
    return f"newest runs: {found}" if found else NO_RUNS
