"""``spandag export RUN``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from spandag.cli._options import json_option, opened_store, store_option

if TYPE_CHECKING:
    from spandag.query import Graph
    from spandag.store import Store

_OTLP, _JSONL, _MERMAID, _DOT = "otlp-json", "jsonl", "mermaid", "dot"
_AT_ONCE = 65_536


@click.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option(
    "--format",
    "kind",
    type=click.Choice([_OTLP, _JSONL, _MERMAID, _DOT]),
    default=_OTLP,
    show_default=True,
    help="What to write.",
)
@click.option("--all", "all_runs", is_flag=True, help="Every run of the store.")
@click.option(
    "--depth", type=click.IntRange(min=0), help="Draw no deeper than this; 0 is the run alone (mermaid, dot)."
)
@click.option("--whole", is_flag=True, help="Draw also what repeats itself (mermaid, dot).")
@store_option
@json_option
def export(
    runs: tuple[str, ...],
    kind: str,
    all_runs: bool,
    depth: int | None,
    whole: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Write RUNs to standard output; the newest run by default.

    \b
    otlp-json  the spans, for Jaeger's UI (Upload), a Collector or `spandag import`
    jsonl      every row, for `spandag import` into another store: nothing is lost
    mermaid    a flowchart, for Markdown
    dot        a graph, for Graphviz

    A drawing shows siblings that are alike once, and no spans of other libraries. With
    --json, it is OTLP JSON as well.
    """  # noqa: D301
    draws = kind in (_MERMAID, _DOT)
    if all_runs and runs:
        raise click.UsageError("Name RUNs, or take --all.")
    if draws and (all_runs or len(runs) > 1):
        raise click.UsageError(f"{kind} draws one run.")
    if not draws and (depth is not None or whole):
        raise click.UsageError(f"--depth and --whole are for drawings ({_MERMAID}, {_DOT}).")
    if draws and as_json:
        raise click.UsageError(f"{kind} is no JSON.")
    with opened_store(store) as opened:
        if draws:
            _draw(opened, runs[0] if runs else "last", kind, depth, whole)
        else:
            _write_runs(opened, _meant(opened, runs, all_runs), kind)


def _meant(opened: Store, runs: Sequence[str], all_runs: bool) -> list[str]:
    from spandag.query import resolve_run
    from spandag.query.export_rows import run_ids

    with opened.connection() as connection:
        if all_runs:
            return run_ids(connection)
        # Each once, whatever it is called.
        return list(dict.fromkeys(resolve_run(connection, run) for run in runs or ("last",)))


def _write_runs(opened: Store, run_ids: list[str], kind: str) -> None:
    from spandag import query
    from spandag.cli._output import say

    if kind == _JSONL:
        write_lines(query.export_jsonl(opened, run_ids))
    else:
        exported = query.Exported()
        write_lines(query.export_otlp(opened, run_ids, exported))
        if exported.open:
            spans = "a span has" if exported.open == 1 else f"{exported.open:,} spans have"
            say(f"{spans} not ended: written up to the last moment of the run that is known, as unfinished")
    if not run_ids:
        say("the store has no runs yet")


def _draw(opened: Store, run: str, kind: str, depth: int | None, whole: bool) -> None:
    from spandag import query
    from spandag.cli._output import say
    from spandag.query.render import render_dot, render_mermaid

    tree = query.tree(opened, run)
    graph = query.graph_of_tree(tree, depth=depth, whole=whole)
    write_lines(render_mermaid(graph) if kind == _MERMAID else render_dot(graph))
    left_out = [
        (graph.repeated, "that repeat what is before them (--whole shows them)"),
        (graph.deeper, "that are deeper"),
        (tree.hidden, "of other libraries"),
    ]
    for count, why in left_out:
        if count:
            say(f"left out: {count:,} node{'' if count == 1 else 's'} {why}")
    if kind == _MERMAID:
        _say_if_too_large(graph, whole)


def _say_if_too_large(graph: Graph, whole: bool) -> None:
    """Say that Mermaid will refuse a drawing, and what it would draw."""
    from spandag.cli._output import say
    from spandag.query.render.mermaid import MOST_CHARACTERS, MOST_EDGES, edges_and_characters

    edges, characters = edges_and_characters(graph)
    if edges > MOST_EDGES:
        limit = f"no more than {MOST_EDGES} edges unless it is told otherwise (maxEdges), these are {edges:,}"
    elif characters > MOST_CHARACTERS:
        limit = (
            f"no more than {MOST_CHARACTERS:,} characters unless it is told otherwise (maxTextSize), "
            f"these are {characters:,}"
        )
    else:
        return
    depth = _deepest_drawn(graph, whole)
    say(f"Mermaid draws {limit}: " + (f"try --depth {depth}" if depth else f"try --format {_DOT}"))


def _deepest_drawn(graph: Graph, whole: bool) -> int:
    """The greatest ``--depth`` whose drawing Mermaid does not refuse; 0 where there is none."""
    from spandag import query
    from spandag.query.render.mermaid import is_drawn

    fits, too_deep = 0, max(drawn.node.depth for drawn in graph.nodes)
    while too_deep - fits > 1:
        between = (fits + too_deep) // 2
        if is_drawn(query.graph_of_tree(graph.tree, depth=between, whole=whole)):
            fits = between
        else:
            too_deep = between
    return fits


def write_lines(lines: Iterable[str]) -> None:
    """Write lines as they come, in UTF-8 whatever the terminal has: it is a file's content.

    Args:
        lines: Without their line ends.
    """
    waiting: list[str] = []
    size = 0
    try:
        for line in lines:
            waiting.append(line)
            # A line can be one of a table or a thousand spans.
            size += len(line)
            if size >= _AT_ONCE:
                _write_all(waiting)
                waiting.clear()
                size = 0
        _write_all(waiting)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Of one with a number click makes an end of its own.
        raise BrokenPipeError from None


def _write_all(lines: Sequence[str]) -> None:
    """Write some lines, also where Python does not buffer.

    There a write that the reader interrupts by going away ends early, and only the next one fails.
    """
    left = memoryview("".join(f"{line}\n" for line in lines).encode())
    while left:
        left = left[sys.stdout.buffer.write(left) :]
