"""Looking after a store: which revision it is at, and bringing it to another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from spandag.store import revisions, schema, upgrade
from spandag.store.connect import Database, missing, open_database
from spandag.store.revisions import HEAD, Revision, Say


@dataclass(frozen=True)
class Current:
    """Where a store is.

    Attributes:
        store: How messages name it.
        revision: Its revision.
        title: What that revision did.
        newest: The newest revision that this version knows.
        is_newest: Whether it is there.
    """

    store: str
    revision: str
    title: str
    newest: str
    is_newest: bool


@dataclass(frozen=True)
class Move:
    """What an upgrade or downgrade did.

    Attributes:
        store: How messages name it.
        revision: Where it is now; None before the first.
        steps: The revisions applied or taken back, in order.
    """

    store: str
    revision: str | None
    steps: list[str]


@dataclass(frozen=True)
class Inspected:
    """A store that is looked at as it is: opening it this way does not upgrade it."""

    database: Database
    connection: Connection
    revision: Revision


@contextmanager
def inspected(url: str) -> Iterator[Inspected]:
    """A store as it is, within one snapshot.

    Raises:
        StoreError: There is none, it is another program's, damaged, or written by a newer version.
    """
    database = open_database(url, write=False)
    try:
        with database.explained(), database.engine.connect() as connection:
            state = upgrade.state_of(connection)
            upgrade.require_ours(state, database)
            at = revisions.current(connection)
            if at is None:
                raise missing(database.label)
            found = {revision.id: revision for revision in revisions.revisions()}.get(at)
            if found is None:
                raise revisions.newer(connection, database.label, at)
            yield Inspected(database, connection, found)
    finally:
        database.engine.dispose()


def current(url: str) -> Current:
    """Which revision a store is at; it stays there.

    Raises:
        StoreError: As of `inspected`.
    """
    with inspected(url) as store:
        revision = store.revision
        return Current(
            store=store.database.label,
            revision=revision.id,
            title=revision.title,
            newest=schema.REVISION,
            is_newest=revision.id == schema.REVISION,
        )


def upgrade_to(url: str, target: str = HEAD, *, say: Say | None = None) -> Move:
    """Create a store or bring it to a newer revision.

    Args:
        url: Of the store; it need not exist.
        target: A revision or `revisions.HEAD`.
        say: Called with a line before each revision.

    Raises:
        StoreError: It cannot be written, is another program's, or there is no such revision.
    """
    # Before a file is created for nothing.
    revisions.plan(revisions.revisions(), None, target)
    return _move(url, target, down=False, say=say)


def downgrade_to(url: str, target: str, *, say: Say | None = None) -> Move:
    """Take a store back to an older revision; what only newer ones can hold is lost.

    Args:
        url: Of the store.
        target: A revision, or `revisions.BASE` for an empty database.
        say: Called with a line before each revision.

    Raises:
        StoreError: As of `inspected`, or there is no such revision.
    """
    current(url)
    return _move(url, target, down=True, say=say)


def _move(url: str, target: str, *, down: bool, say: Say | None) -> Move:
    database = open_database(url, write=True)
    try:
        with database.explained():
            # Another program's file must stay exactly as it is.
            upgrade.require_ours(database.transact(upgrade.state_of), database)
            with database.engine.connect() as connection:
                database.prepare(connection)
            steps = upgrade.migrate(database, target, down=down, say=say)
            return Move(database.label, database.transact(revisions.current), steps)
    finally:
        database.engine.dispose()
