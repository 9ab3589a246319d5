"""What messages mean, beside them, so that runs are compared without reading what they said."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
needs_spandag = "0.1.0"

DERIVED_VERSION = (
    "facts_version last derived",
    "facts_version last derived; negative while a large run is written",
)
"""The comment of ``workflow_runs.derived_version``: as it was, and as it is right."""


def upgrade() -> None:
    op.add_column(
        "node_messages",
        sa.Column(
            "meaning",
            sa.LargeBinary(),
            nullable=True,
            comment="the same for lists that mean the same: but for ids of tool calls and how JSON is written; "
            "NULL where it is not known",
        ),
    )
    comment(1)


def downgrade() -> None:
    comment(0)
    op.drop_column("node_messages", "meaning")


def comment(version: int) -> None:
    """Comment a column; SQLite keeps no comments."""
    if op.get_context().dialect.name == "postgresql":
        op.alter_column(
            "workflow_runs",
            "derived_version",
            comment=DERIVED_VERSION[version],
            existing_comment=DERIVED_VERSION[1 - version],
        )
