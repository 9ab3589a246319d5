"""``spandag path RUN``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, opened_store, paging_options, store_option


@click.command()
@click.argument("run", default="last")
@paging_options
@click.option("--ids", is_flag=True, help="Show the beginning of each node's id.")
@store_option
@json_option
def path(run: str, show_all: bool, pager: bool, ids: bool, store: str | None, as_json: bool) -> None:
    """Show only what counted in RUN in the end, as a tree.

    What was rejected, given up or done again is left out; an accepted redo stands in the
    place of its step.
    """
    from spandag import query
    from spandag.cli._next import all_of
    from spandag.cli._output import page, print_json, print_paged, say_next
    from spandag.query.render import NO_FOLDS, folds, render_path
    from spandag.query.resolve import SHORT_ID

    with opened_store(store) as opened:
        found = query.path(opened, run, all_spans=show_all)
    if as_json:
        print_json(found)
        return
    folded = NO_FOLDS if show_all else folds(found)
    print_paged(render_path(found, page(), ids=ids, folded=folded), pager=pager)
    run_id = found.run.id[:SHORT_ID]
    commands = [(f"spandag tree {run_id}", "everything, with what was thrown away")]
    more = all_of(found, len(folded.hidden))
    if more:
        commands.append((f"spandag path {run_id} --all", f"the same with {more}"))
    say_next(commands, store)
