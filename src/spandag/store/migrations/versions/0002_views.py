"""Views, and an index for the tree of forks."""

from __future__ import annotations

from alembic import op

from spandag.store.migrations import views_0002 as views

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
needs_spandag = "0.1.0"


def upgrade() -> None:
    op.create_index(
        op.f("ix_workflow_runs_branch_parent_id"), "workflow_runs", ["branch_parent_id"], unique=False
    )
    for statement in views.create(op.get_context().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    for statement in views.drop():
        op.execute(statement)
    op.drop_index(op.f("ix_workflow_runs_branch_parent_id"), table_name="workflow_runs")
