"""Tombstones of removed runs, views that tell who is still alive, and sessions of many runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from spandag.store import views
from spandag.store.migrations import views_0002, views_0003

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
needs_spandag = "0.1.0"

CHANGED = ("v_runs", "v_sessions", "v_run_tree", "v_attempts", "v_redos", "v_unresolved", "v_branch_tree")
"""Views; the others are as revision 0002 made them."""

COMMENTS = {
    "branch_node_id": (
        "the branch point in dag_nodes",
        "dag_nodes.id: of a redo the branch point, of a fork the root of the new run",
    ),
    "source_node_id": (
        "attempt 1 of the step; where a fork starts from",
        "attempt 1 of the step; of a fork the node of the other run that it goes on from",
    ),
    "branch_name": ("redo_1 …", "redo_1 …; of a fork the run's name"),
}
"""Of columns of ``branches``: as they were, and as they are right."""


def upgrade() -> None:
    op.create_table(
        "tombstones",
        sa.Column(
            "run_id",
            sa.Text(),
            nullable=False,
            comment="the run that was removed: the trace id, 32 hexadecimal digits",
        ),
        sa.Column("pruned_at", sa.BigInteger(), nullable=False, comment="Unix ns by the database's clock"),
        sa.Column("reason", sa.Text(), nullable=False, comment="age, size or asked"),
        sa.Column("nodes", sa.Integer(), nullable=False, comment="how many nodes it had"),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_tombstones")),
        comment="Runs that were removed, so that late spans do not bring them back.",
    )
    op.create_index(
        op.f("ix_workflow_runs_session_id_ended_at_started_at"),
        "workflow_runs",
        ["session_id", "ended_at", "started_at"],
        unique=False,
    )
    op.create_index(
        "ix_workflow_runs_session_with_user",
        "workflow_runs",
        ["session_id", "started_at"],
        unique=False,
        sqlite_where=sa.text("user_id IS NOT NULL"),
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )
    comment(1)
    dialect = op.get_context().dialect.name
    selects = views_0003.views(dialect)
    for statement in views.change(dialect, {name: selects[name] for name in CHANGED}):
        op.execute(statement)


def downgrade() -> None:
    dialect = op.get_context().dialect.name
    if dialect == "postgresql":
        # A view can be replaced by one with other columns only where these come last.
        op.execute("DROP VIEW v_branch_tree")
    selects = views_0002.views(dialect)
    for statement in views.change(dialect, {name: selects[name] for name in CHANGED}):
        op.execute(statement)
    comment(0)
    op.drop_index("ix_workflow_runs_session_with_user", table_name="workflow_runs")
    op.drop_index(op.f("ix_workflow_runs_session_id_ended_at_started_at"), table_name="workflow_runs")
    op.drop_table("tombstones")


def comment(version: int) -> None:
    """Comment columns; SQLite keeps no comments."""
    if op.get_context().dialect.name != "postgresql":
        return
    for column, comments in COMMENTS.items():
        op.alter_column("branches", column, comment=comments[version], existing_comment=comments[1 - version])
