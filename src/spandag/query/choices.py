"""What did people choose who were asked?"""

from __future__ import annotations

from operator import itemgetter

from sqlalchemy import Connection, select

from spandag import semconv
from spandag.query.text import decoded
from spandag.semconv import NodeType
from spandag.store import TreeRows, schema
from spandag.store.records import TREE_COLUMNS

_TYPE_OF = itemgetter(TREE_COLUMNS.index("node_type"))


def choices(connection: Connection, rows: TreeRows) -> dict[str, str]:
    """By approval node what was chosen; nothing of those that were not answered, or do not say it.

    Args:
        connection: Of the store, in the snapshot that the rows are from.
        rows: Of a run.
    """
    # Most runs have none, and the scan must cost nothing beside reading them.
    if NodeType.APPROVAL not in map(_TYPE_OF, rows.nodes):
        return {}
    nodes = schema.dag_nodes
    found = connection.execute(
        select(nodes.c.id, nodes.c.attributes)
        .where(nodes.c.run_id == rows.run.id, nodes.c.node_type == NodeType.APPROVAL)
        .order_by(nodes.c.started_at, nodes.c.id)
    )
    said = (
        (node_id, attributes.get(semconv.SPANDAG_APPROVAL_CHOICE))
        for node_id, attributes in found
        if isinstance(attributes, dict)
    )
    return {node_id: decoded(choice) for node_id, choice in said if isinstance(choice, str) and choice}
