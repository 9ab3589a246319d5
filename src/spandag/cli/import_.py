"""``spandag import FILE``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from spandag.cli._options import json_option, store_option, store_url

if TYPE_CHECKING:
    from spandag.importers.files import ImportedFile
    from spandag.importers.imported import Imported


@click.command("import")
@click.argument("files", metavar="[FILE]...", nargs=-1)
@click.option("--cmbagent", metavar="URL|FILE", help="A database of CMBAgent or MARS; it is only read.")
@click.option("--restore", is_flag=True, help="Bring back runs that had been removed from the store.")
@store_option
@json_option
def import_(
    files: tuple[str, ...], cmbagent: str | None, restore: bool, store: str | None, as_json: bool
) -> None:
    """Copy runs into the store: from FILEs, or from another program.

    A FILE is what `spandag export` wrote as JSON lines or as OTLP JSON, or OTLP JSON of
    anybody, such as a Collector's file exporter; gzip is fine, `-` is standard input. Of a FILE
    that is broken somewhere nothing is written.

    Of CMBAgent, runs, steps, nodes, redos, branches, events, messages and costs come over.
    Importing the same again changes nothing; runs that were still going on are completed.
    """
    from spandag.cli._output import print_json, print_lines, say_next
    from spandag.query.resolve import SHORT_ID

    if bool(files) == (cmbagent is not None):
        raise click.UsageError(
            "Name one or more FILEs (- for standard input), or a database with --cmbagent."
        )
    if cmbagent is not None:
        imported: Imported = _of_cmbagent(cmbagent, store)
        if as_json:
            print_json(imported)
            return
        print_lines([[(_said(imported), "")]])
        say_next([("spandag runs", "all runs")], store)
        return
    found = []
    for name in files:
        of_file = _of_file(name, store, restore)
        found.append(of_file)
        if not as_json:
            print_lines([[(_said(of_file), "")]])
    if as_json:
        print_json(found)
        return
    run_ids = {run_id for of_file in found for run_id in of_file.run_ids}
    if len(run_ids) == 1:
        say_next([(f"spandag tree {run_ids.pop()[:SHORT_ID]}", "everything in it")], store)
    else:
        say_next([("spandag runs", "all runs")], store)


def _of_cmbagent(source: str, store: str | None) -> Imported:
    from spandag.cli._progress import Progress
    from spandag.importers.cmbagent import import_cmbagent
    from spandag.store import StoreError

    try:
        with Progress("importing", unit="runs") as progress:
            return import_cmbagent(store_url(source), store_url(store), progress=progress.reach)
    except StoreError as error:
        raise click.ClickException(str(error)) from error


def _of_file(name: str, store: str | None, restore: bool) -> ImportedFile:
    from spandag.cli._progress import Progress
    from spandag.importers.files import ImportFileError, import_file
    from spandag.store import StoreError

    try:
        with Progress(f"importing {name}", unit="nodes") as progress:
            return import_file(
                name,
                store_url(store),
                stdin=sys.stdin.buffer,
                restore=restore,
                progress=progress.reach,
            )
    except (StoreError, ImportFileError) as error:
        raise click.ClickException(str(error)) from error


def _said(imported: Imported) -> str:
    counts = [
        (imported.runs, "run"),
        (imported.nodes, "node"),
        (imported.redos, "redo"),
        (imported.forks, "fork"),
        (imported.events, "event"),
        (imported.messages, "message"),
        (imported.cost_records, "cost record"),
    ]
    said = ", ".join(f"{count:,} {what}{'' if count == 1 else 's'}" for count, what in counts)
    return f"{imported.source}: {said}"
