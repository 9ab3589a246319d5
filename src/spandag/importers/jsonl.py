"""What `spandag.query.export_jsonl` wrote: rows, for the writer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from spandag._version import __version__
from spandag.importers.columns import CHECKS, WrongRowError
from spandag.importers.lines import Lines, shown
from spandag.query.export_jsonl import FORMAT, VERSION
from spandag.store import rows
from spandag.store.messages import MOST_LOOKED_INTO, hash_of, hashes_of, meaning_of, meaning_of_list
from spandag.store.rows import (
    DERIVED_EDGES,
    HASH_SIZE,
    MESSAGE,
    RECORDED,
    Batch,
    EventRow,
    MessageRow,
    NodeMessagesRow,
)

_AT_ONCE = 5000
_HEX = frozenset("0123456789abcdef")

_ROWS: dict[str, Any] = {
    "dag_nodes": rows.NodeRow,
    "dag_edges": rows.EdgeRow,
    "execution_events": rows.EventRow,
    "cost_records": rows.CostRow,
    "branches": rows.BranchRow,
    "messages": rows.MessageRow,
    "node_messages": rows.NodeMessagesRow,
    "span_links": rows.LinkRow,
}


def batches_of(lines: Lines) -> Iterator[Batch]:
    """The rows of a file in batches.

    Args:
        lines: The file.

    Raises:
        ImportFileError: A line is not as it is written, or something is missing.
    """
    run_id: str | None = None
    batch, size, count, number = Batch(), 0, 0, 0
    meanings: dict[bytes, bytes | None] = {}
    for number, line in lines.numbered():
        said = lines.parsed(line, number)
        if not isinstance(said, dict):
            raise lines.problem("it is no JSON object", number)
        if "table" in said:
            if run_id is None:
                raise lines.problem("a row comes before the line that says of which run it is", number)
            try:
                _add(batch, said, run_id, meanings)
            except WrongRowError as error:
                raise lines.problem(str(error), number) from error
            size, count = size + 1, count + 1
            if size >= _AT_ONCE:
                yield batch
                batch, size = Batch(run_ids={run_id}), 0
        elif "end" in said:
            if run_id is None or said["end"] != run_id or said.get("rows") != count:
                raise lines.problem(
                    f"rows are missing: {count:,} are there of {shown(said.get('rows'))}", number
                )
            run_id = None
        elif "format" in said:
            if run_id is not None:
                raise lines.problem(f"run {run_id} breaks off before it", number)
            run_id, count = _begun(lines, said, number), 0
            batch.run_ids.add(run_id)
            meanings.clear()
        else:
            raise lines.problem("it is neither a row nor the beginning or end of a run", number)
    if run_id is not None:
        raise lines.problem(f"it breaks off: the end of run {run_id} is missing", number + 1)
    yield batch


def _begun(lines: Lines, said: Mapping[str, Any], number: int) -> str:
    version = said.get("version")
    if said["format"] != FORMAT or type(version) is not int:
        raise lines.problem(f"format {shown(said['format'])} is not known; {FORMAT} is", number)
    if version < 1:
        raise lines.problem(f"there is no version {shown(version)} of the format", number)
    if version > VERSION:
        written = shown(said.get("spandag")).strip("'")
        raise lines.problem(
            f"it was written by spandag {written} in version {shown(version)} of the format, this one ({__version__}) "
            f"reads up to {VERSION}; use: pip install -U spandag",
            number,
        )
    run_id = said.get("run_id")
    if not isinstance(run_id, str) or len(run_id) != 32 or not _HEX.issuperset(run_id):
        raise lines.problem(f"{shown(run_id)} is no run's id", number)
    return run_id


def _add(batch: Batch, said: dict[str, Any], run_id: str, meanings: dict[bytes, bytes | None]) -> None:
    """Add a row to a batch; what the messages of its run mean is remembered for the lists that come after them."""
    name = said.pop("table")
    row_of = _ROWS.get(name) if isinstance(name, str) else None
    if row_of is None:
        raise WrongRowError(f"there is no table {shown(name)}")
    values = [check(said.pop(column, None)) for column, check in CHECKS[name]]
    if said:
        raise WrongRowError(f"{name} has no column {shown(next(iter(said)))}")
    row = row_of(*values, None) if name == "node_messages" else row_of(*values)
    if row.run_id != run_id:
        raise WrongRowError(f"it is of run {row.run_id}, not of {run_id}")
    if isinstance(row, MessageRow):
        _check_message(row)
        batch.messages[row.run_id, row.hash] = row
        meanings[row.hash] = meaning_of(row.hash, row.format, row.content, most=MOST_LOOKED_INTO)
        return
    if isinstance(row, NodeMessagesRow):
        known = [meaning for each in hashes_of(row.hashes) if (meaning := meanings.get(each)) is not None]
        if len(known) * HASH_SIZE == len(row.hashes):
            row = row._replace(meaning=meaning_of_list(known))
    # Rows that the derivation makes would be in its way.
    if name == "dag_edges" and row.dependency_type in DERIVED_EDGES:
        raise WrongRowError(f"edges of type {row.dependency_type} are derived")
    if isinstance(row, EventRow):
        if row.origin != RECORDED:
            raise WrongRowError(f"events of origin {row.origin} are derived")
        if row.seq < 0:
            raise WrongRowError(f"events with seq {row.seq} are derived")
    getattr(batch, name).append(row)


def _check_message(row: MessageRow) -> None:
    if row.hash != hash_of(row.format, row.content):
        raise WrongRowError("messages.content is not what messages.hash says")
    if row.format == MESSAGE and not _is_json(row.content):
        raise WrongRowError("messages.content is no JSON, as messages.format says")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except RecursionError:
        # Written by a program that allows itself more.
        return True
    except ValueError:
        return False
    return True
