"""``spandag tree RUN``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, opened_store, store_option


@click.command()
@click.argument("run", default="last")
@click.option("--all", "all_spans", is_flag=True, help="Show spans of other libraries as well (HTTP, SQL …).")
@click.option("--ids", is_flag=True, help="Show the beginning of each node's id.")
@click.option(
    "-f", "--follow", is_flag=True, help="Go on showing it until it is over; Ctrl-C ends that earlier."
)
@store_option
@json_option
def tree(run: str, all_spans: bool, ids: bool, follow: bool, store: str | None, as_json: bool) -> None:
    """Show everything that happened in RUN, as a tree.

    RUN is a run's id or its beginning; the newest run by default. An attempt that was
    rejected is dimmed, its redo follows below it.

    With --follow, a terminal shows the tree as it grows; elsewhere each node gets a line when
    it starts and when it ends, with --json an object. Where there is no run yet, the first one
    is waited for.
    """
    if follow:
        from spandag.cli._follow import follow as follow_run

        follow_run(run, all_spans=all_spans, ids=ids, store=store, as_json=as_json)
        return
    from spandag import query
    from spandag.cli._next import after_tree
    from spandag.cli._output import page, print_json, print_lines, say_next
    from spandag.query.render import render_tree

    with opened_store(store) as opened:
        found = query.tree(opened, run, all_spans=all_spans)
    if as_json:
        print_json(found)
    else:
        print_lines(render_tree(found, page(), ids=ids))
        say_next(after_tree(found, ids=ids), store)
