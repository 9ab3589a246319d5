"""``spandag db``: looking after the store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from spandag.cli._options import json_option, store_option, store_url

if TYPE_CHECKING:
    from spandag.query.render import Line
    from spandag.store.admin import Move
    from spandag.store.check import Check
    from spandag.store.stats import Stats

DIALECTS = click.Choice(["sqlite", "postgresql"])


class _InOrder(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """As they are written here."""
        return list(self.commands)


@click.group(cls=_InOrder, invoke_without_command=True)
@store_option
@json_option
@click.pass_context
def db(ctx: click.Context, store: str | None, as_json: bool) -> None:
    """Look after the store: its schema, its health and its size.

    A store is created and upgraded when it is opened, so none of this is needed in
    everyday life. All commands refuse another program's database, and a store of a newer
    version of spandag, in one line.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@db.command(short_help="Create the store, or bring it to a newer revision.")
@click.argument("revision", default="head", metavar="[REVISION]")
@store_option
@json_option
def upgrade(revision: str, store: str | None, as_json: bool) -> None:
    """Create the store, or bring it to REVISION, by default to the newest.

    All in one transaction, which keeps others from doing the same at the same time: either
    everything is done or nothing.
    """
    from spandag.cli._output import say
    from spandag.store.admin import upgrade_to

    with _answering():
        move = upgrade_to(store_url(store), revision, say=say)
    _print_move(move, as_json=as_json)


@db.command(short_help="Take the store back to an older revision.")
@click.argument("revision")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_option
@json_option
def downgrade(revision: str, yes: bool, store: str | None, as_json: bool) -> None:
    """Take the store back to REVISION, or to `base`: an empty database.

    For going back to an older spandag: this one upgrades the store again when it opens it.
    What only newer revisions can hold is lost; before `base`, that is everything.
    """
    from spandag.cli._output import say
    from spandag.store.admin import current, downgrade_to

    url = store_url(store)
    with _answering():
        if not yes:
            _ask(f"{current(url).store}: go back to {revision}, and lose what it cannot hold?")
        move = downgrade_to(url, revision, say=say)
    _print_move(move, as_json=as_json)


@db.command(short_help="Show which revision the store is at.")
@store_option
@json_option
def current(store: str | None, as_json: bool) -> None:
    """Show which revision the store is at, without upgrading it."""
    from spandag.cli._output import print_json, print_lines
    from spandag.store import admin

    with _answering():
        found = admin.current(store_url(store))
    if as_json:
        print_json(found)
        return
    there = "the newest" if found.is_newest else f"older than {found.newest}, to which opening it upgrades it"
    print_lines(
        [
            [("store     ", "dim"), (found.store, "")],
            [("revision  ", "dim"), (f"{found.revision} ({found.title})", ""), (f", {there}", "dim")],
        ]
    )


@db.command(short_help="Look for damage and for rows that point nowhere.")
@store_option
@json_option
@click.pass_context
def check(ctx: click.Context, store: str | None, as_json: bool) -> None:
    """Look for damage, for a changed schema and for rows that point nowhere.

    Ends with status 0 where nothing is wrong and 1 where something is. Notes are no errors:
    spans get lost or are still to come, and what is derived catches up when it is read.
    """
    from spandag.cli._output import print_json, print_lines
    from spandag.store.check import check as look

    with _answering():
        found = look(store_url(store))
    if as_json:
        print_json(found)
    else:
        print_lines(_check_lines(found))
    ctx.exit(0 if found.ok else 1)


@db.command(short_help="Print an upgrade or downgrade as plain SQL.")
@click.option("--dialect", type=DIALECTS, default="sqlite", show_default=True, help="For which database.")
@click.option("--from", "start", metavar="REVISION", default="base", show_default=True, help="Where it is.")
@click.option("--to", "target", metavar="REVISION", default="head", show_default=True, help="Where it goes.")
@store_option
@json_option
def sql(dialect: str, start: str, target: str, store: str | None, as_json: bool) -> None:
    """Print an upgrade or downgrade as plain SQL, to be run by hand.

    Each revision is a transaction of its own, followed by queries that verify it. No store
    is opened.
    """
    from spandag.cli._output import print_json
    from spandag.store.plain_sql import script

    with _answering():
        found = script(dialect, start, target)
    if as_json:
        print_json({"dialect": dialect, "from": start, "to": target, "sql": found})
    else:
        sys.stdout.write(found)


@db.command(short_help="Count rows and bytes of each table and day.")
@click.option(
    "-n", "--days", type=click.IntRange(min=0), default=7, show_default=True, help="How many days at most."
)
@store_option
@json_option
def stats(days: int, store: str | None, as_json: bool) -> None:
    """Count rows and bytes of each table, altogether and for the newest days.

    Bytes are those of the rows themselves; on disk, each table with its indexes. Days are
    in UTC: of the row, or where it has no time, of the start of its run.
    """
    from dataclasses import replace

    from spandag.cli._output import page, print_json, print_lines
    from spandag.store.stats import stats as count

    with _answering():
        found = count(store_url(store))
    newest = sorted({day.day or "" for day in found.days}, reverse=True)[:days]
    found = replace(found, days=[day for day in found.days if (day.day or "") in newest])
    if as_json:
        print_json(found)
    else:
        print_lines(_stats_lines(found, page().width))


@contextmanager
def _answering() -> Iterator[None]:
    from spandag.store import StoreError

    try:
        yield
    except StoreError as error:
        raise click.ClickException(str(error)) from error


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise click.ClickException("there is nobody to ask whether to go on; add --yes")
    click.confirm(question, abort=True, err=True)


def _print_move(move: Move, *, as_json: bool) -> None:
    from spandag.cli._output import print_json, print_lines

    if as_json:
        print_json(move)
        return
    where = f"at revision {move.revision}" if move.revision else "empty"
    what = "is" if move.steps else "was already"
    print_lines([[(f"{move.store} {what} {where}", "")]])


def _check_lines(found: Check) -> list[Line]:
    right, wrong = ("ok     ", "green"), ("WRONG  ", "bold red")
    at = f"revision {found.revision}" + ("" if found.revision == found.newest else f" of {found.newest}")
    lines: list[Line] = [[(found.store, "bold")]]
    lines += [[wrong, (f"file: {line}", "")] for line in found.damage]
    lines += [[wrong, (f"schema: {line}", "")] for line in found.schema]
    if not found.schema:
        lines.append([right, (f"schema: as {at} says", "")])
    for finding in found.findings:
        text = f"{finding.table}: {_number(finding.rows, 'row')} {finding.what}"
        lines.append([wrong if finding.wrong else ("note   ", "yellow"), (text, "")])
    if found.behind:
        lines.append([("note   ", "yellow"), (f"{_number(found.behind, 'run')} not settled yet", "")])
    if not found.damage and not found.schema:
        if not any(finding.wrong for finding in found.findings):
            lines.append([right, ("rows: none points nowhere", "")])
        lines.append([right, (f"{_number(found.runs, 'run')}, {_number(found.nodes, 'node')}", "")])
    lines.append([("nothing is wrong" if found.ok else "something is wrong", "green" if found.ok else "red")])
    return lines


def _stats_lines(found: Stats, width: int) -> list[Line]:
    from spandag.query.render import Page
    from spandag.query.render.table import Column, table

    page = Page(width=width)
    columns = [Column("table"), Column("rows", right=True), Column("bytes", right=True)]
    lines: list[Line] = [[(found.store, "bold"), (f"  {_bytes(found.bytes_on_disk)} on disk", "dim")], []]
    lines += table(
        [*columns, Column("on disk", right=True)],
        [
            (
                (of.table, ""),
                (f"{of.rows:,}", ""),
                (_bytes(of.bytes), ""),
                ("" if of.bytes_on_disk is None else _bytes(of.bytes_on_disk), "dim"),
            )
            for of in found.tables
        ],
        page,
    )
    if found.days:
        lines += [[]]
        lines += table(
            [Column("day"), *columns],
            [
                ((day.day or "-", ""), (day.table, ""), (f"{day.rows:,}", ""), (_bytes(day.bytes), ""))
                for day in found.days
            ],
            page,
        )
    return lines


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
