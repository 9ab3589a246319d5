"""OpenTelemetry for AG2 and smolagents, with a local DAG of every run.

::

    import spandag

    spandag.init()  # or: spandag run -- python my_agent.py

    with spandag.run("cosmology report"):
        with spandag.phase("control"):
            for attempt in spandag.step("fit the model").attempts(max_redos=2):
                with attempt:
                    result = engineer.run(task, additional_args={"feedback": attempt.feedback})
                    if not good(result):
                        attempt.reject(hypothesis="try a power law", requested_by="reviewer")

Importing it loads the OpenTelemetry API only; the SDK, the store and the
frameworks are loaded by what needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spandag._setup import init, instrument, uninstrument
from spandag._version import __version__
from spandag.workflow.attempt import Attempt, RedoLimitExceeded
from spandag.workflow.hooks import on
from spandag.workflow.human import ask_human
from spandag.workflow.manual import agent, chat, current, tool
from spandag.workflow.question import Answer, Question
from spandag.workflow.rejection import Rejected
from spandag.workflow.run import phase, run
from spandag.workflow.step import step

if TYPE_CHECKING:
    from spandag.store import Store


def open_store(url: str | None = None) -> Store:
    """Open a store to read what was recorded; use it as a context manager.

    Args:
        url: SQLAlchemy URL of the store; by default that of ``OTEL_EXPORTER_SPANDAG_URL``,
            else the one in the user's data folder.

    Raises:
        spandag.store.StoreError: There is no store, or it cannot be read; the message says what to do.
    """
    from spandag.config import Settings
    from spandag.store import open_store as open_url

    return open_url(Settings.load(url=url).url)


__all__ = [
    "Answer",
    "Attempt",
    "Question",
    "RedoLimitExceeded",
    "Rejected",
    "__version__",
    "agent",
    "ask_human",
    "chat",
    "current",
    "init",
    "instrument",
    "on",
    "open_store",
    "phase",
    "run",
    "step",
    "tool",
    "uninstrument",
]
