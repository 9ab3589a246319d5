"""What `spandag.query.export_jsonl` wrote: rows, for the writer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Double, Integer, LargeBinary, Table

from spandag._version import __version__
from spandag.importers.lines import Lines
from spandag.query.export_jsonl import FORMAT, VERSION
from spandag.store import rows, schema
from spandag.store.rows import DERIVED_EDGES, RECORDED, Batch
from spandag.store.statements import FACT_TABLES
from spandag.store.text import is_stored_form, restored_json

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

Check = Callable[[Any], Any]


class _Wrong(ValueError):
    """A row is not as a store has it."""


def batches_of(lines: Lines) -> Iterator[Batch]:
    """The rows of a file in batches.

    Args:
        lines: The file.

    Raises:
        ImportFileError: A line is not as it is written, or something is missing.
    """
    run_id: str | None = None
    batch, size, count, number = Batch(), 0, 0, 0
    for number, line in lines.numbered():
        said = lines.parsed(line, number)
        if not isinstance(said, dict):
            raise lines.problem("it is no JSON object", number)
        if "table" in said:
            if run_id is None:
                raise lines.problem("a row comes before the line that says of which run it is", number)
            try:
                _add(batch, said, run_id)
            except _Wrong as error:
                raise lines.problem(str(error), number) from error
            size, count = size + 1, count + 1
            if size >= _AT_ONCE:
                yield batch
                batch, size = Batch(run_ids={run_id}), 0
        elif "end" in said:
            if run_id is None or said["end"] != run_id or said.get("rows") != count:
                raise lines.problem(f"rows are missing: {count:,} are there of {said.get('rows')}", number)
            run_id = None
        elif "format" in said:
            if run_id is not None:
                raise lines.problem(f"run {run_id} breaks off before it", number)
            run_id, count = _begun(lines, said, number), 0
            batch.run_ids.add(run_id)
        else:
            raise lines.problem("it is neither a row nor the beginning or end of a run", number)
    if run_id is not None:
        raise lines.problem(f"it breaks off: the end of run {run_id} is missing", number + 1)
    yield batch


def _begun(lines: Lines, said: Mapping[str, Any], number: int) -> str:
    version = said.get("version")
    if said["format"] != FORMAT or type(version) is not int:
        raise lines.problem(f"format {said['format']!r} is not known; {FORMAT} is", number)
    if version > VERSION:
        written = said.get("spandag")
        raise lines.problem(
            f"it was written by spandag {written} in version {version} of the format, this one ({__version__}) "
            f"reads up to {VERSION}; use: pip install -U spandag",
            number,
        )
    run_id = said.get("run_id")
    if not isinstance(run_id, str) or len(run_id) != 32 or not _HEX.issuperset(run_id):
        raise lines.problem(f"{run_id!r} is no run's id", number)
    return run_id


def _add(batch: Batch, said: dict[str, Any], run_id: str) -> None:
    name = said.pop("table")
    row_of = _ROWS.get(name) if isinstance(name, str) else None
    if row_of is None:
        raise _Wrong(f"there is no table {name!r}")
    values = [check(said.pop(column, None)) for column, check in _CHECKS[name]]
    if said:
        raise _Wrong(f"{name} has no column {next(iter(said))!r}")
    row = row_of(*values)
    if row.run_id != run_id:
        raise _Wrong(f"it is of run {row.run_id}, not of {run_id}")
    if name == "messages":
        batch.messages[row.run_id, row.hash] = row
        return
    # Rows that the derivation makes would be in its way.
    if name == "dag_edges" and row.dependency_type in DERIVED_EDGES:
        raise _Wrong(f"edges of type {row.dependency_type} are derived")
    if name == "execution_events" and row.origin != RECORDED:
        raise _Wrong(f"events of origin {row.origin} are derived")
    getattr(batch, name).append(row)


def _checked(table: Table, name: str) -> Check:
    """What makes a value of a column from the JSON of it, and refuses what no database would take."""
    column = table.c[name]
    check = _of_type(column.type)

    def checked(value: Any) -> Any:
        if value is None:
            if not column.nullable:
                raise _Wrong(f"{table.name} has no {name}")
            return None
        try:
            return check(value)
        except ValueError as error:
            raise _Wrong(f"{table.name}.{name}: {error}") from error

    return checked


def _of_type(kind: Any) -> Check:
    if isinstance(kind, JSON):
        return restored_json
    if isinstance(kind, LargeBinary):
        return _bytes
    if isinstance(kind, Boolean):
        return _boolean
    if isinstance(kind, BigInteger | Integer):
        bits = 63 if isinstance(kind, BigInteger) else 31
        return lambda value: _integer(value, bits)
    return _float if isinstance(kind, Double) else _text


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    if not is_stored_form(value):
        raise ValueError("it has characters that no store keeps as they are")
    return value


def _integer(value: Any, bits: int) -> int:
    if type(value) is not int or not -(2**bits) <= value < 2**bits:
        raise ValueError(f"{value!r} is no whole number of {bits + 1} bits")
    return value


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError("it is too large") from error


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not hexadecimal")
    return bytes.fromhex(value)


_CHECKS: dict[str, list[tuple[str, Check]]] = {
    table.name: [(name, _checked(table, name)) for name in schema.fact_columns(table)]
    for table in FACT_TABLES
}
