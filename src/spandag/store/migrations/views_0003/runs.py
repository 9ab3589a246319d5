"""Views of runs and sessions, and of what happened in a run."""

from __future__ import annotations

from spandag import semconv
from spandag.semconv import NodeType
from spandag.store.migrations.views_0003.dialects import Dialect
from spandag.store.migrations.views_0003.parts import (
    SPENT,
    milliseconds,
    place_of,
    seconds,
    status_of_node,
    status_of_run,
)

_EVENT_TYPES = {
    NodeType.AGENT: "agent_call",
    NodeType.SUB_AGENT: "agent_call",
    NodeType.LLM: "llm_call",
    NodeType.TOOL: "tool_call",
    NodeType.CODE: "code_exec",
    NodeType.APPROVAL: "approval",
}
"""Names of CMBAgent's ``execution_events.event_type``, where it has one."""


def runs(sql: Dialect) -> str:
    """``v_runs``."""
    spent = sql.each(
        "spent", SPENT, "cost_records AS cost WHERE cost.run_id = run.id AND cost.counted", sums=True
    )
    return f"""
SELECT run.id AS run_id,
       run.name,
       run.task,
       {status_of_run(sql, "run")} AS status,
       run.started_at,
       run.ended_at,
       {sql.utc("run.started_at")} AS started_time,
       {seconds("run.started_at", "run.ended_at")} AS duration_s,
       run.session_id,
       run.user_id,
       run.root_node_id,
       run.branch_parent_id,
       run.is_branch,
       run.branch_depth,
       run.root_run_id,
       (SELECT count(*) FROM dag_nodes AS node
        WHERE node.run_id = run.id AND node.node_type NOT IN ('{NodeType.SPAN}', '{NodeType.BRANCH_POINT}')) AS nodes,
       (SELECT count(*) FROM branches AS branch
        WHERE branch.run_id = run.id AND branch.kind = 'redo') AS redos,
       {spent.select()},
       run.facts_version = run.derived_version AS settled
FROM workflow_runs AS run
{spent.join}
WHERE run.root_node_id IS NOT NULL
"""


def sessions(sql: Dialect) -> str:
    """``v_sessions``."""
    spent = sql.each(
        "spent",
        SPENT,
        "workflow_runs AS run JOIN cost_records AS cost ON cost.run_id = run.id "
        "WHERE run.session_id = session.id AND cost.counted",
        sums=True,
    )
    goes_on = f"""EXISTS (
           SELECT 1 FROM workflow_runs AS run
           WHERE run.session_id = session.id AND run.ended_at IS NULL
             AND {status_of_run(sql, "run")} <> 'interrupted'
       )"""
    return f"""
SELECT session.id AS session_id,
       session.name,
       session.task,
       session.user_id,
       CASE WHEN session.status = 'active' AND NOT {goes_on} THEN 'idle' ELSE session.status END AS status,
       session.started_at,
       session.last_active_at,
       {sql.utc("session.started_at")} AS started_time,
       {sql.utc("session.last_active_at")} AS last_active_time,
       {seconds("session.started_at", "session.last_active_at")} AS duration_s,
       (SELECT count(*) FROM workflow_runs AS run WHERE run.session_id = session.id) AS runs,
       {spent.select()}
FROM sessions AS session
{spent.join}
"""


def run_tree(sql: Dialect) -> str:
    """``v_run_tree``: spans of other libraries only pass on what is above them."""
    is_span = f"tree.node_type = '{NodeType.SPAN}'"
    tree = sql.each(
        "tree",
        {
            "node_id": "tree.id",
            "parent_node_id": "tree.parent_id",
            "level": "tree.level",
            "redo_depth": "tree.redo_depth",
        },
        f"tree WHERE NOT {is_span}",
        order_by="path",
        cte=f"""WITH RECURSIVE tree(id, node_type, parent_id, level, redo_depth, path) AS (
    SELECT node.id, node.node_type, CAST(NULL AS TEXT), 0,
           CASE WHEN node.node_type = '{NodeType.BRANCH_POINT}' THEN 1 ELSE 0 END,
           {place_of("node")}
    FROM dag_nodes AS node
    WHERE node.run_id = run.id AND node.parent_node_id IS NULL
    UNION ALL
    SELECT node.id, node.node_type,
           CASE WHEN {is_span} THEN tree.parent_id ELSE tree.id END,
           CASE WHEN {is_span} THEN tree.level ELSE tree.level + 1 END,
           tree.redo_depth + CASE WHEN node.node_type = '{NodeType.BRANCH_POINT}' THEN 1 ELSE 0 END,
           tree.path || {place_of("node")}
    FROM tree JOIN dag_nodes AS node ON node.run_id = run.id AND node.parent_node_id = tree.id
)
""",
    )
    return f"""
SELECT run.id AS run_id,
       run.name AS run_name,
       {tree.select("position", "level", "redo_depth", "node_id", "parent_node_id")},
       node.node_type,
       node.name,
       node.agent,
       {status_of_node(sql, "node")} AS status,
       node.disposition,
       node.step_node_id,
       node.branch_id,
       node.step_number,
       node.attempt,
       node.outcome,
       branch.hypothesis,
       branch.requested_by,
       node.started_at,
       node.ended_at,
       {milliseconds("node.started_at", "node.ended_at")} AS duration_ms,
       node.model,
       node.provider,
       cost.input_tokens,
       cost.output_tokens,
       cost.cost_usd,
       node.error_type,
       node.error_message
FROM workflow_runs AS run
{tree.join}
{sql.join_back} dag_nodes AS node ON node.run_id = run.id AND node.id = {tree["node_id"]}
LEFT JOIN branches AS branch ON branch.run_id = run.id AND branch.branch_node_id = node.id
LEFT JOIN cost_records AS cost ON cost.run_id = run.id AND cost.node_id = node.id AND cost.counted
"""


ACTIVE_PATH = f"""
SELECT run_id,
       run_name,
       position,
       level - redo_depth AS level,
       node_id,
       node_type,
       name,
       agent,
       status,
       step_number,
       attempt,
       outcome,
       started_at,
       ended_at,
       duration_ms,
       model,
       provider,
       input_tokens,
       output_tokens,
       cost_usd
FROM v_run_tree
WHERE disposition = 'active' AND node_type <> '{NodeType.BRANCH_POINT}'
"""


def events(sql: Dialect) -> str:
    """``v_events``."""
    types = " ".join(f"WHEN '{node_type}' THEN '{name}'" for node_type, name in _EVENT_TYPES.items())
    in_types = ", ".join(f"'{node_type}'" for node_type in _EVENT_TYPES)
    agent = f"CASE WHEN node.node_type IN ('{NodeType.AGENT}', '{NodeType.SUB_AGENT}') THEN node.name ELSE coalesce(node.agent, cost.agent_name) END"

    def of_spans(subtype: str, ordinal: int, time: str, **end: str) -> str:
        at_end = {"duration_ms": "CAST(NULL AS DOUBLE PRECISION)", "error_type": "CAST(NULL AS TEXT)"}
        at_end |= {"error_message": "CAST(NULL AS TEXT)"} | end
        return f"""
SELECT node.run_id,
       node.id AS node_id,
       node.node_type,
       node.name,
       CASE node.node_type {types} END AS event_type,
       {subtype} AS event_subtype,
       {agent} AS agent_name,
       {time} AS timestamp,
       {sql.utc(time)} AS time,
       {ordinal} AS ordinal,
       CAST(NULL AS INTEGER) AS seq,
       {at_end["duration_ms"]} AS duration_ms,
       {at_end["error_type"]} AS error_type,
       {at_end["error_message"]} AS error_message,
       node.disposition,
       'span' AS origin,
       CAST(NULL AS JSONB) AS meta
FROM dag_nodes AS node
LEFT JOIN cost_records AS cost ON cost.run_id = node.run_id AND cost.node_id = node.id
WHERE node.node_type IN ({in_types})"""

    starts = of_spans("'start'", 0, "node.started_at")
    ends = of_spans(
        "CASE node.status WHEN 'failed' THEN 'error' WHEN 'cancelled' THEN 'cancelled' ELSE 'complete' END",
        2,
        "node.ended_at",
        duration_ms=milliseconds("node.started_at", "node.ended_at"),
        error_type="node.error_type",
        error_message="node.error_message",
    )
    return f"""{starts}
UNION ALL{ends} AND node.ended_at IS NOT NULL
UNION ALL
SELECT event.run_id,
       event.node_id,
       node.node_type,
       node.name,
       event.event_type,
       event.event_subtype,
       event.agent_name,
       event.timestamp,
       {sql.utc("event.timestamp")},
       1,
       event.seq,
       CAST(NULL AS DOUBLE PRECISION),
       CASE event.event_type WHEN 'error' THEN event.event_subtype END,
       CASE event.event_type WHEN 'error' THEN {sql.attribute("event.meta", semconv.EXCEPTION_MESSAGE)} END,
       node.disposition,
       event.origin,
       event.meta
FROM execution_events AS event
LEFT JOIN dag_nodes AS node ON node.run_id = event.run_id AND node.id = event.node_id
"""
