"""The store as Python programs hold it: a context manager, for several threads."""

from __future__ import annotations

import inspect
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from sqlalchemy import make_url, text

import spandag
from spandag import query
from spandag.export.project import project
from spandag.store import Store, StoreError, Writer, open_store
from spandag.store.sqlite import path_of

THREADS = 6


def test_a_store_is_closed_by_its_block_and_says_so(writer: Writer, store_url: str) -> None:
    writer.settle()
    with spandag.open_store(store_url) as store:
        assert query.runs(store) == []
        assert repr(store) == f"<Store {store.label}>"
    assert repr(store) == f"<Store {store.label} (closed)>"
    for use in (lambda: query.runs(store), store.settle):
        with pytest.raises(StoreError, match=r"is closed; open it again with spandag\.open_store$"):
            use()
    store.close()


def test_a_store_is_closed_when_its_block_fails(writer: Writer, store_url: str) -> None:
    writer.settle()
    with pytest.raises(KeyError, match="mine"), open_store(store_url) as store:
        raise KeyError("mine")
    with pytest.raises(StoreError):
        query.runs(store)


def test_threads_read_one_store_while_another_process_writes(
    writer: Writer, store_url: str, redone_run: list[ReadableSpan]
) -> None:
    """Every answer is of one moment: a run whose root is there has all that came with it."""
    batch = project(redone_run)
    [run_id] = batch.run_ids
    writer.settle()
    begin = threading.Barrier(THREADS + 1)

    def ask(store: Store) -> list[tuple[Any, ...]]:
        begin.wait(timeout=30)
        answers = []
        while True:
            found = [(run.status, run.nodes, run.redos, run.spent.calls) for run in query.runs(store)]
            answers.append(tuple(found))
            if found:
                tree = query.tree(store, run_id)
                answers.append((len(tree.nodes), len(query.redos(store, run_id))))
                return answers

    with open_store(store_url) as store, ThreadPoolExecutor(THREADS) as threads:
        asked = [threads.submit(ask, store) for _ in range(THREADS)]
        begin.wait(timeout=30)
        writer.write(batch)
        answers = {answer for each in asked for answer in each.result(timeout=30)}
    assert answers <= {(), (("completed", 18, 2, 4),), (20, 2)}


def test_threads_settle_one_store(writer: Writer, store_url: str, redone_run: list[ReadableSpan]) -> None:
    writer.write(project(redone_run[1:5]))
    writer.write(project(redone_run[5:]))
    with open_store(store_url) as store, ThreadPoolExecutor(THREADS) as threads:
        settled = [threads.submit(store.settle) for _ in range(THREADS)]
        assert sum(each.result(timeout=30) for each in settled) == 1
        with store.connection() as connection:
            sql = text("SELECT count(*) FROM workflow_runs WHERE facts_version <> derived_version")
            assert connection.execute(sql).scalar() == 0


def test_a_connection_reads_only(writer: Writer, store_url: str) -> None:
    writer.settle()
    with (
        open_store(store_url) as store,
        pytest.raises(StoreError, match=r"read-?only"),
        store.connection() as connection,
    ):
        connection.execute(text("DELETE FROM workflow_runs"))


@pytest.mark.parametrize("backend", ["sqlite"])
def test_both_sides_of_a_fork_read_on(writer: Writer, store_url: str, redone_run: list[ReadableSpan]) -> None:
    writer.write(project(redone_run))
    writer.close()
    with open_store(store_url) as store:
        assert len(query.runs(store)) == 1
        pid = os.fork()
        if pid == 0:
            os._exit(0 if len(query.runs(store)) == 1 else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert len(query.runs(store)) == 1


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_file_that_has_taken_the_place_of_the_store_is_what_is_read(
    writer: Writer, store_url: str, redone_run: list[ReadableSpan], tmp_path: Path
) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    for url, spans in ((store_url, redone_run), (other, [])):
        with closing(Writer(url)) as filling:
            filling.write(project(spans))
            filling.settle()
    with open_store(store_url) as store:
        assert len(query.runs(store)) == 1
        os.replace(tmp_path / "other.db", path_of(make_url(store_url)))
        assert query.runs(store) == []


def test_every_public_name_of_the_questions_is_documented() -> None:
    silent = [name for name in query.__all__ if not inspect.getdoc(getattr(query, name))]
    assert silent == []
    for function in (query.runs, query.tree, query.node, query.redos):
        assert next(iter(inspect.signature(function).parameters)) == "store"
