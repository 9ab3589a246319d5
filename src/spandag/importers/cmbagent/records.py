"""The rows of one CMBAgent run, and their values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

Record = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PERSON = b"cmbagent"


@dataclass(frozen=True)
class RunRecords:
    """A run with everything that names it.

    Attributes:
        run: Of ``workflow_runs``.
        session: Its session.
        ancestors: The run that it branched off, the one that that did, and so on.
        steps: Of ``workflow_steps``.
        nodes: Of ``dag_nodes``.
        edges: Of ``dag_edges``.
        events: Of ``execution_events``.
        messages: Of ``messages``.
        costs: Of ``cost_records``.
        branches: Of ``branches``: what it is to the run that it branched off.
    """

    run: Record
    session: Record | None = None
    ancestors: list[Record] = field(default_factory=list)
    steps: list[Record] = field(default_factory=list)
    nodes: list[Record] = field(default_factory=list)
    edges: list[Record] = field(default_factory=list)
    events: list[Record] = field(default_factory=list)
    messages: list[Record] = field(default_factory=list)
    costs: list[Record] = field(default_factory=list)
    branches: list[Record] = field(default_factory=list)


def trace_id(run_id: object) -> int:
    """The trace that a run becomes."""
    return int.from_bytes(blake2b(f"run:{run_id}".encode(), digest_size=16, person=_PERSON).digest())


def span_id(run_id: object, kind: str, record_id: object) -> int:
    """The span that a record of a run becomes."""
    name = f"{run_id}:{kind}:{record_id}".encode()
    return int.from_bytes(blake2b(name, digest_size=8, person=_PERSON).digest())


def time_ns(value: object) -> int | None:
    """A time in Unix ns; CMBAgent's are UTC without saying so."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    at = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return (at - _EPOCH) // _MICROSECOND * 1000


def parsed(value: object) -> Any:
    """JSON as PostgreSQL's driver gives it, or as SQLite's text."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def mapping(value: object) -> Mapping[str, Any]:
    """JSON that ought to be an object."""
    value = parsed(value)
    return value if isinstance(value, Mapping) else {}


def number(value: object) -> int | None:
    """A whole number, from whichever type the database gives."""
    try:
        return None if value is None else int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return None
