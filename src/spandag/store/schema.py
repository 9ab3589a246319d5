"""The tables of the store, once, for every database.

Two kinds of columns are kept apart. *Facts* are what the spans say; they are
written by upserts that give the same row in any order. *Derived* columns
(``info["derived"]``) are a pure function of a run's facts
(`spandag.store.derive`) and are written by nothing else. The tables
table `sessions` and, in `dag_edges` and `execution_events`, the rows of derived
kinds belong to the derivation as a whole.

Times are Unix nanoseconds. Text never contains NUL, lone surrogates or JSON
that a database would refuse (`spandag.store.text`). There are no foreign keys:
children come before their parents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from spandag.semconv import NODE_TYPES, OUTCOMES
from spandag.store.rows import (
    BRANCH_KINDS,
    BRANCH_STATUSES,
    DERIVED,
    DERIVED_EDGES,
    DIRECTIONS,
    MESSAGE_FORMATS,
    NODE_STATUSES,
    RECORDED,
    RECORDED_EDGES,
)

REVISION = "0005"
"""The newest Alembic revision; with those before it, it makes exactly this schema, and the views."""

IS_STEP = "node_type = 'step'"
"""Of which nodes ``ix_dag_nodes_steps`` is; a query uses it where it says the same in these words."""

IS_AGENT = "node_type IN ('agent', 'sub_agent') AND length(name) <= 512"
"""Of which nodes ``ix_dag_nodes_agents`` is. PostgreSQL refuses a row whose place in an index is too large."""

VERSION_TABLE = "spandag_version"
"""Where Alembic notes the revision; not its default name, so that a host's own chain can live beside it."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

JsonType = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def _key(name: str, comment: str, kind: Any = Text, *, values: Sequence[str] = ()) -> Column[Any]:
    return Column(
        name,
        kind,
        primary_key=True,
        nullable=False,
        comment=comment,
        autoincrement=False,
        info={"values": values},
    )


def _fact(
    name: str, kind: Any, comment: str, *, values: Sequence[str] = (), computed: bool = False, **options: Any
) -> Column[Any]:
    return Column(name, kind, comment=comment, info={"values": values, "computed": computed}, **options)


def _derived(name: str, kind: Any, comment: str, **options: Any) -> Column[Any]:
    return Column(name, kind, comment=comment, info={"derived": True}, **options)


def _run_id() -> Column[Any]:
    return _key("run_id", "the run: the trace id, 32 hexadecimal digits")


sessions = Table(
    "sessions",
    metadata,
    _key("id", "session.id, else gen_ai.conversation.id, of a run's topmost node"),
    _derived("name", Text, "name of the session's first run"),
    _derived("task", Text, "task of the session's first run"),
    _derived("user_id", Text, "user.id of the first run that has one"),
    _derived("started_at", BigInteger, "when its first run started"),
    _derived("last_active_at", BigInteger, "when its last run ended, or started if it runs"),
    _derived("status", Text, "active while a run of it is running, else idle"),
    _derived("meta", JsonType, "free"),
    comment="Runs that belong together for a user.",
)

workflow_runs = Table(
    "workflow_runs",
    metadata,
    _key("id", "the trace id, 32 hexadecimal digits"),
    _derived("root_node_id", Text, "topmost run node, else topmost GenAI node; NULL: not listed"),
    _derived("name", Text, "of the root node"),
    _derived("task", Text, "what the run was asked to do: spandag.run.task, else the root node's input"),
    _derived("status", Text, "running, completed, failed or cancelled, as the root node"),
    _derived("started_at", BigInteger, "Unix ns"),
    _derived("ended_at", BigInteger, "Unix ns; NULL while the run is running"),
    _derived("session_id", Text, "sessions.id"),
    _derived("user_id", Text, "user.id of the root node"),
    _derived("branch_parent_id", Text, "the run that this one was forked from"),
    _derived("is_branch", Boolean, "whether this run is a fork", nullable=False, server_default=false()),
    _derived("branch_depth", Integer, "how many forks deep", nullable=False, server_default="0"),
    _derived("root_run_id", Text, "first run of the chain of forks; itself where there is none"),
    # Both counters belong to the writer, not to the facts: they say whether the derivation is due.
    _derived(
        "facts_version", BigInteger, "grows with every write of facts", nullable=False, server_default="0"
    ),
    _derived(
        "derived_version",
        BigInteger,
        "facts_version last derived; negative while a large run is written",
        nullable=False,
        server_default="0",
    ),
    _derived("meta", JsonType, "free"),
    Index(None, "started_at"),
    Index(None, "session_id", "started_at"),
    # With these two, what a session is takes no look at each of its runs.
    Index(None, "session_id", "ended_at", "started_at"),
    Index(
        "ix_workflow_runs_session_with_user",
        "session_id",
        "started_at",
        sqlite_where=text("user_id IS NOT NULL"),
        postgresql_where=text("user_id IS NOT NULL"),
    ),
    Index(None, "branch_parent_id"),
    comment="One trace each.",
)

IS_SETTLED: ColumnElement[bool] = workflow_runs.c.facts_version == workflow_runs.c.derived_version
"""Whether what is derived of a run is up to date, so that SQL may read it."""

dag_nodes = Table(
    "dag_nodes",
    metadata,
    _run_id(),
    _key("id", "the span id, 16 hexadecimal digits; of a branch point: bp: and the redo's span id"),
    _fact("span_id", Text, "the span; of a branch point the redo's", nullable=False),
    _fact("parent_span_id", Text, "the parent as recorded, stored or not"),
    _derived("parent_node_id", Text, "the parent in the tree; NULL at the top"),
    _derived("depth", Integer, "0 at the top"),
    _derived(
        "order_index",
        Integer,
        "place among its siblings by start, from 0; a branch point has its step's, so order by (order_index, attempt)",
    ),
    _derived("step_node_id", Text, "the step that this is part of: attempt 1 of the nearest step"),
    _derived("branch_id", Text, "the nearest branch point above, NULL on the first path"),
    _derived("disposition", Text, "active, abandoned or superseded: worst of its own and its ancestors'"),
    _fact("node_type", Text, "spandag.semconv.NodeType", nullable=False, values=NODE_TYPES),
    _fact("name", Text, "of the agent, tool, model, step …", nullable=False),
    _fact("span_name", Text, "the span's own name; NULL for a branch point"),
    _fact("agent", Text, "the agent at work, as recorded on this span"),
    _fact(
        "status",
        Text,
        "pending, running, completed, failed, cancelled or skipped",
        nullable=False,
        values=NODE_STATUSES,
    ),
    _fact("step_id", Text, "spandag.step.id: span id of attempt 1, on steps and branch points"),
    _fact("step_number", BigInteger, "of a step within its phase; of an iteration within its agent"),
    _fact("attempt", BigInteger, "of a step and its branch point, from 1"),
    _fact("outcome", Text, "of an attempt: accepted, rejected, failed or cancelled", values=OUTCOMES),
    _fact("started_at", BigInteger, "Unix ns", nullable=False),
    _fact("ended_at", BigInteger, "Unix ns; NULL while it is running"),
    _fact("model", Text, "the model asked for, else the one that answered"),
    _fact("provider", Text, "gen_ai.provider.name"),
    _fact("session_id", Text, "session.id, else gen_ai.conversation.id, as recorded on this span"),
    _fact("user_id", Text, "user.id as recorded on this span"),
    _fact("error_type", Text, "error.type, else the exception's"),
    _fact("error_message", Text, "the exception's message, else the status description"),
    _fact("input_preview", Text, "the last message that went in, at most 4,096 characters"),
    _fact("output_preview", Text, "the last message that came out, at most 4,096 characters"),
    _fact("attributes", JsonType, "the span's attributes without content and without secrets"),
    _fact(
        "meta",
        JsonType,
        "span: kind, flags, service …; branch point: branch_name, hypothesis, source_node_id",
    ),
    _fact("scope", Text, "name of the instrumentation scope"),
    _fact("writer_id", Text, "writers.id of the process that holds the span open"),
    Index(None, "run_id", "started_at"),
    Index(None, "run_id", "parent_node_id"),
    # Few nodes are steps or agents, and most questions are about them.
    Index(
        "ix_dag_nodes_steps",
        "run_id",
        "disposition",
        sqlite_where=text(IS_STEP),
        postgresql_where=text(IS_STEP),
    ),
    Index(
        "ix_dag_nodes_agents",
        "name",
        "started_at",
        sqlite_where=text(IS_AGENT),
        postgresql_where=text(IS_AGENT),
    ),
    comment="One span each, and one branch point for each redo.",
)

dag_edges = Table(
    "dag_edges",
    metadata,
    _run_id(),
    _key("from_node_id", "dag_nodes.id"),
    _key("to_node_id", "dag_nodes.id"),
    _key(
        "dependency_type",
        "sequential, parallel, handoff (all derived), conditional or optional",
        values=(*DERIVED_EDGES, *RECORDED_EDGES),
    ),
    _fact("condition", Text, "of a conditional edge: branch_redo_1 …"),
    comment="What led to what among siblings; the parent is in dag_nodes.",
)

execution_events = Table(
    "execution_events",
    metadata,
    _run_id(),
    _key("node_id", "dag_nodes.id"),
    _key("seq", "place among the span's events from 0; negative where derived", Integer),
    _fact("event_type", Text, "error for an exception, else the event's name", nullable=False),
    _fact("event_subtype", Text, "the exception's type; transfer for a handoff"),
    _fact("agent_name", Text, "the agent it is about"),
    _fact("timestamp", BigInteger, "Unix ns"),
    _fact("origin", Text, "recorded or derived", nullable=False, values=(RECORDED, DERIVED)),
    _fact("meta", JsonType, "the event's attributes"),
    comment="Span events, and the changes of model that follow from the calls.",
)

cost_records = Table(
    "cost_records",
    metadata,
    _run_id(),
    _key("node_id", "dag_nodes.id of a model call"),
    _fact("model", Text, "as dag_nodes.model"),
    _fact("provider", Text, "as dag_nodes.provider"),
    _derived("agent_name", Text, "the agent of the call, else the nearest above it"),
    _fact("input_tokens", BigInteger, "cached ones included; NULL where not said"),
    _fact("output_tokens", BigInteger, "reasoning included; NULL where not said"),
    _fact("cache_read_tokens", BigInteger, "input that came from the provider's cache"),
    _fact("cache_write_tokens", BigInteger, "input written to the provider's cache"),
    _fact("reasoning_tokens", BigInteger, "output spent on reasoning"),
    _fact("cost_usd", Double, "NULL where no price is known"),
    _derived(
        "counted",
        Boolean,
        "false below a model call that has usage of its own",
        nullable=False,
        server_default=true(),
    ),
    _fact("price_source", Text, "span, user, genai-prices or provider; NULL without a price"),
    _fact("timestamp", BigInteger, "Unix ns: when the call ended", nullable=False),
    comment="Tokens and cost of the model calls that say them.",
)

branches = Table(
    "branches",
    metadata,
    _run_id(),
    _key("branch_node_id", "dag_nodes.id: of a redo the branch point, of a fork the root of the new run"),
    _fact("kind", Text, "redo or fork", nullable=False, values=BRANCH_KINDS),
    _fact(
        "source_node_id",
        Text,
        "attempt 1 of the step; of a fork the node of the other run that it goes on from",
    ),
    _fact("child_run_id", Text, "of a fork the new run"),
    _fact("number", BigInteger, "1 for the first redo"),
    _fact("branch_name", Text, "redo_1 …; of a fork the run's name"),
    _fact("hypothesis", Text, "why another attempt should do better"),
    _fact("requested_by", Text, "who asked for it"),
    _fact(
        "status",
        Text,
        "active, accepted, rejected, failed, abandoned or exhausted",
        nullable=False,
        values=BRANCH_STATUSES,
    ),
    _fact("group_id", Text, "branches that were tried against each other"),
    _fact("score", Double, "within the group"),
    _fact("won", Boolean, "within the group"),
    _fact("started_at", BigInteger, "Unix ns", nullable=False),
    _fact("ended_at", BigInteger, "Unix ns; NULL while active"),
    comment="Redos and forks.",
)

messages = Table(
    "messages",
    metadata,
    _run_id(),
    _key("hash", "blake2b of format and content, 16 bytes", LargeBinary),
    _fact("role", Text, "of a message that has one"),
    _fact(
        "format",
        Text,
        "message: JSON of the GenAI conventions; text: as it was recorded",
        nullable=False,
        values=MESSAGE_FORMATS,
    ),
    _fact("content", Text, "whole", nullable=False),
    comment="Each message once a run, however many calls repeat the history.",
)

node_messages = Table(
    "node_messages",
    metadata,
    _run_id(),
    _key("node_id", "dag_nodes.id"),
    _key("direction", "system, tools, input or output", values=DIRECTIONS),
    _fact("hashes", LargeBinary, "messages.hash in order, 16 bytes each", nullable=False),
    _fact("sender", Text, "of messages between agents"),
    _fact("recipient", Text, "of messages between agents"),
    _fact(
        "meaning",
        LargeBinary,
        "the same for lists that mean the same: but for ids of tool calls and how JSON is written; "
        "NULL where it is not known",
        computed=True,
    ),
    comment="Which messages went into and came out of a node.",
)

span_links = Table(
    "span_links",
    metadata,
    _run_id(),
    _key("node_id", "dag_nodes.id"),
    _key("seq", "place among the span's links from 0", Integer),
    _fact("linked_run_id", Text, "trace id of the target", nullable=False),
    _fact("linked_span_id", Text, "span id of the target", nullable=False),
    _fact("link_type", Text, "spandag.link.type: redo_of, fork_of, started_by"),
    _fact("attributes", JsonType, "the link's attributes"),
    comment="Span links as recorded.",
)

tombstones = Table(
    "tombstones",
    metadata,
    _key("run_id", "the run that was removed: the trace id, 32 hexadecimal digits"),
    _fact("pruned_at", BigInteger, "Unix ns by the database's clock", nullable=False),
    _fact("reason", Text, "age, size or asked", nullable=False),
    _fact("nodes", Integer, "how many nodes it had", nullable=False),
    comment="Runs that were removed, so that late spans do not bring them back.",
)

writers = Table(
    "writers",
    metadata,
    _key("id", "a writing process"),
    _fact("host", Text, "host name"),
    _fact("pid", Integer, "process id"),
    _fact("started_at", BigInteger, "Unix ns by the database's clock"),
    _fact("heartbeat_at", BigInteger, "Unix ns by the database's clock"),
    _fact("meta", JsonType, "free"),
    comment="Processes that hold spans open.",
)

settings = Table(
    "settings",
    metadata,
    _key("key", "name of the setting"),
    _fact("value", JsonType, "its value"),
    comment="Retention and other settings of the store itself.",
)


def fact_columns(table: Table) -> list[str]:
    """The columns that a write of facts fills, keys included, in order."""
    return [column.name for column in table.columns if not column.info.get("derived")]


def computed_columns(table: Table) -> list[str]:
    """Of those the columns that whoever writes makes from others, so that no file carries them."""
    return [column.name for column in table.columns if column.info.get("computed")]


def derived_columns(table: Table) -> list[str]:
    """The columns that only the derivation fills, in order."""
    return [column.name for column in table.columns if column.info.get("derived")]


def known_values(column: Column[Any]) -> Sequence[str]:
    """The texts that a column can have; none where it can have any."""
    values: Sequence[str] = column.info.get("values", ())
    return values


def key_columns(table: Table) -> list[str]:
    """The columns of the primary key, in order."""
    return [column.name for column in table.primary_key.columns]
