"""``spandag lineage RUN``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, opened_store, store_option


@click.command()
@click.argument("run", default="last")
@store_option
@json_option
def lineage(run: str, store: str | None, as_json: bool) -> None:
    """Show the family of RUN: the run that all began with, and forks of forks.

    For each how it ended, where it was forked from, why, and what it took.
    """
    from spandag import query
    from spandag.cli._output import page, print_json, print_paged, say, say_next
    from spandag.query.render import render_lineage
    from spandag.query.resolve import SHORT_ID

    with opened_store(store) as opened:
        found = query.lineage(opened, run)
    if as_json:
        print_json(found)
        return
    print_paged(render_lineage(found, page()))
    if len(found.runs) == 1:
        say("no run was forked from this one")
    say_next([(f"spandag tree {found.run_id[:SHORT_ID]}", "everything in this run")], store)
