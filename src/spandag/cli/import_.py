"""``spandag import``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, store_option, store_url


@click.command("import")
@click.option(
    "--cmbagent", metavar="URL|FILE", required=True, help="A database of CMBAgent or MARS; it is only read."
)
@store_option
@json_option
def import_(cmbagent: str, store: str | None, as_json: bool) -> None:
    """Copy the runs of another program into the store.

    Runs, steps, nodes, redos, branches, events, messages and costs come over. Importing the
    same again changes nothing; runs that were still going on are completed.
    """
    from spandag.cli._output import print_json, print_lines, say_next
    from spandag.cli._progress import Progress
    from spandag.importers.cmbagent import import_cmbagent
    from spandag.store import StoreError

    try:
        with Progress("importing", unit="runs") as progress:
            imported = import_cmbagent(store_url(cmbagent), store_url(store), progress=progress.reach)
    except StoreError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        print_json(imported)
        return
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
    print_lines([[(f"{imported.source}: {said}", "")]])
    say_next([("spandag runs", "all runs")], store)
