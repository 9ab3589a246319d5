"""``spandag replay RUN``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, opened_store, store_option


@click.command()
@click.argument("run", default="last")
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="How many times as fast as it was; 0 for all at once.",
)
@click.option("--no-wait", is_flag=True, help="All at once, as --speed 0.")
@click.option(
    "--max-pause",
    type=click.FloatRange(min=0),
    default=3.0,
    show_default=True,
    help="Where nothing happened for longer, go on after so many seconds.",
)
@click.option("--all", "all_spans", is_flag=True, help="Show spans of other libraries as well (HTTP, SQL …).")
@click.option("--ids", is_flag=True, help="Show the beginning of each node's id.")
@click.option("-f", "--follow", is_flag=True, help="Show a run that goes on, until it is over.")
@store_option
@json_option
def replay(
    run: str,
    speed: float,
    no_wait: bool,
    max_pause: float,
    all_spans: bool,
    ids: bool,
    follow: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Play RUN back as it happened.

    On a terminal the tree grows as it did, in the same rhythm; elsewhere each node gets a line
    when it starts and when it ends. With --json each of these is an object, with its offset from
    the beginning in nanoseconds, and nothing is waited for.

    Of a run that goes on, what is there is played; --follow shows it while it goes on. Ctrl-C ends it.
    """
    if follow:
        from spandag.cli._follow import follow as follow_run

        follow_run(run, all_spans=all_spans, ids=ids, store=store, as_json=as_json)
        return
    from spandag import query
    from spandag.cli._next import after_tree
    from spandag.cli._output import say_next
    from spandag.cli._replay import play, print_events

    with opened_store(store) as opened:
        found = query.replay(opened, run, all_spans=all_spans)
    if as_json:
        print_events(found)
        return
    play(found, speed=0.0 if no_wait else speed, max_pause=max_pause, ids=ids)
    say_next(after_tree(found.tree, ids=ids), store)
