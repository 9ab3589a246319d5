"""The options that every command has, and the store that they name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from spandag.config import ENV_URL, Settings

if TYPE_CHECKING:
    from spandag.store import Store

F = TypeVar("F", bound=Callable[..., Any])

_SQLITE_FILE = re.compile(r"(sqlite(?:\+\w+)?):///(?!/)(?P<path>[^?]+)(?P<query>\?.*)?")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*://")


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Take an option that stands before the command's name where it is not given after it."""
    shared = ctx.ensure_object(dict)
    name = str(param.name)
    if value:
        shared[name] = value
    return value or shared.get(name)


def store_option(function: F) -> F:
    """``--store``, as the argument `store`."""
    return click.option(
        "--store",
        metavar="URL|FILE",
        callback=_remember,
        help=f"The store: a SQLite file or an SQLAlchemy URL. [default: ${ENV_URL}, else a file of yours]",
    )(function)


def json_option(function: F) -> F:
    """``--json``, as the argument `as_json`."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        callback=_remember,
        help="Answer in JSON, with the store's column names.",
    )(function)


def store_url(named: str | None) -> str:
    """The URL of the store that is meant, with an absolute path.

    Args:
        named: What ``--store`` says: a URL, or the path of a SQLite file.
    """
    url = named or Settings.load().url
    if not _URL.match(url) and url != "sqlite:":
        return _file_url(url)
    file = _SQLITE_FILE.fullmatch(url)
    if file is not None and file["path"] != ":memory:" and not file["path"].startswith("file:"):
        # Programs started from here may have another working directory.
        return f"{file[1]}:///{_absolute(file['path'])}{file['query'] or ''}"
    return url


def _file_url(path: str) -> str:
    return f"sqlite:///{_absolute(path)}"


def _absolute(path: str) -> Path:
    return Path(path).expanduser().absolute()


@contextmanager
def opened_store(named: str | None) -> Iterator[Store]:
    """The store that is meant, open for reading; what is wrong with it or a question becomes one line.

    Args:
        named: What ``--store`` says.
    """
    from spandag.query import QueryError
    from spandag.store import StoreError, open_store

    try:
        with open_store(store_url(named)) as store:
            yield store
    except (StoreError, QueryError) as error:
        raise click.ClickException(str(error)) from error
