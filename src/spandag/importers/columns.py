"""What a value of a column has to be: what the store can hold, and nothing else."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, Double, Integer, LargeBinary, Table

from spandag.importers.lines import shown
from spandag.store import schema
from spandag.store.rows import BRANCH_POINT_PREFIX, HASH_SIZE
from spandag.store.statements import FACT_TABLES
from spandag.store.text import is_stored_form, restored_json

Check = Callable[[Any], Any]
"""Makes a value of a column from the JSON of it; raises `ValueError` where it is none."""

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_SPAN_ID = re.compile(r"[0-9a-f]{16}")
_NODE_ID = re.compile(rf"(?:{BRANCH_POINT_PREFIX})?[0-9a-f]{{16}}")


class WrongRowError(ValueError):
    """A row is not as a store has it; the message says what is wrong."""


def _checked(table: Table, name: str) -> Check:
    """What makes a value of a column from the JSON of it, and refuses what no store has."""
    column = table.c[name]
    check = _BY_NAME.get(f"{table.name}.{name}") or _BY_NAME.get(name) or _of_type(column)

    def checked(value: Any) -> Any:
        if value is None:
            if not column.nullable:
                raise WrongRowError(f"{table.name} has no {name}")
            return None
        try:
            return check(value)
        except ValueError as error:
            raise WrongRowError(f"{table.name}.{name}: {error}") from error

    return checked


def _of_type(column: Column[Any]) -> Check:
    kind = column.type
    if isinstance(kind, JSON):
        return _json_object
    if isinstance(kind, LargeBinary):
        return _bytes
    if isinstance(kind, Boolean):
        return _boolean
    if isinstance(kind, BigInteger | Integer):
        bits = 63 if isinstance(kind, BigInteger) else 31
        return lambda value: _integer(value, bits)
    if isinstance(kind, Double):
        return _float
    values = schema.known_values(column)
    return _one_of(values) if values else _text


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is no text")
    if not is_stored_form(value):
        raise ValueError("it has characters that no store keeps as they are")
    return value


def _one_of(values: Collection[str]) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in values:
            raise ValueError(f"{shown(value)} is none of {', '.join(values)}")
        return value

    return check


def _like(pattern: re.Pattern[str], what: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"{shown(value)} is no {what}")
        return value

    return check


def _integer(value: Any, bits: int) -> int:
    if type(value) is not int or not -(2**bits) <= value < 2**bits:
        raise ValueError(f"{shown(value)} is no whole number of {bits + 1} bits")
    return value


def _count(value: Any) -> int:
    if _integer(value, 63) < 0:
        raise ValueError(f"{shown(value)} is less than nothing")
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{shown(value)} is no number")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError("it is too large") from error
    if not math.isfinite(number):
        raise ValueError(f"{shown(value)} is no number")
    return number


def _amount(value: Any) -> float:
    amount = _float(value)
    if amount < 0:
        raise ValueError(f"{shown(value)} is less than nothing")
    return amount


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{shown(value)} is neither true nor false")
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not hexadecimal")
    try:
        return bytes.fromhex(value)
    except ValueError as error:
        raise ValueError(f"{shown(value)} is not hexadecimal") from error


def _hash(value: Any) -> bytes:
    digest = _bytes(value)
    if len(digest) != HASH_SIZE:
        raise ValueError(f"{shown(value)} is not {HASH_SIZE} bytes")
    return digest


def _hashes(value: Any) -> bytes:
    digests = _bytes(value)
    if len(digests) % HASH_SIZE:
        raise ValueError(f"{len(digests):,} bytes are no hashes of {HASH_SIZE} each")
    return digests


def _json_object(value: Any) -> str:
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is no JSON object")
    return restored_json(value)


_run_id = _like(_RUN_ID, "run's id")
_span_id = _like(_SPAN_ID, "span's id")
_node_id = _like(_NODE_ID, "node's id")

# By column, of one table or of any. What a redo says of the step that it does again is not here
# (step_id, source_node_id, from_node_id): a program can say anything there.
_BY_NAME: dict[str, Check] = {
    "run_id": _run_id,
    "child_run_id": _run_id,
    "linked_run_id": _run_id,
    "span_id": _span_id,
    "parent_span_id": _span_id,
    "linked_span_id": _span_id,
    "dag_nodes.id": _node_id,
    "node_id": _node_id,
    "to_node_id": _node_id,
    "branch_node_id": _node_id,
    "messages.hash": _hash,
    "node_messages.hashes": _hashes,
    "input_tokens": _count,
    "output_tokens": _count,
    "cache_read_tokens": _count,
    "cache_write_tokens": _count,
    "reasoning_tokens": _count,
    "cost_usd": _amount,
}

CHECKS: dict[str, list[tuple[str, Check]]] = {
    table.name: [
        (name, _checked(table, name))
        for name in schema.fact_columns(table)
        if name not in schema.computed_columns(table)
    ]
    for table in FACT_TABLES
}
"""By table the columns that a file carries in order, and what makes a value of each from the JSON of it."""
