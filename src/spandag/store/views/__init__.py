"""The views: what people ask of runs, for psql, Datasette and Grafana.

One source for both databases; where their SQL differs, `spandag.store.views.dialects` says how.
`docs/views.md` tells users about each.

Recursion is done within one run (or one attempt) at a time: neither database
takes a ``WHERE run_id = …`` from outside into a recursion over the whole store.
So the recursive parts are lateral joins on PostgreSQL, and on SQLite, which has
none, tables that `json_each` makes of a correlated subquery.

Revision 0004 creates what stands here, and a test keeps that from changing: whoever
changes a view moves this package to ``migrations/views_0004``, as there are those of the revisions
before, and writes a new one.
"""

from __future__ import annotations

from collections.abc import Mapping

from spandag.store.views import branches, costs, runs, steps
from spandag.store.views.dialects import DIALECTS

NAMES = (
    "v_runs",
    "v_sessions",
    "v_run_tree",
    "v_active_path",
    "v_attempts",
    "v_redos",
    "v_unresolved",
    "v_waste",
    "v_rates",
    "v_events",
    "v_branch_tree",
    "v_cost_by_agent",
    "v_cost_by_model",
)
"""In the order in which they can be created; a view may use those before it."""


def views(dialect: str) -> dict[str, str]:
    """The ``SELECT`` of each view.

    Args:
        dialect: ``sqlite`` or ``postgresql``.
    """
    sql = DIALECTS[dialect]
    selects = {
        "v_runs": runs.runs(sql),
        "v_sessions": runs.sessions(sql),
        "v_run_tree": runs.run_tree(sql),
        "v_active_path": runs.ACTIVE_PATH,
        "v_attempts": steps.attempts(sql),
        "v_redos": steps.redos(sql),
        "v_unresolved": steps.unresolved(sql),
        "v_waste": costs.WASTE,
        "v_rates": steps.rates(sql),
        "v_events": runs.events(sql),
        "v_branch_tree": branches.branch_tree(sql),
        "v_cost_by_agent": costs.costs("agent_name"),
        "v_cost_by_model": costs.costs("provider", "model"),
    }
    return {name: selects[name].strip() for name in NAMES}


def change(dialect: str, selects: Mapping[str, str]) -> list[str]:
    """The statements that give views another ``SELECT``.

    Where it can be, they are replaced: on PostgreSQL the rights to read a view end with it, and one that
    others have built views of their own upon cannot be dropped. Columns can only be appended there.

    Args:
        dialect: ``sqlite`` or ``postgresql``.
        selects: By the name of the view, in the order of `NAMES`.
    """
    if dialect == "postgresql":
        return [f"CREATE OR REPLACE VIEW {name} AS\n{select}" for name, select in selects.items()]
    dropped = [f"DROP VIEW {name}" for name in reversed(list(selects))]
    return dropped + [f"CREATE VIEW {name} AS\n{select}" for name, select in selects.items()]
