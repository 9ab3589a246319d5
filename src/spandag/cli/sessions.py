"""``spandag sessions``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, opened_store, store_option


@click.command()
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many sessions at most.",
)
@store_option
@json_option
def sessions(limit: int, store: str | None, as_json: bool) -> None:
    """List the sessions that were active last: runs that belong together for a user."""
    import shlex

    from spandag import query
    from spandag.cli._output import page, print_json, print_paged, say, say_next
    from spandag.query.render import render_sessions

    with opened_store(store) as opened:
        found = query.sessions(opened, limit=limit)
    if as_json:
        print_json(found)
    elif found:
        to = page()
        print_paged(render_sessions(found, to))
        say_next([(f"spandag runs --session {shlex.quote(to.line(found[0].id))}", "its runs")], store)
    else:
        say("no run names a session; give it one with: spandag.run(name, session=…)")
