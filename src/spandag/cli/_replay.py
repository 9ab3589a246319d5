"""``spandag replay RUN``: a recorded run as it happened."""

from __future__ import annotations

import sys
import time
from bisect import bisect_right

from rich.live import Live

from spandag.cli._follow import on_screen
from spandag.cli._output import console_for, page, print_json, print_lines, segments
from spandag.cli._progress import on_terminal
from spandag.query.render import render_changes, render_header, render_tree, shown_errors
from spandag.query.replay import Replay, Rhythm

# A terminal shows no more, and whoever looks sees no more.
_LEAST_BETWEEN_S = 0.1


def play(replay: Replay, *, speed: float, max_pause: float | None, ids: bool) -> None:
    """Show a run as it happened: drawn again and again on a terminal, elsewhere a line for each event.

    Args:
        replay: The run.
        speed: As of `Rhythm`.
        max_pause: As of `Rhythm`.
        ids: Whether to show the beginning of each node's id.
    """
    rhythm = Rhythm([event.offset for event in replay.events], speed=speed, max_pause=max_pause)
    if on_terminal(sys.stdout):
        _draw(replay, rhythm, ids=ids)
    else:
        _print(replay, rhythm, ids=ids)


def print_events(replay: Replay) -> None:
    """Print each event as a JSON object, without waiting."""
    for event in replay.events:
        print_json(event, indent=None)


def _draw(replay: Replay, rhythm: Rhythm, *, ids: bool) -> None:
    live = Live(
        console=console_for(sys.stdout),
        auto_refresh=False,
        # What is cut to the terminal is drawn over in the end by the whole.
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    start = time.monotonic()
    with live:
        try:
            while (passed := time.monotonic() - start) < rhythm.seconds:
                offset = rhythm.offset_at(passed)
                lines = on_screen(replay.at(offset), ids=ids, now=replay.started_at + offset)
                live.update(segments(lines), refresh=True)
                took = time.monotonic() - start - passed
                # Of a large run, drawing must not take all of a processor.
                time.sleep(min(max(_LEAST_BETWEEN_S, took), max(rhythm.seconds - passed - took, 0)))
        except KeyboardInterrupt:
            live.transient = False
            raise
    print_lines(render_tree(replay.tree, page(), ids=ids))


def _print(replay: Replay, rhythm: Rhythm, *, ids: bool) -> None:
    errors = shown_errors(replay.tree)
    shown = 0
    start = time.monotonic()
    while shown < len(replay.events):
        until = bisect_right(rhythm.due, time.monotonic() - start)
        if until > shown:
            changes = [event.as_change() for event in replay.events[shown:until]]
            print_lines(render_changes(changes, page(), errors=errors, ids=ids))
            shown = until
        if shown < len(replay.events):
            time.sleep(max(rhythm.due[shown] - (time.monotonic() - start), _LEAST_BETWEEN_S))
    print_lines([[], *render_header(replay.tree.run, page())])
