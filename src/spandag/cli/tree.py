"""``spandag tree RUN``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, opened_store, paging_options, store_option


@click.command()
@click.argument("run", default="last")
@paging_options
@click.option("--ids", is_flag=True, help="Show the beginning of each node's id.")
@click.option(
    "-f", "--follow", is_flag=True, help="Go on showing it until it is over; Ctrl-C ends that earlier."
)
@click.option(
    "--branches", is_flag=True, help="Show only the attempts of steps, as a strip with the redos beside it."
)
@store_option
@json_option
def tree(
    run: str,
    show_all: bool,
    pager: bool,
    ids: bool,
    follow: bool,
    branches: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Show everything that happened in RUN, as a tree.

    RUN is a run's id or its beginning; the newest run by default. An attempt that was
    rejected is dimmed, its redo follows below it. Of more than ten like nodes in a row, a line
    stands for those between the second and the last.

    With --follow, a terminal shows the tree as it grows; elsewhere each node gets a line when
    it starts and when it ends, with --json an object. Where there is no run yet, the first one
    is waited for.

    With --branches, a line for each attempt of a step, oldest first, as `git log --graph` would
    draw them: a redo leaves the attempt that it redoes, and joins it again where it was accepted.
    """
    if branches:
        if follow:
            raise click.UsageError("--branches and --follow do not go together.")
        _show_branches(run, store, as_json)
        return
    if follow:
        from spandag.cli._follow import follow as follow_run

        follow_run(run, all_spans=show_all, ids=ids, store=store, as_json=as_json)
        return
    from spandag import query
    from spandag.cli._next import after_tree
    from spandag.cli._output import page, print_json, print_paged, say_next
    from spandag.query.render import NO_FOLDS, folds, render_tree

    with opened_store(store) as opened:
        found = query.tree(opened, run, all_spans=show_all)
    if as_json:
        print_json(found)
    else:
        folded = NO_FOLDS if show_all else folds(found)
        print_paged(render_tree(found, page(), ids=ids, folded=folded), pager=pager)
        say_next(after_tree(found, ids=ids, folded=len(folded.hidden)), store)


def _show_branches(run: str, store: str | None, as_json: bool) -> None:
    from spandag import query
    from spandag.cli._output import page, print_json, print_paged, say, say_next
    from spandag.query.render import render_strip
    from spandag.query.resolve import SHORT_ID

    with opened_store(store) as opened:
        found = query.strip(opened, run)
    if as_json:
        print_json(found)
        return
    if not found.attempts:
        say("this run has no steps")
        return
    print_paged(render_strip(found, page()))
    short = found.run.id[:SHORT_ID]
    say_next([(f"spandag tree {short}", "everything in it")], store)
