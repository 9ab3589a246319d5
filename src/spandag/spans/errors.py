"""What an exception says, and whether it means that something failed."""

from __future__ import annotations

import sys


def qualified_name(exception: type[BaseException]) -> str:
    """The value of ``error.type`` for an exception: its qualified name, bare for built-ins."""
    if exception.__module__ in ("builtins", "__main__"):
        return exception.__qualname__
    return f"{exception.__module__}.{exception.__qualname__}"


def describe(error: BaseException) -> str:
    """The exception's message, whatever its ``__str__`` does."""
    try:
        return str(error)
    except Exception:
        return ""


def is_cancellation(error: BaseException | None) -> bool:
    """Whether an exception means that the work was called off, not that it failed."""
    if isinstance(error, (KeyboardInterrupt, GeneratorExit)):
        return True
    # To load it takes as long as all of ours; nobody can raise its exception who has not.
    asyncio = sys.modules.get("asyncio.exceptions")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def is_normal_exit(error: BaseException | None) -> bool:
    """Whether an exception is how a program says that it is done: ``sys.exit()`` or ``sys.exit(0)``."""
    return isinstance(error, SystemExit) and (error.code is None or error.code == 0)
