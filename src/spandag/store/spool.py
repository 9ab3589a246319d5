"""Batches that the store could not take, on disk until it can.

A folder for each store, readable by this user only; a file for each batch, written under another
name and renamed, so that a file is whole. Upserts can be repeated in any order, so any process may
bring any file to the store: whoever locks it first does, and removes it after the commit.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from spandag.store import rows as row_types
from spandag.store.rows import Batch

try:
    import fcntl
except ImportError:  # Windows: a batch may be written twice, which changes nothing.
    fcntl = None  # type: ignore[assignment]

_SUFFIX = ".batch"
_BAD = ".bad"
_LOST = ".lost"
_UNFINISHED = ".part"
_NAME = re.compile(r"[0-9]+-(?P<by>[0-9]+)-[0-9]+-(?P<spans>[0-9]+)\.(batch|bad)")
_FORMAT = 1

# Of a node with what belongs to it, and of an event with its traceback, where they say no more than usual.
_NODE_BYTES = 3_000
_EVENT_BYTES = 2_000
# Of a row beside its text.
_ROW_BYTES = 1_000

# How long the size of the folder is taken for known; other processes write into it, too.
_KNOWN_S = 1.0
# A file that is still unfinished after that belongs to a process that was killed.
_ABANDONED_S = 3600.0

_ROWS: dict[str, Any] = {
    "dag_nodes": row_types.NodeRow,
    "dag_edges": row_types.EdgeRow,
    "execution_events": row_types.EventRow,
    "cost_records": row_types.CostRow,
    "branches": row_types.BranchRow,
    "messages": row_types.MessageRow,
    "node_messages": row_types.NodeMessagesRow,
    "span_links": row_types.LinkRow,
}
_BYTES = {"messages": ("hash",), "node_messages": ("hashes", "meaning")}


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is in a spool.

    Attributes:
        batches: How many.
        spans: How many spans they are of.
        bytes: What they take on disk.
        bad: Files that could not be read or whose rows the store refused.
        bad_spans: How many spans these are of.
    """

    batches: int
    spans: int
    bytes: int
    bad: int
    bad_spans: int


class NewerFormat(Exception):
    """A batch was written by a newer version."""


class Spool:
    """The spool of one store.

    Args:
        folder: Where; created when it is needed.
        limit: Bytes that all of its files may take.

    Attributes:
        current: The file that `drain` is at, or was when it failed.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self.current: Path | None = None
        # Not the process's id: in a container all of them have the same.
        self._id = uuid.uuid4().int >> 65
        self._has_put = False
        self._numbers = itertools.count()
        self._size = 0
        self._known_until = 0.0

    def put(self, batch: Batch, spans: int) -> Path | None:
        """Keep a batch.

        Args:
            batch: Its rows.
            spans: How many spans they are of that have ended.

        Returns:
            The file; None where there is no room, here or on the disk.
        """
        content = zlib.compress(encoded(batch).encode(), 1)
        if self._taken() + len(content) > self.limit:
            return None
        name = f"{time.time_ns():020d}-{self._id}-{next(self._numbers)}-{spans}"
        unfinished, path = self.folder / (name + _UNFINISHED), self.folder / (name + _SUFFIX)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
            unfinished.rename(path)
        except OSError:
            with suppress(OSError):
                unfinished.unlink()
            return None
        self._size += len(content)
        self._has_put = True
        return path

    def take_back(self, path: Path) -> None:
        """Remove a batch that has come to the store by another way, if nobody else has."""
        with suppress(OSError):
            path.unlink()
        self._known_until = 0.0

    def drain(self, write: Callable[[Batch], None], for_s: float = math.inf) -> int:
        """Hand over what is there, oldest first, and remove what was taken.

        Args:
            write: Takes a batch; an exception ends the draining, and what is left stays.
            for_s: Seconds after which no other batch is begun.

        Returns:
            How many spans were handed over.
        """
        spans = 0
        until = time.monotonic() + for_s
        for path in self._files():
            if time.monotonic() >= until:
                break
            self.current = path
            with _locked(path) as file:
                if file is None:
                    # Another process is at it, or was.
                    continue
                try:
                    batch = decoded(zlib.decompress(file.read()).decode())
                except NewerFormat:
                    # For a program of that version to bring.
                    continue
                except (zlib.error, ValueError, KeyError, TypeError):
                    self.set_aside(path)
                    continue
                write(batch)
                with suppress(OSError):
                    path.unlink()
                spans += _spans_of(path)
        self.current = None
        self._known_until = 0.0
        return spans

    def note_lost(self, who: str, spans: int) -> None:
        """Note spans that were lost, where the store itself cannot be told.

        Args:
            who: The writer; what it noted before is replaced.
            spans: How many it has lost.
        """
        with suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.folder / (who + _LOST)).write_text(str(spans), encoding="ascii")

    def lost(self) -> dict[str, int]:
        """How many spans were noted to be lost, by writer."""
        lost: dict[str, int] = {}
        for path in self._entries(_LOST):
            with suppress(OSError, ValueError):
                lost[path.stem] = int(path.read_text(encoding="ascii"))
        return lost

    def set_aside(self, path: Path) -> None:
        """Keep a file that cannot be used out of the way, for whoever wants to look into it."""
        with suppress(OSError):
            path.rename(path.with_suffix(_BAD))

    def own(self) -> frozenset[str]:
        """The names of the files that wait here and were put through this object."""
        if not self._has_put:
            return frozenset()
        matches = (_NAME.fullmatch(path.name) for path in self._entries(_SUFFIX))
        return frozenset(match[0] for match in matches if match is not None and int(match["by"]) == self._id)

    def is_empty(self) -> bool:
        """Whether nothing waits here."""
        return not self._files()

    def waiting(self) -> Waiting:
        """What waits here."""
        files = self._files()
        sizes = [_size(path) for path in files]
        bad = list(self._entries(_BAD))
        return Waiting(len(files), sum(map(_spans_of, files)), sum(sizes), len(bad), sum(map(_spans_of, bad)))

    def _files(self) -> list[Path]:
        return sorted(self._entries(_SUFFIX))

    def _entries(self, suffix: str) -> Iterator[Path]:
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if entry.name.endswith(suffix):
                        yield Path(entry.path)
        except OSError:
            return

    def _taken(self) -> int:
        now = time.monotonic()
        if now >= self._known_until:
            for path in self._entries(_UNFINISHED):
                with suppress(OSError):
                    if time.time() - path.stat().st_mtime > _ABANDONED_S:
                        path.unlink()
            self._size = sum(_size(path) for suffix in (_SUFFIX, _BAD) for path in self._entries(suffix))
            self._known_until = now + _KNOWN_S
        return self._size


def folder_of(url: str, spools: Path) -> Path:
    """The folder of a store's spool.

    Args:
        url: The store's URL; a password is left out of the name.
        spools: Where the spools are.
    """
    without = re.sub(r"(?<=://)([^:/?#@]*):[^@]*@", r"\1@", url)
    return spools / blake2b(without.encode(), digest_size=8).hexdigest()


def encoded(batch: Batch) -> str:
    """A batch as JSON, each table with the names of its columns."""
    tables = {}
    for name, kind in _ROWS.items():
        rows = getattr(batch, name)
        rows = list(rows.values() if isinstance(rows, dict) else rows)
        if not rows:
            continue
        if name in _BYTES:
            rows = [_in_hex(row, _BYTES[name]) for row in rows]
        tables[name] = {"columns": kind._fields, "rows": rows}
    return json.dumps(
        {
            "format": _FORMAT,
            "tables": tables,
            "run_ids": sorted(batch.run_ids),
            "ended_runs": sorted(batch.ended_runs),
        }
    )


def decoded(text: str) -> Batch:
    """A batch from its JSON; columns that an older version did not know are NULL.

    Raises:
        NewerFormat: It is of a newer version.
        ValueError: It is no batch at all.
    """
    said = json.loads(text)
    version = said.get("format") if isinstance(said, dict) else None
    if type(version) is int and version > _FORMAT:
        raise NewerFormat(f"a batch in format {version}")
    if version != _FORMAT:
        raise ValueError("no batch")
    batch = Batch(run_ids=set(said["run_ids"]), ended_runs=set(said["ended_runs"]))
    for name, kind in _ROWS.items():
        table = said["tables"].get(name)
        if table is None:
            continue
        there = [
            kind._fields.index(column) if column in kind._fields else None for column in table["columns"]
        ]
        found = []
        for values in table["rows"]:
            row: list[Any] = [None] * len(kind._fields)
            for place, value in zip(there, values, strict=True):
                if place is not None:
                    row[place] = value
            for column in map(kind._fields.index, _BYTES.get(name, ())):
                if row[column] is not None:
                    row[column] = bytes.fromhex(row[column])
            found.append(kind._make(row))
        if name == "messages":
            batch.messages = {(row.run_id, row.hash): row for row in found}
        else:
            setattr(batch, name, found)
    return batch


def _in_hex(row: Any, columns: Sequence[str]) -> Any:
    found = {name: getattr(row, name) for name in columns}
    return row._replace(**{name: value.hex() for name, value in found.items() if value is not None})


def memory_of(batch: Batch) -> int:
    """About how many bytes of memory a batch takes; what can be large is text."""
    size = sum(len(message.content) for message in batch.messages.values())
    for node in batch.dag_nodes:
        said = _length(node.attributes) + _length(node.input_preview) + _length(node.output_preview)
        said += _length(node.meta) + _length(node.error_message)
        size += max(_NODE_BYTES, _ROW_BYTES + said)
    for event in batch.execution_events:
        size += max(_EVENT_BYTES, _ROW_BYTES + _length(event.meta))
    return size + sum(_ROW_BYTES + _length(link.attributes) for link in batch.span_links)


def _length(text: str | None) -> int:
    return len(text) if text else 0


@contextmanager
def _locked(path: Path) -> Iterator[Any]:
    """The open file, if nobody else is at it; else None."""
    try:
        file = open(path, "rb")  # noqa: SIM115
    except OSError:
        yield None
        return
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield None
                return
            if not path.exists():
                yield None
                return
        yield file


def _spans_of(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    return int(match["spans"]) if match else 0


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
