"""Answers that a terminal has no room for: on a real one, with a pager that says that it was there."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

import spandag as api

from .test_answers import provider

__all__ = ["provider"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")

OnTerminal = Callable[..., str]


@pytest.fixture
def pager(tmp_path: Path) -> Path:
    """A pager that shows what it is given below a line of its own."""
    program = tmp_path / "pager"
    program.write_text("#!/bin/sh\necho PAGED\nexec cat\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def on_terminal(provider: TracerProvider, pager: Path) -> OnTerminal:
    """Gives what a command shows on a terminal of 80 columns and 24 lines."""
    with api.run("r"):
        for i in range(30):
            with api.tool(f"t{i}"):
                pass

    def show(*arguments: str, **variables: str) -> str:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {
            **os.environ,
            # The code that is tested, wherever it is.
            "PYTHONPATH": str(Path(api.__file__).parent.parent),
            "TERM": "xterm-256color",
            "PAGER": str(pager),
            **variables,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "spandag", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        os.close(theirs)
        shown = b""
        while True:
            try:
                read = os.read(ours, 65536)
            except OSError:
                break
            if not read:
                break
            shown += read
        os.close(ours)
        assert process.wait() == 0
        return shown.decode()

    return show


def test_what_a_terminal_has_no_room_for_is_paged_with_its_colours(on_terminal: OnTerminal) -> None:
    for command in ("tree", "path", "timeline"):
        shown = on_terminal(command)
        assert shown.startswith("PAGED\r\n")
        assert shown.count("t29") == 1
        assert "\x1b[" in shown


def test_a_pager_can_be_done_without(on_terminal: OnTerminal) -> None:
    assert "PAGED" not in on_terminal("tree", "--no-pager")
    assert "PAGED" not in on_terminal("tree", NO_PAGER="1")
    assert "PAGED" not in on_terminal("tree", "--json")
    # Not there at all: what there is to see is seen.
    assert "t29" in on_terminal("tree", PAGER="/nowhere/pager")
    assert "\x1b[" not in on_terminal("tree", NO_COLOR="1")


def test_what_a_terminal_has_room_for_is_just_shown(on_terminal: OnTerminal) -> None:
    with api.run("short"):
        pass

    assert "PAGED" not in on_terminal("tree")


def test_less_keeps_colours(on_terminal: OnTerminal, tmp_path: Path) -> None:
    less = tmp_path / "less"
    less.write_text('#!/bin/sh\necho "LESS=$LESS"\nexec cat\n')
    less.chmod(0o755)

    shown = on_terminal("tree", PAGER="", LESS="", PATH=f"{tmp_path}:{os.environ['PATH']}")

    assert shown.startswith("LESS=-R\r\n")
    assert "\x1b[" in shown
