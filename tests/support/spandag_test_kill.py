"""Kill a program at a random moment, and see what of its spans is in the store.

As a script (``make chaos``): kills fifty times, on both databases, and prints what was lost.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import NullPool, create_engine, make_url, select

from spandag.store import schema
from spandag.store.heartbeat import STALE_NS

# Runs without end, of agents with tools and redos; says each span that has ended, and when.
PROGRAM = """
import os, random, sys, time
import spandag
from opentelemetry import trace

choose = random.Random(int(sys.argv[2]))
spandag.init(url=sys.argv[1], capture_content=False)

class Teller(object):
    def __init__(self, make): self._make = make
    def __enter__(self):
        self._scope = self._make()
        self._node = self._scope.__enter__()
        self._id = format(trace.get_current_span().get_span_context().span_id, "016x")
        return self._node
    def __exit__(self, *error):
        self._scope.__exit__(*error)
        os.write(1, f"{self._id} {time.time():.6f}\\n".encode())

# What the first span of a process has to load is not what is asked for here.
with spandag.run("first"):
    pass
trace.get_tracer_provider().force_flush()
while True:
    with Teller(lambda: spandag.run("r")):
        for _ in range(choose.randint(1, 20)):
            for attempt in spandag.step("fit").attempts(max_redos=2):
                with attempt:
                    with Teller(lambda: spandag.agent("a")):
                        for _ in range(choose.randint(1, 10)):
                            with Teller(lambda: spandag.tool("t")):
                                time.sleep(choose.random() / 200)
                    if attempt.number < 3 and choose.random() < 0.3:
                        attempt.reject("again")
"""


@dataclass(frozen=True)
class Killed:
    """What one kill did.

    Attributes:
        after_s: Seconds from the first span that ended to the kill.
        ended: Spans that the program said had ended.
        due: Those of them that had ended more than a second before.
        lost: Of these, how many are not complete in the store.
        late: Of the rest, how many are not complete; they may be.
        open: Nodes that were open.
        not_interrupted: Of these, how many have no writer that is found to be dead.
    """

    after_s: float
    ended: int
    due: int
    lost: int
    late: int
    open: int
    not_interrupted: int


def kill(url: str, seed: int) -> Killed:
    """Start the program, kill it at a random moment, and look.

    Args:
        url: Of the store; it may have been used before.
        seed: Of what the program does, and of the moment.
    """
    choose = random.Random(seed)
    with subprocess.Popen([sys.executable, "-c", PROGRAM, url, str(seed)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        began = time.time()
        time.sleep(choose.uniform(0, 4))
        killed_at = time.time()
        process.send_signal(signal.SIGKILL)
        said = (first + process.stdout.read()).decode()
    ended = {}
    for line in said.splitlines():
        span_id, at = line.split()
        ended[span_id] = float(at)
    complete, still_open, dead = _stored(url)
    due = {span_id for span_id, at in ended.items() if at < killed_at - 1}
    return Killed(
        after_s=killed_at - began,
        ended=len(ended),
        due=len(due),
        lost=len(due - complete),
        late=len(ended.keys() - due - complete),
        open=still_open,
        not_interrupted=still_open - dead,
    )


def _stored(url: str) -> tuple[set[str], int, int]:
    """Complete nodes; how many are open; of how many of these the writer will be found dead."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = create_engine(parsed, poolclass=NullPool)
    nodes, writers = schema.dag_nodes, schema.writers
    with engine.connect() as connection:
        complete = set(
            connection.execute(select(nodes.c.span_id).where(nodes.c.ended_at.is_not(None))).scalars()
        )
        rows = connection.execute(
            select(nodes.c.id, writers.c.heartbeat_at)
            .select_from(nodes.outerjoin(writers, writers.c.id == nodes.c.writer_id))
            .where(nodes.c.ended_at.is_(None))
        ).all()
    # Its last word was before now, so that it goes stale.
    dead = sum(heartbeat is not None and heartbeat <= time.time_ns() for _, heartbeat in rows)
    assert STALE_NS > 0
    return complete, len(rows), dead


def main() -> int:
    """Kill as often as asked; the exit status says whether anything was lost."""
    parser = argparse.ArgumentParser(description="Kill a program that is being recorded, again and again.")
    parser.add_argument("--times", type=int, default=50)
    times = parser.parse_args().times
    import spandag_test_postgres

    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="spandag-chaos-"))
        urls = [
            f"sqlite:///{Path(folder) / 'spandag.db'}",
            stack.enter_context(spandag_test_postgres.server()),
        ]
        seed = random.randrange(10**6)
        print(f"seed {seed}")
        lost = total = late = 0
        for number in range(times):
            url = urls[number % 2]
            killed = kill(url, seed + number)
            lost += killed.lost + killed.not_interrupted
            total += killed.due
            late += killed.late
            print(
                f"{number + 1:3} {url.partition(':')[0]:10} killed after {killed.after_s:.2f} s: "
                f"{killed.ended} spans ended, {killed.due} more than a second before, {killed.lost} of them lost; "
                f"{killed.late} of the last second not stored; {killed.open} open, "
                f"{killed.not_interrupted} of them not told to be interrupted",
                flush=True,
            )
        print(f"{times} kills: {lost} of {total} lost; {late} of the last second before each kill not stored")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
