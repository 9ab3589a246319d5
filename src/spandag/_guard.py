"""Our failures never reach the host program; in our own tests they surface.

`guard` goes around spandag's code only, never around the user's call, so that
the user's exception is never touched by it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("spandag")

_said: set[str] = set()
_said_lock = threading.Lock()


def strict() -> bool:
    """Whether internal errors are raised (our tests set ``SPANDAG_STRICT=1``)."""
    return os.environ.get("SPANDAG_STRICT") == "1"


def say_once(level: int, key: str, message: str, *args: object) -> None:
    """Log a message the first time that its key is seen in this process."""
    with _said_lock:
        if key in _said:
            return
        _said.add(key)
    logger.log(level, message, *args)


@contextmanager
def guard(what: str) -> Iterator[None]:
    """Keep an exception of our own code away from the host.

    Args:
        what: What was being done, as it shall read in the log after "could not".
    """
    try:
        yield
    except Exception as error:
        if strict():
            raise
        # One line for users once per place; the traceback for whoever asks at DEBUG.
        say_once(
            logging.WARNING,
            f"guard:{what}:{type(error).__name__}",
            "spandag could not %s (%s: %s); the program goes on without it",
            what,
            type(error).__name__,
            error,
        )
        logger.debug("could not %s", what, exc_info=True)
