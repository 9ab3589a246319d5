"""Remove whole runs: those that are too old, then the oldest until the store is small enough.

A run goes in a transaction of its own, a big one in several. First come its tombstone and its own row:
from then on writers leave out what still comes of it, and nobody sees what is left of its rows. What one
who was stopped in between has left behind, the next one finishes.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, delete, exists, func, select, text

from spandag.store import prunable, schema, text_index
from spandag.store.connect import Database
from spandag.store.limits import DAY_NS, Limits, days_ago, now_ns, read_limits
from spandag.store.prunable import EVER, FIRST, Old
from spandag.store.settling import settle_session
from spandag.store.size import POINTER_BYTES, row_bytes, size_of
from spandag.store.statements import FACT_TABLES, Statements
from spandag.store.tombstones import AGE, ASKED, SIZE

T = TypeVar("T")

# Rows of a transaction at most; how many runs are looked up at once.
_SLICE = 5_000
_PAGE = 1_000
# The longest that others are let through between two transactions.
_PAUSE_S = 0.1

# Nodes last: as long as there are any, a run is not removed yet.
_TABLES = FACT_TABLES[::-1]

Report = Callable[[int, int | None], None]
"""Called with how many runs are done, and how many there are; None where that is not known."""


@dataclass(frozen=True)
class Pruned:
    """What was removed, or would be.

    Attributes:
        store: How messages name it.
        dry_run: Whether nothing was removed in fact.
        runs: How many runs.
        nodes: How many nodes they had.
        rows: How many rows of all tables.
        bytes: What they took, with their share of the indexes.
        too_old: How many of the runs ended too long ago.
        too_much: How many were the oldest of a store that is too large.
        going_on: How many would have been, but are held open by a process that is alive.
        size: Bytes that the store uses now, without what the database keeps free for new rows.
        days: After how many days a run is too old; None for no limit.
        max_size: How many bytes the store may use; None for no limit.
        is_over: Whether it uses more, since all but the newest run, and runs that go on, are removed.
        needs_vacuum: Whether the file stays as large as it was until somebody calls ``VACUUM``.
        is_finished: Whether all is removed that is to be; there may have been too little time.
    """

    store: str
    dry_run: bool
    runs: int
    nodes: int
    rows: int
    bytes: int
    too_old: int
    too_much: int
    going_on: int
    size: int
    days: int | None
    max_size: int | None
    is_over: bool
    needs_vacuum: bool
    is_finished: bool


def prune(
    database: Database,
    *,
    now: int | None = None,
    seconds: float = math.inf,
    report: Report | None = None,
    run_ids: Iterable[str] | None = None,
) -> Pruned:
    """Remove what the store's own limits say, while others go on writing.

    Args:
        database: Open for writing.
        now: Unix ns; by default the database's clock.
        seconds: How long it may take; a transaction that has begun is finished.
        report: Called between runs.
        run_ids: To remove these runs and no others.
    """
    return _Pruning(database, now, seconds, report).run(run_ids)


class _Removed(NamedTuple):
    """What a transaction has removed of a run."""

    rows: int
    bytes: int
    nodes: int = 0
    session_id: str | None = None


_GOES_ON = _Removed(0, 0)


class _Pruning:
    def __init__(self, database: Database, now: int | None, seconds: float, report: Report | None) -> None:
        self.database = database
        self.statements = Statements.of(database.engine.dialect)
        self.until = time.monotonic() + seconds
        self.report = report or (lambda done, total: None)

        def look(connection: Connection) -> tuple[int, Limits, float]:
            at = now_ns(connection) if now is None else now
            return at, read_limits(connection), size_of(connection).factor

        self.now, self.limits, self.factor = database.transact(look, reads=True)
        self.reasons: Counter[str] = Counter()
        self.nodes = self.rows = self.bytes = self.going_on = 0
        self.sessions: set[str] = set()
        self.is_finished = True

    def run(self, run_ids: Iterable[str] | None) -> Pruned:
        try:
            for run_id in self.database.transact(_unfinished, reads=True):
                self.finish(run_id)
            if run_ids is not None:
                for run_id in sorted(set(run_ids)):
                    self.remove(run_id, ASKED, EVER)
            else:
                self.by_age()
                self.by_size()
        finally:
            self.settle_sessions()
        if run_ids is None and self.is_finished:
            self.forget_writers()
        with self.database.engine.connect() as connection:
            gave_back = self.database.give_back(connection, self.until)
        size = self.database.transact(size_of, reads=True).used
        max_size = self.limits.max_size
        return Pruned(
            store=self.database.label,
            dry_run=False,
            runs=self.reasons.total(),
            nodes=self.nodes,
            rows=self.rows,
            bytes=self.bytes,
            too_old=self.reasons[AGE],
            too_much=self.reasons[SIZE],
            going_on=self.going_on,
            size=size,
            days=self.limits.days,
            max_size=max_size,
            is_over=run_ids is None and self.is_finished and max_size is not None and size > max_size,
            needs_vacuum=not gave_back,
            is_finished=self.is_finished,
        )

    def by_age(self) -> None:
        if self.limits.days is None:
            return
        before = days_ago(self.now, self.limits.days)
        total = self.database.transact(lambda connection: prunable.count(connection, before), reads=True)
        for done, old in enumerate(self.oldest_first(before)):
            self.report(done, max(total, done))
            self.remove(old.run_id, AGE, before)

    def by_size(self) -> None:
        max_size = self.limits.max_size
        if max_size is None:
            return
        used = self.used()
        if used <= max_size:
            return
        newest = self.database.transact(prunable.newest, reads=True)
        for old in self.oldest_first(EVER):
            if old.run_id == newest:
                return
            self.report(self.reasons.total(), None)
            before = self.bytes
            self.remove(old.run_id, SIZE, old.time + 1)
            used -= self.bytes - before
            # Others write meanwhile, and what a run takes is not always known exactly.
            if used <= max_size and (used := self.used()) <= max_size:
                return

    def used(self) -> int:
        return self.database.transact(size_of, reads=True).used

    def oldest_first(self, before: int) -> Iterator[Old]:
        """Runs, looked up a page at a time; ends where there is no more time."""
        page = [FIRST]
        while page:
            after = page[-1]

            def look(connection: Connection, after: Old = after) -> list[Old]:
                return prunable.oldest(connection, before, after, _PAGE)

            page = self.database.transact(look, reads=True)
            for old in page:
                if not self.has_time():
                    return
                yield old

    def has_time(self) -> bool:
        if time.monotonic() < self.until:
            return True
        self.is_finished = False
        return False

    def remove(self, run_id: str, reason: str, before: int) -> None:
        """Remove a run, unless it is gone, goes on, or is not as old as it was."""
        removed = self.transact(lambda connection: self.take(connection, run_id, reason, before))
        if removed is None:
            return
        if removed is _GOES_ON:
            self.going_on += 1
            return
        self.reasons[reason] += 1
        self.nodes += removed.nodes
        if removed.session_id is not None:
            self.sessions.add(removed.session_id)
        self.count(removed)
        # Beside its own row.
        if removed.rows > _SLICE:
            self.finish(run_id)

    def finish(self, run_id: str) -> None:
        """Remove what is left of the rows of a run that has a tombstone."""
        while self.has_time():
            removed = self.transact(lambda connection: self.take_slice(connection, run_id))
            self.count(removed)
            if removed.rows < _SLICE:
                return

    def count(self, removed: _Removed) -> None:
        self.rows += removed.rows
        self.bytes += removed.bytes

    def take(self, connection: Connection, run_id: str, reason: str, before: int) -> _Removed | None:
        runs, nodes = schema.workflow_runs, schema.dag_nodes
        self.database.lock(connection, f"run {run_id}")
        # Whoever writes to the run takes this row first, and waits.
        row = connection.execute(
            select(runs.c.session_id).where(runs.c.id == run_id).with_for_update()
        ).one_or_none()
        if row is None:
            return None
        at = prunable.time_of(connection, run_id)
        if at is not None and at >= before:
            return None
        if prunable.going_on(connection, self.now, run_id):
            return _GOES_ON
        count = connection.execute(
            select(func.count()).select_from(nodes).where(nodes.c.run_id == run_id)
        ).scalar_one()
        connection.execute(
            self.statements.upsert_tombstone(),
            {"run_id": run_id, "pruned_at": now_ns(connection), "reason": reason, "nodes": count},
        )
        connection.execute(delete(runs).where(runs.c.id == run_id))
        removed = self.take_slice(connection, run_id)
        return _Removed(removed.rows + 1, removed.bytes, count, row.session_id)

    def take_slice(self, connection: Connection, run_id: str) -> _Removed:
        self.database.lock(connection, f"run {run_id}")
        counts_pages = connection.dialect.name == "sqlite"
        used = size_of(connection).used if counts_pages else 0
        # First, so that nothing of it is left once the run is gone.
        rows, said = text_index.forget(connection, run_id, _SLICE), 0
        if rows >= _SLICE:
            return _Removed(rows, max(0, used - size_of(connection).used) if counts_pages else 0)
        for table in _TABLES:
            deleted, size = _delete(connection, table.name, run_id, _SLICE - rows)
            rows += deleted
            said += size
            if rows >= _SLICE:
                break
        size = used - size_of(connection).used if counts_pages else int(said * self.factor)
        return _Removed(rows, max(0, size))

    def transact(self, work: Callable[[Connection], T]) -> T:
        """A transaction that removes, after which others get their turn."""
        start = time.monotonic()
        result = self.database.transact(work)
        if self.database.engine.dialect.name == "sqlite":
            # Whoever waits for the lock only looks now and then.
            time.sleep(min(_PAUSE_S, time.monotonic() - start))
        return result

    def settle_sessions(self) -> None:
        """Bring the sessions that lost runs up to date, also those that somebody was stopped in between at."""
        self.sessions.update(self.database.transact(_sessions_astray, reads=True))
        for session_id in sorted(self.sessions):

            def work(connection: Connection, session_id: str = session_id) -> None:
                self.database.lock(connection, f"session {session_id}")
                settle_session(connection, self.statements, session_id)

            self.database.transact(work)

    def forget_writers(self) -> None:
        """Remove processes that hold nothing open, closed or silent for a day."""
        idle = self.database.transact(
            lambda connection: prunable.idle_writers(connection, self.now - DAY_NS), reads=True
        )
        writers = schema.writers

        def work(connection: Connection) -> None:
            for writer_id, heartbeat_at in idle.items():
                # Not one that has come back meanwhile.
                connection.execute(
                    delete(writers).where(
                        writers.c.id == writer_id, writers.c.heartbeat_at.is_not_distinct_from(heartbeat_at)
                    )
                )

        if idle:
            self.database.transact(work)


def _delete(connection: Connection, table: str, run_id: str, limit: int) -> tuple[int, int]:
    """Delete some rows of a run; says how many, and on PostgreSQL how many bytes they say."""
    values = {"run_id": run_id, "limit": limit}
    if connection.dialect.name == "sqlite":
        statement = f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE run_id = :run_id LIMIT :limit)"
        return connection.execute(text(statement), values).rowcount, 0
    size = row_bytes(connection, schema.metadata.tables[table])
    statement = (
        f"WITH gone AS (DELETE FROM {table} AS t WHERE ctid = ANY(ARRAY("
        f"SELECT ctid FROM {table} WHERE run_id = :run_id LIMIT :limit)) "
        f"RETURNING {size} + {POINTER_BYTES} AS size) SELECT count(*), coalesce(sum(size), 0) FROM gone"
    )
    deleted, said = connection.execute(text(statement), values).one()
    return int(deleted), int(said)


def _unfinished(connection: Connection) -> list[str]:
    """The removed runs that still have nodes."""
    tombstones, nodes = schema.tombstones, schema.dag_nodes
    query = select(tombstones.c.run_id).where(
        exists(select(nodes.c.id).where(nodes.c.run_id == tombstones.c.run_id))
    )
    return list(connection.execute(query.order_by(tombstones.c.run_id)).scalars())


def _sessions_astray(connection: Connection) -> list[str]:
    """The sessions that do not begin when their first run does, or have none."""
    sessions, runs = schema.sessions, schema.workflow_runs
    first = select(func.min(runs.c.started_at)).where(runs.c.session_id == sessions.c.id).scalar_subquery()
    query = select(sessions.c.id).where(sessions.c.started_at.is_distinct_from(first))
    return list(connection.execute(query.order_by(sessions.c.id)).scalars())
