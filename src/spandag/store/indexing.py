"""Building the text index, while others go on writing, and removing it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, select, text

from spandag.store import schema, text_index
from spandag.store.admin import inspected
from spandag.store.case_folding import folded, trigrams
from spandag.store.connect import Database
from spandag.store.text_index import LOOKED_UP, RUNS, UNFINISHED
from spandag.store.writer import open_for_writing

T = TypeVar("T")

Report = Callable[[int, int | None], None]
"""Called with how many runs are done, and how many there are."""

# Texts of a transaction at most, and characters: others wait no longer than that takes.
_SLICE = 500
_SLICE_CHARACTERS = 1_000_000
# A long text is indexed in pieces that share what is looked up across their border.
_PIECE = 40_000
_PAUSE_S = 0.1

Text = tuple[str, list[str]]


@dataclass(frozen=True)
class Indexed:
    """What there is of an index now.

    Attributes:
        store: How messages name it.
        runs: How many runs it covers.
        added: How many of them were indexed now, for the first time or as they have changed.
        removed: How many were taken out, as they are not in the store any more.
        dropped: Whether there was an index, which was removed.
    """

    store: str
    runs: int
    added: int
    removed: int
    dropped: bool


def build_index(url: str, *, report: Report | None = None) -> Indexed:
    """Build the text index of a store, or bring it up to date: only what is new is indexed.

    In small transactions. Whoever is stopped in between leaves an index that is right, and the next one goes on.

    Args:
        url: Of the store.
        report: Called between runs.

    Raises:
        StoreError: There is no store, it cannot be written, or its SQLite has no FTS5.
    """
    with _writing(url) as database:
        return _Building(database, report or (lambda done, total: None)).run()


def drop_index(url: str) -> Indexed:
    """Remove the text index of a store, if it has any.

    Raises:
        StoreError: As of `build_index`.
    """
    with _writing(url) as database:

        def work(connection: Connection) -> bool:
            database.lock(connection, "text index")
            return text_index.drop(connection, database.label)

        dropped = database.transact(work)
        with database.engine.connect() as connection:
            database.give_back(connection, time.monotonic() + 10)
        return Indexed(database.label, 0, 0, 0, dropped)


class _Building:
    def __init__(self, database: Database, report: Report) -> None:
        self.database = database
        self.report = report
        self.builder = secrets.token_hex(8)
        self.needs_trigrams = database.engine.dialect.name == "postgresql"

    def run(self) -> Indexed:
        self.transact(self.make)
        removed = self.remove_gone()
        due = self.database.transact(_due, reads=True)
        added = 0
        for done, (run_id, is_known) in enumerate(due):
            self.report(done, len(due))
            if is_known:
                self.forget(run_id)
            added += self.index(run_id)
        self.report(len(due), len(due))
        count = self.database.transact(
            lambda connection: connection.execute(
                text(f"SELECT count(*) FROM {RUNS} WHERE facts_version <> {UNFINISHED}")
            ).scalar_one(),
            reads=True,
        )
        return Indexed(self.database.label, count, added, removed, False)

    def make(self, connection: Connection) -> None:
        self.database.lock(connection, "text index")
        text_index.require_support(connection, self.database.label)
        if not text_index.exists(connection):
            text_index.create(connection)

    def remove_gone(self) -> int:
        """Take out what was indexed while it was removed from the store."""
        gone = self.database.transact(_gone, reads=True)
        for run_id in gone:
            self.forget(run_id)
        while self.transact(lambda connection: text_index.forget_strays(connection, _SLICE)) == _SLICE:
            pass
        return len(gone)

    def forget(self, run_id: str) -> None:
        while self.transact(lambda connection: text_index.forget(connection, run_id, _SLICE)) == _SLICE:
            pass

    def index(self, run_id: str) -> bool:
        """Index a run; says whether that was done: it may be gone, or another process is at it."""
        read: list[tuple[int, list[Text]]] = []

        def look(connection: Connection) -> None:
            read.clear()
            # The version first: what is written meanwhile moves it, and the run is not covered then.
            version = connection.execute(
                select(schema.workflow_runs.c.facts_version).where(schema.workflow_runs.c.id == run_id)
            ).scalar()
            if version is not None:
                read.append((version, [self.prepared(each) for each in texts_of(connection, run_id)]))

        self.database.transact(look, reads=True)
        if not read:
            return False
        version, texts = read[0]
        slices = list(_sliced(texts))
        for number, part in enumerate(slices, 1):
            is_last = number == len(slices)

            def work(
                connection: Connection,
                part: list[Text] = part,
                is_first: bool = number == 1,
                is_last: bool = is_last,
            ) -> bool:
                # Whoever removes the run waits, or has been there.
                self.database.lock(connection, f"run {run_id}")
                self.database.lock(connection, "text index")
                if not self.holds(connection, run_id, is_first=is_first):
                    return False
                text_index.insert(connection, run_id, part)
                if is_last:
                    connection.execute(
                        text(f"UPDATE {RUNS} SET facts_version = :version WHERE run_id = :run_id"),
                        {"version": version, "run_id": run_id},
                    )
                return True

            if not self.transact(work):
                return False
        return True

    def holds(self, connection: Connection, run_id: str, *, is_first: bool) -> bool:
        """Whether the run is there and this process is the one that indexes it."""
        runs = schema.workflow_runs
        if connection.execute(select(runs.c.id).where(runs.c.id == run_id)).first() is None:
            return False
        values = {"run_id": run_id, "version": UNFINISHED, "builder": self.builder}
        if is_first:
            connection.execute(
                text(
                    f"INSERT INTO {RUNS} (run_id, facts_version, builder) VALUES (:run_id, :version, :builder) "
                    "ON CONFLICT (run_id) DO NOTHING"
                ),
                values,
            )
        query = text(f"SELECT builder FROM {RUNS} WHERE run_id = :run_id AND facts_version = :version")
        return connection.execute(query, values).scalar() == self.builder

    def prepared(self, stored: str) -> Text:
        return folded(stored), sorted(trigrams(stored)) if self.needs_trigrams else []

    def transact(self, work: Callable[[Connection], T]) -> T:
        start = time.monotonic()
        result = self.database.transact(work)
        if not self.needs_trigrams:
            # Whoever waits for SQLite's lock only looks now and then.
            time.sleep(min(_PAUSE_S, time.monotonic() - start))
        return result


def texts_of(connection: Connection, run_id: str) -> Iterator[str]:
    """What is searched of a run, as it is stored, in pieces of bounded length."""
    nodes, branches, messages = schema.dag_nodes, schema.branches, schema.messages
    of_nodes = select(
        nodes.c.name,
        nodes.c.agent,
        nodes.c.model,
        nodes.c.error_type,
        nodes.c.error_message,
        nodes.c.input_preview,
        nodes.c.output_preview,
    ).where(nodes.c.run_id == run_id)
    for row in connection.execute(of_nodes):
        yield from _pieces("\n".join(filter(None, row)))
    for query in (
        select(branches.c.hypothesis).where(branches.c.run_id == run_id, branches.c.hypothesis.is_not(None)),
        select(messages.c.content).where(messages.c.run_id == run_id),
    ):
        for content in connection.execute(query).scalars():
            yield from _pieces(content)


def _pieces(whole: str) -> Iterator[str]:
    if len(whole) <= _PIECE:
        yield whole
        return
    for start in range(0, len(whole), _PIECE - LOOKED_UP):
        yield whole[start : start + _PIECE]


def _sliced(texts: list[Text]) -> Iterator[list[Text]]:
    part: list[Text] = []
    size = 0
    for each in texts:
        if part and (len(part) >= _SLICE or size + len(each[0]) > _SLICE_CHARACTERS):
            yield part
            part, size = [], 0
        part.append(each)
        size += len(each[0])
    # A run without any text is indexed, too.
    yield part


def _due(connection: Connection) -> list[tuple[str, bool]]:
    """The runs that the index does not cover, and whether it has something of them."""
    query = (
        f"SELECT r.id, i.run_id IS NOT NULL FROM workflow_runs AS r LEFT JOIN {RUNS} AS i ON i.run_id = r.id "
        "WHERE i.run_id IS NULL OR i.facts_version <> r.facts_version ORDER BY r.started_at, r.id"
    )
    return [(run_id, bool(known)) for run_id, known in connection.execute(text(query))]


def _gone(connection: Connection) -> list[str]:
    query = (
        f"SELECT run_id FROM {RUNS} AS i WHERE NOT EXISTS (SELECT 1 FROM workflow_runs WHERE id = i.run_id)"
    )
    return list(connection.execute(text(query)).scalars())


@contextmanager
def _writing(url: str) -> Iterator[Database]:
    # Nothing is created for an index.
    with inspected(url):
        pass
    database = open_for_writing(url)
    try:
        with database.explained():
            yield database
    finally:
        database.engine.dispose()
