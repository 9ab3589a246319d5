"""``spandag attempts STEP``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, opened_store, store_option


@click.command()
@click.argument("step")
@click.option("--run", help="The run that the step is part of. [default: last]")
@store_option
@json_option
def attempts(step: str, run: str | None, store: str | None, as_json: bool) -> None:
    """Show every attempt of STEP: what became of it, why it was made, what it took.

    STEP is a step's name, or the id or its beginning of a node: an attempt, the branch point
    of a redo, or anything that is part of one.
    """
    from spandag import query
    from spandag.cli._output import page, print_json, print_paged, say_next
    from spandag.query.render import render_attempts
    from spandag.query.resolve import SHORT_ID

    with opened_store(store) as opened:
        found = query.attempts(opened, step, run=run)
    if as_json:
        print_json(found)
        return
    print_paged(render_attempts(found, page()))
    if found:
        last = found[-1].node_id[:SHORT_ID]
        to_compare = [(f"spandag diff {last}", "the last attempt beside the first")] if len(found) > 1 else []
        say_next([*to_compare, (f"spandag node {last}", "the last attempt")], store)
