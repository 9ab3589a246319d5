"""The first schema: all tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
needs_spandag = "0.1.0"

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "branches",
        sa.Column(
            "run_id", sa.Text(), nullable=False, comment="the run: the trace id, 32 hexadecimal digits"
        ),
        sa.Column("branch_node_id", sa.Text(), nullable=False, comment="the branch point in dag_nodes"),
        sa.Column("kind", sa.Text(), nullable=False, comment="redo or fork"),
        sa.Column(
            "source_node_id",
            sa.Text(),
            nullable=True,
            comment="attempt 1 of the step; where a fork starts from",
        ),
        sa.Column("child_run_id", sa.Text(), nullable=True, comment="of a fork the new run"),
        sa.Column("number", sa.BigInteger(), nullable=True, comment="1 for the first redo"),
        sa.Column("branch_name", sa.Text(), nullable=True, comment="redo_1 …"),
        sa.Column("hypothesis", sa.Text(), nullable=True, comment="why another attempt should do better"),
        sa.Column("requested_by", sa.Text(), nullable=True, comment="who asked for it"),
        sa.Column(
            "status",
            sa.Text(),
            nullable=False,
            comment="active, accepted, rejected, failed, abandoned or exhausted",
        ),
        sa.Column(
            "group_id", sa.Text(), nullable=True, comment="branches that were tried against each other"
        ),
        sa.Column("score", sa.Double(), nullable=True, comment="within the group"),
        sa.Column("won", sa.Boolean(), nullable=True, comment="within the group"),
        sa.Column("started_at", sa.BigInteger(), nullable=False, comment="Unix ns"),
        sa.Column("ended_at", sa.BigInteger(), nullable=True, comment="Unix ns; NULL while active"),
        sa.PrimaryKeyConstraint("run_id", "branch_node_id", name=op.f("pk_branches")),
        comment="Redos and forks.",
    )
    op.create_table(
        "cost_records",
        sa.Column(
            "run_id", sa.Text(), nullable=False, comment="the run: the trace id, 32 hexadecimal digits"
        ),
        sa.Column("node_id", sa.Text(), nullable=False, comment="dag_nodes.id of a model call"),
        sa.Column("model", sa.Text(), nullable=True, comment="as dag_nodes.model"),
        sa.Column("provider", sa.Text(), nullable=True, comment="as dag_nodes.provider"),
        sa.Column(
            "agent_name", sa.Text(), nullable=True, comment="the agent of the call, else the nearest above it"
        ),
        sa.Column(
            "input_tokens",
            sa.BigInteger(),
            nullable=True,
            comment="cached ones included; NULL where not said",
        ),
        sa.Column(
            "output_tokens", sa.BigInteger(), nullable=True, comment="reasoning included; NULL where not said"
        ),
        sa.Column(
            "cache_read_tokens",
            sa.BigInteger(),
            nullable=True,
            comment="input that came from the provider's cache",
        ),
        sa.Column(
            "cache_write_tokens",
            sa.BigInteger(),
            nullable=True,
            comment="input written to the provider's cache",
        ),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=True, comment="output spent on reasoning"),
        sa.Column("cost_usd", sa.Double(), nullable=True, comment="NULL where no price is known"),
        sa.Column(
            "counted",
            sa.Boolean(),
            server_default=sa.true(),
            nullable=False,
            comment="false below a model call that has usage of its own",
        ),
        sa.Column(
            "price_source",
            sa.Text(),
            nullable=True,
            comment="span, user, genai-prices or provider; NULL without a price",
        ),
        sa.Column("timestamp", sa.BigInteger(), nullable=False, comment="Unix ns: when the call ended"),
        sa.PrimaryKeyConstraint("run_id", "node_id", name=op.f("pk_cost_records")),
        comment="Tokens and cost of the model calls that say them.",
    )
    op.create_table(
        "dag_edges",
        sa.Column(
            "run_id", sa.Text(), nullable=False, comment="the run: the trace id, 32 hexadecimal digits"
        ),
        sa.Column("from_node_id", sa.Text(), nullable=False, comment="dag_nodes.id"),
        sa.Column("to_node_id", sa.Text(), nullable=False, comment="dag_nodes.id"),
        sa.Column(
            "dependency_type",
            sa.Text(),
            nullable=False,
            comment="sequential, parallel, handoff (all derived), conditional or optional",
        ),
        sa.Column("condition", sa.Text(), nullable=True, comment="of a conditional edge: branch_redo_1 …"),
        sa.PrimaryKeyConstraint(
            "run_id", "from_node_id", "to_node_id", "dependency_type", name=op.f("pk_dag_edges")
        ),
        comment="What led to what among siblings; the parent is in dag_nodes.",
    )
    op.create_table(
        "dag_nodes",
        sa.Column(
            "run_id", sa.Text(), nullable=False, comment="the run: the trace id, 32 hexadecimal digits"
        ),
        sa.Column(
            "id",
            sa.Text(),
            nullable=False,
            comment="the span id, 16 hexadecimal digits; of a branch point: bp: and the redo's span id",
        ),
        sa.Column("span_id", sa.Text(), nullable=False, comment="the span; of a branch point the redo's"),
        sa.Column(
            "parent_span_id", sa.Text(), nullable=True, comment="the parent as recorded, stored or not"
        ),
        sa.Column(
            "parent_node_id", sa.Text(), nullable=True, comment="the parent in the tree; NULL at the top"
        ),
        sa.Column("depth", sa.Integer(), nullable=True, comment="0 at the top"),
        sa.Column(
            "order_index",
            sa.Integer(),
            nullable=True,
            comment="place among its siblings by start, from 0; a branch point has its step's, so order by (order_index, attempt)",
        ),
        sa.Column(
            "step_node_id",
            sa.Text(),
            nullable=True,
            comment="the step that this is part of: attempt 1 of the nearest step",
        ),
        sa.Column(
            "branch_id",
            sa.Text(),
            nullable=True,
            comment="the nearest branch point above, NULL on the first path",
        ),
        sa.Column(
            "disposition",
            sa.Text(),
            nullable=True,
            comment="active, abandoned or superseded: worst of its own and its ancestors'",
        ),
        sa.Column("node_type", sa.Text(), nullable=False, comment="spandag.semconv.NodeType"),
        sa.Column("name", sa.Text(), nullable=False, comment="of the agent, tool, model, step …"),
        sa.Column(
            "span_name", sa.Text(), nullable=True, comment="the span's own name; NULL for a branch point"
        ),
        sa.Column("agent", sa.Text(), nullable=True, comment="the agent at work, as recorded on this span"),
        sa.Column(
            "status",
            sa.Text(),
            nullable=False,
            comment="pending, running, completed, failed, cancelled or skipped",
        ),
        sa.Column(
            "step_id",
            sa.Text(),
            nullable=True,
            comment="spandag.step.id: span id of attempt 1, on steps and branch points",
        ),
        sa.Column(
            "step_number",
            sa.BigInteger(),
            nullable=True,
            comment="of a step within its phase; of an iteration within its agent",
        ),
        sa.Column(
            "attempt", sa.BigInteger(), nullable=True, comment="of a step and its branch point, from 1"
        ),
        sa.Column(
            "outcome",
            sa.Text(),
            nullable=True,
            comment="of an attempt: accepted, rejected, failed or cancelled",
        ),
        sa.Column("started_at", sa.BigInteger(), nullable=False, comment="Unix ns"),
        sa.Column("ended_at", sa.BigInteger(), nullable=True, comment="Unix ns; NULL while it is running"),
        sa.Column(
            "model", sa.Text(), nullable=True, comment="the model asked for, else the one that answered"
        ),
        sa.Column("provider", sa.Text(), nullable=True, comment="gen_ai.provider.name"),
        sa.Column(
            "session_id",
            sa.Text(),
            nullable=True,
            comment="session.id, else gen_ai.conversation.id, as recorded on this span",
        ),
        sa.Column("user_id", sa.Text(), nullable=True, comment="user.id as recorded on this span"),
        sa.Column("error_type", sa.Text(), nullable=True, comment="error.type, else the exception's"),
        sa.Column(
            "error_message",
            sa.Text(),
            nullable=True,
            comment="the exception's message, else the status description",
        ),
        sa.Column(
            "input_preview",
            sa.Text(),
            nullable=True,
            comment="the last message that went in, at most 4,096 characters",
        ),
        sa.Column(
            "output_preview",
            sa.Text(),
            nullable=True,
            comment="the last message that came out, at most 4,096 characters",
        ),
        sa.Column(
            "attributes",
            JSON,
            nullable=True,
            comment="the span's attributes without content and without secrets",
        ),
        sa.Column(
            "meta",
            JSON,
            nullable=True,
            comment="span: kind, flags, service …; branch point: branch_name, hypothesis, source_node_id",
        ),
        sa.Column("scope", sa.Text(), nullable=True, comment="name of the instrumentation scope"),
        sa.Column(
            "writer_id",
            sa.Text(),
            nullable=True,
            comment="writers.id of the process that holds the span open",
        ),
        sa.PrimaryKeyConstraint("run_id", "id", name=op.f("pk_dag_nodes")),
        comment="One span each, and one branch point for each redo.",
    )
    op.create_index(
        op.f("ix_dag_nodes_run_id_parent_node_id"), "dag_nodes", ["run_id", "parent_node_id"], unique=False
    )
    op.create_index(
        op.f("ix_dag_nodes_run_id_started_at"), "dag_nodes", ["run_id", "started_at"], unique=False
    )
    op.create_table(
        "execution_events",
        sa.Column(
            "run_id", sa.Text(), nullable=False, comment="the run: the trace id, 32 hexadecimal digits"
        ),
        sa.Column("node_id", sa.Text(), nullable=False, comment="dag_nodes.id"),
        sa.Column(
            "seq",
            sa.Integer(),
            nullable=False,
            comment="place among the span's events from 0; negative where derived",
        ),
        sa.Column(
            "event_type", sa.Text(), nullable=False, comment="error for an exception, else the event's name"
        ),
        sa.Column(
            "event_subtype", sa.Text(), nullable=True, comment="the exception's type; transfer for a handoff"
        ),
        sa.Column("agent_name", sa.Text(), nullable=True, comment="the agent it is about"),
        sa.Column("timestamp", sa.BigInteger(), nullable=True, comment="Unix ns"),
        sa.Column("origin", sa.Text(), nullable=False, comment="recorded or derived"),
        sa.Column("meta", JSON, nullable=True, comment="the event's attributes"),
        sa.PrimaryKeyConstraint("run_id", "node_id", "seq", name=op.f("pk_execution_events")),
        comment="Span events, and the changes of model that follow from the calls.",
    )
    op.create_table(
        "messages",
        sa.Column(
            "run_id", sa.Text(), nullable=False, comment="the run: the trace id, 32 hexadecimal digits"
        ),
        sa.Column(
            "hash", sa.LargeBinary(), nullable=False, comment="blake2b of format and content, 16 bytes"
        ),
        sa.Column("role", sa.Text(), nullable=True, comment="of a message that has one"),
        sa.Column(
            "format",
            sa.Text(),
            nullable=False,
            comment="message: JSON of the GenAI conventions; text: as it was recorded",
        ),
        sa.Column("content", sa.Text(), nullable=False, comment="whole"),
        sa.PrimaryKeyConstraint("run_id", "hash", name=op.f("pk_messages")),
        comment="Each message once a run, however many calls repeat the history.",
    )
    op.create_table(
        "node_messages",
        sa.Column(
            "run_id", sa.Text(), nullable=False, comment="the run: the trace id, 32 hexadecimal digits"
        ),
        sa.Column("node_id", sa.Text(), nullable=False, comment="dag_nodes.id"),
        sa.Column("direction", sa.Text(), nullable=False, comment="system, tools, input or output"),
        sa.Column(
            "hashes", sa.LargeBinary(), nullable=False, comment="messages.hash in order, 16 bytes each"
        ),
        sa.Column("sender", sa.Text(), nullable=True, comment="of messages between agents"),
        sa.Column("recipient", sa.Text(), nullable=True, comment="of messages between agents"),
        sa.PrimaryKeyConstraint("run_id", "node_id", "direction", name=op.f("pk_node_messages")),
        comment="Which messages went into and came out of a node.",
    )
    op.create_table(
        "sessions",
        sa.Column(
            "id",
            sa.Text(),
            nullable=False,
            comment="session.id, else gen_ai.conversation.id, of a run's topmost node",
        ),
        sa.Column("name", sa.Text(), nullable=True, comment="name of the session's first run"),
        sa.Column("task", sa.Text(), nullable=True, comment="task of the session's first run"),
        sa.Column("user_id", sa.Text(), nullable=True, comment="user.id of the first run that has one"),
        sa.Column("started_at", sa.BigInteger(), nullable=True, comment="when its first run started"),
        sa.Column(
            "last_active_at",
            sa.BigInteger(),
            nullable=True,
            comment="when its last run ended, or started if it runs",
        ),
        sa.Column(
            "status", sa.Text(), nullable=True, comment="active while a run of it is running, else idle"
        ),
        sa.Column("meta", JSON, nullable=True, comment="free"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        comment="Runs that belong together for a user.",
    )
    op.create_table(
        "settings",
        sa.Column("key", sa.Text(), nullable=False, comment="name of the setting"),
        sa.Column("value", JSON, nullable=True, comment="its value"),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_settings")),
        comment="Retention and other settings of the store itself.",
    )
    op.create_table(
        "span_links",
        sa.Column(
            "run_id", sa.Text(), nullable=False, comment="the run: the trace id, 32 hexadecimal digits"
        ),
        sa.Column("node_id", sa.Text(), nullable=False, comment="dag_nodes.id"),
        sa.Column("seq", sa.Integer(), nullable=False, comment="place among the span's links from 0"),
        sa.Column("linked_run_id", sa.Text(), nullable=False, comment="trace id of the target"),
        sa.Column("linked_span_id", sa.Text(), nullable=False, comment="span id of the target"),
        sa.Column(
            "link_type", sa.Text(), nullable=True, comment="spandag.link.type: redo_of, fork_of, started_by"
        ),
        sa.Column("attributes", JSON, nullable=True, comment="the link's attributes"),
        sa.PrimaryKeyConstraint("run_id", "node_id", "seq", name=op.f("pk_span_links")),
        comment="Span links as recorded.",
    )
    op.create_table(
        "workflow_runs",
        sa.Column("id", sa.Text(), nullable=False, comment="the trace id, 32 hexadecimal digits"),
        sa.Column(
            "root_node_id",
            sa.Text(),
            nullable=True,
            comment="topmost run node, else topmost GenAI node; NULL: not listed",
        ),
        sa.Column("name", sa.Text(), nullable=True, comment="of the root node"),
        sa.Column(
            "task",
            sa.Text(),
            nullable=True,
            comment="what the run was asked to do: spandag.run.task, else the root node's input",
        ),
        sa.Column(
            "status",
            sa.Text(),
            nullable=True,
            comment="running, completed, failed or cancelled, as the root node",
        ),
        sa.Column("started_at", sa.BigInteger(), nullable=True, comment="Unix ns"),
        sa.Column(
            "ended_at", sa.BigInteger(), nullable=True, comment="Unix ns; NULL while the run is running"
        ),
        sa.Column("session_id", sa.Text(), nullable=True, comment="sessions.id"),
        sa.Column("user_id", sa.Text(), nullable=True, comment="user.id of the root node"),
        sa.Column(
            "branch_parent_id", sa.Text(), nullable=True, comment="the run that this one was forked from"
        ),
        sa.Column(
            "is_branch",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="whether this run is a fork",
        ),
        sa.Column(
            "branch_depth", sa.Integer(), server_default="0", nullable=False, comment="how many forks deep"
        ),
        sa.Column(
            "root_run_id",
            sa.Text(),
            nullable=True,
            comment="first run of the chain of forks; itself where there is none",
        ),
        sa.Column(
            "facts_version",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="grows with every write of facts",
        ),
        sa.Column(
            "derived_version",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="facts_version last derived",
        ),
        sa.Column("meta", JSON, nullable=True, comment="free"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_runs")),
        comment="One trace each.",
    )
    op.create_index(
        op.f("ix_workflow_runs_session_id_started_at"),
        "workflow_runs",
        ["session_id", "started_at"],
        unique=False,
    )
    op.create_index(op.f("ix_workflow_runs_started_at"), "workflow_runs", ["started_at"], unique=False)
    op.create_table(
        "writers",
        sa.Column("id", sa.Text(), nullable=False, comment="a writing process"),
        sa.Column("host", sa.Text(), nullable=True, comment="host name"),
        sa.Column("pid", sa.Integer(), nullable=True, comment="process id"),
        sa.Column("started_at", sa.BigInteger(), nullable=True, comment="Unix ns by the database's clock"),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=True, comment="Unix ns by the database's clock"),
        sa.Column("meta", JSON, nullable=True, comment="free"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_writers")),
        comment="Processes that hold spans open.",
    )


def downgrade() -> None:
    op.drop_table("writers")
    op.drop_index(op.f("ix_workflow_runs_started_at"), table_name="workflow_runs")
    op.drop_index(op.f("ix_workflow_runs_session_id_started_at"), table_name="workflow_runs")
    op.drop_table("workflow_runs")
    op.drop_table("span_links")
    op.drop_table("settings")
    op.drop_table("sessions")
    op.drop_table("node_messages")
    op.drop_table("messages")
    op.drop_table("execution_events")
    op.drop_index(op.f("ix_dag_nodes_run_id_started_at"), table_name="dag_nodes")
    op.drop_index(op.f("ix_dag_nodes_run_id_parent_node_id"), table_name="dag_nodes")
    op.drop_table("dag_nodes")
    op.drop_table("dag_edges")
    op.drop_table("cost_records")
    op.drop_table("branches")
