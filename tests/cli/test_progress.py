"""How far long commands are: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import os
import pty
import sys
import threading
from pathlib import Path

import pytest

from spandag.cli import _progress
from spandag.cli._progress import Progress

from .conftest import SPANDAG, Spandag

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")


def test_elsewhere_a_line_comes_at_most_every_few_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with Progress("pruning", unit="runs") as progress:
        progress.total = 2000
        for _ in range(10):
            now[0] += 1
            progress.advance(200)

    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"pruning: {done:,} of 2,000 runs" for done in (600, 1200, 1800)]


def test_what_is_quick_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("importing", unit="runs") as progress:
        progress.reach(1, 2)
        progress.reach(2, 2)

    assert capsys.readouterr() == ("", "")


def test_what_is_said_is_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("upgrading") as progress:
        progress.say("applying 0001")
        progress.say("applying 0002")

    assert capsys.readouterr() == ("", "applying 0001\napplying 0002\n")


def on_a_terminal(*command: str) -> tuple[int, str, str]:
    """Exit status, standard output (a pipe) and standard error (a terminal) of a command."""
    ours, theirs = pty.openpty()
    output, to_output = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(to_output, 1)
        os.dup2(theirs, 2)
        os.execve(command[0], command, {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"})
    os.close(theirs)
    os.close(to_output)
    said = []

    def read() -> None:
        while True:
            try:
                data = os.read(ours, 10_000)
            except OSError:
                return
            if not data:
                return
            said.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(output) as stream:
        answer = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    reader.join()
    os.close(ours)
    return status, answer, b"".join(said).decode()


BAR = """
from spandag.cli._progress import Progress
with Progress("pruning", unit="runs", total=4) as progress:
    for _ in range(4):
        progress.advance()
print("done")
"""


def test_a_terminal_has_a_bar_that_is_gone_in_the_end() -> None:
    status, answer, said = on_a_terminal(sys.executable, "-c", BAR)

    assert (status, answer) == (0, "done\n")
    assert "pruning" in said
    assert "4/4" in said
    # The last thing that happens to its line is that it is wiped, and the cursor is there again.
    assert said.endswith("\x1b[2K")
    assert said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l")


def test_an_answer_in_json_is_not_disturbed(spandag: Spandag) -> None:
    expected = spandag("db", "upgrade", "--json").stdout.replace("[]", "")
    spandag("db", "downgrade", "base", "--yes")

    status, answer, said = on_a_terminal(SPANDAG, "db", "upgrade", "--json")

    assert (status, answer) == (0, expected)
    assert "applying" in said


FORTY_AGENTS = """
import spandag
with spandag.run("report"):
    for number in range(40):
        with spandag.agent(f"agent {number}"):
            pass
"""


def test_an_import_shows_how_many_nodes_it_has_brought(spandag: Spandag, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(FORTY_AGENTS)
    assert spandag("run", "python", "program.py").returncode == 0
    (tmp_path / "run.jsonl").write_text(spandag("export", "last", "--format", "jsonl").stdout)
    copy = str(tmp_path / "copy.db")

    status, answer, said = on_a_terminal(SPANDAG, "import", str(tmp_path / "run.jsonl"), "--store", copy)

    assert status == 0
    assert "1 run, 42 nodes" in answer
    assert f"importing {tmp_path / 'run.jsonl'}" in said
    assert "42/42" in said


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"TERM": ""}])
def test_a_terminal_that_cannot_be_drawn_over_gets_lines(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        assert not _progress.on_terminal(terminal)
        monkeypatch.setenv("TERM", "xterm")
        assert _progress.on_terminal(terminal)
    os.close(ours)
