"""``spandag unresolved [RUN]``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, opened_store, store_option


@click.command()
@click.argument("run", required=False)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Of how many runs at most, where RUN is not given.",
)
@store_option
@json_option
def unresolved(run: str | None, limit: int, store: str | None, as_json: bool) -> None:
    """Show the steps of RUN, or of the newest runs, that nobody accepted.

    Left rejected, failed, cancelled or interrupted, or with all redos spent. The last attempt at a step
    decides: what was accepted and then redone counts no more.
    """
    from spandag import query
    from spandag.cli._output import page, print_json, print_paged, say, say_next
    from spandag.query.render import render_unresolved
    from spandag.query.resolve import SHORT_ID

    with opened_store(store) as opened:
        found = query.unresolved(opened, run, limit=limit)
    if as_json:
        print_json(found)
    elif found:
        print_paged(render_unresolved(found, page()))
        say_next(
            [(f"spandag node {found[-1].node_id[:SHORT_ID]}", "the last attempt at the last of them")], store
        )
    else:
        say("every step of this run was accepted" if run else "every step of every run was accepted")
