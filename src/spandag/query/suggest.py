"""What could have been meant: runs and nodes as an error message names them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from operator import ne

from sqlalchemy import Connection, select

from spandag.query.liveness import load_tree
from spandag.query.runs import Run, newest
from spandag.query.text import decoded
from spandag.semconv import NodeType
from spandag.store import schema

_LOOKED_AT = 50
_NODES_LOOKED_AT = 5_000
_SHOWN = 3
_LONGEST_NAME = 40
# Below this, what is alike are accidents.
_LEAST_DIGITS = 4
_CLOSE_IDS = 0.75
_CLOSE_NAMES = 0.6


def on_one_line(text: str | None, most: int = _LONGEST_NAME) -> str:
    """A name in an error message: nothing in it can control a terminal.

    Args:
        text: The name.
        most: How many characters are shown.
    """
    # Not at the top: what draws answers imports what answers.
    from spandag.query.render.formats import Page

    return Page().line(text, most)


def lately(connection: Connection, digits: int) -> str:
    """The newest runs by the beginnings of their ids; empty where there are none.

    Args:
        connection: Of the store.
        digits: How many digits of an id are shown.
    """
    return _named(newest(connection, _SHOWN), digits)


def close_runs(connection: Connection, text: str, digits: int) -> str:
    """Those of the newest runs whose name or id is like a text; empty where there are none.

    Args:
        connection: Of the store.
        text: What was typed.
        digits: How many digits of an id are shown.
    """
    wanted = text.strip().casefold()
    if not wanted:
        return ""
    found = [run for run in newest(connection, _LOOKED_AT) if _is_close(run, wanted)]
    return _named(found[:_SHOWN], digits)


def close_nodes(connection: Connection, text: str, digits: int, run_id: str | None = None) -> str:
    """Nodes whose name or id is like a text; empty where there are none.

    Args:
        connection: Of the store.
        text: What was typed.
        digits: How many digits of an id are shown.
        run_id: The run that they are in; None for one of the newest.
    """
    wanted = text.strip().casefold()
    if not wanted:
        return ""
    table = schema.dag_nodes
    runs = [run_id] if run_id else [run.id for run in newest(connection, _SHOWN)]
    found = connection.execute(
        select(table.c.id, table.c.node_type, table.c.name)
        .where(table.c.run_id.in_(runs), table.c.node_type != NodeType.BRANCH_POINT)
        .order_by(table.c.started_at.desc(), table.c.id)
        .limit(_NODES_LOOKED_AT)
    ).all()
    named = {
        name
        for name in {row.name for row in found}
        if _is_close_name((decoded(name) or "")[:_LONGEST_NAME].casefold(), wanted)
    }
    close = [row for row in found if row.name in named or _is_typing_error(row.id, wanted)]
    return ", ".join(
        f"{row.id[:digits]} ({row.node_type} {on_one_line(decoded(row.name))})" for row in close[:_SHOWN]
    )


def described_runs(connection: Connection, ids: Iterable[str]) -> list[str]:
    """Name and start of runs, each as it stands behind an id.

    Args:
        connection: Of the store.
        ids: Whole ids, no more than a few.
    """
    table = schema.workflow_runs
    wanted = list(ids)
    found = connection.execute(
        select(
            table.c.id,
            table.c.name,
            table.c.started_at,
            schema.IS_SETTLED,
        ).where(table.c.id.in_(wanted))
    )
    facts = {run_id: (decoded(name), started_at, settled) for run_id, name, started_at, settled in found}
    result = []
    for run_id in wanted:
        name, started_at, settled = facts.get(run_id, (None, None, True))
        if not settled and (rows := load_tree(connection, run_id)) is not None:
            name, started_at = decoded(rows.run.name), rows.run.started_at
        result.append(_facts(on_one_line(name), started_at))
    return result


def described_nodes(connection: Connection, ids: Sequence[tuple[str, str]]) -> list[str]:
    """Type, name and start of nodes, each as it stands behind an id.

    Args:
        connection: Of the store.
        ids: Runs and nodes, no more than a few.
    """
    table = schema.dag_nodes
    result = []
    for run_id, node_id in ids:
        node = connection.execute(
            select(table.c.node_type, table.c.name, table.c.started_at).where(
                table.c.run_id == run_id, table.c.id == node_id
            )
        ).one()
        result.append(_facts(f"{node.node_type} {on_one_line(decoded(node.name))}", node.started_at))
    return result


def _facts(name: str, started_at: int | None) -> str:
    from spandag.query.render.formats import short_moment

    shown = ", ".join(fact for fact in (name, short_moment(started_at)) if fact)
    return f" ({shown})" if shown else ""


def _named(runs: Iterable[Run], digits: int) -> str:
    return ", ".join(f"{run.id[:digits]} ({on_one_line(run.name)})" for run in runs)


def _is_close(run: Run, wanted: str) -> bool:
    if len(wanted) >= _LEAST_DIGITS and _ratio(run.id[: len(wanted)], wanted) >= _CLOSE_IDS:
        return True
    return _is_close_name((run.name or "")[:_LONGEST_NAME].casefold(), wanted)


def _is_close_name(name: str, wanted: str) -> bool:
    return bool(name) and (wanted in name or _ratio(name, wanted) >= _CLOSE_NAMES)


def _is_typing_error(node_id: str, wanted: str) -> bool:
    # There may be thousands, too many for a ratio of each.
    wrong = sum(map(ne, node_id, wanted))
    return _LEAST_DIGITS <= len(wanted) <= len(node_id) and wrong <= len(wanted) * (1 - _CLOSE_IDS)


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other[: len(one) * 2]).ratio()
