"""``spandag node NODE``."""

from __future__ import annotations

import click

from spandag.cli._options import json_option, opened_store, store_option


@click.command()
@click.argument("node")
@store_option
@json_option
def node(node: str, store: str | None, as_json: bool) -> None:
    """Show one node with its content, attributes, events and links.

    NODE is a node's id or its beginning, as `spandag tree --ids` shows it; RUN/NODE
    looks in one run only.
    """
    from spandag import query
    from spandag.cli._output import page, print_json, print_paged
    from spandag.query.render import render_node

    with opened_store(store) as opened:
        found = query.node(opened, node)
    if as_json:
        print_json(found)
    else:
        print_paged(render_node(found, page()))
