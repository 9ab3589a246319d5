"""The store: the tables, the one writer, what follows from the facts, and reading.

SQLAlchemy is loaded when a store is opened, not when this is imported: the
projection uses `spandag.store.rows` within the host's program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spandag.store.errors import StoreError

if TYPE_CHECKING:
    from spandag.store.access import Store, load_run, load_tree
    from spandag.store.records import RunRows, TreeRows
    from spandag.store.writer import Writer


def open_store(url: str) -> Store:
    """Open an existing store for reading and settling; a context manager.

    Args:
        url: SQLAlchemy URL, such as ``sqlite:///path/to/spandag.db`` or ``postgresql://user@host/name``.

    Raises:
        StoreError: There is none, it is another program's, damaged, or of a kind that is not
            supported. The message is one line and says what to do.
    """
    from spandag.store.access import Store

    return Store(url)


_LAZY = {
    "RunRows": "spandag.store.records",
    "TreeRows": "spandag.store.records",
    "Store": "spandag.store.access",
    "Writer": "spandag.store.writer",
    "load_run": "spandag.store.access",
    "load_tree": "spandag.store.access",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["RunRows", "Store", "StoreError", "TreeRows", "Writer", "load_run", "load_tree", "open_store"]
