"""A batch is written whole or not at all."""

from __future__ import annotations

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
    writer: Writer, store_path: Path, redone_run: list[ReadableSpan], read_tables: Callable[[Path], Tables]
) -> None:
    writer.settle()
    before = read_tables(store_path)
    batch = project(redone_run)
    batch.span_links[-1] = batch.span_links[-1]._replace(attributes=object())  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        writer.write(batch)
    assert read_tables(store_path) == before
    writer.write(project(redone_run))
    assert len(read_tables(store_path)["workflow_runs"]) == 1


def test_an_empty_batch_does_not_even_create_the_store(writer: Writer, store_path: Path) -> None:
    writer.write(Batch())
    assert not store_path.exists()


def test_a_derivation_that_fails_does_not_lose_the_facts(
    url: str, redone_run: list[ReadableSpan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPANDAG_STRICT")

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr("spandag.store.settling.derive", fail)
        Writer(url).write(project(redone_run))
    assert derivation.derive is not fail
    with open_store(url) as store:
        assert store.settle() == 1


def test_a_closed_writer_opens_again(
    writer: Writer, store_path: Path, redone_run: list[ReadableSpan], read_tables: Callable[[Path], Tables]
) -> None:
    writer.write(project(redone_run[:3]))
    writer.close()
    writer.close()
    writer.write(project(redone_run))
    assert len(read_tables(store_path)["dag_nodes"]) == len(redone_run) + 2


def test_settling_a_run_that_is_not_there_does_nothing(writer: Writer) -> None:
    assert writer.settle("0" * 32) == 0
