"""How often steps are done again, indexes of steps and agents, and views that leave out what is being removed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from spandag.store import views
from spandag.store.migrations import views_0003

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
needs_spandag = "0.1.0"

CHANGED = ("v_unresolved", "v_waste", "v_events", "v_cost_by_agent", "v_cost_by_model")
"""Views; the others are as the revisions before made them."""

ADDED = ("v_rates",)
"""Views that are new."""

STEPS = "node_type = 'step'"
AGENTS = "node_type IN ('agent', 'sub_agent') AND length(name) <= 512"
"""PostgreSQL refuses a row whose place in an index is too large."""


def upgrade() -> None:
    index("ix_dag_nodes_steps", ["run_id", "disposition"], STEPS)
    index("ix_dag_nodes_agents", ["name", "started_at"], AGENTS)
    dialect = op.get_context().dialect.name
    selects = views.views(dialect)
    for statement in views.change(dialect, {name: selects[name] for name in CHANGED}):
        op.execute(statement)
    for name in ADDED:
        op.execute(f"CREATE VIEW {name} AS\n{selects[name]}")


def downgrade() -> None:
    for name in ADDED:
        op.execute(f"DROP VIEW {name}")
    dialect = op.get_context().dialect.name
    selects = views_0003.views(dialect)
    for statement in views.change(dialect, {name: selects[name] for name in CHANGED}):
        op.execute(statement)
    op.drop_index("ix_dag_nodes_agents", table_name="dag_nodes")
    op.drop_index("ix_dag_nodes_steps", table_name="dag_nodes")


def index(name: str, columns: list[str], where: str) -> None:
    """An index of some of the nodes."""
    condition = sa.text(where)
    op.create_index(
        name, "dag_nodes", columns, unique=False, sqlite_where=condition, postgresql_where=condition
    )
