"""Whether a store is whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Table, and_, exists, func, inspect, or_, select, text
from sqlalchemy.exc import SQLAlchemyError

from spandag.config import Settings, absolute_url, as_url
from spandag.semconv import NodeType
from spandag.store import schema, text_index
from spandag.store.admin import Inspected, inspected
from spandag.store.messages import hashes_of
from spandag.store.prunable import dropped_by
from spandag.store.rows import DERIVED_EDGES
from spandag.store.shape import differences, shape_at, shape_of
from spandag.store.spool import Spool, folder_of
from spandag.store.statements import FACT_TABLES


@dataclass(frozen=True)
class Finding:
    """Rows that stand out.

    Attributes:
        table: Where.
        what: What is special about them.
        rows: How many there are.
        wrong: Whether that can only come from damage. Otherwise it is what happens to runs whose
            spans did not all arrive.
    """

    table: str
    what: str
    rows: int
    wrong: bool


@dataclass(frozen=True)
class Check:
    """What is wrong with a store, and what is worth a note.

    Attributes:
        store: How messages name it.
        revision: Where it is.
        newest: The newest revision that this version knows.
        runs: How many runs it has.
        nodes: How many nodes.
        behind: Of how many runs the derived columns are out of date; reading derives them in memory.
        waiting_spans: How many spans wait on this machine's disk for a program that writes them.
        refused_spans: How many spans are set aside on this machine's disk, as the store refused them or their
            file cannot be read.
        spool: The folder of both.
        lost_spans: How many spans were lost, as there was no room for them to wait.
        damage: What the database itself says of its file; SQLite only.
        schema: Where the schema is not what the revision says.
        findings: Rows that stand out.
        ok: Whether nothing is wrong.
    """

    store: str
    revision: str
    newest: str
    runs: int
    nodes: int
    behind: int
    waiting_spans: int
    refused_spans: int
    spool: str
    lost_spans: int
    damage: list[str]
    schema: list[str]
    findings: list[Finding]
    ok: bool


def check(url: str) -> Check:
    """Look for damage, for a schema that somebody changed, and for rows that point nowhere.

    Raises:
        StoreError: There is no store, it is another program's, or cannot be read at all.
    """
    with inspected(url) as store:
        connection = store.connection
        damage = _damage(store)
        wrong_schema = [] if damage else _schema(store)
        # Tables that are not as they should be cannot be asked.
        findings = [] if damage or wrong_schema else [f for f in _findings(connection) if f.rows]
        runs = nodes = behind = 0
        told: dict[str, int] = {}
        if not wrong_schema and not damage:
            table = schema.workflow_runs
            runs = _count(connection, table)
            nodes = _count(connection, schema.dag_nodes)
            behind = _count(connection, table, ~schema.IS_SETTLED)
            told = _lost(connection)
        settings = Settings.load()
        spool = Spool(folder_of(absolute_url(as_url(url)), settings.spool), settings.spool_size)
        waiting = spool.waiting()
        return Check(
            store=store.database.label,
            revision=store.revision.id,
            newest=schema.REVISION,
            runs=runs,
            nodes=nodes,
            behind=behind,
            waiting_spans=waiting.spans,
            refused_spans=waiting.bad_spans,
            spool=str(spool.folder),
            lost_spans=_together(told, spool.lost()),
            damage=damage,
            schema=wrong_schema,
            findings=findings,
            ok=not (damage or wrong_schema or any(finding.wrong for finding in findings)),
        )


def _damage(store: Inspected) -> list[str]:
    if store.connection.dialect.name != "sqlite":
        return []
    try:
        said = store.connection.exec_driver_sql("PRAGMA integrity_check(20)").scalars().all()
    except SQLAlchemyError as error:
        # Too damaged to be looked at.
        return [str(getattr(error, "orig", None) or error)]
    return [] if said == ["ok"] else [str(line) for line in said]


def _lost(connection: Connection) -> dict[str, int]:
    """What writers say that they had to drop."""
    writers = schema.writers
    return {row.id: dropped_by(row.meta) for row in connection.execute(select(writers.c.id, writers.c.meta))}


def _together(told: dict[str, int], noted: dict[str, int]) -> int:
    """How many spans were lost, by what the store was told of and what was noted on disk.

    Each is all that a writer knew at the time; who told the store and could not any more at its end has
    noted the same spans, and perhaps more.
    """
    return sum(max(told.get(writer, 0), noted.get(writer, 0)) for writer in {*told, *noted})


def _schema(store: Inspected) -> list[str]:
    return differences(shape_of(store.connection), shape_at(store.revision.id))


def _findings(connection: Connection) -> Iterator[Finding]:
    def found(table: Table, what: str, *where: ColumnElement[bool], wrong: bool = True) -> Finding:
        return Finding(table.name, what, _count(connection, table, *where), wrong)

    # Whoever removes a run takes its own row first; a store of an older revision knows no such thing.
    removed = schema.tombstones if inspect(connection).has_table(schema.tombstones.name) else None
    for table in schema.metadata.sorted_tables:
        if "run_id" not in table.c or table is schema.tombstones:
            continue
        gone = ~_run_exists(table)
        if removed is not None:
            is_removed = exists(select(removed.c.run_id).where(removed.c.run_id == table.c.run_id))
            yield found(table, "of runs that are being removed", gone, is_removed, wrong=False)
            gone = and_(gone, ~is_removed)
        yield found(table, "of runs that are not there", gone)
    if text_index.exists(connection):
        query = f"SELECT count(*) FROM {text_index.RUNS} AS i WHERE NOT EXISTS (SELECT 1 FROM workflow_runs WHERE id = i.run_id)"
        lost = connection.execute(text(query)).scalar_one()
        yield Finding(
            text_index.RUNS, "of runs that are not there, until the next: spandag db index", lost, False
        )
    for table in (schema.execution_events, schema.cost_records, schema.node_messages, schema.span_links):
        yield found(table, "of nodes that are not there", ~_node_exists(table, table.c.node_id))
    for table in FACT_TABLES:
        for column in table.columns:
            values = schema.known_values(column)
            if values:
                yield found(table, f"of a {column.name} that is not known", column.not_in(values))
    nodes, edges, branches = schema.dag_nodes, schema.dag_edges, schema.branches
    yield found(
        nodes,
        "below nodes that are not there",
        nodes.c.parent_node_id.is_not(None),
        ~_node_exists(nodes, nodes.c.parent_node_id),
    )
    nowhere = or_(~_node_exists(edges, edges.c.from_node_id), ~_node_exists(edges, edges.c.to_node_id))
    derived = edges.c.dependency_type.in_(DERIVED_EDGES)
    yield found(edges, "between nodes that are not there", derived, nowhere)
    is_redo = branches.c.kind == "redo"
    yield found(
        branches, "without their branch point", is_redo, ~_node_exists(branches, branches.c.branch_node_id)
    )
    yield Finding(
        schema.node_messages.name, "that name messages that are not there", _lost_messages(connection), True
    )
    # Spans that were lost, not sampled, or are still to come.
    yield found(
        nodes,
        "whose recorded parent is not stored",
        nodes.c.parent_span_id.is_not(None),
        nodes.c.node_type != NodeType.BRANCH_POINT,
        ~_node_exists(nodes, nodes.c.parent_span_id),
        wrong=False,
    )
    yield found(
        branches,
        "whose first attempt is not stored",
        is_redo,
        branches.c.source_node_id.is_not(None),
        ~_node_exists(branches, branches.c.source_node_id),
        wrong=False,
    )
    links, runs = schema.span_links, schema.workflow_runs
    yield found(
        links,
        "to runs that are not stored",
        ~exists(select(runs.c.id).where(runs.c.id == links.c.linked_run_id)),
        wrong=False,
    )


def _run_exists(table: Table) -> ColumnElement[bool]:
    runs = schema.workflow_runs
    return exists(select(runs.c.id).where(runs.c.id == table.c.run_id))


def _node_exists(table: Table, node_id: ColumnElement[str]) -> ColumnElement[bool]:
    node = schema.dag_nodes.alias("target")
    return exists(select(node.c.id).where(and_(node.c.run_id == table.c.run_id, node.c.id == node_id)))


def _count(connection: Connection, table: Table, *where: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one()


def _lost_messages(connection: Connection) -> int:
    """How many manifests name a message that is not there; no SQL of both databases can take them apart."""
    manifests, messages = schema.node_messages, schema.messages
    lost = 0
    for run_id in connection.execute(select(manifests.c.run_id).distinct()).scalars().all():
        stored = set(connection.execute(select(messages.c.hash).where(messages.c.run_id == run_id)).scalars())
        for hashes in connection.execute(select(manifests.c.hashes).where(manifests.c.run_id == run_id)):
            lost += not stored.issuperset(hashes_of(hashes[0]))
    return lost
