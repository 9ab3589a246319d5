"""Parts that several views have in common."""

from __future__ import annotations

from spandag.semconv import NodeType
from spandag.store.heartbeat import STALE_NS
from spandag.store.migrations.views_0003.dialects import Dialect, Rows

SPENT = {
    "calls": "count(*)",
    "input_tokens": "CAST(coalesce(sum(cost.input_tokens), 0) AS BIGINT)",
    "output_tokens": "CAST(coalesce(sum(cost.output_tokens), 0) AS BIGINT)",
    "cost_usd": "sum(cost.cost_usd)",
    "unpriced_calls": "count(*) - count(cost.cost_usd)",
}
"""What was spent on the rows of ``cost_records`` named ``cost``; only counted ones may be among them."""

TOKENS = {
    "cache_read_tokens": "CAST(coalesce(sum(cost.cache_read_tokens), 0) AS BIGINT)",
    "cache_write_tokens": "CAST(coalesce(sum(cost.cache_write_tokens), 0) AS BIGINT)",
    "reasoning_tokens": "CAST(coalesce(sum(cost.reasoning_tokens), 0) AS BIGINT)",
}


def milliseconds(start: str, end: str) -> str:
    """Time between two columns of nanoseconds."""
    return f"CAST({end} - {start} AS DOUBLE PRECISION) / 1000000.0"


def seconds(start: str, end: str) -> str:
    """Time between two columns of nanoseconds."""
    return f"CAST({end} - {start} AS DOUBLE PRECISION) / 1000000000.0"


def sortable(number: str) -> str:
    """A number as text that sorts as the number does: a letter for how many digits follow."""
    text = f"CAST({number} AS TEXT)"
    return f"substr('abcdefghijklmnopqrstuvwxyz', length({text}), 1) || {text}"


def standing(sql: Dialect, node: str, *, alive: str = "running") -> str:
    """What is known of a node that has not ended, by its writer.

    Args:
        sql: Of the database.
        node: Alias of the node.
        alive: What to say where the process that holds it open is alive.
    """
    return f"""CASE WHEN {node}.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = {node}.writer_id AND writer.heartbeat_at >= {sql.now_ns} - {STALE_NS}
                  AND NOT {sql.is_true("writer.meta", "closed")}
            ) THEN '{alive}'
            ELSE 'interrupted' END"""


def status_of_node(sql: Dialect, node: str) -> str:
    """A node's status; of one that is open, what is known of its writer."""
    return f"CASE {node}.status WHEN 'running' THEN {standing(sql, node)} ELSE {node}.status END"


def status_of_run(sql: Dialect, run: str) -> str:
    """A run's status; of one that is open, what is known of its root node's writer.

    A trace without a run node has its status from its topmost GenAI nodes, of which the root is the first.
    """
    not_genai = f"('{NodeType.SPAN}', '{NodeType.BRANCH_POINT}')"
    return f"""CASE {run}.status WHEN 'running' THEN (
           SELECT CASE top.node_type WHEN '{NodeType.RUN}' THEN {standing(sql, "top")} ELSE (
               SELECT CASE max(CASE {standing(sql, "part")} WHEN 'running' THEN 2 WHEN 'interrupted' THEN 1 ELSE 0 END)
                   WHEN 2 THEN 'running' WHEN 1 THEN 'interrupted' ELSE 'open' END
               FROM dag_nodes AS part
               LEFT JOIN dag_nodes AS higher ON higher.run_id = part.run_id AND higher.id = part.parent_node_id
               WHERE part.run_id = top.run_id AND part.ended_at IS NULL AND part.node_type NOT IN {not_genai}
                 AND (higher.id IS NULL OR higher.node_type IN {not_genai})
           ) END
           FROM dag_nodes AS top WHERE top.run_id = {run}.id AND top.id = {run}.root_node_id
       ) ELSE {run}.status END"""


def status_of_redo(sql: Dialect, branch: str) -> str:
    """A redo's status; of one that is open, what is known of its branch point's writer."""
    return f"""CASE {branch}.status WHEN 'active' THEN (
           SELECT {standing(sql, "open_point", alive="active")}
           FROM dag_nodes AS open_point
           WHERE open_point.run_id = {branch}.run_id AND open_point.id = {branch}.branch_node_id
       ) ELSE {branch}.status END"""


def place_of(node: str) -> str:
    """A node's place among its siblings, as text that sorts; appended to the text of its parent.

    A branch point has its step's place and comes after what is below the step.
    """
    redo = f"'z' || {sortable(f'coalesce({node}.attempt, 0)')} || {sortable(f'{node}.started_at')} || {node}.span_id"
    # What is not derived yet has no place and comes last.
    index = sortable(f"coalesce({node}.order_index, 2147483647)")
    return f"{index} || CASE {node}.node_type WHEN '{NodeType.BRANCH_POINT}' THEN {redo} ELSE '' END"


def phase_of(node: str) -> str:
    """Name of the nearest phase above a node."""
    return f"""(
           WITH RECURSIVE above(next_id, node_type, name) AS (
               SELECT {node}.parent_node_id, {node}.node_type, {node}.name
               UNION ALL
               SELECT up.parent_node_id, up.node_type, up.name
               FROM above JOIN dag_nodes AS up ON up.run_id = {node}.run_id AND up.id = above.next_id
               WHERE above.node_type <> '{NodeType.PHASE}'
           )
           SELECT name FROM above WHERE node_type = '{NodeType.PHASE}'
       )"""


def spent_below(sql: Dialect, alias: str, run_id: str, node_id: str) -> Rows:
    """What was spent at and below a node."""
    return sql.each(
        alias,
        SPENT,
        f"below JOIN cost_records AS cost ON cost.run_id = {run_id} AND cost.node_id = below.id WHERE cost.counted",
        sums=True,
        cte=f"""WITH RECURSIVE below(id) AS (
    SELECT {node_id}
    UNION ALL
    SELECT child.id
    FROM below JOIN dag_nodes AS child ON child.run_id = {run_id} AND child.parent_node_id = below.id
)
""",
    )
