"""The revisions of the schema: which there are, and how a database gets from one to another.

Alembic's ``op`` is one for the whole process, and a host may call us from within
a migration of its own. Ours therefore get an ``Operations`` of their own, so that
the host finds its ``op`` as it was.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect, select, text

from spandag.store import schema, text_index
from spandag.store.errors import StoreError

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

HEAD = "head"
BASE = "base"
"""Names of the newest revision, and of the state before the first."""

NEEDS = "needs_spandag"
"""Key of ``settings`` under which a database says which version of spandag its schema needs."""

DIALECTS = ("sqlite", "postgresql")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Revision:
    """One revision.

    Attributes:
        id: Its number.
        title: What it does, one line.
        slug: Name of its file without the suffix.
        down: The revision before it.
        needs: The first version of spandag that knows it.
        module: Its functions ``upgrade`` and ``downgrade``.
    """

    id: str
    title: str
    slug: str
    down: str | None
    needs: str
    module: ModuleType


def script_directory() -> ScriptDirectory:
    """Alembic's view of our revisions; the modules in it are loaded anew."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "spandag.store:migrations")
    return ScriptDirectory.from_config(config)


def revisions(script: ScriptDirectory | None = None) -> list[Revision]:
    """All revisions, oldest first."""
    found = [
        Revision(
            script.revision,
            script.doc.rstrip("."),
            script.module.__name__.removesuffix("_py"),
            str(script.down_revision) if script.down_revision else None,
            script.module.needs_spandag,
            script.module,
        )
        for script in (script or script_directory()).walk_revisions()
    ]
    return found[::-1]


def current(connection: Connection) -> str | None:
    """The revision that a database is at, by plain SQL: Alembic takes long to import."""
    if not inspect(connection).has_table(schema.VERSION_TABLE):
        return None
    revision = connection.execute(text(f"SELECT version_num FROM {schema.VERSION_TABLE}")).scalar()
    return None if revision is None else str(revision)


def newer(connection: Connection, label: str, revision: str) -> StoreError:
    """What to say of a database at a revision that this version does not know.

    Args:
        connection: To the database.
        label: How messages name it.
        revision: Where it is.
    """
    version = _noted(connection)
    wanted = f"spandag {version} or newer" if version else "a newer spandag"
    requirement = f"'spandag>={version}'" if version else "-U spandag"
    return StoreError(
        f"{label} was written by a newer version of spandag: its schema is at revision {revision}, this "
        f"version knows {schema.REVISION}; use {wanted}: pip install {requirement}"
    )


def plan(known: Sequence[Revision], at: str | None, target: str) -> tuple[bool, list[Revision]]:
    """The revisions between two states.

    Args:
        known: All, oldest first.
        at: Where a database is; None before the first.
        target: A revision, `HEAD` or `BASE`.

    Returns:
        Whether it goes up, and the revisions in the order in which they are applied or taken back.

    Raises:
        StoreError: There is no such target.
    """
    ids = [revision.id for revision in known]
    wanted = ids[-1] if target == HEAD else None if target == BASE else target
    if wanted is not None and wanted not in ids:
        raise StoreError(f"there is no revision {target!r}; known are {', '.join(ids)}, {HEAD} and {BASE}")
    start = 0 if at is None else ids.index(at) + 1
    end = 0 if wanted is None else ids.index(wanted) + 1
    return (True, list(known[start:end])) if end >= start else (False, list(known[end:start])[::-1])


def migrate(
    connection: Connection, label: str, target: str = HEAD, *, down: bool = False, say: Say | None = None
) -> list[str]:
    """Bring a database to a revision.

    All of it in the transaction of the connection, which ought to hold the database's write lock.

    Args:
        connection: To the database; its transaction is not committed.
        label: How messages name the database.
        target: A revision, `HEAD` or `BASE`.
        down: Whether to go down. One who asks to go up never loses tables, and the other way round.
        say: Called with a line before each revision.

    Returns:
        The revisions that were applied or taken back, in order.

    Raises:
        StoreError: There is no such revision, or the database is at one that this version does not know.
    """
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    script = script_directory()
    known = revisions(script)
    by_id = {revision.id: revision for revision in known}
    at = current(connection)
    if at is not None and at not in by_id:
        raise newer(connection, label, at)
    goes_up, steps = plan(known, at, target)
    if steps and goes_up is down:
        other = "upgrade" if goes_up else "downgrade"
        raise StoreError(f"{label} is at revision {at or BASE}; to get to {target} use: spandag db {other}")
    if steps and not goes_up:
        # An older version would not know that it has to be kept right.
        text_index.drop(connection, label)
    context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
    operations = Operations(context)
    for number, step in enumerate(steps, 1):
        if say is not None:
            verb = "applying" if goes_up else "taking back"
            say(f"{label}: {verb} {step.id} ({step.title}), {number} of {len(steps)}")
        _run(step, operations, up=goes_up)
        at = step.id if goes_up else step.down
        context.stamp(script, at or BASE)
        if at is not None:
            connection.execute(text(note(by_id[at])))
    return [step.id for step in steps]


def sql(dialect: str, step: Revision, *, up: bool) -> str:
    """The plain SQL of a revision, without the transaction around it.

    Args:
        dialect: One of `DIALECTS`.
        step: A revision of a fresh `revisions()`.
        up: Whether to apply it or to take it back.
    """
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    out = io.StringIO()
    context = MigrationContext.configure(dialect_name=dialect, opts={"as_sql": True, "output_buffer": out})
    _run(step, Operations(context), up=up)
    return _laid_out([*_statements(out.getvalue()), *_version_statements(step, up=up)])


def note(revision: Revision) -> str:
    """SQL by which a database says which version of spandag it needs."""
    value = json.dumps(revision.needs)
    return (
        f"INSERT INTO settings (key, value) VALUES ('{NEEDS}', '{value}') "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )


def _run(step: Revision, operations: Any, *, up: bool) -> None:
    vars(step.module)["op"] = operations
    (step.module.upgrade if up else step.module.downgrade)()


def _noted(connection: Connection) -> str | None:
    if not inspect(connection).has_table(schema.settings.name):
        return None
    value = connection.execute(select(schema.settings.c.value).where(schema.settings.c.key == NEEDS)).scalar()
    return value if isinstance(value, str) else None


def _statements(script: str) -> list[str]:
    """Statements without the white space that Alembic leaves at the end of lines."""
    lines = "\n".join(line.rstrip() for line in script.expandtabs(4).splitlines()).strip()
    return lines.split("\n\n") if lines else []


def _laid_out(statements: Sequence[str]) -> str:
    """Statements with an empty line around those of several lines."""
    result = statements[0] + "\n"
    for before, statement in pairwise(statements):
        result += ("\n" if "\n" in before + statement else "") + statement + "\n"
    return result


def _version_statements(step: Revision, *, up: bool) -> list[str]:
    table = schema.VERSION_TABLE
    if not up and step.down is None:
        # As Alembic does, the empty table stays.
        return [f"DELETE FROM {table} WHERE version_num = '{step.id}';"]
    if not up:
        before = next(revision for revision in revisions() if revision.id == step.down)
        return [
            f"UPDATE {table} SET version_num = '{step.down}' WHERE version_num = '{step.id}';",
            note(before) + ";",
        ]
    if step.down is not None:
        return [
            f"UPDATE {table} SET version_num = '{step.id}' WHERE version_num = '{step.down}';",
            note(step) + ";",
        ]
    return [
        f"CREATE TABLE IF NOT EXISTS {table} (\n    version_num VARCHAR(32) NOT NULL,\n"
        f"    CONSTRAINT {table}_pkc PRIMARY KEY (version_num)\n);",
        f"INSERT INTO {table} (version_num) VALUES ('{step.id}');",
        note(step) + ";",
    ]
