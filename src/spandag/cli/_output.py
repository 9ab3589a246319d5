"""Answers go to standard output, whatever spandag says itself to standard error."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

import click
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style

from spandag.cli._options import same_store
from spandag.query import as_json
from spandag.query.render import ENDLESS, Line, Page
from spandag.query.text import safe_json

_AT_ONCE = 500


def page() -> Page:
    """Standard output as a page: as wide as the terminal or as ``COLUMNS`` says, else without an end.

    What a program reads must not lack what a person has no room for.
    """
    width = ENDLESS
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        width = shutil.get_terminal_size().columns
    return Page(width=max(width, 40), encoding=sys.stdout.encoding or "utf-8")


def print_lines(lines: Sequence[Line], *, err: bool = False) -> None:
    """Print lines, in colour where a terminal shows it.

    ``NO_COLOR`` turns colours off, ``FORCE_COLOR`` on.
    """
    file = sys.stderr if err else sys.stdout
    console = console_for(file)
    for start in range(0, len(lines), _AT_ONCE):
        console.print(segments(lines[start : start + _AT_ONCE]), end="", soft_wrap=True)
    file.flush()


def print_paged(lines: Sequence[Line], *, pager: bool = True) -> None:
    """Print lines; a terminal that has no room for them shows them in a pager, with their colours.

    ``PAGER`` names another one than ``less``, ``NO_PAGER`` turns it off.

    Args:
        lines: What to print.
        pager: Whether to use a pager where one is of use.
    """
    if not pager or os.environ.get("NO_PAGER") or not _is_too_long(lines):
        print_lines(lines)
        return
    console = console_for(sys.stdout)

    def chunks() -> Iterator[str]:
        for start in range(0, len(lines), _AT_ONCE):
            with console.capture() as captured:
                console.print(segments(lines[start : start + _AT_ONCE]), end="", soft_wrap=True)
            yield captured.get()

    # What click knows as less it asks to keep colours, or takes them out; others are trusted to know them.
    named = shlex.split(os.environ.get("PAGER", "")) or ["less"]
    knows_colours = os.path.basename(named[0]) not in ("less", "more")
    click.echo_via_pager(chunks(), color=True if knows_colours else None)


def _is_too_long(lines: Sequence[Line]) -> bool:
    """Whether somebody looks at a terminal that has no room for lines."""
    on_terminals = sys.stdout.isatty() and sys.stdin is not None and sys.stdin.isatty()
    return on_terminals and len(lines) >= shutil.get_terminal_size().lines


def print_json(answer: Any, *, indent: int | None = 2) -> None:
    """Print an answer as JSON.

    Args:
        answer: As `spandag.query.as_json` takes it.
        indent: How far what is inside is indented; None for all of it on one line.
    """
    value = as_json(answer)
    text = safe_json(json.dumps(value, ensure_ascii=False, indent=indent))
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        # An output that is not Unicode.
        text = json.dumps(value, indent=indent)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say(message: str) -> None:
    """Say something about the answer, without being part of it."""
    print_lines([[(message, "dim")]], err=True)


def say_next(commands: Sequence[tuple[str, str]], store: str | None, *, end: str = "") -> None:
    """Say what could be typed next.

    Args:
        commands: Commands and what they show.
        store: What ``--store`` said, so that they ask the same one.
        end: What has to stand behind all options.
    """
    if sys.stderr.isatty() and not sys.stdout.isatty():
        # The answer goes to another program, whose own words this would stand among.
        return
    option = same_store(store) + end
    typed = program()
    commands = [(typed + command.removeprefix("spandag"), what) for command, what in commands]
    width = max(len(command) for command, _ in commands) + len(option)
    lines: list[Line] = [[]]
    for i, (command, what) in enumerate(commands):
        start = "next: " if i == 0 else "      "
        lines.append([(start, "dim"), ((command + option).ljust(width), ""), (f"  {what}", "dim")])
    print_lines(lines, err=True)


def program() -> str:
    """What to type to run us again: the script's path where the shell would not find it."""
    if shutil.which("spandag"):
        return "spandag"
    path = sys.argv[0]
    if os.path.basename(path) == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m spandag"
    return shlex.quote(min(path, os.path.relpath(path), key=len))


def console_for(file: TextIO) -> Console:
    """A console that prints lines as they are, in colour where a terminal shows it."""
    plain = bool(os.environ.get("NO_COLOR"))
    return _Console(
        file=file,
        color_system=None if plain else "auto",
        highlight=False,
        markup=False,
        emoji=False,
        width=100_000,
    )


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to whoever runs the command; Rich would end the process here."""
        raise BrokenPipeError


def segments(lines: Iterable[Line]) -> Segments:
    """Lines as Rich prints them."""
    return Segments(_segments(lines))


def _segments(lines: Iterable[Line]) -> Iterable[Segment]:
    for line in lines:
        while line and not line[-1][0].strip():
            line = line[:-1]
        for text, style in line[:-1]:
            yield Segment(text, Style.parse(style))
        if line:
            text, style = line[-1]
            yield Segment(text.rstrip(), Style.parse(style))
        yield Segment.line()
