"""`spandag tree --follow`: a run that a process tells while it is followed, on both databases."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import queue
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from spandag_test_live import Process, run_id

from spandag import semconv
from spandag.query.following import Following
from spandag.semconv import NodeType
from spandag.store import open_store

from .conftest import SPANDAG, Spandag

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="terminals and signals of POSIX")

SOON_S = 30
"""For a machine that is busy; what is followed is looked at every second."""
USAGE = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100, "gen_ai.usage.cost": 0.25}


@pytest.fixture
def process(store_url: str) -> Iterator[Process]:
    process = Process(store_url)
    yield process
    process.close()


class Followed:
    """``spandag tree --follow`` as a process of its own, whose lines are read as they come."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        self.process = subprocess.Popen(
            [SPANDAG, "tree", "--follow", *arguments],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[tuple[str, str]] = queue.Queue()
        self.lines: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._readers = [
            threading.Thread(target=self._read, args=(name,), daemon=True) for name in ("stdout", "stderr")
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str) -> None:
        for line in getattr(self.process, name):
            self._lines.put((name, line.rstrip("\n")))

    def wait_for(self, text: str) -> None:
        """Read until a line has this in it."""
        until = time.monotonic() + SOON_S
        while not any(text in line for lines in self.lines.values() for line in lines):
            try:
                name, line = self._lines.get(timeout=max(0.1, until - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no line with {text!r} in {self.lines}")
            self.lines[name].append(line)

    def end(self) -> tuple[int, list[str], list[str]]:
        """Its exit status and all of its lines."""
        status = self.process.wait(SOON_S)
        for reader in self._readers:
            reader.join(SOON_S)
        while not self._lines.empty():
            name, line = self._lines.get()
            self.lines[name].append(line)
        return status, self.lines["stdout"], self.lines["stderr"]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(SOON_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def follow(store_url: str, tmp_path: Path, environment: None) -> Iterator[Callable[..., Followed]]:
    """Follows with these arguments, in the test's store."""
    started: list[Followed] = []

    def follow(*arguments: str) -> Followed:
        started.append(Followed(*arguments, "--store", store_url, cwd=tmp_path))
        return started[-1]

    yield follow
    for followed in started:
        followed.close()


def without_times(lines: list[str]) -> list[str]:
    """Lines without what differs from run to run."""
    lines = [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", line) for line in lines]
    lines = [re.sub(r"\b\d+(?:\.\d)?(?:ms|s)\b", "1ms", line) for line in lines]
    return [re.sub(r"\b[0-9a-f]{8}\b", "ID", line) for line in lines]


# --- lines ---------------------------------------------------------------------------


def test_each_start_and_end_is_a_line_in_order_of_time(
    process: Process, follow: Callable[..., Followed]
) -> None:
    run = process.start(NodeType.RUN, "report")
    process.end(process.start(NodeType.TOOL, "load", run))
    followed = follow()
    followed.wait_for("tool load")

    first = process.step("fit", run)
    followed.wait_for("step 1 fit")
    process.end(process.start(NodeType.LLM, "gpt-4o", first), **USAGE)
    process.end(first, **{semconv.SPANDAG_ATTEMPT_OUTCOME: "rejected"})
    second = process.step("fit", run, first=first, hypothesis="in log space")
    followed.wait_for("fit · attempt 2")
    process.end(second, failed="no such column")
    process.end(run, failed="no such column")

    status, lines, said = followed.end()
    assert status == 0
    assert without_times(lines) == [
        "TIME  ● run report",
        "TIME  ✓   tool load  1ms",
        "TIME  ●   step 1 fit",
        "TIME  ✓     llm gpt-4o  1ms  1.1k tokens  $0.2500",
        "TIME  ✗   step 1 fit  rejected  1ms  1.1k tokens  $0.2500",
        "TIME      ↻ redo_1: “in log space”",
        "TIME  ●     step 1 fit · attempt 2",
        "TIME  ✗     step 1 fit · attempt 2  failed  1ms  no such column",
        "TIME  ✗ run report  failed  1ms  1.1k tokens  $0.2500",
        "",
        "report  ✗ failed  TIME",
        "run ID · 1ms · 1 model call · 1.1k tokens · $0.2500 · 1 redo",
    ]
    assert any(f"spandag redos {run_id(run)[:8]}" in line for line in said)


def test_in_json_each_change_is_an_object_and_the_last_is_the_run(
    process: Process, follow: Callable[..., Followed]
) -> None:
    run = process.start(NodeType.RUN, "report")
    followed = follow("--json")
    followed.wait_for('"started"')
    agent = process.start(NodeType.AGENT, "a", run)
    followed.wait_for('"a"')
    process.end(process.start(NodeType.LLM, "gpt-4o", agent), **USAGE)
    process.end(agent, run)

    status, lines, said = followed.end()
    assert (status, said) == (0, [])
    *changes, last = map(json.loads, lines)
    assert [(change["change"], change["node"]["name"]) for change in changes] == [
        ("started", "report"),
        ("started", "a"),
        ("ended", "gpt-4o"),
        ("ended", "a"),
        ("ended", "report"),
    ]
    assert {change["run_id"] for change in changes} == {last["run_id"]} == {run_id(run)}
    assert [change["timestamp"] for change in changes] == [
        change["node"]["ended_at" if change["change"] == "ended" else "started_at"] for change in changes
    ]
    assert (last["change"], last["run"]["status"], last["run"]["calls"]) == ("over", "completed", 1)


def test_the_first_run_is_waited_for(process: Process, follow: Callable[..., Followed]) -> None:
    followed = follow()
    followed.wait_for("there is no run yet; waiting for the first one")
    run = process.start(NodeType.RUN, "first")
    followed.wait_for("run first")
    process.end(run)

    status, lines, said = followed.end()
    assert status == 0
    assert "first  ✓ completed" in lines[-2]
    assert said.count("there is no run yet; waiting for the first one") == 1


def test_a_store_that_is_not_there_yet_is_waited_for(
    new_empty_url: Callable[[], str], tmp_path: Path, environment: None
) -> None:
    url = new_empty_url()
    followed = Followed("last", "--store", url, cwd=tmp_path)
    try:
        followed.wait_for("waiting for the first one")
        process = Process(url)
        process.end(process.start(NodeType.RUN, "first"))
        process.close()
        assert followed.end()[0] == 0
    finally:
        followed.close()


def test_the_last_run_is_the_one_that_was_last_when_it_began(
    process: Process, follow: Callable[..., Followed]
) -> None:
    run = process.start(NodeType.RUN, "one")
    followed = follow("last")
    followed.wait_for("run one")
    process.end(process.start(NodeType.RUN, "two"))
    process.end(run)

    status, lines, _ = followed.end()
    assert status == 0
    assert not any("two" in line for line in lines)


def test_a_run_whose_process_is_gone_is_over(process: Process, follow: Callable[..., Followed]) -> None:
    run = process.start(NodeType.RUN, "report")
    process.start(NodeType.AGENT, "a", run)
    followed = follow(run_id(run)[:12])
    followed.wait_for("agent a")
    process.fall_silent()

    status, lines, _ = followed.end()
    assert status == 0
    assert lines[2:4] == [" " * 21 + "⊘   agent a  interrupted", " " * 21 + "⊘ run report  interrupted"]
    assert "report  ⊘ interrupted" in lines[-2]


def test_a_run_that_is_over_is_told_and_that_is_all(
    process: Process, follow: Callable[..., Followed]
) -> None:
    process.end(process.start(NodeType.RUN, "report"))

    status, lines, _ = follow().end()

    assert (status, without_times(lines)[0]) == (0, "TIME  ✓ run report  1ms")


def test_of_a_run_that_nobody_holds_open_that_is_said(
    store_url: str, follow: Callable[..., Followed]
) -> None:
    process = Process(store_url, None)
    run = process.start(NodeType.RUN, "report")
    followed = follow()
    followed.wait_for("nobody says whether this run still goes on")
    followed.wait_for("run report")
    process.end(run)
    process.close()

    assert followed.end()[0] == 0


def test_an_id_that_is_not_there_is_not_waited_for(process: Process, follow: Callable[..., Followed]) -> None:
    process.end(process.start(NodeType.RUN, "report"))

    status, lines, said = follow("abc").end()

    assert (status, lines, len(said)) == (2, [], 1)
    assert said[0].startswith("spandag: no run starts with 'abc'")


def test_an_interrupt_ends_it_with_130_and_no_traceback(
    process: Process, follow: Callable[..., Followed]
) -> None:
    process.start(NodeType.RUN, "report")
    followed = follow()
    followed.wait_for("run report")
    followed.process.send_signal(signal.SIGINT)

    status, _, said = followed.end()
    assert (status, [line for line in said if line]) == (130, [])


# --- on a terminal -------------------------------------------------------------------


class Terminal:
    """``spandag tree --follow``, or another command, on a terminal of so many lines and columns."""

    def __init__(
        self, url: str, *, lines: int, columns: int, command: Sequence[str] = ("tree", "--follow")
    ) -> None:
        self.output = ""
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            # Not the process's own environment, to which readline has added the size of another terminal.
            variables = {**os.environ, "TERM": "xterm-256color"}
            os.execve(SPANDAG, [SPANDAG, *command, "--store", url], variables)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._file, 10_000)
            except OSError:
                return
            if not data:
                return
            self.output += data.decode(errors="replace")

    def wait_for(self, text: str) -> None:
        until = time.monotonic() + SOON_S
        while text not in plain(self.output):
            assert time.monotonic() < until, self.output
            time.sleep(0.05)

    def type(self, text: bytes) -> None:
        os.write(self._file, text)

    def end(self) -> int:
        until = time.monotonic() + SOON_S
        while (ended := os.waitpid(self.pid, os.WNOHANG)) == (0, 0):
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.05)
        self._reader.join(SOON_S)
        os.close(self._file)
        return os.waitstatus_to_exitcode(ended[1])


def plain(output: str) -> str:
    """What is printed, without colours."""
    return re.sub(r"\x1b\[[0-9;?]*[mhl]", "", output).replace("\r\n", "\n")


def frames(output: str) -> list[list[str]]:
    """The lines of each drawing: one begins where the one before was wiped away."""
    drawn = re.split(r"(?:\r?\x1b\[2K(?:\x1b\[1A\x1b\[2K)*)|(?:(?:\r?\x1b\[1A\x1b\[2K)+)", plain(output))
    return [[line for line in frame.split("\n") if line.strip()] for frame in drawn if frame.strip()]


def test_a_terminal_shows_the_tree_as_it_grows_cut_to_its_height_and_whole_in_the_end(
    process: Process, environment: None
) -> None:
    run = process.start(NodeType.RUN, "report")
    terminal = Terminal(process.url, lines=8, columns=60)
    terminal.wait_for("run report")
    for number in range(12):
        process.end(process.start(NodeType.AGENT, f"agent{number}", run))
    last = process.start(NodeType.AGENT, "last", run)
    terminal.wait_for("agent last")
    process.end(last, run)

    assert terminal.end() == 0
    drawn = frames(terminal.output)
    followed, whole = drawn[:-1], drawn[-1]
    assert [frame for frame in followed if len(frame) > 7 or max(map(len, frame)) > 60] == []
    assert any("● running" in frame[0] and "agent last" in frame[-1] for frame in followed)
    [cut] = {frame[2] for frame in followed if frame[2].startswith("…")}
    assert cut == "… 11 lines"
    assert whole[0].startswith("report  ✓ completed")
    assert sum("agent agent" in line for line in whole) == 12
    assert any(line.startswith("next: ") for line in whole)


def test_how_long_something_has_been_running_is_shown(process: Process, environment: None) -> None:
    run = process.start(NodeType.RUN, "report")
    terminal = Terminal(process.url, lines=20, columns=80)
    terminal.wait_for("run report")
    time.sleep(2.5)
    process.end(run)

    assert terminal.end() == 0
    running = [re.search(r"● running +(\S+)", line) for frame in frames(terminal.output) for line in frame]
    assert len({match[1] for match in running if match is not None}) >= 2


def test_ctrl_c_leaves_what_was_drawn_and_ends_with_130(process: Process, environment: None) -> None:
    process.start(NodeType.RUN, "report")
    terminal = Terminal(process.url, lines=20, columns=80)
    terminal.wait_for("run report")
    terminal.type(b"\x03")

    assert terminal.end() == 130
    assert "Traceback" not in terminal.output
    assert "run report" in plain(terminal.output).rstrip()[-200:]
    # The cursor is there again.
    assert terminal.output.rindex("\x1b[?25h") > terminal.output.rindex("\x1b[?25l")


# --- when it is over -----------------------------------------------------------------


def following(process: Process, span: Any) -> Following:
    with open_store(process.url) as store:
        return Following(store, run_id(span))


def test_a_trace_with_another_run_to_come_is_not_over(process: Process) -> None:
    command = process.start(None, "python")
    process.end(process.start(NodeType.RUN, "one", command))
    assert not following(process, command).is_over

    process.end(process.start(NodeType.RUN, "two", command), command)
    assert following(process, command).is_over


def test_what_was_left_open_below_what_has_ended_is_not_waited_for_for_ever(
    process: Process, follow: Callable[..., Followed]
) -> None:
    run = process.start(NodeType.RUN, "report")
    process.start(NodeType.TOOL, "left open", run)
    process.end(run)

    status, lines, _ = follow().end()

    assert status == 0
    assert "report  ✓ completed" in lines[-2]


def test_following_is_what_one_can_type_next_while_a_run_goes_on(process: Process, spandag: Spandag) -> None:
    run = process.start(NodeType.RUN, "report")
    follow = f"spandag tree {run_id(run)[:8]} --follow"

    assert follow in spandag("tree", "--store", process.url).stderr
    process.end(run)
    assert follow not in spandag("tree", "--store", process.url).stderr
