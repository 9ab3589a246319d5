"""``spandag search [TEXT]``."""

from __future__ import annotations

import re
import shlex
from datetime import datetime, timedelta
from typing import Any

import click

from spandag.cli._options import json_option, opened_store, store_option

_NS = 1_000_000_000
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)", re.IGNORECASE)
# What the store keeps times as.
_LATEST = 2**63 - 1


def _span(value: str) -> int:
    found = _SPAN.fullmatch(value.strip())
    if found is None:
        raise click.BadParameter(f"{value[:60]!r} is no time such as 500ms, 10s, 5m or 2h.")
    return min(int(float(found[1]) * _UNITS[found[2].lower()] * _NS), _LATEST)


def _moment(value: str) -> int:
    if _SPAN.fullmatch(value.strip()):
        ago = timedelta(seconds=min(_span(value) / _NS, 3e9))
        return max(0, int(datetime.now().timestamp() * _NS) - int(ago.total_seconds() * _NS))
    try:
        # Without a zone the machine's own is meant.
        return round(datetime.fromisoformat(value.strip()).timestamp() * 1_000_000) * 1000
    except (ValueError, OverflowError, OSError) as error:
        raise click.BadParameter(
            f"{value[:60]!r} is no time such as 2h (ago), 2026-11-01 or 2026-11-01T09:30."
        ) from error


@click.command()
@click.argument("text", required=False)
@click.option("--session", metavar="ID", help="In runs of this session.")
@click.option("--agent", metavar="NAME", help="Nodes of this agent.")
@click.option("--type", "node_type", metavar="TYPE", help="Nodes of this type: step, agent, llm, tool …")
@click.option("--model", metavar="NAME", help="Calls of this model.")
@click.option("--status", metavar="STATUS", help="Nodes of this status: failed, running, interrupted …")
@click.option(
    "--since", type=_moment, metavar="TIME", help="Started since: 2h (ago), 2026-11-01, or with a time."
)
@click.option("--until", type=_moment, metavar="TIME", help="Started before.")
@click.option(
    "--longer", "min_duration", type=_span, metavar="SPAN", help="Took so long or longer: 500ms, 10s, 2m."
)
@click.option("--shorter", "max_duration", type=_span, metavar="SPAN", help="Took so long or shorter.")
@click.option(
    "--error",
    is_flag=False,
    flag_value="",
    metavar="[TEXT]",
    help="With an error; with TEXT, one that says it. A word that follows is its TEXT.",
)
@click.option("--run", metavar="RUN", help="In this run.")
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many nodes at most."
)
@click.option("--cursor", metavar="CURSOR", help="Go on where a search before has ended.")
@click.option("--no-index", is_flag=True, help="Do not ask the text index (`spandag db index`).")
@click.option("--all", "everything", is_flag=True, help="Go back through all runs, however long it takes.")
@store_option
@json_option
def search(
    text: str | None, no_index: bool, everything: bool, store: str | None, as_json: bool, **asked: Any
) -> None:
    """Find the nodes that say TEXT, or that are of a kind; all that is given has to hold.

    TEXT is found as it stands, also within words, in upper or lower case: in names, agents,
    models, errors, messages, arguments, results, hypotheses and tasks. Goes back from the
    newest run for about two seconds, and says how to go on.
    """
    import math

    from spandag import query
    from spandag.cli._output import page, print_json, print_paged, say, say_next
    from spandag.query.render import render_search
    from spandag.query.render.formats import moment
    from spandag.query.resolve import SHORT_ID
    from spandag.query.search import SECONDS

    if text == "":
        raise click.BadParameter("nothing is everywhere; leave it out to list nodes.", param_hint="TEXT")
    with opened_store(store) as opened:
        found = query.search(
            opened, text, use_index=not no_index, seconds=math.inf if everything else SECONDS, **asked
        )
    if as_json:
        print_json(found.hits)
    else:
        print_paged(render_search(found.hits, page()))
    if found.cursor is None:
        if not found.hits and not as_json:
            say("nothing is like that" if text is None else f"no node says {text!r}"[:200])
            if text is not None and not found.has_content:
                say("no content was recorded; names, errors, hypotheses and tasks were looked through")
        elif found.hits and not as_json:
            say_next([(f"spandag node {found.hits[0].node_id[:SHORT_ID]}", "the first of them")], store)
        return
    if len(found.hits) < asked["limit"]:
        say(f"looked through {found.runs:,} runs, back to {moment(found.back_to)}")
    context = click.get_current_context()
    words, end = ([text] if text is not None else []), ""
    if text is not None and text.startswith("-"):
        # It would be an option.
        words, end = [], f" -- {shlex.quote(text)}"
    words += [*_repeated(context, asked), *(["--no-index"] if no_index else [])]
    command = " ".join(["spandag search", *map(shlex.quote, words), "--cursor", found.cursor])
    say_next([(command, "to go on")], store, end=end)


def _repeated(context: click.Context, asked: dict[str, Any]) -> list[str]:
    """The options that were given, as they can be typed again."""
    words: list[str] = []
    for parameter in context.command.params:
        name = str(parameter.name)
        if name not in asked or name == "cursor":
            continue
        source = context.get_parameter_source(name)
        value = asked[name]
        if value is None or source is None or source.name == "DEFAULT":
            continue
        option = max(parameter.opts, key=len)
        if name in ("since", "until"):
            value = datetime.fromtimestamp(value / _NS).isoformat()
        elif name.endswith("_duration"):
            value = f"{value / 1_000_000:.6f}".rstrip("0").rstrip(".") + "ms"
        words += [option] if name == "error" and value == "" else [option, str(value)]
    return words
