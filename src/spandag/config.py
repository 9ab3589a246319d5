"""Settings, read from the environment and overridden by keywords."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from spandag._guard import say_once

ENV_URL = "OTEL_EXPORTER_SPANDAG_URL"
ENV_PRICES = "OTEL_EXPORTER_SPANDAG_PRICES"
ENV_SECRETS = "OTEL_EXPORTER_SPANDAG_SECRETS"
ENV_SPOOL = "OTEL_EXPORTER_SPANDAG_SPOOL"
ENV_SPOOL_SIZE = "OTEL_EXPORTER_SPANDAG_SPOOL_SIZE"
ENV_BACKLOG = "OTEL_EXPORTER_SPANDAG_BACKLOG"
ENV_TIMEOUT = "OTEL_EXPORTER_SPANDAG_TIMEOUT"
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
    | `OTEL_EXPORTER_SPANDAG_SPOOL` | `spool` | folder for what the store cannot take at once | `<user data>/spandag/spool` |
    | `OTEL_EXPORTER_SPANDAG_SPOOL_SIZE` | `spool_size` | what may wait there for one store, such as `500MB`; what is more is lost, counted and said | `256MB` |
    | `OTEL_EXPORTER_SPANDAG_BACKLOG` | `backlog` | what may wait in memory before it goes there | `4MB` |
    | `OTEL_EXPORTER_SPANDAG_TIMEOUT` | `timeout` | milliseconds that an export, and the end of the program, wait for the store | `10000` |
    | `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` | `capture_content` | messages, arguments and results on spans: `NO_CONTENT`, `SPAN_ONLY`, `EVENT_ONLY` (nothing on spans) or `SPAN_AND_EVENT` | `NO_CONTENT` |
    """

    url: str
    prices: str | None = None
    secrets: str | None = None
    spool: Path = field(default_factory=lambda: _data_folder() / "spool")
    spool_size: int = 256_000_000
    backlog: int = 4_000_000
    timeout: int = 10_000
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
            **_limits(env),
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


_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[kmgt]?)(?P<binary>i?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def bytes_of(size: str) -> int:
    """A size as people write it, such as ``500MB``, ``1.5GiB`` or a plain number of bytes.

    Raises:
        ValueError: It is none.
    """
    match = _SIZE.fullmatch(size.strip())
    if match is None:
        raise ValueError(f"{size!r} is not a size; write it as 500MB or 2GiB")
    base = 1024 if match["binary"] else 1000
    return int(float(match["number"]) * base ** _POWERS[match["unit"].lower()])


def _limits(env: Mapping[str, str]) -> dict[str, Any]:
    """The settings that are a place or a number; what cannot be read is said and left at its default."""
    readers: tuple[tuple[str, str, Callable[[str], Any]], ...] = (
        (ENV_SPOOL, "spool", lambda value: Path(value).expanduser()),
        (ENV_SPOOL_SIZE, "spool_size", bytes_of),
        (ENV_BACKLOG, "backlog", bytes_of),
        (ENV_TIMEOUT, "timeout", int),
    )
    found: dict[str, Any] = {}
    for variable, name, read in readers:
        value = env.get(variable, "").strip()
        if not value:
            continue
        try:
            found[name] = read(value)
        except ValueError as error:
            say_once(logging.WARNING, variable, "spandag: %s is ignored: %s", variable, error)
    return found


def default_url() -> str:
    """The store used when nobody names one: a SQLite file in the user's data folder."""
    return file_url(_data_folder() / "spandag.db")


def _data_folder() -> Path:
    # Imported here: the workflow API must not pay for what only a store needs.
    from platformdirs import user_data_dir

    return Path(user_data_dir("spandag", appauthor=False))


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


_ANY_SQLITE_FILE = re.compile(r"sqlite(?:\+\w+)?:///(?!:memory:|file:)(?P<path>[^?]+)")
_PARTS_OF_URL = re.compile(
    r"(?P<dialect>\w+)(?:\+\w+)?://(?:(?P<user>[^:/@]*)(?::[^@]*)?@)?(?P<place>[^?]*)", re.DOTALL
)


def label_of(url: str) -> str:
    """How people are told where a store is: a path from their home folder on, or a URL without password and options.

    As `spandag.store` names stores, but without loading SQLAlchemy.

    Args:
        url: Of the store.
    """
    file = _ANY_SQLITE_FILE.match(absolute_url(url))
    if file is not None:
        path = unquote(file["path"])
        home = os.path.expanduser("~")
        inside = home not in ("~", os.sep) and path.startswith(home.rstrip(os.sep) + os.sep)
        return "~" + path[len(home.rstrip(os.sep)) :] if inside else path
    parts = _PARTS_OF_URL.match(url)
    if parts is None:
        return url.partition(":")[0]
    # A password may have an @ that is not written as %40.
    place = parts["place"].rpartition("@")[2]
    user = f"{parts['user']}@" if parts["user"] else ""
    return f"{parts['dialect']}://{user}{place}"
