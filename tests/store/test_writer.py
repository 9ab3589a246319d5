"""A batch is written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from spandag.export.project import project
from spandag.store import StoreError, Writer, open_store
from spandag.store import derive as derivation
from spandag.store.rows import Batch

Tables = dict[str, list[dict[str, Any]]]


def test_a_batch_that_fails_leaves_nothing(
    writer: Writer, store_url: str, redone_run: list[ReadableSpan], read_tables: Callable[[str], Tables]
) -> None:
    writer.settle()
    before = read_tables(store_url)
    batch = project(redone_run)
    batch.span_links[-1] = batch.span_links[-1]._replace(attributes=object())  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        writer.write(batch)
    assert read_tables(store_url) == before
    writer.write(project(redone_run))
    assert len(read_tables(store_url)["workflow_runs"]) == 1


def test_an_empty_batch_does_not_even_create_the_store(tmp_path: Path) -> None:
    Writer(f"sqlite:///{tmp_path / 's.db'}").write(Batch())
    assert list(tmp_path.iterdir()) == []


def test_a_derivation_that_fails_does_not_lose_the_facts(
    store_url: str, redone_run: list[ReadableSpan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPANDAG_STRICT")

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr("spandag.store.settling.derive", fail)
        Writer(store_url).write(project(redone_run))
    assert derivation.derive is not fail
    with open_store(store_url) as store:
        assert store.settle() == 1


def test_a_closed_writer_opens_again(
    writer: Writer, store_url: str, redone_run: list[ReadableSpan], read_tables: Callable[[str], Tables]
) -> None:
    writer.write(project(redone_run[:3]))
    writer.close()
    writer.close()
    writer.write(project(redone_run))
    assert len(read_tables(store_url)["dag_nodes"]) == len(redone_run) + 2


def test_settling_a_run_that_is_not_there_does_nothing(writer: Writer) -> None:
    assert writer.settle("0" * 32) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_parent_and_children_of_a_fork_lose_nothing(
    writer: Writer, store_url: str, redone_run: list[ReadableSpan], read_tables: Callable[[str], Tables]
) -> None:
    pieces = [project([span]) for span in redone_run]
    writer.write(pieces[0])
    children = []
    for share in (pieces[1::3], pieces[2::3]):
        pid = os.fork()
        if pid == 0:
            try:
                for piece in share:
                    writer.write(piece)
            finally:
                os._exit(0)
        children.append(pid)
    for piece in pieces[3::3]:
        writer.write(piece)
    writer.close()
    for pid in children:
        os.waitpid(pid, 0)
    assert len(read_tables(store_url)["dag_nodes"]) == len(redone_run) + 2


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize("moved", [False, True])
def test_a_file_that_is_taken_away_gets_no_more_rows(
    writer: Writer, store_url: str, new_story: Any, moved: bool, read_tables: Callable[[str], Tables]
) -> None:
    first, second = new_story(runs=2)
    writer.write(first)
    with open_store(store_url) as store:
        path = Path(store.label)
        for file in path.parent.iterdir():
            if moved:
                file.rename(file.with_name(f"old-{file.name}"))
            else:
                file.unlink()
        with pytest.raises(StoreError, match=r"^no store at"):
            store.settle()
    assert not path.exists()
    writer.write(second)
    writer.close()
    assert [run["name"] for run in read_tables(store_url)["workflow_runs"]] == ["run 1"]
