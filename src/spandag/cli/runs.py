"""``spandag runs``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, opened_store, store_option


@click.command()
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many runs at most."
)
@click.option("--session", metavar="ID", help="Only the runs of this session.")
@store_option
@json_option
def runs(limit: int, session: str | None, store: str | None, as_json: bool) -> None:
    """List the newest runs."""
    from spandag import query
    from spandag.cli._output import page, print_json, print_paged, say, say_next
    from spandag.query.render import render_runs
    from spandag.query.resolve import NO_RUNS, SHORT_ID

    with opened_store(store) as opened:
        found = query.runs(opened, limit=limit, session=session)
        known = [] if found or session is None else query.sessions(opened, limit=5)
    if as_json:
        print_json(found)
    elif found:
        print_paged(render_runs(found, page()))
        newest = "last" if session is None else found[0].id[:SHORT_ID]
        say_next([(f"spandag tree {newest}", "everything in the newest run")], store)
    elif known:
        to = page()
        names = ", ".join(to.line(each.id, 60) for each in known)
        say(f"no run belongs to session {to.line(session, 60)}; newest sessions: {names}")
    else:
        say(NO_RUNS)
