"""What counted in the end?"""

from __future__ import annotations

from dataclasses import replace

from spandag.query.choices import choices
from spandag.query.tree import Tree, path_of_rows, rows_of
from spandag.query.undisturbed import undisturbed
from spandag.store import Store


def path(store: Store, run: str, *, all_spans: bool = False) -> Tree:
    """A run with only the nodes that are on its active path: nothing that was rejected, given up or done again.

    A redo stands in the place of its step, without the node that stands for its branch. What the nodes
    spent is summed over those that are left; the run's own sum is of everything.

    Args:
        store: Where it is.
        run: As `spandag.query.resolve_run` takes it.
        all_spans: As of `spandag.query.tree`.

    Raises:
        QueryError: No run is meant, or several are.
    """
    with store.connection() as connection, undisturbed():
        rows = rows_of(connection, run)
        found = path_of_rows(rows, all_spans=all_spans)
        chosen = choices(connection, rows)
        return replace(found, choices={node.id: chosen[node.id] for node in found.nodes if node.id in chosen})
