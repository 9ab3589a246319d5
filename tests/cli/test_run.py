from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spandag import query
from spandag.query import Tree

from .conftest import SPANDAG, OpenStore, Spandag

CONTENT = ", message content too, as it goes nowhere else (--no-content turns it off)"
AGENT = """
import sys, spandag
with spandag.agent("a"):
    with spandag.chat("m", input="secret plan") as chat:
        chat.set_usage(10, 5)
print("result", *sys.argv[1:])
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")


@pytest.fixture
def program(tmp_path: Path) -> str:
    """A program with an agent."""
    (tmp_path / "my_agent.py").write_text(AGENT)
    return "my_agent.py"


def last(stored: OpenStore) -> Tree:
    """The newest run, whole."""
    with stored() as store:
        return query.tree(store, "last", all_spans=True)


def drawn(tree: Tree) -> list[str]:
    return [f"{'  ' * node.depth}{node.node_type} {node.name}" for node in tree.nodes]


# --- what is recorded --------------------------------------------------------------


def test_a_program_records_itself_below_the_span_of_its_command(
    spandag: Spandag, stored: OpenStore, store_file: Path, program: str
) -> None:
    done = spandag("run", "--", "python", program)

    tree = last(stored)
    assert (done.returncode, done.stdout) == (0, "result\n")
    assert done.stderr == f"spandag: stored in {store_file}{CONTENT} · spandag tree {tree.run.id[:8]}\n"
    assert drawn(tree) == ["span python", "  agent a", "    llm m"]
    with stored() as store:
        command = query.node(store, tree.nodes[0].id)
    assert command.attributes.pop("process.pid") > 0
    assert command.attributes == {
        "process.executable.name": "python",
        "process.command_args": ["python", "my_agent.py"],
        "process.exit.code": 0,
    }
    assert command.meta["kind"] == "client"
    assert command.node.status == "completed"


def test_a_failing_command_is_an_error_with_its_exit_code(spandag: Spandag, stored: OpenStore) -> None:
    program = "import spandag, sys\nwith spandag.agent('a'): pass\nsys.exit(3)"

    assert spandag("run", "--", "python", "-c", program).returncode == 3

    tree = last(stored)
    with stored() as store:
        command = query.node(store, tree.nodes[0].id)
    assert (command.node.status, command.node.error_type) == ("failed", "3")
    assert command.attributes["process.exit.code"] == 3


def test_secrets_in_arguments_are_not_recorded(spandag: Spandag, stored: OpenStore, program: str) -> None:
    secret = "sk-" + "a" * 30
    spandag(
        "run", "--", "python", program, "--api-key", "hunter22", "--password=hunter22", secret, "TOKEN", "-v"
    )

    tree = last(stored)
    with stored() as store:
        arguments = query.node(store, tree.nodes[0].id).attributes["process.command_args"]
    assert arguments == [
        "python",
        "my_agent.py",
        "--api-key",
        "[redacted]",
        "--password=[redacted]",
        "[redacted]",
        "TOKEN",
        "-v",
    ]


def test_programs_started_by_the_program_are_part_of_the_same_run(
    spandag: Spandag, stored: OpenStore, program: str
) -> None:
    starter = (
        f"import subprocess, sys\nfor _ in '12': subprocess.run([sys.executable, {program!r}], check=True)"
    )

    done = spandag("run", "--", "sh", "-c", 'exec python -c "$0"', starter)

    assert done.returncode == 0, done.stderr
    assert drawn(last(stored)) == ["span sh", "  agent a", "    llm m", "  agent a", "    llm m"]


def test_asyncio_programs_join_the_run(spandag: Spandag, stored: OpenStore) -> None:
    program = (
        "import asyncio, spandag\n"
        "async def main():\n"
        "    with spandag.run('r'):\n"
        "        await asyncio.sleep(0)\n"
        "asyncio.run(main())"
    )

    spandag("run", "--", "python", "-c", program)

    tree = last(stored)
    assert drawn(tree) == ["span python", "  run r"]
    assert tree.run.name == "r"


def test_the_service_is_named_after_the_script_unless_told_otherwise(
    spandag: Spandag, stored: OpenStore, program: str
) -> None:
    def service(*options: str, **variables: str) -> str:
        spandag("run", *options, "--", "python", program, **variables)
        tree = last(stored)
        with stored() as store:
            names = {query.node(store, f"{tree.run.id}/{node.id}").meta["service"] for node in tree.nodes}
        [name] = names
        return str(name)

    assert service() == "my_agent"
    assert service("--service-name", "mine") == "mine"
    assert service(OTEL_SERVICE_NAME="theirs") == "theirs"
    assert service(OTEL_RESOURCE_ATTRIBUTES="service.name=resource") == "resource"


def test_a_relative_store_is_the_same_for_a_program_elsewhere(spandag: Spandag, tmp_path: Path) -> None:
    program = "import os; os.chdir('/')\nimport spandag\nwith spandag.agent('a'): pass"

    for number, named in enumerate(("one.db", "sqlite:///two.db"), start=1):
        spandag("run", "--store", named, "--", "python", "-c", program)
        listed = spandag("runs", "--store", named)
        assert listed.stdout.count("\n") == 2, number
    assert {path.name for path in tmp_path.glob("*.db")} == {"one.db", "two.db"}


def test_where_a_run_is_stored_is_said_from_the_home_folder_on_and_with_the_store_that_was_named(
    spandag: Spandag, program: str, tmp_path: Path
) -> None:
    done = spandag("run", "--no-content", "--store", "mine.db", "--", "python", program, HOME=str(tmp_path))

    [run] = json.loads(spandag("runs", "--json", "--store", "mine.db").stdout)
    assert done.stderr == f"spandag: stored in ~/mine.db · spandag tree {run['id'][:8]} --store mine.db\n"


def test_that_content_is_not_recorded_is_said_where_nobody_has_chosen_so_here(
    spandag: Spandag, program: str
) -> None:
    variable = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "NO_CONTENT"}

    done = spandag("run", "--", "python", program, **variable)

    assert ", without message content (--content turns it on) · spandag tree " in done.stderr
    assert "without" not in spandag("run", "--content", "--", "python", program, **variable).stderr


def test_where_a_run_is_stored_is_json_where_that_is_asked_for(
    spandag: Spandag, program: str, store_file: Path
) -> None:
    done = spandag("run", "--json", "--", "python", program)
    [run] = json.loads(spandag("runs", "--json").stdout)
    said = {"run_id": run["id"], "exit_code": 0, "store": str(store_file), "content": True}
    assert json.loads(done.stderr) == said

    nothing = json.loads(spandag("run", "--json", "--no-content", "--", "true").stderr)
    assert (nothing["store"], nothing["content"]) == (None, False)


# --- trace context -----------------------------------------------------------------


def test_traceparent_is_honoured_and_set(spandag: Spandag, stored: OpenStore, program: str) -> None:
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

    done = spandag(
        "run",
        "--",
        "sh",
        "-c",
        f"echo $TRACEPARENT $TRACESTATE && python {program}",
        TRACEPARENT=f"00-{trace_id}-{span_id}-01",
        TRACESTATE="vendor=1",
    )

    tree = last(stored)
    assert tree.run.id == trace_id
    assert drawn(tree) == ["span sh", "  agent a", "    llm m"]
    assert done.stdout == f"00-{trace_id}-{tree.nodes[0].id}-01 vendor=1\nresult\n"


def test_an_unsampled_parent_is_honoured(spandag: Spandag, program: str) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"

    done = spandag("run", "--", "python", program, TRACEPARENT=parent)

    assert (done.returncode, done.stdout) == (0, "result\n")
    assert spandag("runs", "--json").stdout == "[]\n"


# --- content and exporters ---------------------------------------------------------


def contents(stored: OpenStore) -> bool:
    tree = last(stored)
    with stored() as store:
        return bool(query.node(store, f"{tree.run.id}/{tree.nodes[-1].id}").messages)


@pytest.mark.parametrize(
    ("options", "variables", "content", "said"),
    [
        ([], {}, True, True),
        (["--no-content"], {}, False, False),
        (["--content"], {}, True, False),
        ([], {"OTEL_TRACES_EXPORTER": "none"}, True, True),
        ([], {"OTEL_TRACES_EXPORTER": "console"}, False, False),
        (["--content"], {"OTEL_TRACES_EXPORTER": "console"}, True, False),
        ([], {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "NO_CONTENT"}, False, False),
    ],
)
def test_content_is_turned_on_only_where_nothing_else_receives_it(
    spandag: Spandag,
    stored: OpenStore,
    program: str,
    options: list[str],
    variables: dict[str, str],
    content: bool,
    said: bool,
) -> None:
    done = spandag("run", *options, "--", "python", program, **variables)

    assert done.returncode == 0
    assert contents(stored) is content
    [line] = done.stderr.splitlines()
    assert line.startswith("spandag: stored in ")
    assert (CONTENT in line) is said


def test_other_exporters_get_the_same_spans_and_that_of_the_command(
    spandag: Spandag, stored: OpenStore, program: str
) -> None:
    done = spandag("run", "--", "python", program, OTEL_TRACES_EXPORTER="console")

    tree = last(stored)
    assert len(tree.nodes) == 3
    for node in tree.nodes:
        assert f'"span_id": "0x{node.id}"' in done.stdout
    assert done.stdout.count('"span_id"') == 3


def test_an_unknown_exporter_does_not_keep_the_program_from_running(spandag: Spandag, program: str) -> None:
    done = spandag("run", "--", "python", program, OTEL_TRACES_EXPORTER="nonsense")

    assert (done.returncode, done.stdout) == (0, "result\n")
    assert done.stderr.startswith(
        "spandag: recording could not be set up (RuntimeError: Requested component 'nonsense'"
    )
    assert done.stderr.endswith("; the command runs without it\n")
    assert done.stderr.count("\n") == 1


def test_a_store_that_cannot_be_written_does_not_keep_the_program_from_running(
    spandag: Spandag, program: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")

    done = spandag("run", "--store", "file/runs.db", "--", "python", program, SPANDAG_STRICT="0")

    assert (done.returncode, done.stdout) == (0, "result\n")
    assert "cannot write the store" in done.stderr
    assert "Traceback" not in done.stderr


# --- the program's own world -------------------------------------------------------


@pytest.mark.parametrize("separator", [["--"], []])
def test_options_of_the_command_are_its_own(spandag: Spandag, separator: list[str], program: str) -> None:
    done = spandag("run", *separator, "python", program, "--store", "x", "--json", "-n", "--", "--help")

    assert done.stdout == "result --store x --json -n -- --help\n"


def test_other_programs_pass_through(spandag: Spandag) -> None:
    done = spandag("run", "--", "sh", "-c", "cat; echo out; echo err >&2; exit 5")

    # Nothing is stored that one could look at, so nothing is said of it.
    assert (done.returncode, done.stdout, done.stderr) == (5, "out\n", "err\n")


def test_python_path_and_its_sitecustomize_stay(spandag: Spandag, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "sitecustomize.py").write_text("import sys; sys.theirs = 'theirs'")
    (tmp_path / "lib" / "mine.py").write_text("name = 'mine'")
    program = (
        "import os, sys, mine, sitecustomize\n"
        "import opentelemetry.trace as t\n"
        "print(mine.name, sys.theirs, os.path.dirname(sitecustomize.__file__))\n"
        "print(os.environ['PYTHONPATH'].split(os.pathsep)[1:])\n"
        "print(type(t.get_tracer_provider()).__module__)"
    )
    library = str(tmp_path / "lib")

    done = spandag("run", "--", "python", "-c", program, PYTHONPATH=library)

    assert done.stdout.splitlines() == [f"mine theirs {library}", f"['{library}']", "opentelemetry.sdk.trace"]


def test_a_broken_sitecustomize_is_reported_as_ever_and_the_program_is_recorded(
    spandag: Spandag, stored: OpenStore, program: str, tmp_path: Path
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "sitecustomize.py").write_text("1 / 0")

    done = spandag("run", "--", "python", program, PYTHONPATH=str(tmp_path / "lib"))

    assert done.stdout == "result\n"
    assert "Error in sitecustomize" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert drawn(last(stored)) == ["span python", "  agent a", "    llm m"]


def test_opentelemetry_instrument_below_it_is_set_up_once(
    spandag: Spandag, stored: OpenStore, program: str
) -> None:
    done = spandag("run", "--", "opentelemetry-instrument", "python", program)

    assert (done.returncode, done.stdout) == (0, "result\n")
    assert "overrid" not in done.stderr.lower()
    with stored() as store:
        [run] = query.runs(store)
    assert (run.nodes, run.spent.calls) == (2, 1)


def test_a_python_without_spandag_runs_on_and_says_so_once(spandag: Spandag, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "other")], check=True)
    python = str(tmp_path / "other" / "bin" / "python")
    program = f"import subprocess; print('fine', flush=True); subprocess.run([{python!r}, '-c', 'print(1)'])"

    done = spandag("run", "--", python, "-c", program)

    assert (done.returncode, done.stdout) == (0, "fine\n1\n")
    assert done.stderr == (
        f"spandag: spandag is not installed in {python}, so what runs there is not recorded; "
        f"install it with: {python} -m pip install spandag\n"
    )


def test_standard_input_reaches_the_command(tmp_path: Path, environment: None) -> None:
    done = subprocess.run(
        [SPANDAG, "run", "--", "cat"], input=b"in\x00put", capture_output=True, cwd=tmp_path
    )

    assert done.stdout == b"in\x00put"


def test_a_command_that_is_not_there_is_said_in_one_line(spandag: Spandag, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("")
    (tmp_path / "script").write_text("no program")
    (tmp_path / "script").chmod(0o755)

    assert spandag("run", "--", "no-such-command").stderr == "spandag: no-such-command: command not found\n"
    assert spandag("run", "--", "no-such-command").returncode == 127
    assert spandag("run", "--", "./data.txt").stderr == "spandag: ./data.txt: cannot be executed\n"
    assert spandag("run", "--", "./data.txt").returncode == 126
    done = spandag("run", "--", "./script")
    assert (done.returncode, done.stderr) == (126, "spandag: ./script: Exec format error\n")
    assert spandag("run").returncode == 2


# --- signals and terminals ---------------------------------------------------------

WAITS = """
import signal, sys, time
count = 0
def handler(number, frame):
    global count
    count += 1
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, handler)
print("ready", flush=True)
until = time.monotonic() + 20
while not count and time.monotonic() < until:
    time.sleep(0.05)
time.sleep(0.5)
sys.exit(40 + count)
"""


def started(tmp_path: Path, *command: str) -> subprocess.Popen[str]:
    """``spandag run`` of a command that has printed its first line."""
    process = subprocess.Popen(
        [SPANDAG, "run", "--", *command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("ready")
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_to_the_command(tmp_path: Path, environment: None, number: signal.Signals) -> None:
    with started(tmp_path, "python", "-c", WAITS) as process:
        process.send_signal(number)
        assert process.wait(30) == 41


def test_a_command_that_a_signal_ends_gives_its_number(
    tmp_path: Path, environment: None, stored: OpenStore
) -> None:
    program = (
        "import spandag, time\nwith spandag.agent('a'): pass\nprint('ready', flush=True)\ntime.sleep(20)"
    )
    with started(tmp_path, "python", "-c", program) as process:
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM


def test_what_is_ignored_stays_ignored(tmp_path: Path, environment: None) -> None:
    program = "import signal\nprint(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)"

    done = subprocess.run(
        ["sh", "-c", 'trap \'\' HUP; exec "$0" "$@"', SPANDAG, "run", "--", "python", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.stdout == "True\n"


def test_a_program_is_started_with_no_signal_blocked(spandag: Spandag) -> None:
    program = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"

    assert spandag("run", "--", "python", "-c", program).stdout == "set()\n"


def interrupted_in_a_terminal(tmp_path: Path, program: str) -> int:
    """The exit code of ``spandag run`` of a program at whose "ready" Ctrl-C is typed in its terminal."""
    (tmp_path / "program.py").write_text(program)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execv(SPANDAG, [SPANDAG, "run", "--", "python", "program.py"])
    output = b""
    ended = (0, 0)
    try:
        while b"ready" not in output:
            output += os.read(terminal, 1000)
        os.write(terminal, b"\x03")
        until = time.monotonic() + 30
        while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        os.close(terminal)
    assert ended[0] == pid
    return os.waitstatus_to_exitcode(ended[1])


def test_the_interrupt_of_a_terminal_arrives_once(tmp_path: Path, environment: None) -> None:
    assert interrupted_in_a_terminal(tmp_path, WAITS) == 41


def test_an_interrupted_program_is_recorded_with_its_command(
    tmp_path: Path, environment: None, stored: OpenStore
) -> None:
    program = (
        "import spandag, time\n"
        "from opentelemetry import trace\n"
        "with spandag.agent('a'): pass\n"
        "trace.get_tracer_provider().force_flush()\n"
        "print('ready', flush=True)\n"
        "time.sleep(20)"
    )

    assert interrupted_in_a_terminal(tmp_path, program) == 128 + signal.SIGINT

    tree = last(stored)
    assert drawn(tree) == ["span python", "  agent a"]
    assert tree.nodes[0].error_type == "130"


def test_the_program_has_the_terminal_for_itself(tmp_path: Path, environment: None) -> None:
    program = WAITS.replace(
        "40 + count", "50 + sum(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))"
    )

    assert interrupted_in_a_terminal(tmp_path, program) == 53
