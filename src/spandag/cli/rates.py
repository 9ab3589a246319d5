"""``spandag rates``."""

from __future__ import annotations

from typing import Literal

import click

from spandag.cli._amounts import last_days
from spandag.cli._options import json_option, opened_store, store_option


@click.command()
@click.option(
    "--by",
    type=click.Choice(["step", "agent", "model"]),
    default="step",
    show_default=True,
    help="What they are told by.",
)
@click.option(
    "--days", type=click.IntRange(min=1), help="Of runs of the last so many days in UTC, with today."
)
@store_option
@json_option
def rates(by: Literal["step", "agent", "model"], days: int | None, store: str | None, as_json: bool) -> None:
    """Show how often steps are done again, and how often that helps.

    Over all runs: attempts, redos and outcomes; `redone` is the share of the steps
    that were done again, `first ok` and `redo ok` are the shares of first attempts and
    of redos that were accepted.
    """
    from spandag import query
    from spandag.cli._output import page, print_json, print_paged, say, say_next
    from spandag.query.render import render_rates

    with opened_store(store) as opened:
        found = query.rates(opened, by=by, days=days)
    if as_json:
        print_json(found)
    elif found:
        print_paged(render_rates(found, page(), by=by))
        say_next([("spandag redos", "what was done again, and why")], store)
    else:
        say("no step was tried" + last_days(days))
