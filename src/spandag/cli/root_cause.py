"""``spandag root-cause RUN``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, opened_store, store_option


@click.command("root-cause")
@click.argument("run", default="last")
@store_option
@json_option
def root_cause(run: str, store: str | None, as_json: bool) -> None:
    """Show where RUN began to go wrong.

    The earliest failure that nothing below it explains, what came before it and what
    failed because of it; then the other failures, and the steps that nobody accepted.
    """
    from spandag import query
    from spandag.cli._output import page, print_json, print_paged, say, say_next
    from spandag.query.render import render_root_cause
    from spandag.query.resolve import SHORT_ID

    with opened_store(store) as opened:
        found = query.root_cause(opened, run)
    if as_json:
        print_json(found)
        return
    print_paged(render_root_cause(found, page()))
    if found.cause is not None:
        say_next([(f"spandag node {found.cause.node_id[:SHORT_ID]}", "what failed first")], store)
    elif not found.rejected:
        so_far = "" if found.run.ended_at is not None else " so far"
        say(f"no node of this run failed, and no step was left without an accepted attempt{so_far}")
