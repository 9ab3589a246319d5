"""``spandag timeline RUN``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, opened_store, paging_options, store_option


@click.command()
@click.argument("run", default="last")
@paging_options
@click.option("--ids", is_flag=True, help="Show the beginning of each node's id.")
@store_option
@json_option
def timeline(run: str, show_all: bool, pager: bool, ids: bool, store: str | None, as_json: bool) -> None:
    """Show what happened in RUN in order of time, each with its bar.

    A line for whatever starts, with the time since the start of the run, how long it took and what
    became of it; and one for whatever happens in between: redos, handoffs, approvals, rejections.
    With --json, each start and each end is an event of its own.
    """
    import time

    from spandag import query
    from spandag.cli._next import all_of
    from spandag.cli._output import page, print_json, print_paged, say_next
    from spandag.query.render import NO_FOLDS, folds, render_timeline
    from spandag.query.resolve import SHORT_ID

    with opened_store(store) as opened:
        found = query.timeline(opened, run, all_spans=show_all)
    if as_json:
        print_json(found)
        return
    folded = NO_FOLDS if show_all else folds(found.tree)
    lines = render_timeline(found, page(), ids=ids, now=time.time_ns(), folded=folded)
    print_paged(lines, pager=pager)
    run_id = found.run.id[:SHORT_ID]
    commands = [(f"spandag tree {run_id}", "the same by what is part of what")]
    more = all_of(found.tree, len(folded.hidden))
    if more:
        commands.append((f"spandag timeline {run_id} --all", f"the same with {more}"))
    say_next(commands, store)
