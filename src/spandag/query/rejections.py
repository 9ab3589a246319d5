"""Why attempts were rejected, as they say it themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from spandag import semconv
from spandag.query.over_runs import AT_ONCE
from spandag.query.text import decoded
from spandag.store import schema


class Rejection(NamedTuple):
    """Of an attempt.

    Attributes:
        hypothesis: What another attempt should do better.
        requested_by: Who rejected it.
    """

    hypothesis: str | None
    requested_by: str | None


def rejections(connection: Connection, run_id: str, node_ids: Sequence[str]) -> dict[str, Rejection]:
    """By attempt its last rejection; those that were not rejected are left out.

    Args:
        connection: Of the store.
        run_id: The run.
        node_ids: The attempts.
    """
    events = schema.execution_events
    found: dict[str, Rejection] = {}
    for start in range(0, len(node_ids), AT_ONCE):
        rows = connection.execute(
            select(events.c.node_id, events.c.meta)
            .where(
                events.c.run_id == run_id,
                events.c.node_id.in_(node_ids[start : start + AT_ONCE]),
                events.c.event_type == semconv.EVENT_REJECTED,
            )
            .order_by(events.c.node_id, events.c.seq)
        )
        for node_id, meta in rows:
            said = meta if isinstance(meta, dict) else {}
            found[node_id] = Rejection(
                _text(said.get(semconv.SPANDAG_REDO_HYPOTHESIS)),
                _text(said.get(semconv.SPANDAG_REDO_REQUESTED_BY)),
            )
    return found


def _text(value: object) -> str | None:
    return decoded(value) if isinstance(value, str) and value else None
