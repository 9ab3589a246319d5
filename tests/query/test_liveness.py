"""What is said of work that has not ended, on both databases."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from spandag_test_databases import connected
from spandag_test_live import Process, run_id
from sqlalchemy import event, text

from spandag import query
from spandag.query.local_process import is_gone, is_running
from spandag.query.render import Page, render_redos, render_tree, to_text
from spandag.semconv import NodeType
from spandag.store import Store, open_store, schema
from spandag.store.heartbeat import PID_SPACE, pid_space


@pytest.fixture
def process(store_url: str) -> Iterator[Process]:
    process = Process(store_url)
    yield process
    process.close()


@pytest.fixture
def others(store_url: str) -> Iterator[Callable[[str | None], Process]]:
    """Further processes that write into the same store."""
    made: list[Process] = []

    def other(name: str | None) -> Process:
        made.append(Process(store_url, name))
        return made[-1]

    yield other
    for process in made:
        process.close()


@pytest.fixture
def store(process: Process) -> Iterator[Store]:
    with open_store(process.url) as store:
        yield store


def statuses(store: Store, run: str = "last") -> dict[str, str]:
    return {node.name: node.status for node in query.tree(store, run, all_spans=True).nodes}


def an_open_run(process: Process) -> str:
    """A run whose first step has ended and whose second one goes on."""
    run = process.start(NodeType.RUN, "r")
    process.end(process.step("load", run))
    process.start(NodeType.AGENT, "a", process.step("fit", run))
    return run_id(run)


GONE = {
    "killed": Process.fall_silent,
    "ended": lambda process: process.beat(closed=True),
    "forgotten": Process.be_forgotten,
}


def test_what_is_open_is_running_while_its_process_is_alive(process: Process, store: Store) -> None:
    an_open_run(process)

    assert statuses(store) == {"r": "running", "load": "completed", "fit": "running", "a": "running"}
    assert query.tree(store, "last").run.status == "running"
    assert [run.status for run in query.runs(store)] == ["running"]


@pytest.mark.parametrize("what", GONE)
@pytest.mark.parametrize("settled", [True, False])
def test_what_is_open_is_interrupted_when_its_process_is_gone(
    process: Process, store: Store, what: str, settled: bool
) -> None:
    an_open_run(process)
    if settled:
        process.writer.settle()

    GONE[what](process)

    assert statuses(store) == {
        "r": "interrupted",
        "load": "completed",
        "fit": "interrupted",
        "a": "interrupted",
    }
    tree = query.tree(store, "last")
    assert tree.run.status == "interrupted"
    assert [run.status for run in query.runs(store)] == ["interrupted"]
    detail = query.node(store, tree.nodes[0].id)
    assert (detail.run.status, detail.node.status) == ("interrupted", "interrupted")
    assert [child.status for child in detail.children] == ["completed", "interrupted"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody says when a process was started")
def test_a_process_that_cannot_reach_its_store_is_alive_all_the_same(process: Process, store: Store) -> None:
    """A locked file keeps its heartbeat out as well."""
    an_open_run(process)

    process.fall_silent(has_ended=False)

    assert statuses(store)["r"] == "running"
    assert [run.status for run in query.runs(store)] == ["running"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody says when a process was started")
def test_a_number_that_another_process_was_given_is_not_the_writer() -> None:
    since = time.time_ns() - 3600 * 10**9
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as later:
        host = socket.gethostname()
        assert is_running(host, later.pid, time.time_ns())
        assert not is_running(host, later.pid, since)
        assert not is_running("another", later.pid, time.time_ns())
        later.kill()
        time.sleep(0.2)
        # Nobody has asked yet how it ended.
        assert not is_running(host, later.pid, time.time_ns())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody says what a process's number means")
def test_a_process_of_this_machine_that_was_killed_is_gone_at_once() -> None:
    host, here = socket.gethostname(), pid_space()
    assert here is not None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert not is_gone(host, other.pid, here)
        other.kill()
        time.sleep(0.2)
        # Nobody has asked yet how it ended.
        assert is_gone(host, other.pid, here)
    assert is_gone(host, other.pid, here)
    # In another container the number may be that of a process that lives.
    for elsewhere in ("another", other.pid, here), (host, other.pid, f"{here}0"), (host, other.pid, None):
        assert not is_gone(*elsewhere)
    for absurd in (None, 0, -1, 2**70):
        assert not is_gone(host, absurd, here)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody says what a process's number means")
@pytest.mark.parametrize(("space", "status"), [(None, "interrupted"), ("a container's", "running")])
def test_a_young_heartbeat_of_a_process_that_was_killed_here_deceives_nobody(
    process: Process, store: Store, space: str | None, status: str
) -> None:
    an_open_run(process)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    values: dict[str, object] = {"pid": ended.pid}
    if space is not None:
        values["meta"] = {PID_SPACE: space}
    with connected(process.url) as connection:
        connection.execute(schema.writers.update().values(values))

    assert statuses(store)["r"] == status
    assert [run.status for run in query.runs(store)] == [status]


def test_a_process_that_comes_back_makes_its_work_running_again(process: Process, store: Store) -> None:
    an_open_run(process)
    process.fall_silent()
    assert statuses(store)["r"] == "interrupted"

    process.beat()

    assert statuses(store)["r"] == "running"


def test_what_nobody_holds_open_is_open(
    process: Process, others: Callable[[str | None], Process], store: Store
) -> None:
    an_open_run(others(None))

    assert statuses(store) == {"r": "open", "load": "completed", "fit": "open", "a": "open"}
    assert [run.status for run in query.runs(store)] == [query.tree(store, "last").run.status] == ["open"]


def test_what_has_ended_stays_as_it_ended_whatever_became_of_the_process(
    process: Process, store: Store
) -> None:
    run = process.start(NodeType.RUN, "r")
    process.end(run, failed="broken")
    process.fall_silent()

    assert statuses(store) == {"r": "failed"}
    assert [run.status for run in query.runs(store)] == ["failed"]


def test_a_run_is_what_its_root_is_whatever_other_processes_do(
    process: Process, others: Callable[[str | None], Process], store: Store
) -> None:
    run = process.start(NodeType.RUN, "r")
    helper = others("helper")
    helper.start(NodeType.AGENT, "a", run)
    process.fall_silent()

    assert statuses(store) == {"r": "interrupted", "a": "running"}
    assert [run.status for run in query.runs(store)] == ["interrupted"]

    process.beat()
    helper.fall_silent()
    assert statuses(store) == {"r": "running", "a": "interrupted"}
    assert [run.status for run in query.runs(store)] == ["running"]


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize(
    ("alive", "dead", "nobody", "status"),
    [
        (True, True, True, "running"),
        (False, True, True, "interrupted"),
        (True, False, False, "running"),
        (False, False, True, "open"),
    ],
)
def test_a_run_of_several_parts_is_as_alive_as_the_liveliest_of_them(
    process: Process,
    others: Callable[[str | None], Process],
    store: Store,
    alive: bool,
    dead: bool,
    nobody: bool,
    status: str,
    settled: bool,
) -> None:
    """Without a run node, of a web request for instance; what is below a part says nothing of it."""
    request = process.start(None, "POST /")
    process.end(process.start(NodeType.AGENT, "first", request))
    ended = process.start(NodeType.AGENT, "second", request)
    process.start(NodeType.TOOL, "left open", ended)
    process.end(ended)
    if alive:
        others("alive").start(NodeType.AGENT, "alive", process.start(None, "GET /", request))
    if dead:
        other = others("dead")
        other.start(NodeType.AGENT, "dead", request)
        other.fall_silent()
    if nobody:
        others(None).start(NodeType.AGENT, "nobody", request)
    if settled:
        process.writer.settle()

    assert query.tree(store, run_id(request)).run.status == status
    assert [run.status for run in query.runs(store)] == [status]


def test_a_redo_its_branch_point_and_its_attempt_are_interrupted_together(
    process: Process, store: Store
) -> None:
    run = process.start(NodeType.RUN, "r")
    first = process.step("fit", run)
    process.end(first, **{"spandag.attempt.outcome": "rejected"})
    process.step("fit", run, first=first, hypothesis="in log space")

    [redo] = query.redos(store)
    assert (redo.status, redo.after and redo.after.status) == ("active", "running")

    process.fall_silent()

    [redo] = query.redos(store)
    assert (redo.status, redo.after and redo.after.status) == ("interrupted", "interrupted")
    assert redo.before is not None
    assert (redo.before.status, redo.before.outcome) == ("completed", "rejected")
    assert statuses(store)["redo_1"] == "interrupted"
    assert "⊘ interrupted" in to_text(render_redos([redo], Page()))
    with connected(process.url) as connection:
        assert connection.execute(text("SELECT status FROM branches")).scalar_one() == "active"


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_views_say_the_same(
    process: Process, others: Callable[[str | None], Process], store: Store, gone: bool, known: bool
) -> None:
    teller = process if known else others(None)
    run = teller.start(NodeType.RUN, "r")
    first = teller.step("fit", run)
    teller.end(first, **{"spandag.attempt.outcome": "rejected"})
    teller.step("fit", run, first=first)
    teller.writer.settle()
    if gone:
        process.fall_silent()

    with connected(process.url) as connection:

        def said(view: str, column: str) -> list[tuple[str, str]]:
            rows = connection.execute(text(f"SELECT {column}, status FROM {view} ORDER BY 1"))
            return [(row[0], row[1]) for row in rows]

        assert said("v_runs", "run_id") == [(run.id, run.status) for run in query.runs(store)]
        nodes = sorted((node.id, node.status) for node in query.tree(store, "last").nodes)
        assert sorted(said("v_run_tree", "node_id")) == nodes
        assert said("v_redos", "branch_node_id") == [
            (redo.branch_node_id, redo.status) for redo in query.redos(store)
        ]


@pytest.mark.parametrize(
    ("status", "mark", "style"),
    [
        ("running", "● running", "cyan"),
        ("interrupted", "⊘ interrupted", "red"),
        ("open", "● open", "dim cyan"),
    ],
)
def test_each_has_a_mark_a_word_and_a_colour(
    process: Process,
    others: Callable[[str | None], Process],
    store: Store,
    status: str,
    mark: str,
    style: str,
) -> None:
    (others(None) if status == "open" else process).start(NodeType.RUN, "r")
    if status == "interrupted":
        process.fall_silent()

    lines = render_tree(query.tree(store, "last"), Page())

    assert (mark, style) in [(part.strip(), style) for line in lines for part, style in line]
    assert mark.split()[1] in to_text(render_tree(query.tree(store, "last"), Page(encoding="ascii")))


def test_the_writers_are_asked_about_only_where_something_is_open(process: Process, store: Store) -> None:
    run = process.start(NodeType.RUN, "r")
    asked: list[str] = []
    engine = store._database.engine
    event.listen(engine, "before_cursor_execute", lambda _c, _u, sql, *_: asked.append(sql))

    query.tree(store, run_id(run))
    assert sum("writers" in sql for sql in asked) == 1

    process.end(run)
    asked.clear()
    query.tree(store, run_id(run))
    query.runs(store)
    assert not any("writers" in sql for sql in asked)
