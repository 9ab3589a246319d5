"""``spandag db index``: the text index."""

from __future__ import annotations

import click

from spandag.cli._amounts import number
from spandag.cli._options import answering, json_option, store_option, store_url


@click.command(short_help="Build the text index, bring it up to date, or remove it.")
@click.option("--drop", is_flag=True, help="Remove it.")
@store_option
@json_option
def index(drop: bool, store: str | None, as_json: bool) -> None:
    """Build an index of all text, so that `spandag search` is quick on a large store.

    Called again, only what is new is indexed. Runs that came later are found without it. Others
    can go on writing; when it is stopped, what is indexed so far is used, and the next time goes on.
    """
    from spandag.cli._output import print_json, print_lines, say, say_next
    from spandag.cli._progress import Progress
    from spandag.store.indexing import build_index, drop_index

    url = store_url(store)
    with answering():
        if drop:
            found = drop_index(url)
        else:
            try:
                with Progress("indexing", unit="runs") as progress:
                    found = build_index(url, report=progress.reach)
            except KeyboardInterrupt:
                say("stopped; what is indexed so far is used, and the next time goes on")
                raise
    if as_json:
        print_json(found)
        return
    if drop:
        print_lines(
            [
                [
                    (found.store, "bold"),
                    ("  the index is removed" if found.dropped else "  there was no index", ""),
                ]
            ]
        )
        return
    gone = f", {number(found.removed, 'removed run')} taken out" if found.removed else ""
    print_lines(
        [
            [
                (found.store, "bold"),
                (f"  {number(found.runs, 'run')} indexed, {found.added:,} of them now{gone}", ""),
            ]
        ]
    )
    say_next([("spandag search TEXT", "where something is said")], store)
