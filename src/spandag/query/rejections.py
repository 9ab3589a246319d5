"""Why attempts were rejected, as they say it themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, select

from spandag import semconv
from spandag.query.over_runs import AT_ONCE
from spandag.query.text import decoded
from spandag.store import schema

Attempt = tuple[str, str]
"""Its run and its node."""


class Rejection(NamedTuple):
    """Of an attempt.

    Attributes:
        hypothesis: What another attempt should do better.
        requested_by: Who rejected it.
    """

    hypothesis: str | None
    requested_by: str | None


def rejections(connection: Connection, attempts: Iterable[Attempt]) -> dict[Attempt, Rejection]:
    """By attempt its last rejection; those that were not rejected are left out.

    Args:
        connection: Of the store.
        attempts: Whose.
    """
    events = schema.execution_events
    found: dict[Attempt, Rejection] = {}
    asked = sorted(attempts)
    for start in range(0, len(asked), AT_ONCE):
        some = asked[start : start + AT_ONCE]
        rows = connection.execute(
            select(events.c.run_id, events.c.node_id, events.c.meta)
            .where(
                events.c.run_id.in_(sorted({run_id for run_id, _ in some})),
                events.c.node_id.in_([node_id for _, node_id in some]),
                events.c.event_type == semconv.EVENT_REJECTED,
            )
            .order_by(events.c.run_id, events.c.node_id, events.c.seq)
        )
        for run_id, node_id, meta in rows:
            said = meta if isinstance(meta, dict) else {}
            found[run_id, node_id] = Rejection(
                _text(said.get(semconv.SPANDAG_REDO_HYPOTHESIS)),
                _text(said.get(semconv.SPANDAG_REDO_REQUESTED_BY)),
            )
    return found


def _text(value: object) -> str | None:
    return decoded(value) if isinstance(value, str) and value else None
