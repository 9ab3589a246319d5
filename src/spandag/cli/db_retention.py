"""``spandag db retention`` and ``spandag db prune``: how long runs are kept."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from spandag.cli._amounts import number, parse_size, size
from spandag.cli._options import answering, json_option, store_option, store_url

if TYPE_CHECKING:
    from spandag.query.render import Line
    from spandag.store.prune import Pruned
    from spandag.store.retention import Retention

# As `spandag.store.retention.NO_LIMIT`; the store is only imported when it is asked.
_NO_LIMIT = 0


def _days(value: str) -> int:
    if value.lower() == "none":
        return _NO_LIMIT
    if not value.isdecimal() or int(value) == 0:
        raise click.BadParameter(f"{value!r} is neither a number of days nor none.")
    return int(value)


def _max_size(value: str) -> int:
    if value.lower() == "none":
        return _NO_LIMIT
    try:
        found = parse_size(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}, nor none.") from error
    if found == 0:
        raise click.BadParameter("a store takes more than nothing.")
    return found


@click.command(short_help="Show or change how long runs are kept.")
@click.option("--days", type=_days, metavar="N|none", help="Remove runs that ended more days ago.")
@click.option(
    "--max-size", type=_max_size, metavar="SIZE|none", help="Remove the oldest runs above it, as in 500MB."
)
@store_option
@json_option
def retention(days: int | None, max_size: int | None, store: str | None, as_json: bool) -> None:
    """Show how long runs are kept, or change it.

    By default everything is kept. Limits are a part of the store; programs that write to it keep
    to them: the first soon after it starts, then about once a day.
    """
    from spandag.cli._output import print_json, print_lines, say, say_next
    from spandag.store import retention as keeping

    url = store_url(store)
    changes = days is not None or max_size is not None
    with answering():
        if changes:
            found = keeping.change_retention(url, days=days, max_size=max_size)
        else:
            found = keeping.retention(url)
    if as_json:
        print_json(found)
        return
    print_lines(_retention_lines(found))
    if changes and (found.days or found.max_size):
        with answering():
            too_much = keeping.prune(url, dry_run=True).runs
        if too_much:
            say(
                f"the next program that records removes {number(too_much, 'run')}, as spandag db prune does now"
            )
        say_next([("spandag db prune --dry-run", "what would be removed now")], store)


@click.command(short_help="Remove the runs that are not to be kept.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@store_option
@json_option
def prune(dry_run: bool, store: str | None, as_json: bool) -> None:
    """Remove the runs that are not to be kept, while others go on writing.

    Whole runs: first those that are too old, then the oldest until the store is small enough; but
    neither the newest, for its size, nor those that a program is still at. What they were cannot
    be had back. Programs that write to the store do the same by themselves, about once a day.
    """
    from spandag.cli._output import print_json, print_lines, say_next
    from spandag.cli._progress import Progress
    from spandag.store.retention import prune as remove

    with answering(), Progress("removing", unit="runs") as progress:
        found = remove(store_url(store), dry_run=dry_run, report=progress.reach)
    if as_json:
        print_json(found)
        return
    print_lines(_pruned_lines(found))
    if found.days is None and found.max_size is None:
        say_next([("spandag db retention --days 30", "to keep runs for so long")], store)
    elif dry_run and found.runs:
        say_next([("spandag db prune", "to remove them")], store)


def _retention_lines(found: Retention) -> list[Line]:
    from spandag.query.render.formats import moment

    looked = "never" if found.pruned_at is None else moment(found.pruned_at)
    return [
        [("store      ", "dim"), (found.store, "")],
        [("days       ", "dim"), ("no limit" if found.days is None else f"{found.days:,}", "")],
        [("size       ", "dim"), ("no limit" if found.max_size is None else size(found.max_size), "")],
        [("used       ", "dim"), (size(found.size), "")],
        [("last look  ", "dim"), (looked, "")],
    ]


def _pruned_lines(found: Pruned) -> list[Line]:
    lines: list[Line] = [[(found.store, "bold")]]
    if found.days is None and found.max_size is None:
        return [*lines, [("no limit is set: everything is kept", "")]]
    removed, freed, uses = (
        ("would remove", "would free", "would use") if found.dry_run else ("removed", "freed", "uses")
    )
    counts = f"{number(found.runs, 'run')}, {number(found.nodes, 'node')}, {number(found.rows, 'row')}"
    lines.append(_line(removed, counts))
    if found.too_old:
        lines.append(_line("", f"{found.too_old:,} ended more than {number(found.days or 0, 'day')} ago"))
    if found.too_much:
        lines.append(_line("", f"{found.too_much:,} above {size(found.max_size or 0)}, oldest first"))
    lines.append(_line(freed, ("about " if found.dry_run else "") + size(found.bytes)))
    of = "" if found.max_size is None else f" of {size(found.max_size)}"
    lines.append(_line(uses, size(found.size) + of))
    return lines + [_line("note", text) for text in _notes(found)]


def _line(label: str, text: str) -> Line:
    return [(label.ljust(14), "yellow" if label == "note" else "dim"), (text, "")]


def _notes(found: Pruned) -> list[str]:
    notes = []
    if found.going_on:
        notes.append(f"{number(found.going_on, 'run')} left that a program is still at")
    if found.is_over:
        beside = f" with {number(found.going_on, 'run')} that goes on" if found.going_on else " alone"
        notes.append(f"the newest run{beside} takes more than {size(found.max_size or 0)}, and stays")
    if found.needs_vacuum and found.runs:
        notes.append(
            "the file keeps its size, and free space for new runs; to make it smaller: "
            f"sqlite3 {shlex.quote(found.store)} 'PRAGMA auto_vacuum = INCREMENTAL; VACUUM'"
        )
    return notes
