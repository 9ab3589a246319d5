"""The views as revision 0003 changes them, frozen: stores have them.

A test keeps what stands here from changing. The views of today are in `spandag.store.views`.
"""

from __future__ import annotations

from spandag.store.migrations.views_0003 import branches, costs, runs, steps
from spandag.store.migrations.views_0003.dialects import DIALECTS

NAMES = (
    "v_runs",
    "v_sessions",
    "v_run_tree",
    "v_active_path",
    "v_attempts",
    "v_redos",
    "v_unresolved",
    "v_waste",
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
        "v_events": runs.events(sql),
        "v_branch_tree": branches.branch_tree(sql),
        "v_cost_by_agent": costs.costs("agent_name"),
        "v_cost_by_model": costs.costs("provider", "model"),
    }
    return {name: selects[name].strip() for name in NAMES}
