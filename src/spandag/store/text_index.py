"""The optional index of what runs say: which runs can hold a text.

It keeps every three characters in a row (trigrams) of each text, folded: by FTS5 on SQLite, as ``tsvector``
with a GIN index on PostgreSQL. So it answers the same question as LIKE, in any script and in the middle
of words, and a search gives the same answer with and without it. Nobody who writes runs knows of it: it
notes each run with the ``facts_version`` that was indexed, and a run that has another one by now is not
covered by it. Its tables are no part of the schema's revisions.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.exc import OperationalError

from spandag.store.case_folding import LONGEST, forms, telling
from spandag.store.errors import StoreError

INDEX, RUNS, SLICES = "text_index", "text_index_runs", "text_index_slices"

MADE = (INDEX, SLICES, RUNS)
"""What is made, and dropped, by name; not on each database all of it."""

TABLES = frozenset({*MADE, *(f"{INDEX}_{part}" for part in ("data", "idx", "content", "docsize", "config"))})
"""All tables that an index can have."""

UNFINISHED = -1
"""The version of a run whose texts are not all indexed yet."""

SHORTEST = 3
"""Characters of a text that the index can look up."""

LOOKED_UP = 6 * LONGEST
"""Characters of a form that are looked up: what the pieces of a long text share. One within JSON can be longer."""

MOST = 20_000
"""Texts that match; of a text that more have, the index says nothing worth knowing."""

_CREATE = {
    "sqlite": (
        f"CREATE VIRTUAL TABLE {INDEX} USING fts5(text, detail=none, tokenize='trigram case_sensitive 1')",
        f"CREATE TABLE {SLICES} (first_doc INTEGER PRIMARY KEY, last_doc INTEGER NOT NULL, run_id TEXT NOT NULL)",
        f"CREATE INDEX ix_{SLICES}_run_id ON {SLICES} (run_id)",
    ),
    "postgresql": (
        f"CREATE TABLE {INDEX} (run_id TEXT NOT NULL, text TSVECTOR NOT NULL)",
        f"CREATE INDEX ix_{INDEX}_run_id ON {INDEX} (run_id)",
        f"CREATE INDEX ix_{INDEX}_text ON {INDEX} USING gin (text)",
    ),
}
_CREATE_RUNS = (
    f"CREATE TABLE {RUNS} (run_id TEXT PRIMARY KEY, facts_version BIGINT NOT NULL, builder TEXT NOT NULL)"
)


def has_fts5(connection: Connection) -> bool:
    """Whether this SQLite has FTS5, an optional part of it."""
    try:
        driver = connection.connection.driver_connection
        assert driver is not None
        return bool(driver.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchall())
    except OperationalError:
        return False


def exists(connection: Connection) -> bool:
    """Whether the store has an index."""
    if connection.dialect.name == "sqlite":
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name"
    else:
        query = (
            "SELECT 1 FROM pg_class WHERE relkind = 'r' AND relname = :name "
            "AND relnamespace = current_schema()::regnamespace"
        )
    return connection.execute(text(query), {"name": RUNS}).first() is not None


def is_usable(connection: Connection) -> bool:
    """Whether the store has an index that this process can read."""
    return exists(connection) and (connection.dialect.name != "sqlite" or has_fts5(connection))


def require_support(connection: Connection, label: str) -> None:
    """Refuse to build or to remove an index without FTS5.

    Raises:
        StoreError: This Python's SQLite has none.
    """
    if connection.dialect.name == "sqlite" and not has_fts5(connection):
        raise StoreError(
            f"{label} cannot have a text index: the SQLite of this Python was built without FTS5; "
            "searching works without it"
        )


def create(connection: Connection) -> None:
    """Make the empty tables of an index."""
    for statement in (*_CREATE[connection.dialect.name], _CREATE_RUNS):
        connection.execute(text(statement))


def drop(connection: Connection, label: str) -> bool:
    """Remove the index.

    Returns:
        Whether there was one.

    Raises:
        StoreError: This Python's SQLite has no FTS5, and cannot even remove it.
    """
    if not exists(connection):
        return False
    require_support(connection, label)
    for table in MADE:
        connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
    return True


def forget(connection: Connection, run_id: str, limit: int) -> int:
    """Take some of a run's texts out of the index; with the last of them the run itself.

    Args:
        connection: In a transaction for writing, of a store that may have no index.
        run_id: The run.
        limit: How many at most.

    Returns:
        How many texts were taken out.
    """
    if not exists(connection):
        return 0
    values = {"run_id": run_id, "limit": limit, "unfinished": UNFINISHED}
    connection.execute(text(f"UPDATE {RUNS} SET facts_version = :unfinished WHERE run_id = :run_id"), values)
    if connection.dialect.name == "sqlite":
        gone = _forget_slices(connection, run_id, limit)
    else:
        statement = (
            f"DELETE FROM {INDEX} WHERE ctid = ANY(ARRAY("
            f"SELECT ctid FROM {INDEX} WHERE run_id = :run_id LIMIT :limit))"
        )
        gone = connection.execute(text(statement), values).rowcount
    if gone < limit:
        connection.execute(text(f"DELETE FROM {RUNS} WHERE run_id = :run_id"), values)
    return gone


def _forget_slices(connection: Connection, run_id: str, limit: int) -> int:
    if not has_fts5(connection):
        # Whoever brings the index up to date with FTS5 removes texts that no slice names.
        connection.execute(text(f"DELETE FROM {SLICES} WHERE run_id = :run_id"), {"run_id": run_id})
        return 0
    gone = 0
    query = text(f"SELECT first_doc, last_doc FROM {SLICES} WHERE run_id = :run_id ORDER BY first_doc")
    for first, last in connection.execute(query, {"run_id": run_id}).all():
        upto = min(last, first + limit - gone - 1)
        values = {"first": first, "upto": upto, "next": upto + 1}
        connection.execute(text(f"DELETE FROM {INDEX} WHERE rowid BETWEEN :first AND :upto"), values)
        if upto == last:
            connection.execute(text(f"DELETE FROM {SLICES} WHERE first_doc = :first"), values)
        else:
            connection.execute(
                text(f"UPDATE {SLICES} SET first_doc = :next WHERE first_doc = :first"), values
            )
        gone += upto - first + 1
        if gone >= limit:
            break
    return gone


def runs_with(connection: Connection, wanted: str) -> set[str] | None:
    """The runs that can hold a text, of those that the index covers.

    Args:
        connection: To a store whose index is usable.
        wanted: Anything, of `SHORTEST` characters or more.

    Returns:
        None where so much does that it is quicker to look at the newest runs, or where nothing can be looked up.
    """
    sets = [telling(form[:LOOKED_UP]) for form in forms(wanted)]
    if not all(sets):
        return None
    if connection.dialect.name == "sqlite":
        match = " OR ".join("(" + " AND ".join(map(_quoted, each)) + ")" for each in sets)
        # Each document is within the slice that starts last before it.
        query = (
            f"SELECT (SELECT run_id FROM {SLICES} WHERE first_doc <= doc AND last_doc >= doc "
            f"ORDER BY first_doc DESC LIMIT 1) FROM "
            f"(SELECT rowid AS doc FROM {INDEX} WHERE {INDEX} MATCH :match LIMIT :most)"
        )
    else:
        match = " | ".join("(" + " & ".join(map(_lexeme, each)) + ")" for each in sets)
        query = f"SELECT run_id FROM {INDEX} WHERE text @@ CAST(:match AS tsquery) LIMIT :most"
    found = connection.execute(text(query), {"match": match, "most": MOST}).scalars().all()
    return None if len(found) == MOST else {run_id for run_id in found if run_id is not None}


def _quoted(trigram: str) -> str:
    return '"' + trigram.replace('"', '""') + '"'


def _lexeme(trigram: str) -> str:
    return "'" + trigram.replace("\\", "\\\\").replace("'", "''") + "'"


def insert(connection: Connection, run_id: str, texts: list[tuple[str, list[str]]]) -> None:
    """Add texts of a run.

    Args:
        connection: In a transaction for writing.
        run_id: The run.
        texts: Folded, each with its trigrams, which PostgreSQL takes.
    """
    if not texts:
        return
    if connection.dialect.name == "sqlite":
        first = connection.execute(text(f"SELECT coalesce(max(last_doc), 0) + 1 FROM {SLICES}")).scalar_one()
        # Left behind by a process without FTS5.
        stray = connection.execute(text(f"SELECT coalesce(max(id), 0) + 1 FROM {INDEX}_docsize")).scalar_one()
        first = max(first, stray)
        connection.execute(
            text(f"INSERT INTO {INDEX} (rowid, text) VALUES (:doc, :text)"),
            [{"doc": first + i, "text": each} for i, (each, _) in enumerate(texts)],
        )
        connection.execute(
            text(f"INSERT INTO {SLICES} (first_doc, last_doc, run_id) VALUES (:first, :last, :run_id)"),
            {"first": first, "last": first + len(texts) - 1, "run_id": run_id},
        )
        return
    statement = text(
        f"INSERT INTO {INDEX} (run_id, text) VALUES (:run_id, array_to_tsvector(CAST(:trigrams AS text[])))"
    ).bindparams(bindparam("trigrams"))
    connection.execute(statement, [{"run_id": run_id, "trigrams": each} for _, each in texts])


def forget_strays(connection: Connection, limit: int) -> int:
    """Remove some of the texts that no slice names; SQLite only."""
    if connection.dialect.name != "sqlite":
        return 0
    # As all slices are in order and do not overlap, whatever lies in none is found from the one before it.
    query = text(
        f"SELECT id FROM {INDEX}_docsize AS d WHERE NOT coalesce((SELECT last_doc >= d.id FROM {SLICES} "
        f"WHERE first_doc <= d.id ORDER BY first_doc DESC LIMIT 1), 0) LIMIT :limit"
    )
    strays = [{"id": doc} for doc in connection.execute(query, {"limit": limit}).scalars()]
    if strays:
        connection.execute(text(f"DELETE FROM {INDEX} WHERE rowid = :id"), strays)
    return len(strays)
