"""Deriving what a writer has written, when its schedule says so."""

from __future__ import annotations

import logging
import math
import time

from spandag._guard import guard, say_once
from spandag.store.connect import Database
from spandag.store.errors import StoreError, is_of_the_store
from spandag.store.schedule import Schedule
from spandag.store.settling import LARGE, Settled, settle_run
from spandag.store.statements import Statements

AWAY = 3
"""Runs in a row that cannot be derived: then it is the database."""

# How often a large run is derived that has news each time.
_TRIES = 3

# How long the end of a writer may take for runs that others have left behind.
_OF_OTHERS_S = 1.0


class Derivations:
    """What is to be derived of what one or more writers write.

    What cannot be derived is said and tried again later: the facts are safe, and what follows from them can also
    be had when reading.

    Args:
        url: Of the store; what is said of it is said once.

    Attributes:
        schedule: When.
    """

    def __init__(self, url: str) -> None:
        self.schedule = Schedule()
        self._url = url

    def catch_up(
        self,
        database: Database,
        statements: Statements,
        for_s: float = math.inf,
        *,
        large: bool | None = None,
    ) -> StoreError | None:
        """Derive the runs that are due.

        Args:
            database: Open for writing.
            statements: Of this database.
            for_s: Seconds after which no other run is begun.
            large: Whether to derive the large ones or the others; both by default.

        Returns:
            What has put an end to it, where that is the store's fault.
        """
        until = time.monotonic() + for_s
        while (run_id := self.schedule.next_due(large=large)) is not None:
            is_done, problem = self._derive(database, statements, run_id, large=large)
            if not is_done or time.monotonic() >= until:
                return problem
        return None

    def catch_up_with_all(self, database: Database, statements: Statements, until: float) -> None:
        """Derive whatever is behind, due or not; of others' runs a few.

        Args:
            database: Open for writing.
            statements: Of this database.
            until: By `time.monotonic`; after that no other run is begun.
        """
        self._derive_all(self.schedule.pending(), database, statements, until)
        others = self.schedule.pending(adopted=True)
        until = min(until, time.monotonic() + _OF_OTHERS_S)
        self._derive_all(others, database, statements, until, large=False)

    def _derive_all(
        self,
        run_ids: list[str],
        database: Database,
        statements: Statements,
        until: float,
        *,
        large: bool | None = None,
    ) -> None:
        in_a_row = 0
        for run_id in run_ids:
            if in_a_row == AWAY or time.monotonic() >= until:
                return
            # Unless somebody else is at it.
            if self.schedule.begin(run_id):
                is_done, _ = self._derive(database, statements, run_id, large=large)
                in_a_row = 0 if is_done else in_a_row + 1

    def _derive(
        self, database: Database, statements: Statements, run_id: str, *, large: bool | None = None
    ) -> tuple[bool, StoreError | None]:
        """Derive a run that was begun.

        Returns:
            Whether that is done with, if only since it is too large, and why not where that is the store's fault.
        """
        # A large run costs the program the processor's time only; its pauses and waits keep nobody else.
        clock = time.thread_time if large else time.monotonic
        start = clock()
        result, problem = None, None
        try:
            with guard("derive a run"):
                try:
                    with database.explained():
                        result = settle_run(
                            database, statements, run_id, at_most=LARGE if large is False else None
                        )
                except StoreError as error:
                    problem = error
                    # Of a store that is away whoever writes to it speaks.
                    level = logging.DEBUG if is_of_the_store(error) else logging.WARNING
                    say_once(
                        level, f"derive:{level}:{self._url}", "spandag could not derive a run: %s", error
                    )
        finally:
            self._note(run_id, result, clock() - start)
        return result is not None, problem

    def _note(self, run_id: str, result: Settled | None, seconds: float) -> None:
        if result is None:
            self.schedule.failed(run_id, seconds)
        elif result is Settled.TOO_LARGE:
            self.schedule.found_large(run_id)
        else:
            self.schedule.derived(run_id, seconds, is_behind=result is Settled.BEHIND)


def settle_at_last(database: Database, statements: Statements, run_id: str) -> bool:
    """Settle a run, again where facts came meanwhile; one that is written to without pause is left behind.

    Args:
        database: Open for writing.
        statements: Of this database.
        run_id: The run.

    Returns:
        Whether it was out of date.
    """
    for _ in range(_TRIES):
        result = settle_run(database, statements, run_id)
        if result is not Settled.BEHIND:
            return result is not Settled.IT_WAS
    return True
