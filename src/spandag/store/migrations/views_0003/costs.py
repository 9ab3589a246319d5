"""Views of tokens and cost."""

from __future__ import annotations

from spandag.store.migrations.views_0003.parts import SPENT, TOKENS

WASTE = f"""
SELECT cost.run_id,
       node.disposition,
       node.step_node_id,
       step.name AS step,
       step.step_number,
       cost.agent_name,
       cost.model,
       {", ".join(f"{value} AS {name}" for name, value in SPENT.items())}
FROM cost_records AS cost
JOIN dag_nodes AS node ON node.run_id = cost.run_id AND node.id = cost.node_id
LEFT JOIN dag_nodes AS step ON step.run_id = node.run_id AND step.id = node.step_node_id
WHERE cost.counted AND node.disposition IN ('superseded', 'abandoned')
GROUP BY cost.run_id, node.disposition, node.step_node_id, step.name, step.step_number, cost.agent_name, cost.model
"""


def costs(*keys: str) -> str:
    """``v_cost_by_agent`` and ``v_cost_by_model``: sums for each run and these columns."""
    columns = {**{key: f"cost.{key}" for key in keys}, **SPENT, **TOKENS}
    lines = ",\n       ".join(f"{value} AS {name}" for name, value in columns.items())
    return f"""
SELECT cost.run_id,
       {lines}
FROM cost_records AS cost
WHERE cost.counted
GROUP BY cost.run_id, {", ".join(f"cost.{key}" for key in keys)}
"""
