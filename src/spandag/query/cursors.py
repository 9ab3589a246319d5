"""Where to go on in a long answer, as a text that can be typed."""

from __future__ import annotations

import re
from typing import NamedTuple

from spandag.query.errors import QueryError

_FORM = re.compile(r"(-?[0-9a-f]{1,16})\.([0-9a-f]+)(?:\.(-?[0-9a-f]{1,16})\.([0-9a-f:bp]+))?")


class Place(NamedTuple):
    """After which node of which run, or after which run, an answer goes on.

    Attributes:
        run_started_at: Unix nanoseconds.
        run_id: The run.
        started_at: When the node started; None after the whole run.
        node_id: The node.
    """

    run_started_at: int
    run_id: str
    started_at: int | None = None
    node_id: str | None = None

    def __str__(self) -> str:
        after_run = f"{self.run_started_at:x}.{self.run_id}"
        return after_run if self.started_at is None else f"{after_run}.{self.started_at:x}.{self.node_id}"


def place_of(cursor: str) -> Place:
    """The place that a cursor means.

    Raises:
        QueryError: None is meant.
    """
    found = _FORM.fullmatch(cursor.strip())
    if found is None:
        raise QueryError(f"{cursor[:100]!r} is no cursor; take one as a search has printed it")
    run_started_at, run_id, started_at, node_id = found.groups()
    after_node = (None, None) if started_at is None else (int(started_at, 16), node_id)
    return Place(int(run_started_at, 16), run_id, *after_node)
