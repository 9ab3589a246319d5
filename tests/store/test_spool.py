"""What the store cannot take waits on disk: whole, private, bounded, and for whoever comes next."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from spandag import query
from spandag.export.project import project
from spandag.store import StoreError, Writer
from spandag.store import open_store as spandag_open
from spandag.store.rows import Batch
from spandag.store.spool import Spool, Waiting, decoded, encoded, folder_of, memory_of

LIMIT = 10_000_000


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool" / "of a store", LIMIT)


@pytest.fixture
def batch(redone_run: list[ReadableSpan]) -> Batch:
    return project(redone_run)


def test_a_batch_comes_back_as_it_was(batch: Batch) -> None:
    assert decoded(encoded(batch)) == batch
    assert batch.messages
    assert batch.node_messages


def test_columns_of_other_versions_are_left_out_or_empty(batch: Batch) -> None:
    text = encoded(batch).replace('"error_message"', '"a_column_of_tomorrow"')
    assert decoded(text).dag_nodes == [node._replace(error_message=None) for node in batch.dag_nodes]
    text = encoded(batch).replace('"meaning"', '"a_column_of_tomorrow"')
    assert decoded(text).node_messages == [row._replace(meaning=None) for row in batch.node_messages]


def test_batches_are_handed_over_oldest_first_and_removed(spool: Spool, batch: Batch) -> None:
    for number in range(3):
        assert spool.put(Batch(run_ids={str(number)}), spans=number + 1)
    assert (spool.waiting().batches, spool.waiting().spans) == (3, 6)
    taken: list[Any] = []
    assert spool.drain(lambda batch: taken.append(batch.run_ids)) == 6
    assert taken == [{"0"}, {"1"}, {"2"}]
    assert spool.is_empty()
    assert spool.waiting() == Waiting(0, 0, 0, 0, 0)


def test_what_the_store_does_not_take_stays(spool: Spool) -> None:
    for number in range(3):
        spool.put(Batch(run_ids={str(number)}), 1)
    taken: list[Any] = []

    def write(batch: Batch) -> None:
        if taken:
            raise StoreError("away again")
        taken.append(batch.run_ids)

    with pytest.raises(StoreError, match="away again"):
        spool.drain(write)
    assert spool.waiting().batches == 2
    assert spool.drain(lambda batch: taken.append(batch.run_ids)) == 2
    assert taken == [{"0"}, {"1"}, {"2"}]


def test_what_was_put_here_is_known_from_what_others_have(spool: Spool, batch: Batch) -> None:
    """By no process's id: in a container all of them have the same."""
    other = Spool(spool.folder, LIMIT)
    assert spool.own() == frozenset()
    other.put(batch, 1)
    (spool.folder / "not one of ours.batch").touch()
    assert spool.own() == frozenset()

    path, bad = spool.put(batch, 1), spool.put(batch, 1)
    assert path is not None
    assert bad is not None
    assert spool.own() == {path.name, bad.name}
    assert len(other.own()) == 1

    spool.set_aside(bad)
    assert spool.own() == {path.name}
    spool.take_back(path)
    assert spool.own() == frozenset()


def test_nobody_else_can_read_it(spool: Spool, batch: Batch) -> None:
    old = os.umask(0)
    try:
        spool.put(batch, 1)
    finally:
        os.umask(old)
    [file] = spool.folder.iterdir()
    assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"find the law" not in file.read_bytes()


def test_beyond_the_limit_nothing_is_kept(tmp_path: Path, batch: Batch) -> None:
    spool = Spool(tmp_path, 10_000)
    kept = 0
    while spool.put(batch, 1):
        kept += 1
    assert kept > 1
    assert spool.waiting().bytes <= 10_000
    # What another process has put there counts as well, once that is known.
    assert not Spool(tmp_path, 10_000).put(batch, 1)
    spool.drain(lambda batch: None)
    assert spool.put(batch, 1)


def test_a_folder_that_cannot_be_made_keeps_nothing(tmp_path: Path, batch: Batch) -> None:
    (tmp_path / "file").touch()
    assert not Spool(tmp_path / "file" / "spool", LIMIT).put(batch, 1)


def test_a_disk_that_is_full_keeps_nothing_and_leaves_no_half_of_it(tmp_path: Path) -> None:
    """The system's limit of a file's size stands for the disk."""
    program = """
import resource, signal, sys
from pathlib import Path
from spandag.store.rows import Batch, MessageRow
from spandag.store.spool import Spool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
noise = "".join(f"{n * 2654435761 % 2**32:x}" for n in range(10_000))
batch = Batch(messages={("r", b"h"): MessageRow("r", b"h", None, "text", noise)}, run_ids={"r"})
spool = Spool(Path(sys.argv[1]), 10**9)
print(spool.put(batch, 1), len(list(spool.folder.iterdir())))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "spool")], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "None 0\n", done.stderr


@pytest.mark.parametrize("content", [b"", b"not compressed", b"x\x9c\xab\xaa\x05\x00\x01\x75\x00\xf9"])
def test_a_file_that_cannot_be_read_is_set_aside(spool: Spool, batch: Batch, content: bytes) -> None:
    spool.put(batch, 1)
    (spool.folder / f"{0:020d}-1-0-1.batch").write_bytes(content)
    taken: list[Batch] = []
    spool.drain(taken.append)
    assert taken == [batch]
    assert spool.waiting() == Waiting(0, 0, 0, bad=1, bad_spans=1)


def test_a_file_of_a_newer_version_is_left_for_it(spool: Spool, batch: Batch) -> None:
    newer = encoded(batch).replace('"format": 1', '"format": 2')
    spool.put(batch, 1)
    (spool.folder / f"{0:020d}-1-0-7.batch").write_bytes(zlib.compress(newer.encode()))
    taken: list[Batch] = []
    spool.drain(taken.append)
    assert taken == [batch]
    assert (spool.waiting().spans, spool.waiting().bad) == (7, 0)


def test_several_processes_drain_one_spool(tmp_path: Path, new_story: Any, store_url: str) -> None:
    Writer(store_url).settle()
    spool = Spool(tmp_path / "spool", LIMIT)
    for one in new_story(runs=60):
        assert spool.put(one, 1)
    program = """
import sys
from pathlib import Path
from spandag.store import Writer
from spandag.store.spool import Spool
writer = Writer(sys.argv[1])
print(Spool(Path(sys.argv[2]), 10**9).drain(writer.write))
writer.close()
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, store_url, str(spool.folder)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    drained = [int(process.communicate(timeout=120)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sum(drained) >= 60
    assert spool.is_empty()
    with spandag_open(store_url) as store:
        assert store.settle() == 0
        assert len(query.runs(store, limit=None)) == 60


def test_a_password_is_no_part_of_the_folders_name(tmp_path: Path) -> None:
    one, other = (f"postgresql://me:{password}@host/db" for password in ("secret", "changed"))
    assert folder_of(one, tmp_path) == folder_of(other, tmp_path)
    assert folder_of(one, tmp_path) != folder_of("postgresql://me:secret@host/other", tmp_path)


@pytest.mark.parametrize("column", ["attributes", "input_preview", "output_preview", "error_message", "meta"])
def test_what_a_batch_takes_of_memory_is_mostly_its_text(batch: Batch, column: str) -> None:
    small = memory_of(batch)
    batch.dag_nodes[0] = batch.dag_nodes[0]._replace(**{column: "x" * 1_000_000})
    assert 990_000 < memory_of(batch) - small < 1_010_000
