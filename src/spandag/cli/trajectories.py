"""``spandag trajectories AGENT``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, opened_store, store_option


@click.command()
@click.argument("agent")
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=5, show_default=True, help="How many at most."
)
@store_option
@json_option
def trajectories(agent: str, limit: int, store: str | None, as_json: bool) -> None:
    """Show the last runs of AGENT in a few lines each, as for a prompt.

    How each went, what the agent did with which errors, and what it took.
    """
    from spandag import query
    from spandag.cli._output import page, print_json, print_paged, say, say_next
    from spandag.query.render import render_trajectories
    from spandag.query.resolve import SHORT_ID
    from spandag.query.trajectories import agents

    with opened_store(store) as opened:
        found = query.recent_trajectories(opened, agent, limit)
        others = [] if found else agents(opened)
    if as_json:
        print_json(found)
    elif found:
        print_paged(render_trajectories(found, page()))
        say_next([(f"spandag node {found[0].node_id[:SHORT_ID]}", "the last of these runs")], store)
    else:
        names = page().line(", ".join(others))
        say(f"no agent {page().line(agent, 100)!r} has run" + (f"; these have: {names}" if others else ""))
