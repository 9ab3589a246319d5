"""``spandag show RUN``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, opened_store, store_option


@click.command()
@click.argument("run", default="last")
@store_option
@json_option
def show(run: str, store: str | None, as_json: bool) -> None:
    """Show what RUN was and what it took, on one page.

    Its task, time, tokens and cost, models, phases and steps with their outcome, redos, what went
    wrong, what was spent on work that did not count, and forks.
    """
    from spandag import query
    from spandag.cli._output import page, print_json, print_paged, say_next
    from spandag.query.render import render_show
    from spandag.query.resolve import SHORT_ID

    with opened_store(store) as opened:
        found = query.show(opened, run)
    if as_json:
        print_json(found)
        return
    print_paged(render_show(found, page()))
    run_id = found.run.id[:SHORT_ID]
    commands = [(f"spandag tree {run_id}", "everything that happened")]
    if found.redos:
        commands.append((f"spandag redos {run_id}", "what was done again, and why"))
    if found.errors:
        commands.append((f"spandag node {found.errors[0].node_id[:SHORT_ID]}", "what went wrong first"))
    say_next(commands, store)
