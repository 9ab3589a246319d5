"""Many processes, threads, tasks and forks write one store; nothing is lost, and nothing is said."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from spandag_test_databases import connected
from sqlalchemy import func, make_url, select

from spandag.store import Writer, open_store, schema
from spandag.store.check import check
from spandag.store.spool import Spool, folder_of

SECONDS = float(os.environ.get("SPANDAG_TEST_SECONDS", "8"))
"""How long eight processes write at once; a minute to be sure."""

WRITER = """
import os, sys, time
import spandag
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

url, number, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
spandag.init(url=url, capture_content=False)
tracer = trace.get_tracer("spandag.x")
shared = set_span_in_context(
    NonRecordingSpan(SpanContext(0xABCDEF, 0x123456, is_remote=True, trace_flags=TraceFlags(1)))
)
spans = 0
until = time.monotonic() + seconds
while time.monotonic() < until:
    with spandag.run(f"run of {number}", session=f"session {spans % 3}"):
        with spandag.agent("a"), spandag.chat("gpt-4o-mini", provider="openai") as chat:
            chat.set_usage(10, 2)
    attributes = {"spandag.node.type": "tool", "gen_ai.tool.name": f"t{number}"}
    tracer.start_span("of the run that all write", context=shared, attributes=attributes).end()
    spans += 4
    time.sleep(0.001)
trace.get_tracer_provider().shutdown()
print(spans)
"""


def complaints(said: str) -> list[str]:
    """What is said beside where spans are recorded to."""
    return [line for line in said.splitlines() if not line.startswith("spandag: recording to ")]


def test_eight_processes_write_the_same_and_different_runs(store_url: str, own_spool: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, store_url, str(number), str(SECONDS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    done = [process.communicate(timeout=SECONDS + 120) for process in processes]
    assert [complaints(said) for _, said in done] == [[]] * 8
    assert [process.returncode for process in processes] == [0] * 8
    written = sum(int(spans) for spans, _ in done)
    # What a busy store did not take until a process had to end waits on disk for the next one.
    spool = Spool(folder_of(store_url, own_spool), 10**9)
    writer = Writer(store_url)
    spool.drain(writer.write)
    writer.close()
    assert spool.is_empty()
    nodes = schema.dag_nodes
    with connected(store_url) as connection:
        assert connection.execute(select(func.count()).select_from(nodes)).scalar_one() == written
        still_open = select(func.count()).select_from(nodes).where(nodes.c.ended_at.is_(None))
        assert connection.execute(still_open).scalar_one() == 0
    with open_store(store_url) as store:
        store.settle()
    with connected(store_url) as connection:
        runs = schema.workflow_runs
        behind = select(func.count()).select_from(runs).where(runs.c.facts_version != runs.c.derived_version)
        assert connection.execute(behind).scalar_one() == 0
        cost = schema.cost_records
        counted = select(func.count()).select_from(cost).where(cost.c.counted, cost.c.agent_name == "a")
        assert connection.execute(counted).scalar_one() == written // 4


def names(url: str) -> list[str]:
    with connected(url) as connection:
        return sorted(connection.execute(select(schema.dag_nodes.c.name)).scalars())


def run(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done


FORKS = """
import os, sys, time
import spandag
from opentelemetry import trace
spandag.init(url=sys.argv[1], capture_content=False)
with spandag.run("r"):
    with spandag.agent("before"):
        pass
    children = []
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            with spandag.agent(f"child {number}"):
                time.sleep(0.7)
            trace.get_tracer_provider().force_flush()
            os._exit(0)
        children.append(pid)
    with spandag.agent("parent"):
        pass
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
"""


def test_a_fork_in_the_middle_of_a_run(store_url: str) -> None:
    done = run(FORKS, store_url)
    assert complaints(done.stderr) == []
    assert names(store_url) == ["before", "child 0", "child 1", "child 2", "parent", "r"]


FORKS_OF_A_LOCKED_STORE = """
import os, sqlite3, sys, time
import spandag
from opentelemetry import trace
spandag.init(url=sys.argv[1], capture_content=False)
tracer = trace.get_tracer("spandag.x")
tracer.start_span("before").end()
trace.get_tracer_provider().force_flush()
other = sqlite3.connect(sys.argv[2], isolation_level=None)
other.execute("BEGIN IMMEDIATE")
tracer.start_span("meanwhile").end()
# The writer is at it, and waits for up to ten seconds.
time.sleep(1)
for _ in range(5):
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    print(time.monotonic() - start)
    os.waitpid(pid, 0)
other.execute("COMMIT")
trace.get_tracer_provider().force_flush()
from spandag.export import SpandagSpanExporter
[exporter] = SpandagSpanExporter.writing_to(sys.argv[1])
assert not exporter._opened()._storing._writer._is_slow
"""


@pytest.mark.parametrize("backend", ["sqlite"])
def test_of_many_forks_one_waits_for_a_store_that_is_locked(store_url: str) -> None:
    done = run(FORKS_OF_A_LOCKED_STORE, store_url, str(make_url(store_url).database))
    first, *others = map(float, done.stdout.split())
    assert first < 3
    assert sum(others) < 2
    assert names(store_url) == ["before", "meanwhile"]


LOSING_FORKS = """
import os, sys, spandag
from opentelemetry import trace
spandag.init(url=sys.argv[1], capture_content=False)
from spandag.export import SpandagSpanExporter
[exporter] = SpandagSpanExporter.writing_to(sys.argv[1])
with spandag.run("r"):
    exporter._opened()._fates.are_lost([(1, 1), (1, 2)], "a test says so")
    pid = os.fork()
    if pid == 0:
        exporter._opened()._fates.are_lost([(2, 1), (2, 2), (2, 3)], "a test says so")
        with spandag.agent("child"):
            pass
        trace.get_tracer_provider().shutdown()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""


def test_what_a_fork_has_lost_is_counted_once(store_url: str) -> None:
    done = run(LOSING_FORKS, store_url)
    assert "Traceback" not in done.stderr
    assert check(store_url).lost_spans == 5


POOLS = """
import asyncio, sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
import spandag
from opentelemetry import context

def work(number):
    with spandag.agent(f"worker {number}"):
        pass

async def task(number):
    async with spandag.agent(f"task {number}"):
        await asyncio.sleep(0.01)

async def tasks():
    await asyncio.gather(*(task(number) for number in range(5)))

if __name__ == "__main__":
    spandag.init(url=sys.argv[1], capture_content=False)
    with spandag.run("r"):
        with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
            list(pool.map(work, range(3)))
        children = [get_context("fork").Process(target=work, args=(number,)) for number in (6, 7)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        here = context.get_current()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda number: (context.attach(here), work(number)), range(3, 6)))
        asyncio.run(tasks())
"""


def test_pools_of_processes_and_threads_and_tasks(store_url: str) -> None:
    done = run(POOLS, store_url)
    assert complaints(done.stderr) == []
    expected = ["r", *(f"task {n}" for n in range(5)), *(f"worker {n}" for n in range(8))]
    assert names(store_url) == expected


STARTED = """
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import spandag

if {everywhere}:
    spandag.init(url=sys.argv[1], capture_content=False)

def work(url, name):
    if not {everywhere}:
        spandag.init(url=url, capture_content=False)
    with spandag.agent(name):
        pass

if __name__ == "__main__":
    context = get_context(sys.argv[2])
    child = context.Process(target=work, args=(sys.argv[1], "child"))
    child.start()
    child.join()
    assert child.exitcode == 0
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(work, sys.argv[1], "of an executor").result()
    with context.Pool(1) as pool:
        pool.apply(work, (sys.argv[1], "of a pool"))
        pool.close()
        pool.join()
"""


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize("everywhere", [False, True], ids=["set up in what runs", "set up in the program"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_bring_their_spans_however_they_were_started(
    store_url: str, method: str, everywhere: bool, tmp_path: Path
) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("not on this system")
    # A child has to find what it runs.
    program = tmp_path / "program.py"
    program.write_text(STARTED.format(everywhere=everywhere))
    done = subprocess.run(
        [sys.executable, program, store_url, method], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert complaints(done.stderr) == []
    assert names(store_url) == ["child", "of a pool", "of an executor"]


MEMORY = """
import sys
import spandag
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from spandag.export import SpandagSpanExporter

def memory(kind):
    for line in open("/proc/self/status"):
        if line.startswith(kind):
            return int(line.split()[1]) * 1024

spandag.init(url=sys.argv[1], capture_content=False)
tracer = trace.get_tracer("spandag.x")
attributes = {f"attribute.{n}": f"value {n}" for n in range(10)}
def work(spans):
    for number in range(spans):
        tracer.start_span("s", attributes={**attributes, "number": number}).end()
"""

BACKLOG = (
    MEMORY
    + """
work(1000)
trace.get_tracer_provider().force_flush()
before = memory("VmRSS")
work(100_000)
print(memory("VmHWM") - before)
trace.get_tracer_provider().force_flush()
"""
)

LONG_TEXTS = (
    MEMORY
    + """
work(1000)
trace.get_tracer_provider().force_flush()
before = memory("VmRSS")
for number in range(5_000):
    tracer.start_span("s", attributes={"text": f"{number} " + "abc " * 25_000}).end()
print(memory("VmHWM") - before)
trace.get_tracer_provider().force_flush()
"""
)

GROWTH = (
    MEMORY
    + """
def runs(number):
    for _ in range(number):
        with spandag.run("r"), spandag.agent("a"):
            pass
runs(5_000)
trace.get_tracer_provider().force_flush()
before = memory("VmRSS")
runs(10_000)
trace.get_tracer_provider().force_flush()
print(memory("VmRSS") - before)
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_hundred_thousand_spans_of_backlog_take_64_mib(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(
        BACKLOG,
        f"sqlite:///{tmp_path / 'file' / 'spandag.db'}",
        OTEL_EXPORTER_SPANDAG_SPOOL=str(tmp_path / "spool"),
    )
    assert int(done.stdout) < 64 * 2**20
    kept = sum(int(path.stem.rpartition("-")[2]) for path in (tmp_path / "spool").rglob("*.batch"))
    assert kept == 101_000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_waits_with_long_texts_takes_no_more(tmp_path: Path) -> None:
    """Half a gigabyte of them, while the store is away and at four times less than by default."""
    (tmp_path / "file").touch()
    done = run(
        LONG_TEXTS,
        f"sqlite:///{tmp_path / 'file' / 'spandag.db'}",
        OTEL_EXPORTER_SPANDAG_SPOOL=str(tmp_path / "spool"),
        OTEL_EXPORTER_SPANDAG_BACKLOG="1MB",
        # What the SDK's own queue holds is not ours to limit.
        OTEL_BSP_MAX_QUEUE_SIZE="64",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="64",
    )
    assert int(done.stdout) < 64 * 2**20
    batches = list((tmp_path / "spool").rglob("*.batch"))
    assert sum(int(path.stem.rpartition("-")[2]) for path in batches) == 6_000
    # A batch of 512 would have 50 MB.
    assert len(batches) > 5_000 * 100_000 / 2_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("backend", ["sqlite"])
def test_ten_thousand_runs_leave_nothing_in_memory(store_url: str) -> None:
    done = run(GROWTH, store_url)
    assert int(done.stdout) < 16 * 2**20
