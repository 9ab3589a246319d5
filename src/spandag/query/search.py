"""Where is something said, and which nodes are of a kind?"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sqlalchemy import Connection, select

from spandag.query.asked import at_least
from spandag.query.cursors import Place, place_of
from spandag.query.errors import QueryError
from spandag.query.matching import Match, Wanted
from spandag.query.resolve import resolve_run
from spandag.query.search_filter import Filter
from spandag.query.search_runs import Candidate, candidates, up_to_date
from spandag.query.search_suspects import Suspect, Suspects
from spandag.query.text import decoded
from spandag.query.tree_paths import paths
from spandag.store import Store, schema, text_index
from spandag.store.case_folding import LONGEST
from spandag.store.rows import BRANCH_POINT_PREFIX

SECONDS = 2.0
"""How long a search goes back by default."""

_MOST_RUNS_AT_ONCE = 64
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Hit:
    """A node that was found; its fields but the last four are columns of ``dag_nodes`` and ``workflow_runs``.

    Attributes:
        run_id: Its run.
        run_name: The run's name.
        node_id: The node.
        node_type: One of `spandag.semconv.NodeType`.
        name: Of the agent, tool, model, step …
        step_number: Of a step within its phase, of an iteration within its agent.
        agent: The agent at work, as recorded on its span.
        model: The model asked for.
        status: As of `spandag.query.TreeNode`.
        started_at: Unix nanoseconds.
        ended_at: Unix nanoseconds; None where it has not ended.
        error_type: What went wrong.
        path: Names of the phases, steps, agents … above it (an iteration is ``iteration 1`` …), from the top, without the run.
        found_in: Where the text was found, as of `spandag.query.matching.Match`; None where none was asked for.
        excerpt: What is around it.
        marks: Where the text is in the excerpt: pairs of start and end, in characters.
        cursor: To go on after this node.
    """

    run_id: str
    run_name: str | None
    node_id: str
    node_type: str
    name: str
    step_number: int | None
    agent: str | None
    model: str | None
    status: str
    started_at: int
    ended_at: int | None
    error_type: str | None
    path: list[str]
    found_in: str | None
    excerpt: str | None
    marks: list[tuple[int, int]]
    cursor: str


@dataclass(frozen=True, slots=True)
class Found:
    """A page of what was found.

    Attributes:
        hits: Newest run first, within a run the node that started last first.
        cursor: To go on; None where everything was looked at.
        runs: How many runs were looked at, of those that could have something.
        back_to: When the oldest of them started, in Unix nanoseconds; None where there was none.
        used_index: Whether a text index was asked.
        has_content: Whether there are messages, arguments or results where it was looked.
    """

    hits: list[Hit]
    cursor: str | None
    runs: int
    back_to: int | None
    used_index: bool
    has_content: bool = True


def search(
    store: Store,
    text: str | None = None,
    *,
    session: str | None = None,
    agent: str | None = None,
    node_type: str | None = None,
    model: str | None = None,
    status: str | None = None,
    since: int | None = None,
    until: int | None = None,
    min_duration: int | None = None,
    max_duration: int | None = None,
    error: str | None = None,
    run: str | None = None,
    limit: int = 20,
    cursor: str | None = None,
    use_index: bool = True,
    seconds: float = SECONDS,
) -> Found:
    """Nodes that say something, or that are of a kind; all that is given has to hold.

    A text is found without regard to upper and lower case, also within words, in names, agents, models,
    errors, all content, the hypotheses of redos, and the names and tasks of runs; a message that many calls repeat is
    found where it first appears. Attributes are not searched.

    Goes from the newest run back, until the page is full or its time is over; `Found.cursor` says whether there
    may be more. Spans of other libraries and branch points are left out unless their type is asked for.

    Args:
        store: Where to search.
        text: What to find; None to list what the filters leave.
        session: ``session.id`` of the run.
        agent: The agent at work, as recorded on the node's span.
        node_type: One of `spandag.semconv.NodeType`.
        model: The model asked for.
        status: ``completed``, ``failed``, ``cancelled``, ``pending`` or ``skipped``; of what has not ended
            ``running``, ``interrupted`` or ``open``.
        since: Started then or later, in Unix nanoseconds.
        until: Started earlier, in Unix nanoseconds.
        min_duration: Took so many nanoseconds or more; what has not ended has no duration.
        max_duration: Took so many nanoseconds or less.
        error: With an error whose type or message has this text; ``""`` for any error.
        run: Only of this run, as `spandag.query.resolve_run` takes it.
        limit: How many nodes at most.
        cursor: Of the page before, or of one of its nodes.
        use_index: Whether to ask the text index, where the store has one. The answer is the same without.
        seconds: How long to go back; at least one run is looked at. `math.inf` for everything.

    Raises:
        QueryError: The run, the cursor, a type or a status does not exist, the limit makes no sense, or the text is too
            long.
    """
    at_least(1, limit, "the limit")
    wanted = _wanted(text, "the text to search for")
    wanted_error = _wanted(error, "the text of the error")
    place = place_of(cursor) if cursor is not None else None
    with store.connection() as connection:
        run_id = resolve_run(connection, run) if run is not None else None
        filters = Filter.of(
            connection,
            agent=agent,
            node_type=node_type,
            model=model,
            status=status,
            since=since,
            until=until,
            min_duration=min_duration,
            max_duration=max_duration,
            error=wanted_error,
            has_error=error is not None,
        )
        can_have = None
        if wanted is not None and use_index and len(wanted.text) >= text_index.SHORTEST:
            can_have = (
                text_index.runs_with(connection, wanted.text) if text_index.is_usable(connection) else None
            )
        runs = candidates(
            connection,
            session=session,
            run_id=run_id,
            since=since,
            until=until,
            wanted=wanted,
            can_have=can_have,
            after=place,
        )
        found = _Search(connection, wanted, filters, limit, place, session, can_have is not None).through(
            runs, seconds
        )
        return found if found.hits else replace(found, has_content=_has_content(connection, run_id))


def _has_content(connection: Connection, run_id: str | None) -> bool:
    """Whether the run, or where none is meant any run, has messages, arguments or results."""
    statement = select(schema.messages.c.run_id).limit(1)
    if run_id is not None:
        statement = statement.where(schema.messages.c.run_id == run_id)
    return connection.execute(statement).first() is not None


def _wanted(text: str | None, what: str) -> Wanted | None:
    if not text:
        return None
    if len(text) > LONGEST:
        raise QueryError(f"{what} has {len(text):,} characters; at most {LONGEST:,} can be searched for")
    return Wanted(text)


class _Search:
    def __init__(
        self,
        connection: Connection,
        wanted: Wanted | None,
        filters: Filter,
        limit: int,
        after: Place | None,
        session: str | None,
        used_index: bool,
    ) -> None:
        self.connection = connection
        self.wanted = wanted
        self.filters = filters
        self.limit = limit
        self.suspects = Suspects(connection, wanted, filters, after)
        self.session = session
        self.used_index = used_index
        self.hits: list[Hit] = []

    def through(self, runs: Sequence[Candidate], seconds: float) -> Found:
        end = time.monotonic() + seconds if seconds < math.inf else math.inf
        looked = 0
        at_once = 1
        last: Candidate | None = None
        place: Place | None = None
        remaining = iter(runs)
        while some := list(islice(remaining, at_once)):
            last = some[-1]
            looked += len(some)
            is_all = self.look_at(some)
            if len(self.hits) == self.limit and not (is_all and looked == len(runs)):
                return Found(self.hits, self.hits[-1].cursor, looked, last.started_at, self.used_index)
            if time.monotonic() >= end:
                break
            at_once = min(2 * at_once, _MOST_RUNS_AT_ONCE)
        if last is not None and looked < len(runs):
            place = Place(last.started_at, last.id)
        return Found(
            self.hits,
            None if place is None else str(place),
            looked,
            None if last is None else last.started_at,
            self.used_index,
        )

    def look_at(self, runs: Sequence[Candidate]) -> bool:
        """Add the hits of some runs; says whether all of their nodes were looked at."""
        known = [up_to_date(self.connection, run, self.session) for run in runs]
        suspects = self.suspects.of([run for run in known if run is not None], self.limit + 1)
        for start in range(0, len(suspects), _AT_ONCE):
            some = suspects[start : start + _AT_ONCE]
            found = self.checked(some)
            room = self.limit - len(self.hits)
            self.hits += self.hits_of(found[:room])
            if len(self.hits) == self.limit:
                return len(found) <= room and start + len(some) >= len(suspects)
        return True

    def checked(self, suspects: Sequence[Suspect]) -> list[tuple[Suspect, Any, Match | None]]:
        """Those that are hits, with their rows and where the text is."""
        table = schema.dag_nodes.c
        by_run: defaultdict[str, list[Suspect]] = defaultdict(list)
        for suspect in suspects:
            by_run[suspect.run.id].append(suspect)
        rows: dict[tuple[str, str], Any] = {}
        hypotheses: dict[tuple[str, str], str | None] = {}
        texts: dict[tuple[str, bytes], Any] = {}
        for run_id, of_run in by_run.items():
            ids = [each.id for each in of_run]
            columns = [*_SHOWN, *_SEARCHED] if self.wanted is not None else _SHOWN
            for row in self.connection.execute(
                select(*(table[name] for name in columns)).where(table.run_id == run_id, table.id.in_(ids))
            ):
                rows[run_id, row.id] = row
            if self.wanted is None:
                continue
            branches, messages = schema.branches.c, schema.messages.c
            points = [BRANCH_POINT_PREFIX + node_id for node_id in ids]
            for point, hypothesis in self.connection.execute(
                select(branches.branch_node_id, branches.hypothesis).where(
                    branches.run_id == run_id, branches.branch_node_id.in_(points)
                )
            ):
                hypotheses[run_id, point.removeprefix(BRANCH_POINT_PREFIX)] = hypothesis
            digests = list({digest for each in of_run for _, digest in each.messages})
            for message in self.connection.execute(
                select(messages.hash, messages.format, messages.content).where(
                    messages.run_id == run_id, messages.hash.in_(digests)
                )
            ):
                texts[run_id, bytes(message.hash)] = message
        found = []
        for suspect in suspects:
            key = (suspect.run.id, suspect.id)
            match = None
            if self.wanted is not None:
                match = self.match(suspect, rows[key], hypotheses.get(key), texts)
            if (self.wanted is None or match is not None) and self.filters.holds(rows[key]):
                found.append((suspect, rows[key], match))
        return found

    def match(self, suspect: Suspect, row: Any, hypothesis: str | None, texts: Any) -> Match | None:
        wanted, run = self.wanted, suspect.run
        assert wanted is not None
        is_root = run.root_node_id == suspect.id
        for found_in, text in (
            ("name", decoded(row.name)),
            ("name", run.name if is_root else None),
            ("error", decoded(row.error_message)),
            ("error", decoded(row.error_type)),
            ("hypothesis", decoded(hypothesis)),
            ("task", run.task if is_root else None),
        ):
            if match := wanted.match(found_in, text):
                return match
        for direction, preview in (("input", row.input_preview), ("output", row.output_preview)):
            if match := wanted.match_in_json(direction, decoded(preview)):
                return match
        for direction, digest in suspect.messages:
            message = texts[run.id, digest]
            if match := wanted.match_in_message(direction, message.format, message.content):
                return match
        return wanted.match("agent", decoded(row.agent)) or wanted.match("model", decoded(row.model))

    def hits_of(self, found: Sequence[tuple[Suspect, Any, Match | None]]) -> list[Hit]:
        above = paths(self.connection, [(suspect.run.id, suspect.id) for suspect, _, _ in found])
        return [
            Hit(
                run_id=suspect.run.id,
                run_name=suspect.run.name,
                node_id=suspect.id,
                node_type=row.node_type,
                name=decoded(row.name),
                step_number=row.step_number,
                agent=decoded(row.agent),
                model=decoded(row.model),
                status=self.filters.standing(row),
                started_at=row.started_at,
                ended_at=row.ended_at,
                error_type=decoded(row.error_type),
                path=above[suspect.run.id, suspect.id],
                found_in=match.found_in if match else None,
                excerpt=match.excerpt if match else None,
                marks=match.marks if match else [],
                cursor=str(suspect.place),
            )
            for suspect, row, match in found
        ]


_SHOWN = (
    "id",
    "node_type",
    "name",
    "step_number",
    "agent",
    "model",
    "status",
    "started_at",
    "ended_at",
    "error_type",
    "error_message",
    "writer_id",
)
_SEARCHED = ("input_preview", "output_preview")
