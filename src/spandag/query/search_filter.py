"""What a node has to be, to be found."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_

from spandag.query.asked import one_of
from spandag.query.errors import QueryError
from spandag.query.liveness import (
    INTERRUPTED,
    NOT_GENAI,
    OPEN,
    RUNNING,
    STANDINGS,
    all_alive_writers,
    standing_of,
)
from spandag.query.matching import Wanted
from spandag.query.text import decoded
from spandag.semconv import NODE_TYPES
from spandag.store import schema
from spandag.store.text import storable

STATUSES = ("completed", "failed", "cancelled", *STANDINGS, "pending", "skipped")
"""The statuses that a node can have."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What is asked of each node.

    Attributes:
        conditions: Of ``dag_nodes``, for the database.
        error: What its error says, which the database can only narrow down.
        alive: The writers that are alive.
    """

    conditions: list[ColumnElement[bool]]
    error: Wanted | None
    alive: Collection[str]

    @classmethod
    def of(
        cls,
        connection: Connection,
        *,
        agent: str | None,
        node_type: str | None,
        model: str | None,
        status: str | None,
        since: int | None,
        until: int | None,
        min_duration: int | None,
        max_duration: int | None,
        error: Wanted | None,
        has_error: bool,
    ) -> Filter:
        """The filter of a search.

        Raises:
            QueryError: There is no such type or status, or nothing can be within both limits.
        """
        nodes = schema.dag_nodes.c
        if node_type is not None:
            one_of("type", node_type, NODE_TYPES)
        if status is not None:
            one_of("status", status, STATUSES)
        if since is not None and until is not None and until <= since:
            raise QueryError(
                "nothing starts before it starts: the end of the time asked for is not after its begin"
            )
        if min_duration is not None and max_duration is not None and max_duration < min_duration:
            raise QueryError(
                "nothing takes longer than the one and shorter than the other duration asked for"
            )
        alive = all_alive_writers(connection)
        took = nodes.ended_at - nodes.started_at
        conditions: list[ColumnElement[bool]] = [
            nodes.node_type.not_in(sorted(NOT_GENAI)) if node_type is None else nodes.node_type == node_type
        ]
        conditions += [
            column == storable(value)
            for column, value in ((nodes.agent, agent), (nodes.model, model))
            if value is not None
        ]
        if status in STANDINGS:
            conditions += [nodes.status == RUNNING, nodes.ended_at.is_(None)]
            known = nodes.writer_id.in_(sorted(alive))
            conditions.append(
                {
                    RUNNING: known,
                    OPEN: nodes.writer_id.is_(None),
                    INTERRUPTED: nodes.writer_id.is_not(None) & ~known,
                }[str(status)]
            )
        elif status is not None:
            conditions.append(nodes.status == status)
        if since is not None:
            conditions.append(nodes.started_at >= since)
        if until is not None:
            conditions.append(nodes.started_at < until)
        if min_duration is not None:
            conditions.append(took >= min_duration)
        if max_duration is not None:
            conditions.append(took <= max_duration)
        if error is not None:
            conditions.append(error.may_be_in(connection, nodes.error_type, nodes.error_message))
        elif has_error:
            conditions.append(
                or_(nodes.status == "failed", nodes.error_type.is_not(None), nodes.error_message.is_not(None))
            )
        return cls(conditions, error, alive)

    def holds(self, row: Any) -> bool:
        """Whether a row that the conditions let through is one that was asked for."""
        return self.error is None or any(
            self.error.is_in(decoded(text)) for text in (row.error_type, row.error_message)
        )

    def standing(self, row: Any) -> str:
        """The status of a node, with what is known of one that has not ended."""
        if row.ended_at is None and row.status == RUNNING:
            return standing_of(row.writer_id, self.alive)
        return str(row.status)
