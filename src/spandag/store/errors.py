"""What can be wrong with a store, in one line that says what to do."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot be used. The message is one line and says what to do about it."""


class NoStoreError(StoreError):
    """What was named can never be a store: there is no use in trying again."""


class MissingStoreError(StoreError):
    """Nothing has been stored there yet."""
