"""``spandag redos [RUN]``."""

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
def redos(run: str | None, limit: int, store: str | None, as_json: bool) -> None:
    """Show what was done again in RUN, or in the newest runs with redos.

    For each redo: the step, the hypothesis, who asked for it, and the attempts before
    and after with outcome, time, tokens and cost.
    """
    from spandag import query
    from spandag.cli._output import page, print_json, print_paged, say, say_next
    from spandag.query.render import render_redos
    from spandag.query.resolve import SHORT_ID

    with opened_store(store) as opened:
        found = query.redos(opened, run, limit=limit)
    if as_json:
        print_json(found)
    elif found:
        print_paged(render_redos(found, page()))
        last = found[-1].after
        if last is not None:
            shown = last.node_id[:SHORT_ID]
            say_next(
                [
                    (f"spandag diff {shown}", "what the last redo made different"),
                    (f"spandag node {shown}", "the last redo"),
                ],
                store,
            )
    else:
        say("no step was redone in this run" if run else "no step was redone in any run")
