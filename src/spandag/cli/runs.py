"""``spandag runs``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, opened_store, store_option


@click.command()
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many runs at most."
)
@store_option
@json_option
def runs(limit: int, store: str | None, as_json: bool) -> None:
    """List the newest runs."""
    from spandag import query
    from spandag.cli._output import page, print_json, print_lines, say, say_next
    from spandag.query.render import render_runs
    from spandag.query.resolve import NO_RUNS

    with opened_store(store) as opened:
        found = query.runs(opened, limit=limit)
    if as_json:
        print_json(found)
    elif found:
        print_lines(render_runs(found, page()))
        say_next([("spandag tree last", "everything in the newest run")], store)
    else:
        say(NO_RUNS)
