"""The view of forks and redos as one tree."""

from __future__ import annotations

from spandag.store.migrations.views_0003.dialects import Dialect
from spandag.store.migrations.views_0003.parts import seconds, sortable, status_of_redo, status_of_run
from spandag.store.rows import BRANCH_POINT_PREFIX


def branch_tree(sql: Dialect) -> str:
    """``v_branch_tree``: runs by the runs that they were forked from, and the redos in each."""
    lineage = sql.each(
        "lineage",
        {"run_id": "lineage.run_id", "level": "lineage.level", "path": "lineage.path"},
        "lineage",
        cte=f"""WITH RECURSIVE lineage(run_id, level, path) AS (
    SELECT root.id, 0, CAST('' AS TEXT)
    UNION ALL
    SELECT fork.id, lineage.level + 1,
           lineage.path || 'b' || {sortable("coalesce(fork.started_at, 0)")} || fork.id
    FROM lineage JOIN workflow_runs AS fork ON fork.branch_parent_id = lineage.run_id
)
""",
    )
    point = f"'a' || {sortable('point.started_at')} || point.span_id"
    redo = sql.each(
        "nesting",
        {"level": "above.level", "path": "above.path", "parent_id": "above.parent_id"},
        "above WHERE above.next_id IS NULL",
        cte=f"""WITH RECURSIVE above(next_id, parent_id, level, path) AS (
    SELECT point.branch_id, point.branch_id, 1, {point}
    FROM dag_nodes AS point WHERE point.run_id = branch.run_id AND point.id = branch.branch_node_id
    UNION ALL
    SELECT point.branch_id, above.parent_id, above.level + 1, {point} || above.path
    FROM above JOIN dag_nodes AS point ON point.run_id = branch.run_id AND point.id = above.next_id
)
""",
    )
    is_root = """(root.branch_parent_id IS NULL OR NOT EXISTS (
       SELECT 1 FROM workflow_runs AS parent WHERE parent.id = root.branch_parent_id))"""
    return f"""
SELECT root.id AS root_run_id,
       {sql.bytewise(f"({lineage['path']})")} AS path,
       {lineage["level"]} AS level,
       CASE WHEN run.is_branch THEN 'fork' ELSE 'run' END AS kind,
       run.id AS run_id,
       run.branch_parent_id AS parent_id,
       fork.branch_node_id,
       fork.source_node_id,
       run.name,
       fork.branch_name,
       fork.hypothesis,
       fork.requested_by,
       {status_of_run(sql, "run")} AS status,
       run.started_at,
       run.ended_at,
       {sql.utc("run.started_at")} AS started_time,
       {seconds("run.started_at", "run.ended_at")} AS duration_s,
       EXISTS (SELECT 1 FROM tombstones AS tombstone WHERE tombstone.run_id = run.branch_parent_id) AS parent_pruned
FROM workflow_runs AS root
{lineage.join}
{sql.join_back} workflow_runs AS run ON run.id = {lineage["run_id"]}
LEFT JOIN branches AS fork ON fork.run_id IN (run.id, run.branch_parent_id) AND fork.kind = 'fork' AND fork.child_run_id = run.id
    AND fork.branch_node_id = run.root_node_id
WHERE {is_root} AND run.root_node_id IS NOT NULL
UNION ALL
SELECT root.id,
       {sql.bytewise(f"(({lineage['path']}) || ({redo['path']}))")},
       ({lineage["level"]}) + ({redo["level"]}),
       'redo',
       branch.run_id,
       coalesce({redo["parent_id"]}, branch.run_id),
       branch.branch_node_id,
       branch.source_node_id,
       step.name,
       branch.branch_name,
       branch.hypothesis,
       branch.requested_by,
       {status_of_redo(sql, "branch")},
       branch.started_at,
       branch.ended_at,
       {sql.utc("branch.started_at")},
       {seconds("branch.started_at", "branch.ended_at")},
       FALSE
FROM workflow_runs AS root
{lineage.join}
{sql.join_back} branches AS branch ON branch.run_id = {lineage["run_id"]} AND branch.kind = 'redo'
{redo.join}
LEFT JOIN dag_nodes AS step ON step.run_id = branch.run_id AND step.id = substr(branch.branch_node_id, {len(BRANCH_POINT_PREFIX) + 1})
WHERE {is_root}
"""
