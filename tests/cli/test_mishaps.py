"""What a user meets when something is not as it should be: one line, and the program's own result."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.conftest import Spandag

STORE = "OTEL_EXPORTER_SPANDAG_URL"


def test_a_store_that_cannot_be_written_is_said_once_and_the_program_runs(spandag: Spandag) -> None:
    done = spandag("run", "--store", "/dev/null/runs.db", "--", sys.executable, "-c", "print('result')")
    assert (done.returncode, done.stdout) == (0, "result\n")
    [line] = done.stderr.splitlines()
    assert line.startswith("spandag: ")
    assert line.endswith("; the command runs without being stored")


def test_a_program_runs_whose_store_is_damaged_beyond_words(spandag: Spandag, tmp_path: Path) -> None:
    """What SQLite says of such a file cannot be decoded."""
    path = tmp_path / "damaged.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER)")
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CR\xffATE TABLE"))
    done = spandag("run", "--store", "damaged.db", "--", sys.executable, "-c", "print('result')")
    assert (done.returncode, done.stdout) == (0, "result\n")
    [line] = done.stderr.splitlines()
    assert " is damaged " in line
    assert line.endswith("; the command runs without being stored")


def test_run_says_its_id_and_exit_code_as_json_on_standard_error(spandag: Spandag) -> None:
    done = spandag("run", "--json", "--no-content", "--", "sh", "-c", "echo out; exit 3")
    assert (done.returncode, done.stdout) == (3, "out\n")
    said = json.loads(done.stderr)
    assert (len(said["run_id"]), said["exit_code"]) == (32, 3)


def test_a_path_is_a_path_whatever_is_in_it(spandag: Spandag, tmp_path: Path) -> None:
    spandag("run", "--store", "a%20b?c.db", "--", "true")
    assert (tmp_path / "a%20b?c.db").exists()
    assert spandag("runs", "--store", "a%20b?c.db", "--json").stdout.strip() == "[]"


def test_a_path_in_the_environment_is_the_same_store_for_every_way_of_recording(
    spandag: Spandag, tmp_path: Path
) -> None:
    program = "import spandag; spandag.init()\nwith spandag.run('r'): pass"
    spandag(
        "run", "--", sys.executable, "-c", "import spandag\nwith spandag.run('q'): pass", **{STORE: "x.db"}
    )
    subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={"PATH": "", STORE: "x.db"}, check=True, timeout=60
    )
    runs = json.loads(spandag("runs", "--json", **{STORE: "x.db"}).stdout)
    assert sorted(run["name"] for run in runs) == ["q", "r"]


def test_last_means_the_root_of_the_newest_run_for_a_node(spandag: Spandag) -> None:
    spandag("run", "--", sys.executable, "-c", "import spandag\nwith spandag.run('r'): pass")
    assert spandag("node", "last").stdout.startswith("run r")


def test_a_backend_that_is_away_does_not_hold_the_command_for_long(spandag: Spandag) -> None:
    # The command is no Python program: what is waited for is the one span of `spandag run`.
    done = spandag(
        "run", "--", "true", OTEL_TRACES_EXPORTER="otlp", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9"
    )
    assert done.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="signals are told apart on Linux")
def test_an_interrupt_ends_a_recorded_program_as_it_ends_a_plain_one(spandag: Spandag) -> None:
    spandag("run", "--", "true")  # the store is there
    program = (
        "import signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import spandag; spandag.init(capture_content=False)\n"
        "with spandag.run('r'):\n"
        "    while 'spandag-store' in [thread.name for thread in __import__('threading').enumerate()]:\n"
        "        time.sleep(0.1)\n"
        "    print('ready', flush=True); time.sleep(30)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT


@pytest.mark.parametrize("store", ["/dev/null/runs.db", "foo://bar"])
def test_the_demo_looks_at_its_store_before_it_spends_anything(spandag: Spandag, store: str) -> None:
    pytest.importorskip("ag2")
    done = spandag("demo", "--store", store)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("spandag: ")


def test_an_unsampled_demo_says_that_nothing_was_recorded(spandag: Spandag) -> None:
    pytest.importorskip("ag2")
    done = spandag("demo", OTEL_TRACES_SAMPLER="always_off")
    assert done.returncode == 2
    assert "the sampler turns tracing off" in done.stderr.splitlines()[-1]
