"""Settings, read from the environment and overridden by keywords."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ENV_URL = "OTEL_EXPORTER_SPANDAG_URL"
ENV_PRICES = "OTEL_EXPORTER_SPANDAG_PRICES"
ENV_SECRETS = "OTEL_EXPORTER_SPANDAG_SECRETS"
ENV_CAPTURE_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
ENV_TRACES_EXPORTER = "OTEL_TRACES_EXPORTER"

_CONTENT_ON_SPANS = frozenset({"SPAN_ONLY", "SPAN_AND_EVENT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be set, and where it comes from.

    | variable | keyword | meaning | default |
    |---|---|---|---|
    | `OTEL_EXPORTER_SPANDAG_URL` | `url` | the store: an SQLAlchemy URL, or the path of a SQLite file | `sqlite:///<user data>/spandag/spandag.db` |
    | `OTEL_EXPORTER_SPANDAG_PRICES` | `prices` | JSON file of prices that win over the built-in ones | none |
    | `OTEL_EXPORTER_SPANDAG_SECRETS` | `secrets` | what else is a secret: names of fields and regular expressions, separated by commas, or a file with one a line | none |
    | `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` | `capture_content` | messages, arguments and results on spans: `NO_CONTENT`, `SPAN_ONLY`, `EVENT_ONLY` (nothing on spans) or `SPAN_AND_EVENT` | `NO_CONTENT` |
    """

    url: str
    prices: str | None = None
    secrets: str | None = None
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
            secrets=cls.secrets_in_environment(env),
            capture_content=cls.capture_content_in_environment(env),
        )
        settings = replace(settings, **{k: v for k, v in overrides.items() if v is not None})
        return replace(settings, url=as_url(settings.url))

    @staticmethod
    def secrets_in_environment(environ: Mapping[str, str] | None = None) -> str | None:
        """What the environment calls a secret; read where texts are scrubbed, so kept apart from the rest."""
        env = os.environ if environ is None else environ
        return env.get(ENV_SECRETS, "").strip() or None

    @staticmethod
    def capture_content_in_environment(environ: Mapping[str, str] | None = None) -> bool:
        """Whether the environment turns content on; read for each call, so kept apart from the rest."""
        env = os.environ if environ is None else environ
        return env.get(ENV_CAPTURE_CONTENT, "").strip().upper() in _CONTENT_ON_SPANS


def default_url() -> str:
    """The store used when nobody names one: a SQLite file in the user's data folder."""
    # Imported here: the workflow API must not pay for what only a store needs.
    from platformdirs import user_data_dir

    return file_url(Path(user_data_dir("spandag", appauthor=False)) / "spandag.db")


def file_url(path: str | Path) -> str:
    """The URL of a SQLite file; what has a meaning in URLs is escaped."""
    # SQLAlchemy decodes %xx and takes what follows a question mark for options.
    return "sqlite:///" + str(Path(path).expanduser()).replace("%", "%25").replace("?", "%3F")


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*:(?://|$)")


def as_url(store: str) -> str:
    """A store as users name it, a URL or the path of a SQLite file, as a URL."""
    return store if _URL.match(store) else file_url(store)


_SQLITE_FILE = re.compile(r"(sqlite(?:\+\w+)?):///(?!/)(?P<path>[^?]+)(?P<query>\?.*)?")


def absolute_url(url: str) -> str:
    """A store's URL with an absolute path: whoever uses it may have another working directory by then."""
    file = _SQLITE_FILE.fullmatch(url)
    if file is None or file["path"] == ":memory:" or file["path"].startswith("file:"):
        return url
    return f"{file[1]}:///{Path(file['path']).expanduser().absolute()}{file['query'] or ''}"
