"""Whose turn it is to remove runs: once a day, of all that write to a store one."""

from __future__ import annotations

from sqlalchemy import Connection

from spandag.store.connect import Database
from spandag.store.limits import DAY_NS, now_ns, read_limits, read_pruned_at, write_pruned_at
from spandag.store.prune import Pruned, prune

SECONDS = 2.0
"""How long those who have something else to do are kept."""


def prune_if_due(database: Database, *, seconds: float = SECONDS) -> Pruned | None:
    """`prune`, where nobody has done so for a day; of several processes one does it.

    Cheap where it is not due: a look at two settings. A process may ask once an hour; where the answer
    says that it is not finished, it is due again at once, for this process or another.

    Args:
        database: Open for writing, with no transaction of this thread.
        seconds: How long it may take.

    Returns:
        What was removed; None where it was not due.
    """
    if not database.transact(lambda connection: is_due(connection, now_ns(connection)), reads=True):
        return None

    def take(connection: Connection) -> tuple[int | None, int] | None:
        # Looked at again under the lock: another process may have taken it meanwhile.
        database.lock(connection, "prune")
        before, now = read_pruned_at(connection), now_ns(connection)
        if not is_due(connection, now):
            return None
        write_pruned_at(connection, now)
        return before, now

    taken = database.transact(take)
    if taken is None:
        return None
    before, now = taken
    pruned = prune(database, now=now, seconds=seconds)
    if not pruned.is_finished:

        def hand_on(connection: Connection) -> None:
            database.lock(connection, "prune")
            if read_pruned_at(connection) == now:
                write_pruned_at(connection, before)

        database.transact(hand_on)
    return pruned


def is_due(connection: Connection, now: int) -> bool:
    """Whether runs are to be removed: there is a limit, and nobody has looked for a day.

    Args:
        connection: To the store.
        now: Unix ns by the database's clock.
    """
    if not read_limits(connection):
        return False
    pruned_at = read_pruned_at(connection)
    # A clock that was put back must not stop it for good.
    return pruned_at is None or not pruned_at <= now < pruned_at + DAY_NS
