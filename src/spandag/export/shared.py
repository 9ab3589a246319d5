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
        pipeline.flush(pipeline.settings.timeout / 1000)


def _in_child() -> None:
    global _lock
    _lock = threading.Lock()
    for pipeline in list(_pipelines.values()):
        pipeline.begin()
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        # Its children end by `os._exit`, without what `atexit` knows; and they begin by forgetting
        # what the parent wanted at its end, so this has to come after that.
        util.register_after_fork(_flush_all, _flush_at_the_end_of_a_child)


def _flush_at_the_end_of_a_child(flush: Callable[[], None]) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, flush, exitpriority=_LATE)


atexit.register(_flush_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
