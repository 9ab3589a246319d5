"""What can be wrong with a store, in one line that says what to do."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot be used. The message is one line and says what to do about it."""


class NoStoreError(StoreError):
    """What was named can never be a store: there is no use in trying again."""


class MissingStoreError(StoreError):
    """Nothing has been stored there yet."""


_OF_WHAT_IS_WRITTEN = frozenset({"DataError", "IntegrityError", "InterfaceError", "ProgrammingError"})
_SQLSTATES_OF_THE_SCHEMA = "42"


def is_of_the_store(error: StoreError) -> bool:
    """Whether it is the store that cannot take anything now, rather than what it will never take.

    By the classes of PEP 249; a lock, a lost connection, a full disk or a damaged file have others.
    """
    cause: object = getattr(error.__cause__, "orig", None) or error.__cause__
    if str(getattr(cause, "sqlstate", None)).startswith(_SQLSTATES_OF_THE_SCHEMA):
        # Somebody has changed the tables.
        return True
    return _OF_WHAT_IS_WRITTEN.isdisjoint(kind.__name__ for kind in type(cause).__mro__)
