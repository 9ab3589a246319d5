"""Settings, read from the environment and overridden by keywords."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ENV_URL = "OTEL_EXPORTER_SPANDAG_URL"
ENV_PRICES = "OTEL_EXPORTER_SPANDAG_PRICES"
ENV_CAPTURE_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
ENV_TRACES_EXPORTER = "OTEL_TRACES_EXPORTER"

_CONTENT_ON_SPANS = frozenset({"SPAN_ONLY", "SPAN_AND_EVENT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set, and where it comes from.

    | variable | keyword | meaning | default |
    |---|---|---|---|
    | `OTEL_EXPORTER_SPANDAG_URL` | `url` | SQLAlchemy URL of the store | `sqlite:///<user data>/spandag/spandag.db` |
    | `OTEL_EXPORTER_SPANDAG_PRICES` | `prices` | JSON file of prices that win over the built-in ones | none |
    | `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` | `capture_content` | messages, arguments and results on spans: `NO_CONTENT`, `SPAN_ONLY`, `EVENT_ONLY` (nothing on spans) or `SPAN_AND_EVENT` | `NO_CONTENT` |
    """

    url: str
    prices: str | None = None
    capture_content: bool = False

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Read the environment; a keyword that is not None wins over its variable.

        Args:
            environ: The variables to read; the process's own by default.
            **overrides: Values for the fields of this class.
        """
        env = os.environ if environ is None else environ
        settings = cls(
            url=env.get(ENV_URL, "").strip() or default_url(),
            prices=env.get(ENV_PRICES, "").strip() or None,
            capture_content=cls.capture_content_in_environment(env),
        )
        return replace(settings, **{k: v for k, v in overrides.items() if v is not None})

    @staticmethod
    def capture_content_in_environment(environ: Mapping[str, str] | None = None) -> bool:
        """Whether the environment turns content on; read for each call, so kept apart from the rest."""
        env = os.environ if environ is None else environ
        return env.get(ENV_CAPTURE_CONTENT, "").strip().upper() in _CONTENT_ON_SPANS


def default_url() -> str:
    """The store used when nobody names one: a SQLite file in the user's data folder."""
    # Imported here: the workflow API must not pay for what only a store needs.
    from platformdirs import user_data_dir

    path = str(Path(user_data_dir("spandag", appauthor=False)) / "spandag.db")
    # In a URL a per cent sign starts an escape.
    return f"sqlite:///{path.replace('%', '%25')}"
