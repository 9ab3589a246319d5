"""``spandag costs``."""

from __future__ import annotations

from typing import Literal

import click

from spandag.cli._amounts import last_days
from spandag.cli._options import json_option, opened_store, store_option


@click.command()
@click.option(
    "--by",
    type=click.Choice(["agent", "model", "session", "day", "run"]),
    default="agent",
    show_default=True,
    help="What they are summed by; days are those of UTC.",
)
@click.option(
    "--days", type=click.IntRange(min=1), help="Of calls of the last so many days in UTC, with today."
)
@store_option
@json_option
def costs(
    by: Literal["agent", "model", "session", "day", "run"], days: int | None, store: str | None, as_json: bool
) -> None:
    """Show what all runs together have cost, by agent, model, session, day or run.

    Where the price of some calls is not known, the cost is a lower bound and says so.
    """
    from spandag import query
    from spandag.cli._output import page, print_json, print_paged, say, say_next
    from spandag.query.render import render_costs

    with opened_store(store) as opened:
        found = query.costs(opened, by=by, days=days)
    if as_json:
        print_json(found)
    elif found:
        print_paged(render_costs(found, page(), by=by))
        other = "model" if by == "agent" else "agent"
        say_next([(f"spandag costs --by {other}", f"the same by {other}")], store)
    else:
        say("no model was called" + last_days(days))
