"""Views of steps: attempts, redos, loose ends."""

from __future__ import annotations

from spandag import semconv
from spandag.semconv import NodeType, Outcome
from spandag.store.rows import BRANCH_POINT_PREFIX
from spandag.store.views.dialects import Dialect
from spandag.store.views.parts import milliseconds, phase_of, spent_below, status_of_node, status_of_redo


def attempts(sql: Dialect) -> str:
    """``v_attempts``."""
    spent = spent_below(sql, "spent", "node.run_id", "node.id")
    return f"""
SELECT node.run_id,
       run.name AS run_name,
       {phase_of("node")} AS phase,
       node.step_node_id,
       node.name AS step,
       node.step_number,
       coalesce(node.attempt, 1) AS attempt,
       node.id AS node_id,
       branch.branch_node_id,
       {status_of_node(sql, "node")} AS status,
       node.outcome,
       node.disposition,
       branch.hypothesis,
       branch.requested_by,
       node.started_at,
       node.ended_at,
       {sql.utc("node.started_at")} AS started_time,
       {milliseconds("node.started_at", "node.ended_at")} AS duration_ms,
       {spent.select()},
       node.error_type,
       node.error_message
FROM dag_nodes AS node
JOIN workflow_runs AS run ON run.id = node.run_id
LEFT JOIN branches AS branch ON branch.run_id = node.run_id AND branch.branch_node_id = '{BRANCH_POINT_PREFIX}' || node.id
{spent.join}
WHERE node.node_type = '{NodeType.STEP}'
"""


def redos(sql: Dialect) -> str:
    """``v_redos``."""
    redo_id = f"substr(branch.branch_node_id, {len(BRANCH_POINT_PREFIX) + 1})"
    before = spent_below(sql, "spent_before", "branch.run_id", "before.id")
    spent = spent_below(sql, "spent", "branch.run_id", "redo.id")
    return f"""
SELECT branch.run_id,
       run.name AS run_name,
       {phase_of("point")} AS phase,
       coalesce(redo.name, before.name, point.name) AS step,
       point.step_number,
       branch.branch_node_id,
       branch.source_node_id,
       branch.number,
       branch.branch_name,
       branch.hypothesis,
       branch.requested_by,
       {status_of_redo(sql, "branch")} AS status,
       point.disposition,
       branch.started_at,
       branch.ended_at,
       {sql.utc("branch.started_at")} AS started_time,
       {milliseconds("branch.started_at", "branch.ended_at")} AS duration_ms,
       redo.id AS node_id,
       {spent.select()},
       before.id AS before_node_id,
       before.outcome AS before_outcome,
       before.error_type AS before_error_type,
       before.error_message AS before_error_message,
       {milliseconds("before.started_at", "before.ended_at")} AS before_duration_ms,
       {before["cost_usd"]} AS before_cost_usd
FROM branches AS branch
JOIN workflow_runs AS run ON run.id = branch.run_id
JOIN dag_nodes AS point ON point.run_id = branch.run_id AND point.id = branch.branch_node_id
LEFT JOIN dag_nodes AS redo ON redo.run_id = branch.run_id AND redo.id = {redo_id}
LEFT JOIN dag_nodes AS before ON before.run_id = branch.run_id AND before.id = CASE
    WHEN branch.number = 1 THEN branch.source_node_id
    ELSE (SELECT max(substr(previous.branch_node_id, {len(BRANCH_POINT_PREFIX) + 1})) FROM branches AS previous
          WHERE previous.run_id = branch.run_id AND previous.kind = 'redo'
            AND previous.source_node_id = branch.source_node_id AND previous.number = branch.number - 1)
    END
{spent.join}
{before.join}
WHERE branch.kind = 'redo'
"""


def unresolved(sql: Dialect) -> str:
    """``v_unresolved``: what is not superseded is the last attempt, and not within one that was done again."""

    def said(name: str) -> str:
        return f"""(SELECT {sql.attribute("event.meta", name)} FROM execution_events AS event
        WHERE event.run_id = last.run_id AND event.node_id = last.id AND event.event_type = '{semconv.EVENT_REJECTED}'
        ORDER BY event.seq DESC LIMIT 1)"""

    status = status_of_node(sql, "last")
    exhausted = sql.is_true("last.attributes", semconv.SPANDAG_REDO_EXHAUSTED)
    # As in `branches.status`: what ended well without saying its outcome is accepted. What was accepted and
    # then redone is superseded and counts no more, whatever became of the redo.
    good = f"('{Outcome.ACCEPTED}', 'completed')"
    return f"""
SELECT last.run_id,
       run.name AS run_name,
       {phase_of("last")} AS phase,
       last.step_node_id,
       last.name AS step,
       last.step_number,
       coalesce(last.attempt, 1) AS attempts,
       {sql.small_number("last.attributes", semconv.SPANDAG_STEP_MAX_REDOS)} AS max_redos,
       {exhausted} AS exhausted,
       last.id AS node_id,
       {status} AS status,
       last.outcome,
       {said(semconv.SPANDAG_REDO_HYPOTHESIS)} AS hypothesis,
       {said(semconv.SPANDAG_REDO_REQUESTED_BY)} AS requested_by,
       last.started_at,
       last.ended_at,
       {sql.utc("last.started_at")} AS started_time,
       {milliseconds("last.started_at", "last.ended_at")} AS duration_ms,
       last.error_type,
       last.error_message
FROM dag_nodes AS last
JOIN workflow_runs AS run ON run.id = last.run_id
WHERE last.node_type = '{NodeType.STEP}'
  AND last.disposition <> 'superseded'
  AND (
      {exhausted}
      OR coalesce(last.outcome, last.status) NOT IN {good}
      AND ({status} NOT IN ('running', 'open') OR run.ended_at IS NOT NULL)
      AND NOT EXISTS (
          SELECT 1 FROM dag_nodes AS other
          WHERE other.run_id = last.run_id AND other.node_type = '{NodeType.STEP}'
            AND other.disposition <> 'superseded' AND other.step_node_id = last.step_node_id
            AND coalesce(other.outcome, other.status) IN {good}
      )
  )
"""


def rates(sql: Dialect) -> str:
    """``v_rates``: an attempt counts below its own name; what has not ended is neither a success nor none."""
    # As in `v_unresolved`: what ended well without saying its outcome is accepted.
    outcome = f"CASE coalesce(node.outcome, node.status) WHEN 'completed' THEN '{Outcome.ACCEPTED}' ELSE coalesce(node.outcome, node.status) END"
    step = "node.run_id || coalesce(node.step_node_id, node.id)"
    is_redo = "node.id <> coalesce(node.step_node_id, node.id)"
    ended = [Outcome.ACCEPTED, Outcome.REJECTED, Outcome.FAILED, Outcome.CANCELLED]
    exhausted = sql.is_true("node.attributes", semconv.SPANDAG_REDO_EXHAUSTED)

    def share(part: str, whole: str) -> str:
        return f"CAST({part} AS DOUBLE PRECISION) / nullif({whole}, 0)"

    def success(which: str) -> str:
        accepted = f"sum(CASE WHEN {which} AND tried.outcome = '{Outcome.ACCEPTED}' THEN 1 ELSE 0 END)"
        return share(accepted, f"sum(CASE WHEN {which} AND tried.has_ended THEN 1 ELSE 0 END)")

    sums = ",\n       ".join(
        f"sum(CASE tried.outcome WHEN '{each}' THEN 1 ELSE 0 END) AS {each}" for each in ended
    )
    redone = "count(DISTINCT CASE WHEN tried.is_redo THEN tried.step_key END)"
    return f"""
SELECT tried.step,
       count(DISTINCT tried.step_key) AS steps,
       count(*) AS attempts,
       sum(CASE WHEN tried.is_redo THEN 1 ELSE 0 END) AS redos,
       {redone} AS redone,
       {sums},
       sum(CASE WHEN tried.has_ended THEN 0 ELSE 1 END) AS unfinished,
       sum(CASE WHEN tried.exhausted THEN 1 ELSE 0 END) AS exhausted,
       {share("count(*)", "count(DISTINCT tried.step_key)")} AS mean_attempts,
       {share(redone, "count(DISTINCT tried.step_key)")} AS redo_rate,
       {success("NOT tried.is_redo")} AS first_success_rate,
       {success("tried.is_redo")} AS redo_success_rate
FROM (
    SELECT node.name AS step,
           {step} AS step_key,
           {is_redo} AS is_redo,
           {outcome} AS outcome,
           coalesce(node.outcome, node.status) IN ('completed', {", ".join(f"'{each}'" for each in ended)}) AS has_ended,
           {exhausted} AS exhausted
    FROM dag_nodes AS node
    JOIN workflow_runs AS run ON run.id = node.run_id
    WHERE node.node_type = '{NodeType.STEP}'
) AS tried
GROUP BY tried.step
"""
