"""Fixtures: a store as text that is the same for every run of the same program, whatever the database."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spandag_test_databases import Tables, connected, tables

from spandag.store.schema import dag_nodes


@pytest.fixture
def rows_of() -> Callable[[str | Path], str]:
    """Every row of a store (its URL or file) as text, with names in place of what differs from run to run."""
    return normalised_rows


@pytest.fixture
def tree_of() -> Callable[[str | Path], str]:
    """The tree of every run of a store (its URL or file), a line a node."""

    def tree(store: str | Path) -> str:
        with connected(store) as connection:
            nodes = {(row.run_id, row.id): row for row in connection.execute(dag_nodes.select())}

        def path(row: Any) -> list[tuple[int, int]]:
            above = nodes.get((row.run_id, row.parent_node_id))
            return [*(path(above) if above else []), (row.order_index, row.attempt or 0)]

        return "".join(
            "  " * row.depth
            + " ".join(
                value
                for value in (
                    row.node_type,
                    row.name,
                    row.status,
                    row.outcome,
                    row.disposition,
                    row.error_type,
                )
                if value
            )
            + "\n"
            for row in sorted(nodes.values(), key=lambda row: (row.run_id, path(row)))
        )

    return tree


# Tables in the order in which a reader wants them, and the columns that differ from run to run.
_GOLDEN_TABLES = (
    "sessions",
    "workflow_runs",
    "dag_nodes",
    "dag_edges",
    "branches",
    "cost_records",
    "execution_events",
    "span_links",
    "node_messages",
)
_TIMES = {"started_at", "ended_at", "timestamp", "last_active_at"}
# What a message says may have a time or a port in it.
_HASHED = {"meaning"}
_UNSTABLE_KEYS = re.compile(
    r"server\.port|process\.(pid|executable\..*|command_args)|service\.(name|instance\.id)|.*stacktrace|.*version"
)
_UNSTABLE_TEXT = (
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"127\.0\.0\.1:\d+"), "<host>"),
    (re.compile(r"0x[0-9a-f]{6,}"), "<address>"),
)


def normalised_rows(store: str | Path) -> str:
    """See `rows_of`."""
    found = tables(store)
    names = _stable_names(found)
    lines = []
    for table in _GOLDEN_TABLES:
        lines.append(f"# {table}")
        lines += sorted((_normalised(row, names) for row in found[table]), key=_natural)
        lines.append("")
    return "\n".join(lines)


def _stable_names(found: Tables) -> dict[str, str]:
    """Runs as r1…, nodes as n1… in order of the tree, branch points after their redo."""
    names = {}
    for number, run in enumerate(sorted(found["workflow_runs"], key=lambda run: run["started_at"] or 0), 1):
        names[run["id"]] = f"r{number}"
    nodes = [node for node in found["dag_nodes"] if node["node_type"] != "branch_point"]
    nodes.sort(key=lambda node: (node["started_at"], node["depth"], node["span_id"]))
    for number, node in enumerate(nodes, 1):
        names[node["span_id"]] = f"n{number}"
        names[f"bp:{node['span_id']}"] = f"bp:n{number}"
    return names


def _normalised(row: dict[str, Any], names: dict[str, str]) -> str:
    parts = []
    for column, value in row.items():
        if value is None or column in _TIMES or column in _HASHED:
            continue
        if isinstance(value, bool):
            value = int(value)
        if isinstance(value, bytes):
            value = f"{len(value) // 16} messages"
        if isinstance(value, dict):
            value = json.dumps(_stable_json(value, names), sort_keys=True, ensure_ascii=False)
        value = _stable_text(str(value), names)
        if column.endswith("_preview") and len(value) > 160:
            value = f"{value[:120]}… ({len(value)} characters)"
        parts.append(f"{column}={value}")
    return "  ".join(parts)


def _stable_json(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {k: _stable_json(v, names) for k, v in value.items() if not _UNSTABLE_KEYS.fullmatch(k)}
    if isinstance(value, list):
        return [_stable_json(item, names) for item in value]
    if isinstance(value, float):
        return round(value, 9)
    return names.get(value, value) if isinstance(value, str) else value


def _stable_text(text: str, names: dict[str, str]) -> str:
    text = names.get(text, text)
    for pattern, name in _UNSTABLE_TEXT:
        text = pattern.sub(name, text)
    return text.replace("\n", "⏎")


_DIGITS = re.compile(r"(\d+)")


def _natural(line: str) -> list[object]:
    """Sorts n2 before n10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in _DIGITS.split(line)]
