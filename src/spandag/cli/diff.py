"""``spandag diff A [B]``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, opened_store, store_option


@click.command()
@click.argument("a")
@click.argument("b", required=False)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Of how many nodes that differ the details are shown; 0 for all.",
)
@click.option("--markdown", is_flag=True, help="Answer in Markdown, to paste into a review.")
@store_option
@json_option
def diff(a: str, b: str | None, limit: int, markdown: bool, store: str | None, as_json: bool) -> None:
    """Show what is different between A and B: two attempts, two forks, or any two runs.

    A and B are runs (`last`, `last~1` for the one before, an id or its beginning) or nodes
    with all that is below them. A alone is a step that was done again, whose first and last
    attempt are compared, or a fork, which is compared with the run that it goes on from.

    Nodes are aligned by their place, type and name. Time, and ids of tool calls, make no difference.
    """
    from spandag import query
    from spandag.cli._output import page, print_json, print_lines, print_paged, say_next
    from spandag.query.render import Page, diff_markdown, render_diff
    from spandag.query.resolve import SHORT_ID

    if markdown and as_json:
        raise click.UsageError("--json and --markdown exclude each other")
    most = limit or None
    with opened_store(store) as opened:
        found = query.diff(opened, a, b, limit=most)
    if as_json:
        print_json(found)
    elif markdown:
        text = diff_markdown(found, Page(encoding=page().encoding), limit=most)
        print_lines([[(line, "")] for line in text.splitlines()])
    else:
        print_paged(render_diff(found, page(), limit=most))
        first = found.first_divergence
        commands = [(f"spandag tree {found.b.run.id[:SHORT_ID]}", "everything in the run of b")]
        if first is not None:
            nodes = [(first.pair.a, "in a"), (first.pair.b, "in b")]
            commands = [
                (f"spandag node {node.id[:SHORT_ID]}", f"where they part, {where}")
                for node, where in nodes
                if node is not None and ":" not in node.id
            ] or commands
        say_next(commands, store)
