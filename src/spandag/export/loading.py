"""Loading what writing takes, SQLAlchemy above all, in threads of our own.

A fork in the middle of an import would leave the child with half a module. So a fork waits
for it, as long as an import may take.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spandag.store.writer import Writer

_LONGEST_S = 10.0

_lock = threading.RLock()
_held: list[bool] = []


def load_writer() -> type[Writer]:
    """The class `spandag.store.Writer`, with what it needs."""
    with _lock:
        import sqlalchemy.dialects.sqlite  # noqa: F401

        from spandag.store.writer import Writer

        return Writer


def _before_fork() -> None:
    _held.append(_lock.acquire(timeout=_LONGEST_S))


def _after_fork() -> None:
    if _held.pop():
        _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
