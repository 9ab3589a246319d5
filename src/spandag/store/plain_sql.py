"""The migrations as plain SQL, for those who let nobody but themselves change a schema.

Generated from the Alembic revisions, which stay the one source. To write the
files anew: ``python -m spandag.store.plain_sql``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

from spandag.store import migrations, revisions, schema, text_index
from spandag.store.revisions import BASE, DIALECTS, HEAD, Revision
from spandag.store.shape import Shape, shape_at

FOLDER = Path(migrations.__file__).parent / "sql"
"""Where the files are, in a folder for each database."""

_TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_COMMANDS = {
    "sqlite": "sqlite3 -bail spandag.db < {file}",
    "postgresql": "psql -v ON_ERROR_STOP=1 -d DATABASE -f {file}",
}


@dataclass(frozen=True)
class _Catalog:
    """Where a database lists what it has; ``{names}`` stands for quoted names."""

    tables: str
    columns: str
    indexes: str
    views: str


_CATALOGS = {
    "sqlite": _Catalog(
        "sqlite_master WHERE type = 'table' AND name IN ({names})",
        "sqlite_master AS m, pragma_table_info(m.name) WHERE m.type = 'table' AND m.name IN ({names})",
        "sqlite_master WHERE type = 'index' AND name IN ({names})",
        "sqlite_master WHERE type = 'view' AND name IN ({names})",
    ),
    "postgresql": _Catalog(
        "pg_tables WHERE schemaname = current_schema() AND tablename IN ({names})",
        "information_schema.columns WHERE table_schema = current_schema() AND table_name IN ({names})",
        "pg_indexes WHERE schemaname = current_schema() AND indexname IN ({names})",
        "pg_views WHERE schemaname = current_schema() AND viewname IN ({names})",
    ),
}


def script(dialect: str, start: str = BASE, target: str = HEAD) -> str:
    """The SQL that brings a database from one revision to another.

    Args:
        dialect: One of `revisions.DIALECTS`.
        start: Where the database is.
        target: Where it shall be.

    Raises:
        StoreError: There is no such revision.
    """
    known = revisions.revisions()
    _, begun = revisions.plan(known, None, start)
    goes_up, steps = revisions.plan(known, begun[-1].id if begun else None, target)
    return "\n".join(_script(dialect, step, up=goes_up) for step in steps)


def files() -> dict[Path, str]:
    """Every file, by its path below `FOLDER`."""
    result = {}
    for dialect in DIALECTS:
        for step in revisions.revisions():
            for up in (True, False):
                result[Path(dialect) / _file(step, up=up)] = _script(dialect, step, up=up)
    return result


def write_files() -> list[Path]:
    """Write the files anew; returns those that have changed."""
    changed = []
    for path, content in files().items():
        file = FOLDER / path
        if not file.exists() or file.read_text(encoding="utf-8") != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
            changed.append(path)
    return changed


def _file(step: Revision, *, up: bool) -> str:
    return f"{step.slug}{'' if up else '.rollback'}.sql"


def _script(dialect: str, step: Revision, *, up: bool) -> str:
    before = f"revision {step.down}" if step.down else "an empty database"
    after = f"revision {step.id}"
    file, other = _file(step, up=up), _file(step, up=not up)
    run = _COMMANDS[dialect].format
    header = [
        f"spandag: {step.title}" if up else f"spandag: takes back {step.id} ({step.title}), with its data",
        "",
        f"Database:  {_TITLES[dialect]}",
        f"Brings:    {before} to {after}" if up else f"Brings:    {after} to {before}",
        f"Run with:  {run(file=file)}",
        f"{'Undo with' if up else 'Redo with'}: {run(file=other)}",
        *(
            [f"Needs:     spandag {step.needs} or newer"]
            if up
            else [f"Drops too: the text index, where there is one: {', '.join(text_index.MADE)}"]
        ),
        f"Generated from store/migrations/versions/{step.slug}.py; not to be edited.",
    ]
    parts = [
        "\n".join(f"-- {line}".rstrip() for line in header),
        "BEGIN;",
        *([] if up else [_drop_index(dialect)]),
        revisions.sql(dialect, step, up=up).rstrip(),
        "COMMIT;",
        "-- Verification: every answer is ok.",
        "\n".join(_verification(dialect, step, up=up)),
    ]
    return "\n\n".join(parts) + "\n"


def _drop_index(dialect: str) -> str:
    """As Alembic's way down does: an older version would not know that the index has to be kept right."""
    drops = "\n".join(f"DROP TABLE IF EXISTS {table};" for table in text_index.MADE)
    if dialect == "sqlite":
        return drops
    # By itself, a statement that drops what may be missing goes on to look for it in other schemas.
    exists = _CATALOGS[dialect].tables.format(names=_quoted([text_index.RUNS]))
    return (
        f"DO $$\nBEGIN\n    IF EXISTS (SELECT 1 FROM {exists}) THEN\n"
        f"{indent(drops, ' ' * 8)}\n    END IF;\nEND\n$$;"
    )


def _verification(dialect: str, step: Revision, *, up: bool) -> Iterable[str]:
    catalog = _CATALOGS[dialect]
    old, new = shape_at(step.down or BASE), shape_at(step.id)
    expected = new if up else old
    reached = step.id if up else step.down
    yield _is(
        f"revision {reached or BASE}",
        1 if reached else 0,
        schema.VERSION_TABLE + (f" WHERE version_num = '{reached}'" if reached else ""),
    )
    # What the revision adds must be there, and what it removes must not.
    for kind, source in (("tables", catalog.tables), ("indexes", catalog.indexes), ("views", catalog.views)):
        names = {*getattr(old, kind), *getattr(new, kind)}
        if names:
            yield _is(kind, len(getattr(expected, kind)), source.format(names=_quoted(names)))
    tables = {*old.tables, *new.tables}
    yield _is("columns", _columns(expected), catalog.columns.format(names=_quoted(tables)))
    if not up:
        yield _is("text index", 0, catalog.tables.format(names=_quoted([text_index.RUNS])))


def _is(what: str, count: int, source: str) -> str:
    return (
        f"SELECT '{what}' AS verified, CASE WHEN count(*) = {count} THEN 'ok' ELSE 'WRONG' END AS answer\n"
        f"FROM {source};"
    )


def _columns(shape: Shape) -> int:
    return sum(len(columns) for columns in shape.tables.values())


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))


if __name__ == "__main__":
    for written in write_files():
        sys.stderr.write(f"{FOLDER / written}\n")
