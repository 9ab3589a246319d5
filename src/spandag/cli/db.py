"""``spandag db``: looking after the store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from spandag.cli._amounts import number, size
from spandag.cli._options import json_option, store_option, store_url
from spandag.cli.db_index import index
from spandag.cli.db_retention import prune, retention

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
    from spandag.cli._progress import Progress
    from spandag.store.admin import upgrade_to

    with _answering(), Progress("upgrading") as progress:
        move = upgrade_to(store_url(store), revision, say=progress.say)
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
    from spandag.cli._progress import Progress
    from spandag.store.admin import current, downgrade_to

    url = store_url(store)
    with _answering():
        if not yes:
            _ask(f"{current(url).store}: go back to {revision}, and lose what it cannot hold?")
        with Progress("downgrading") as progress:
            move = downgrade_to(url, revision, say=progress.say)
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


@db.command(short_help="Bring what is derived up to date, for SQL of your own.")
@store_option
@json_option
def settle(store: str | None, as_json: bool) -> None:
    """Bring what is derived from the spans up to date in the tables and views.

    Only SQL of your own needs it, and only for runs that are going on or whose program was
    killed: the other commands derive what is missing when they read.
    """
    from spandag.cli._output import print_json, print_lines
    from spandag.store import open_store

    with _answering(), open_store(store_url(store)) as opened:
        settled = opened.settle()
    if as_json:
        print_json({"store": opened.label, "settled": settled})
    else:
        print_lines([[(opened.label, "bold"), (f"  {number(settled, 'run')} brought up to date", "")]])


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
    if not found.schema and not found.damage:
        lines.append([right, (f"schema: as {at} says", "")])
    for finding in found.findings:
        text = f"{finding.table}: {number(finding.rows, 'row')} {finding.what}"
        lines.append([wrong if finding.wrong else ("note   ", "yellow"), (text, "")])
    if found.behind:
        lines.append([("note   ", "yellow"), (f"{number(found.behind, 'run')} not settled yet", "")])
    if found.waiting_spans:
        waiting = f"{number(found.waiting_spans, 'span')} on disk for the next program that writes here"
        lines.append([("note   ", "yellow"), (waiting, "")])
    if found.refused_spans:
        refused = f"{number(found.refused_spans, 'span')} set aside, as the store refused them"
        lines.append([("note   ", "yellow"), (f"{refused}: {found.spool}", "")])
    if found.lost_spans:
        lost = f"{number(found.lost_spans, 'span')} lost, as there was no room for them to wait"
        lines.append([("note   ", "yellow"), (lost, "")])
    if not found.damage and not found.schema:
        if not any(finding.wrong for finding in found.findings):
            lines.append([right, ("rows: none points nowhere", "")])
        lines.append([right, (f"{number(found.runs, 'run')}, {number(found.nodes, 'node')}", "")])
    lines.append([("nothing is wrong" if found.ok else "something is wrong", "green" if found.ok else "red")])
    return lines


def _stats_lines(found: Stats, width: int) -> list[Line]:
    from spandag.query.render import Page
    from spandag.query.render.table import Column, table

    page = Page(width=width)
    columns = [Column("table"), Column("rows", right=True), Column("bytes", right=True)]
    lines: list[Line] = [[(found.store, "bold"), (f"  {size(found.bytes_on_disk)} on disk", "dim")], []]
    lines += table(
        [*columns, Column("on disk", right=True)],
        [
            (
                (of.table, ""),
                (f"{of.rows:,}", ""),
                (size(of.bytes), ""),
                ("" if of.bytes_on_disk is None else size(of.bytes_on_disk), "dim"),
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
                ((day.day or "-", ""), (day.table, ""), (f"{day.rows:,}", ""), (size(day.bytes), ""))
                for day in found.days
            ],
            page,
        )
    return lines


db.add_command(retention)
db.add_command(prune)
db.add_command(index)
