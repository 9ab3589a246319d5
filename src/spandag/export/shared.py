"""The pipelines of this process: one for each store, whoever brings spans for it."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable

from spandag.config import Settings
from spandag.export.pipeline import Pipeline

_pipelines: dict[str, Pipeline] = {}
_lock = threading.Lock()
# After what the program itself wants done at the end of a child.
_LATE = -100


def pipeline_to(settings: Settings) -> Pipeline:
    """The pipeline of this process to a store; every call is to be followed by a `release`."""
    _follow_multiprocessing()
    with _lock:
        pipeline = _pipelines.get(settings.url)
        if pipeline is None:
            pipeline = _pipelines[settings.url] = Pipeline(settings)
        pipeline.users += 1
        return pipeline


def release(pipeline: Pipeline, timeout_s: float) -> None:
    """Give a pipeline back; the last one closes it.

    Args:
        pipeline: From `pipeline_to`.
        timeout_s: Seconds that closing it may take.
    """
    with _lock:
        pipeline.users -= 1
        if pipeline.users > 0:
            return
        if _pipelines.get(pipeline.url) is pipeline:
            del _pipelines[pipeline.url]
    pipeline.close(timeout_s)


def _flush_all() -> None:
    # Providers that shut down by themselves come after this; those that do not, never.
    for pipeline in list(_pipelines.values()):
        pipeline.finish(pipeline.settings.timeout / 1000)


def _in_child() -> None:
    global _lock
    _lock = threading.Lock()
    for pipeline in list(_pipelines.values()):
        pipeline.begin()
    _follow_multiprocessing()


# Whether `multiprocessing` knows of us, here and in all that are forked from here.
_is_followed = False
# The process at whose end it does what we want.
_ends_in: int | None = None


def _follow_multiprocessing() -> None:
    """Bring what is left before a child of `multiprocessing` ends.

    Those that are forked, here or by its server, end by `os._exit`, without what `atexit` knows.
    """
    global _is_followed
    util = sys.modules.get("multiprocessing.util")
    if util is None:
        return
    if not _is_followed:
        _is_followed = True
        # They begin by forgetting what was wanted at the end before, so this has to come after that.
        util.register_after_fork(_flush_all, _flush_at_the_end_of_a_child)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None and _ends_in != os.getpid():
        # One that has begun already, without us: what it runs has brought us.
        _flush_at_the_end_of_a_child(_flush_all)


def _flush_at_the_end_of_a_child(flush: Callable[[], None]) -> None:
    global _ends_in
    _ends_in = os.getpid()
    sys.modules["multiprocessing.util"].Finalize(None, flush, exitpriority=_LATE)


atexit.register(_flush_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
