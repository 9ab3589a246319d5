"""Keep a store as the newest revision leaves it, for the tests of all revisions to come.

Run it once, when a revision is new: ``python tests/store/golden_databases/make.py``.
What is there already is what users have, and is never written anew.
"""

from __future__ import annotations

import importlib.util
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from sqlalchemy import Boolean, Column, LargeBinary

from spandag.export.project import project
from spandag.semconv import NodeType
from spandag.store import Writer, admin, retention, revisions, schema

HERE = Path(__file__).parent


def story() -> list[ReadableSpan]:
    """The run of the store's tests, and another one."""
    spec = importlib.util.spec_from_file_location("stories", HERE.parent / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["stories"] = module
    spec.loader.exec_module(module)
    told = module.Story()
    module.two_redos(told)
    told.span(NodeType.RUN, "removed", 200, 201)
    return list(told.spans)


def make(revision: str) -> None:
    """Write the dumps of a revision, where there are none."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "runs.db"
        url = f"sqlite:///{file}"
        writer = Writer(url)
        spans = story()
        writer.write(project(spans))
        writer.settle()
        writer.close()
        context = spans[-1].context
        assert context is not None
        retention.remove(url, [trace.format_trace_id(context.trace_id)])
        admin.downgrade_to(url, revision)
        with closing(sqlite3.connect(file)) as connection:
            keep(HERE / f"{revision}.sqlite.sql", "\n".join(connection.iterdump()) + "\n")
            rows = "\n".join(inserts(connection))
    known = revisions.revisions()
    _, steps = revisions.plan(known, None, revision)
    created = "\n".join(revisions.sql("postgresql", step, up=True) for step in steps)
    keep(HERE / f"{revision}.postgresql.sql", f"BEGIN;\n\n{created}\n{rows}\n\nCOMMIT;\n")


def keep(path: Path, text: str) -> None:
    """Write a file that is not there."""
    if path.exists():
        sys.stdout.write(f"{path.name} is there already\n")
    else:
        path.write_text(text, encoding="utf-8")


def inserts(connection: sqlite3.Connection) -> list[str]:
    """The rows as PostgreSQL takes them."""
    statements = []
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for name, table in sorted(schema.metadata.tables.items()):
        if name not in there:
            continue
        columns = list(table.columns)
        names = ", ".join(column.name for column in columns)
        for row in connection.execute(f"SELECT {names} FROM {name} ORDER BY 1, 2"):
            values = ", ".join(literal(*pair) for pair in zip(columns, row, strict=True))
            conflict = " ON CONFLICT DO NOTHING" if name == "settings" else ""
            statements.append(f"INSERT INTO {name} ({names}) VALUES ({values}){conflict};")
    return statements


def literal(column: Column[Any], value: Any) -> str:
    """A value in PostgreSQL's SQL."""
    if value is None:
        return "NULL"
    if isinstance(column.type, Boolean):
        return "true" if value else "false"
    if isinstance(column.type, LargeBinary):
        return f"'\\x{value.hex()}'"
    return str(value) if isinstance(value, int | float) else "'" + str(value).replace("'", "''") + "'"


if __name__ == "__main__":
    make(revisions.revisions()[-1].id if len(sys.argv) == 1 else sys.argv[1])
