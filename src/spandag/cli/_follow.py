"""``spandag tree RUN --follow``: a run while it goes on."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

from rich.live import Live

from spandag.cli._next import after_tree
from spandag.cli._options import answering, store_url
from spandag.cli._output import console_for, page, print_json, print_lines, say, say_next, segments
from spandag.cli._progress import on_terminal
from spandag.query.following import Following
from spandag.query.liveness import OPEN
from spandag.query.render import (
    NO_FOLDS,
    Folds,
    Line,
    Page,
    render_changes,
    render_header,
    render_tree,
    shown_errors,
)
from spandag.query.resolve import LAST, resolve_run
from spandag.query.runs import Run, newest
from spandag.query.tree import Tree
from spandag.store import Store, open_store
from spandag.store.errors import MissingStoreError

_INTERVAL_S = 1.0
# Of a large run, reading and drawing must not take all of a processor, nor of the store.
_PAUSE_FACTOR = 3.0
_HEADER = 2


def follow(run: str, *, all_spans: bool, ids: bool, store: str | None, as_json: bool) -> None:
    """Show a run until it is over: drawn anew on a terminal, elsewhere a line for each change.

    Args:
        run: As `spandag.query.resolve_run` takes it. Where ``last`` is not there yet, the first run is waited for.
        all_spans: Whether to show spans of other libraries.
        ids: Whether to show the beginning of each node's id.
        store: What ``--store`` says.
        as_json: Whether to print each change as a JSON object.
    """
    with answering(), ExitStack() as stack:
        opened, run_id = _found(run, store_url(store))
        stack.enter_context(opened)
        following = Following(opened, run_id, all_spans=all_spans)
        if following.tree.run.status == OPEN:
            say("nobody says whether this run still goes on; Ctrl-C ends this")
        if as_json:
            _print_objects(following)
            return
        if on_terminal(sys.stdout):
            # Whoever asks for all spans wants each of many like nodes as well.
            _draw(following, ids=ids, folded=NO_FOLDS if all_spans else None)
        else:
            _print_changes(following, ids=ids)
        say_next(after_tree(following.tree, ids=ids), store)


def _found(run: str, url: str) -> tuple[Store, str]:
    """The store, open, and the id of the run; waits where it is the last one and there is none yet."""
    if run.strip().lower() != LAST:
        store = open_store(url)
        try:
            with store.connection() as connection:
                return store, resolve_run(connection, run)
        except BaseException:
            store.close()
            raise
    found = _last(url)
    if found is None:
        say("there is no run yet; waiting for the first one")
    while found is None:
        time.sleep(_INTERVAL_S)
        found = _last(url)
    return found


def _last(url: str) -> tuple[Store, str] | None:
    try:
        store = open_store(url)
    except MissingStoreError:
        return None
    runs: list[Run] = []
    try:
        with store.connection() as connection:
            runs = newest(connection, 1)
    finally:
        if not runs:
            store.close()
    return (store, runs[0].id) if runs else None


def _looks(following: Following) -> Iterator[None]:
    """Once for each time that the run is to be shown, about every second, until it is over."""
    while True:
        start = time.monotonic()
        yield
        if following.is_over:
            return
        time.sleep(max(_INTERVAL_S, _PAUSE_FACTOR * (time.monotonic() - start)))
        following.look()


def _draw(following: Following, *, ids: bool, folded: Folds | None) -> None:
    live = Live(
        console=console_for(sys.stdout),
        auto_refresh=False,
        # What is cut to the terminal is drawn over in the end by the whole.
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with live:
        try:
            for _ in _looks(following):
                lines = on_screen(following.tree, ids=ids, now=time.time_ns(), folded=folded)
                live.update(segments(lines), refresh=True)
        except KeyboardInterrupt:
            live.transient = False
            raise
    print_lines(render_tree(following.tree, page(), ids=ids, folded=folded))


def on_screen(tree: Tree, *, ids: bool, now: int, folded: Folds | None = None) -> list[Line]:
    """A tree as far as the terminal has room: its header and its newest lines.

    Args:
        tree: What to draw.
        ids: Whether to show the beginning of each node's id.
        now: The time in Unix nanoseconds, for how long what is running has been.
        folded: Which of many like nodes are one line.
    """
    size = shutil.get_terminal_size()
    # No line may wrap, whatever else a page does for narrow terminals.
    screen = Page(width=size.columns, encoding=page().encoding)
    lines = render_tree(tree, page(), ids=ids, now=now, folded=folded)
    room = max(size.lines - 1, 1)
    if len(lines) > room:
        below = max(room - _HEADER - 1, 1)
        left_out = len(lines) - _HEADER - below
        note: Line = [(f"{screen.glyphs.ellipsis} {left_out:,} lines", "dim")]
        lines = [*lines[:_HEADER], note, *lines[-below:]][-room:]
    return [screen.cut(line) for line in lines]


def _print_changes(following: Following, *, ids: bool) -> None:
    for _ in _looks(following):
        changes = following.changes()
        if changes:
            print_lines(render_changes(changes, page(), errors=shown_errors(following.tree), ids=ids))
    print_lines([[], *render_header(following.tree.run, page())])


def _print_objects(following: Following) -> None:
    for _ in _looks(following):
        for change in following.changes():
            print_json(
                {
                    "run_id": change.run_id,
                    "change": change.change,
                    "timestamp": change.timestamp,
                    "choice": change.choice,
                    "node": change.node,
                },
                indent=None,
            )
    run = following.tree.run
    print_json({"run_id": run.id, "change": "over", "timestamp": run.ended_at, "run": run}, indent=None)
