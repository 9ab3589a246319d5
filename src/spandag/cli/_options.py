"""The options that every command has, and the store that they name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from spandag.config import ENV_URL, Settings, absolute_url

if TYPE_CHECKING:
    from spandag.store import Store

F = TypeVar("F", bound=Callable[..., Any])


_PASSWORD = re.compile(r"://[^/?#]*:.*@|[?&](?:ssl)?password=", re.DOTALL)


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


def paging_options(function: F) -> F:
    """``--all`` and ``--no-pager``, as the arguments `show_all` and `pager`, of answers that can be long."""
    function = click.option(
        "--pager/--no-pager",
        default=True,
        help="Whether a terminal shows what it has no room for in a pager ($PAGER). [default: it does]",
    )(function)
    return click.option(
        "--all",
        "show_all",
        is_flag=True,
        help="Show each of many like nodes in a row, and spans of other libraries (HTTP, SQL …).",
    )(function)


def store_url(named: str | None) -> str:
    """The URL of the store that is meant, with an absolute path.

    Args:
        named: What ``--store`` says: a URL, or the path of a SQLite file.
    """
    return absolute_url(Settings.load(url=named).url)


def same_store(named: str | None) -> str:
    """What to add to a command that is shown, so that it asks the same store; no password is shown.

    Args:
        named: What ``--store`` says.
    """
    if not named:
        return ""
    if _PASSWORD.search(named):
        return f' --store "${ENV_URL}"'
    return f" --store {shlex.quote(named)}"


@contextmanager
def answering() -> Iterator[None]:
    """What is wrong with the store or the question becomes one line."""
    from spandag.query import QueryError
    from spandag.store import StoreError

    try:
        yield
    except (StoreError, QueryError) as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def opened_store(named: str | None) -> Iterator[Store]:
    """The store that is meant, open for reading; what is wrong with it or a question becomes one line.

    Args:
        named: What ``--store`` says.
    """
    from spandag.store import open_store

    with answering(), open_store(store_url(named)) as store:
        yield store


def check_writable(url: str) -> None:
    """Open a store for writing, and create it where it is missing, before anything is spent.

    Args:
        url: As `store_url` gives it.

    Raises:
        StoreError: It cannot be written.
    """
    from spandag.store.writer import open_for_writing

    open_for_writing(url).engine.dispose()
