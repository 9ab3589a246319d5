-- spandag: takes back 0003 (Tombstones of removed runs, views that tell who is still alive, and sessions of many runs), with its data
--
-- Database:  PostgreSQL
-- Brings:    revision 0003 to revision 0002
-- Run with:  psql -v ON_ERROR_STOP=1 -d DATABASE -f 0003_retention.rollback.sql
-- Redo with: psql -v ON_ERROR_STOP=1 -d DATABASE -f 0003_retention.sql
-- Drops too: the text index, where there is one: text_index, text_index_slices, text_index_runs
-- Generated from store/migrations/versions/0003_retention.py; not to be edited.

BEGIN;

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename IN ('text_index_runs')) THEN
        DROP TABLE IF EXISTS text_index;
        DROP TABLE IF EXISTS text_index_slices;
        DROP TABLE IF EXISTS text_index_runs;
    END IF;
END
$$;

DROP VIEW v_branch_tree;

CREATE OR REPLACE VIEW v_runs AS
SELECT run.id AS run_id,
       run.name,
       run.task,
       run.status,
       run.started_at,
       run.ended_at,
       to_timestamp(CAST(run.started_at AS DOUBLE PRECISION) / 1000000000.0) AS started_time,
       CAST(run.ended_at - run.started_at AS DOUBLE PRECISION) / 1000000000.0 AS duration_s,
       run.session_id,
       run.user_id,
       run.root_node_id,
       run.branch_parent_id,
       run.is_branch,
       run.branch_depth,
       run.root_run_id,
       (SELECT count(*) FROM dag_nodes AS node
        WHERE node.run_id = run.id AND node.node_type NOT IN ('span', 'branch_point')) AS nodes,
       (SELECT count(*) FROM branches AS branch
        WHERE branch.run_id = run.id AND branch.kind = 'redo') AS redos,
       spent.calls AS calls,
       spent.input_tokens AS input_tokens,
       spent.output_tokens AS output_tokens,
       spent.cost_usd AS cost_usd,
       spent.unpriced_calls AS unpriced_calls,
       run.facts_version = run.derived_version AS settled
FROM workflow_runs AS run
CROSS JOIN LATERAL (
    SELECT count(*) AS calls, CAST(coalesce(sum(cost.input_tokens), 0) AS BIGINT) AS input_tokens, CAST(coalesce(sum(cost.output_tokens), 0) AS BIGINT) AS output_tokens, sum(cost.cost_usd) AS cost_usd, count(*) - count(cost.cost_usd) AS unpriced_calls
    FROM cost_records AS cost WHERE cost.run_id = run.id AND cost.counted
) AS spent
WHERE run.root_node_id IS NOT NULL;

CREATE OR REPLACE VIEW v_sessions AS
SELECT session.id AS session_id,
       session.name,
       session.task,
       session.user_id,
       session.status,
       session.started_at,
       session.last_active_at,
       to_timestamp(CAST(session.started_at AS DOUBLE PRECISION) / 1000000000.0) AS started_time,
       to_timestamp(CAST(session.last_active_at AS DOUBLE PRECISION) / 1000000000.0) AS last_active_time,
       CAST(session.last_active_at - session.started_at AS DOUBLE PRECISION) / 1000000000.0 AS duration_s,
       (SELECT count(*) FROM workflow_runs AS run WHERE run.session_id = session.id) AS runs,
       spent.calls AS calls,
       spent.input_tokens AS input_tokens,
       spent.output_tokens AS output_tokens,
       spent.cost_usd AS cost_usd,
       spent.unpriced_calls AS unpriced_calls
FROM sessions AS session
CROSS JOIN LATERAL (
    SELECT count(*) AS calls, CAST(coalesce(sum(cost.input_tokens), 0) AS BIGINT) AS input_tokens, CAST(coalesce(sum(cost.output_tokens), 0) AS BIGINT) AS output_tokens, sum(cost.cost_usd) AS cost_usd, count(*) - count(cost.cost_usd) AS unpriced_calls
    FROM workflow_runs AS run JOIN cost_records AS cost ON cost.run_id = run.id WHERE run.session_id = session.id AND cost.counted
) AS spent;

CREATE OR REPLACE VIEW v_run_tree AS
SELECT run.id AS run_id,
       run.name AS run_name,
       tree.position AS position,
       tree.level AS level,
       tree.redo_depth AS redo_depth,
       tree.node_id AS node_id,
       tree.parent_node_id AS parent_node_id,
       node.node_type,
       node.name,
       node.agent,
       node.status,
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
       CAST(node.ended_at - node.started_at AS DOUBLE PRECISION) / 1000000.0 AS duration_ms,
       node.model,
       node.provider,
       cost.input_tokens,
       cost.output_tokens,
       cost.cost_usd,
       node.error_type,
       node.error_message
FROM workflow_runs AS run
CROSS JOIN LATERAL (
    WITH RECURSIVE tree(id, node_type, parent_id, level, redo_depth, path) AS (
        SELECT node.id, node.node_type, CAST(NULL AS TEXT), 0,
               CASE WHEN node.node_type = 'branch_point' THEN 1 ELSE 0 END,
               substr('abcdefghijklmnopqrstuvwxyz', length(CAST(coalesce(node.order_index, 2147483647) AS TEXT)), 1) || CAST(coalesce(node.order_index, 2147483647) AS TEXT) || CASE node.node_type WHEN 'branch_point' THEN 'z' || substr('abcdefghijklmnopqrstuvwxyz', length(CAST(coalesce(node.attempt, 0) AS TEXT)), 1) || CAST(coalesce(node.attempt, 0) AS TEXT) || substr('abcdefghijklmnopqrstuvwxyz', length(CAST(node.started_at AS TEXT)), 1) || CAST(node.started_at AS TEXT) || node.span_id ELSE '' END
        FROM dag_nodes AS node
        WHERE node.run_id = run.id AND node.parent_node_id IS NULL
        UNION ALL
        SELECT node.id, node.node_type,
               CASE WHEN tree.node_type = 'span' THEN tree.parent_id ELSE tree.id END,
               CASE WHEN tree.node_type = 'span' THEN tree.level ELSE tree.level + 1 END,
               tree.redo_depth + CASE WHEN node.node_type = 'branch_point' THEN 1 ELSE 0 END,
               tree.path || substr('abcdefghijklmnopqrstuvwxyz', length(CAST(coalesce(node.order_index, 2147483647) AS TEXT)), 1) || CAST(coalesce(node.order_index, 2147483647) AS TEXT) || CASE node.node_type WHEN 'branch_point' THEN 'z' || substr('abcdefghijklmnopqrstuvwxyz', length(CAST(coalesce(node.attempt, 0) AS TEXT)), 1) || CAST(coalesce(node.attempt, 0) AS TEXT) || substr('abcdefghijklmnopqrstuvwxyz', length(CAST(node.started_at AS TEXT)), 1) || CAST(node.started_at AS TEXT) || node.span_id ELSE '' END
        FROM tree JOIN dag_nodes AS node ON node.run_id = run.id AND node.parent_node_id = tree.id
    )
    SELECT row_number() OVER (ORDER BY path COLLATE "C") - 1 AS position, tree.id AS node_id, tree.parent_id AS parent_node_id, tree.level AS level, tree.redo_depth AS redo_depth
    FROM tree WHERE NOT tree.node_type = 'span'
) AS tree
JOIN dag_nodes AS node ON node.run_id = run.id AND node.id = tree.node_id
LEFT JOIN branches AS branch ON branch.run_id = run.id AND branch.branch_node_id = node.id
LEFT JOIN cost_records AS cost ON cost.run_id = run.id AND cost.node_id = node.id AND cost.counted;

CREATE OR REPLACE VIEW v_attempts AS
SELECT node.run_id,
       run.name AS run_name,
       (
           WITH RECURSIVE above(next_id, node_type, name) AS (
               SELECT node.parent_node_id, node.node_type, node.name
               UNION ALL
               SELECT up.parent_node_id, up.node_type, up.name
               FROM above JOIN dag_nodes AS up ON up.run_id = node.run_id AND up.id = above.next_id
               WHERE above.node_type <> 'phase'
           )
           SELECT name FROM above WHERE node_type = 'phase'
       ) AS phase,
       node.step_node_id,
       node.name AS step,
       node.step_number,
       coalesce(node.attempt, 1) AS attempt,
       node.id AS node_id,
       branch.branch_node_id,
       node.status,
       node.outcome,
       node.disposition,
       branch.hypothesis,
       branch.requested_by,
       node.started_at,
       node.ended_at,
       to_timestamp(CAST(node.started_at AS DOUBLE PRECISION) / 1000000000.0) AS started_time,
       CAST(node.ended_at - node.started_at AS DOUBLE PRECISION) / 1000000.0 AS duration_ms,
       spent.calls AS calls,
       spent.input_tokens AS input_tokens,
       spent.output_tokens AS output_tokens,
       spent.cost_usd AS cost_usd,
       spent.unpriced_calls AS unpriced_calls,
       node.error_type,
       node.error_message
FROM dag_nodes AS node
JOIN workflow_runs AS run ON run.id = node.run_id
LEFT JOIN branches AS branch ON branch.run_id = node.run_id AND branch.branch_node_id = 'bp:' || node.id
CROSS JOIN LATERAL (
    WITH RECURSIVE below(id) AS (
        SELECT node.id
        UNION ALL
        SELECT child.id
        FROM below JOIN dag_nodes AS child ON child.run_id = node.run_id AND child.parent_node_id = below.id
    )
    SELECT count(*) AS calls, CAST(coalesce(sum(cost.input_tokens), 0) AS BIGINT) AS input_tokens, CAST(coalesce(sum(cost.output_tokens), 0) AS BIGINT) AS output_tokens, sum(cost.cost_usd) AS cost_usd, count(*) - count(cost.cost_usd) AS unpriced_calls
    FROM below JOIN cost_records AS cost ON cost.run_id = node.run_id AND cost.node_id = below.id WHERE cost.counted
) AS spent
WHERE node.node_type = 'step';

CREATE OR REPLACE VIEW v_redos AS
SELECT branch.run_id,
       run.name AS run_name,
       (
           WITH RECURSIVE above(next_id, node_type, name) AS (
               SELECT point.parent_node_id, point.node_type, point.name
               UNION ALL
               SELECT up.parent_node_id, up.node_type, up.name
               FROM above JOIN dag_nodes AS up ON up.run_id = point.run_id AND up.id = above.next_id
               WHERE above.node_type <> 'phase'
           )
           SELECT name FROM above WHERE node_type = 'phase'
       ) AS phase,
       coalesce(redo.name, before.name, point.name) AS step,
       point.step_number,
       branch.branch_node_id,
       branch.source_node_id,
       branch.number,
       branch.branch_name,
       branch.hypothesis,
       branch.requested_by,
       branch.status,
       point.disposition,
       branch.started_at,
       branch.ended_at,
       to_timestamp(CAST(branch.started_at AS DOUBLE PRECISION) / 1000000000.0) AS started_time,
       CAST(branch.ended_at - branch.started_at AS DOUBLE PRECISION) / 1000000.0 AS duration_ms,
       redo.id AS node_id,
       spent.calls AS calls,
       spent.input_tokens AS input_tokens,
       spent.output_tokens AS output_tokens,
       spent.cost_usd AS cost_usd,
       spent.unpriced_calls AS unpriced_calls,
       before.id AS before_node_id,
       before.outcome AS before_outcome,
       before.error_type AS before_error_type,
       before.error_message AS before_error_message,
       CAST(before.ended_at - before.started_at AS DOUBLE PRECISION) / 1000000.0 AS before_duration_ms,
       spent_before.cost_usd AS before_cost_usd
FROM branches AS branch
JOIN workflow_runs AS run ON run.id = branch.run_id
JOIN dag_nodes AS point ON point.run_id = branch.run_id AND point.id = branch.branch_node_id
LEFT JOIN dag_nodes AS redo ON redo.run_id = branch.run_id AND redo.id = substr(branch.branch_node_id, 4)
LEFT JOIN dag_nodes AS before ON before.run_id = branch.run_id AND before.id = CASE
    WHEN branch.number = 1 THEN branch.source_node_id
    ELSE (SELECT max(substr(previous.branch_node_id, 4)) FROM branches AS previous
          WHERE previous.run_id = branch.run_id AND previous.kind = 'redo'
            AND previous.source_node_id = branch.source_node_id AND previous.number = branch.number - 1)
    END
CROSS JOIN LATERAL (
    WITH RECURSIVE below(id) AS (
        SELECT redo.id
        UNION ALL
        SELECT child.id
        FROM below JOIN dag_nodes AS child ON child.run_id = branch.run_id AND child.parent_node_id = below.id
    )
    SELECT count(*) AS calls, CAST(coalesce(sum(cost.input_tokens), 0) AS BIGINT) AS input_tokens, CAST(coalesce(sum(cost.output_tokens), 0) AS BIGINT) AS output_tokens, sum(cost.cost_usd) AS cost_usd, count(*) - count(cost.cost_usd) AS unpriced_calls
    FROM below JOIN cost_records AS cost ON cost.run_id = branch.run_id AND cost.node_id = below.id WHERE cost.counted
) AS spent
CROSS JOIN LATERAL (
    WITH RECURSIVE below(id) AS (
        SELECT before.id
        UNION ALL
        SELECT child.id
        FROM below JOIN dag_nodes AS child ON child.run_id = branch.run_id AND child.parent_node_id = below.id
    )
    SELECT count(*) AS calls, CAST(coalesce(sum(cost.input_tokens), 0) AS BIGINT) AS input_tokens, CAST(coalesce(sum(cost.output_tokens), 0) AS BIGINT) AS output_tokens, sum(cost.cost_usd) AS cost_usd, count(*) - count(cost.cost_usd) AS unpriced_calls
    FROM below JOIN cost_records AS cost ON cost.run_id = branch.run_id AND cost.node_id = below.id WHERE cost.counted
) AS spent_before
WHERE branch.kind = 'redo';

CREATE OR REPLACE VIEW v_unresolved AS
SELECT last.run_id,
       run.name AS run_name,
       (
           WITH RECURSIVE above(next_id, node_type, name) AS (
               SELECT last.parent_node_id, last.node_type, last.name
               UNION ALL
               SELECT up.parent_node_id, up.node_type, up.name
               FROM above JOIN dag_nodes AS up ON up.run_id = last.run_id AND up.id = above.next_id
               WHERE above.node_type <> 'phase'
           )
           SELECT name FROM above WHERE node_type = 'phase'
       ) AS phase,
       last.step_node_id,
       last.name AS step,
       last.step_number,
       coalesce(last.attempt, 1) AS attempts,
       CASE WHEN last.attributes ->> 'spandag.step.max_redos' ~ '^[0-9]{1,9}$' THEN CAST(last.attributes ->> 'spandag.step.max_redos' AS INTEGER) END AS max_redos,
       coalesce(last.attributes ->> 'spandag.redo.exhausted' = 'true', FALSE) AS exhausted,
       last.id AS node_id,
       last.status,
       last.outcome,
       (SELECT event.meta ->> 'spandag.redo.hypothesis' FROM execution_events AS event
        WHERE event.run_id = last.run_id AND event.node_id = last.id AND event.event_type = 'rejected'
        ORDER BY event.seq DESC LIMIT 1) AS hypothesis,
       (SELECT event.meta ->> 'spandag.redo.requested_by' FROM execution_events AS event
        WHERE event.run_id = last.run_id AND event.node_id = last.id AND event.event_type = 'rejected'
        ORDER BY event.seq DESC LIMIT 1) AS requested_by,
       last.started_at,
       last.ended_at,
       to_timestamp(CAST(last.started_at AS DOUBLE PRECISION) / 1000000000.0) AS started_time,
       CAST(last.ended_at - last.started_at AS DOUBLE PRECISION) / 1000000.0 AS duration_ms,
       last.error_type,
       last.error_message
FROM dag_nodes AS last
JOIN workflow_runs AS run ON run.id = last.run_id
LEFT JOIN dag_nodes AS first ON first.run_id = last.run_id AND first.id = last.step_node_id
WHERE last.node_type = 'step'
  AND last.disposition <> 'superseded'
  AND coalesce(last.outcome, last.status) NOT IN ('accepted', 'completed')
  AND (last.status <> 'running' OR run.ended_at IS NOT NULL)
  AND coalesce(first.outcome, '') <> 'accepted'
  AND NOT EXISTS (
      SELECT 1 FROM branches AS branch
      WHERE branch.run_id = last.run_id AND branch.source_node_id = last.step_node_id
        AND branch.status = 'accepted'
  );

CREATE OR REPLACE VIEW v_branch_tree AS
SELECT root.id AS root_run_id,
       (lineage.path) COLLATE "C" AS path,
       lineage.level AS level,
       CASE WHEN run.is_branch THEN 'fork' ELSE 'run' END AS kind,
       run.id AS run_id,
       run.branch_parent_id AS parent_id,
       fork.branch_node_id,
       fork.source_node_id,
       run.name,
       fork.branch_name,
       fork.hypothesis,
       fork.requested_by,
       run.status,
       run.started_at,
       run.ended_at,
       to_timestamp(CAST(run.started_at AS DOUBLE PRECISION) / 1000000000.0) AS started_time,
       CAST(run.ended_at - run.started_at AS DOUBLE PRECISION) / 1000000000.0 AS duration_s
FROM workflow_runs AS root
CROSS JOIN LATERAL (
    WITH RECURSIVE lineage(run_id, level, path) AS (
        SELECT root.id, 0, CAST('' AS TEXT)
        UNION ALL
        SELECT fork.id, lineage.level + 1,
               lineage.path || 'b' || substr('abcdefghijklmnopqrstuvwxyz', length(CAST(coalesce(fork.started_at, 0) AS TEXT)), 1) || CAST(coalesce(fork.started_at, 0) AS TEXT) || fork.id
        FROM lineage JOIN workflow_runs AS fork ON fork.branch_parent_id = lineage.run_id
    )
    SELECT lineage.run_id AS run_id, lineage.level AS level, lineage.path AS path
    FROM lineage
) AS lineage
JOIN workflow_runs AS run ON run.id = lineage.run_id
LEFT JOIN branches AS fork ON fork.run_id IN (run.id, run.branch_parent_id) AND fork.kind = 'fork' AND fork.child_run_id = run.id
WHERE (root.branch_parent_id IS NULL OR NOT EXISTS (
       SELECT 1 FROM workflow_runs AS parent WHERE parent.id = root.branch_parent_id)) AND run.root_node_id IS NOT NULL
UNION ALL
SELECT root.id,
       ((lineage.path) || (nesting.path)) COLLATE "C",
       (lineage.level) + (nesting.level),
       'redo',
       branch.run_id,
       coalesce(nesting.parent_id, branch.run_id),
       branch.branch_node_id,
       branch.source_node_id,
       step.name,
       branch.branch_name,
       branch.hypothesis,
       branch.requested_by,
       branch.status,
       branch.started_at,
       branch.ended_at,
       to_timestamp(CAST(branch.started_at AS DOUBLE PRECISION) / 1000000000.0),
       CAST(branch.ended_at - branch.started_at AS DOUBLE PRECISION) / 1000000000.0
FROM workflow_runs AS root
CROSS JOIN LATERAL (
    WITH RECURSIVE lineage(run_id, level, path) AS (
        SELECT root.id, 0, CAST('' AS TEXT)
        UNION ALL
        SELECT fork.id, lineage.level + 1,
               lineage.path || 'b' || substr('abcdefghijklmnopqrstuvwxyz', length(CAST(coalesce(fork.started_at, 0) AS TEXT)), 1) || CAST(coalesce(fork.started_at, 0) AS TEXT) || fork.id
        FROM lineage JOIN workflow_runs AS fork ON fork.branch_parent_id = lineage.run_id
    )
    SELECT lineage.run_id AS run_id, lineage.level AS level, lineage.path AS path
    FROM lineage
) AS lineage
JOIN branches AS branch ON branch.run_id = lineage.run_id AND branch.kind = 'redo'
CROSS JOIN LATERAL (
    WITH RECURSIVE above(next_id, parent_id, level, path) AS (
        SELECT point.branch_id, point.branch_id, 1, 'a' || substr('abcdefghijklmnopqrstuvwxyz', length(CAST(point.started_at AS TEXT)), 1) || CAST(point.started_at AS TEXT) || point.span_id
        FROM dag_nodes AS point WHERE point.run_id = branch.run_id AND point.id = branch.branch_node_id
        UNION ALL
        SELECT point.branch_id, above.parent_id, above.level + 1, 'a' || substr('abcdefghijklmnopqrstuvwxyz', length(CAST(point.started_at AS TEXT)), 1) || CAST(point.started_at AS TEXT) || point.span_id || above.path
        FROM above JOIN dag_nodes AS point ON point.run_id = branch.run_id AND point.id = above.next_id
    )
    SELECT above.level AS level, above.path AS path, above.parent_id AS parent_id
    FROM above WHERE above.next_id IS NULL
) AS nesting
LEFT JOIN dag_nodes AS step ON step.run_id = branch.run_id AND step.id = substr(branch.branch_node_id, 4)
WHERE (root.branch_parent_id IS NULL OR NOT EXISTS (
       SELECT 1 FROM workflow_runs AS parent WHERE parent.id = root.branch_parent_id));

COMMENT ON COLUMN branches.branch_node_id IS 'the branch point in dag_nodes';
COMMENT ON COLUMN branches.source_node_id IS 'attempt 1 of the step; where a fork starts from';
COMMENT ON COLUMN branches.branch_name IS 'redo_1 …';
DROP INDEX ix_workflow_runs_session_with_user;
DROP INDEX ix_workflow_runs_session_id_ended_at_started_at;
DROP TABLE tombstones;
UPDATE spandag_version SET version_num = '0002' WHERE version_num = '0003';
INSERT INTO settings (key, value) VALUES ('needs_spandag', '"0.1.0"') ON CONFLICT (key) DO UPDATE SET value = excluded.value;

COMMIT;

-- Verification: every answer is ok.

SELECT 'revision 0002' AS verified, CASE WHEN count(*) = 1 THEN 'ok' ELSE 'WRONG' END AS answer
FROM spandag_version WHERE version_num = '0002';
SELECT 'tables' AS verified, CASE WHEN count(*) = 12 THEN 'ok' ELSE 'WRONG' END AS answer
FROM pg_tables WHERE schemaname = current_schema() AND tablename IN ('branches', 'cost_records', 'dag_edges', 'dag_nodes', 'execution_events', 'messages', 'node_messages', 'sessions', 'settings', 'span_links', 'tombstones', 'workflow_runs', 'writers');
SELECT 'indexes' AS verified, CASE WHEN count(*) = 5 THEN 'ok' ELSE 'WRONG' END AS answer
FROM pg_indexes WHERE schemaname = current_schema() AND indexname IN ('ix_dag_nodes_run_id_parent_node_id', 'ix_dag_nodes_run_id_started_at', 'ix_workflow_runs_branch_parent_id', 'ix_workflow_runs_session_id_ended_at_started_at', 'ix_workflow_runs_session_id_started_at', 'ix_workflow_runs_session_with_user', 'ix_workflow_runs_started_at');
SELECT 'views' AS verified, CASE WHEN count(*) = 12 THEN 'ok' ELSE 'WRONG' END AS answer
FROM pg_views WHERE schemaname = current_schema() AND viewname IN ('v_active_path', 'v_attempts', 'v_branch_tree', 'v_cost_by_agent', 'v_cost_by_model', 'v_events', 'v_redos', 'v_run_tree', 'v_runs', 'v_sessions', 'v_unresolved', 'v_waste');
SELECT 'columns' AS verified, CASE WHEN count(*) = 126 THEN 'ok' ELSE 'WRONG' END AS answer
FROM information_schema.columns WHERE table_schema = current_schema() AND table_name IN ('branches', 'cost_records', 'dag_edges', 'dag_nodes', 'execution_events', 'messages', 'node_messages', 'sessions', 'settings', 'span_links', 'tombstones', 'workflow_runs', 'writers');
SELECT 'text index' AS verified, CASE WHEN count(*) = 0 THEN 'ok' ELSE 'WRONG' END AS answer
FROM pg_tables WHERE schemaname = current_schema() AND tablename IN ('text_index_runs');
