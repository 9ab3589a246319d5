"""`spandag replay`: a recorded run as it happened, on both databases."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from spandag_test_live import Process, run_id

from spandag.semconv import NodeType

from .conftest import SPANDAG, Spandag
from .test_follow import SOON_S, Terminal, frames, plain, without_times

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="terminals and signals of POSIX")


@pytest.fixture
def process(store_url: str) -> Iterator[Process]:
    process = Process(store_url)
    yield process
    process.close()


def recorded(process: Process, *, pause: float = 0.0) -> str:
    """A run with a tool that fails; gives its id."""
    run = process.start(NodeType.RUN, "report")
    first = process.step("fit", run)
    time.sleep(pause)
    process.end(process.start(NodeType.TOOL, "load", first), failed="no such column")
    process.end(first, run)
    return run_id(run)


LINES = [
    "TIME  ● run report",
    "TIME  ●   step 1 fit",
    "TIME  ●     tool load",
    "TIME  ✗     tool load  failed  1ms  no such column",
    "TIME  ✓   step 1 fit  1ms",
    "TIME  ✓ run report  1ms",
    "",
    "report  ✓ completed  TIME",
]


@pytest.mark.parametrize(
    "options", [("--no-wait",), ("--speed", "0"), ("--speed", "1000"), ("--max-pause", "0")]
)
def test_each_start_and_end_is_a_line(process: Process, spandag: Spandag, options: tuple[str, ...]) -> None:
    run = recorded(process, pause=0.1)

    done = spandag("replay", run[:12], *options, "--store", process.url)

    assert done.returncode == 0
    lines = without_times(done.stdout.splitlines())
    assert lines[:-1] == LINES
    assert lines[-1].startswith("run ID · 1ms")
    assert "next: " in done.stderr


def test_json_is_an_object_a_line_without_waiting(process: Process, spandag: Spandag) -> None:
    recorded(process)

    done = spandag("replay", "--json", "--store", process.url)

    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(event["change"], event["node"]["name"], event["node"]["status"]) for event in events] == [
        ("started", "report", "running"),
        ("started", "fit", "running"),
        ("started", "load", "running"),
        ("ended", "load", "failed"),
        ("ended", "fit", "completed"),
        ("ended", "report", "completed"),
    ]
    assert [event["offset"] for event in events] == [
        event["timestamp"] - events[0]["timestamp"] for event in events
    ]
    assert done.stderr == ""


def test_a_terminal_shows_the_tree_as_it_grew_and_whole_in_the_end(
    process: Process, environment: None
) -> None:
    recorded(process, pause=0.2)

    terminal = Terminal(
        process.url, lines=12, columns=80, command=("replay", "--speed", "0.1", "--max-pause", "1")
    )

    assert terminal.end() == 0
    *grown, whole = frames(terminal.output)
    assert len(grown) >= 2
    assert all("● running" in frame[0] for frame in grown)
    assert not any("tool load" in line for line in grown[0])
    assert whole[0].startswith("report  ✓ completed")
    assert any("tool load" in line and "✗ failed" in line for line in whole)
    assert any(line.startswith("next: ") for line in whole)


def test_ctrl_c_ends_it_quietly(process: Process, environment: None) -> None:
    recorded(process, pause=0.2)
    command = ("replay", "--speed", "0.001", "--max-pause", "1000")
    terminal = Terminal(process.url, lines=12, columns=80, command=command)
    terminal.wait_for("run report")
    terminal.type(b"\x03")

    assert terminal.end() == 130
    assert "Traceback" not in plain(terminal.output)

    piped = subprocess.Popen(
        [SPANDAG, *command, "--store", process.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert piped.stdout is not None
    assert "run report" in piped.stdout.readline()
    piped.send_signal(signal.SIGINT)
    _, errors = piped.communicate(timeout=SOON_S)
    assert (piped.returncode, errors.strip()) == (130, "")


def test_a_run_that_goes_on_is_played_as_far_as_it_is(process: Process, spandag: Spandag) -> None:
    run = process.start(NodeType.RUN, "report")

    done = spandag("replay", "--no-wait", "--store", process.url)

    assert done.stdout.splitlines()[0].endswith("● run report")
    assert f"spandag tree {run_id(run)[:8]} --follow" in done.stderr


def test_follow_shows_a_run_until_it_is_over(process: Process, spandag: Spandag) -> None:
    recorded(process)

    followed = spandag("replay", "--follow", "--store", process.url)

    assert followed.stdout == spandag("tree", "--follow", "--store", process.url).stdout


def test_an_unknown_run_is_one_line(process: Process, spandag: Spandag) -> None:
    done = spandag("replay", "--store", process.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the store has no runs yet" in done.stderr
