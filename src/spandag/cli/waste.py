"""``spandag waste [RUN]``."""

from __future__ import annotations

from typing import Literal

import click

from spandag.cli._options import json_option, opened_store, store_option


@click.command()
@click.argument("run", required=False)
@click.option(
    "--by",
    type=click.Choice(["step", "agent", "model"]),
    default="step",
    show_default=True,
    help="What it is told by.",
)
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
def waste(
    run: str | None, by: Literal["step", "agent", "model"], limit: int, store: str | None, as_json: bool
) -> None:
    """Show what RUN, or the newest runs, spent on work that did not count.

    Attempts that another one took the place of (superseded) or that were given up
    (abandoned), with tokens, cost, time, their share of the run, and why.
    """
    from spandag import query
    from spandag.cli._output import page, print_json, print_paged, say, say_next
    from spandag.query.render import render_waste
    from spandag.query.resolve import SHORT_ID

    with opened_store(store) as opened:
        found = query.waste(opened, run, limit=limit, by=by)
    if as_json:
        print_json(found)
    elif found:
        print_paged(render_waste(found, page()))
        last = found[0].run.id[:SHORT_ID]
        other = "agent" if by == "step" else "step"
        say_next(
            [
                (f"spandag waste {last} --by {other}", f"the same by {other}"),
                (f"spandag redos {last}", "what was done again, and why"),
            ],
            store,
        )
    else:
        say("nothing was thrown away in this run" if run else "nothing was thrown away in any run")
