-- spandag: takes back 0004 (How often steps are done again, indexes of steps and agents, and views that leave out what is being removed), with its data
--
-- Database:  SQLite
-- Brings:    revision 0004 to revision 0003
-- Run with:  sqlite3 -bail spandag.db < 0004_rates.rollback.sql
-- Redo with: sqlite3 -bail spandag.db < 0004_rates.sql
-- Drops too: the text index, where there is one: text_index, text_index_slices, text_index_runs
-- Generated from store/migrations/versions/0004_rates.py; not to be edited.

BEGIN;

DROP TABLE IF EXISTS text_index;
DROP TABLE IF EXISTS text_index_slices;
DROP TABLE IF EXISTS text_index_runs;

DROP VIEW v_rates;
DROP VIEW v_cost_by_model;
DROP VIEW v_cost_by_agent;
DROP VIEW v_events;
DROP VIEW v_waste;
DROP VIEW v_unresolved;

CREATE VIEW v_unresolved AS
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
       CASE WHEN length(last.attributes ->> '$."spandag.step.max_redos"') BETWEEN 1 AND 9 AND last.attributes ->> '$."spandag.step.max_redos"' NOT GLOB '*[^0-9]*' THEN CAST(last.attributes ->> '$."spandag.step.max_redos"' AS INTEGER) END AS max_redos,
       coalesce(last.attributes ->> '$."spandag.redo.exhausted"' = 1, FALSE) AS exhausted,
       last.id AS node_id,
       CASE last.status WHEN 'running' THEN CASE WHEN last.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = last.writer_id AND writer.heartbeat_at >= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000 - 15000000000
                  AND NOT coalesce(writer.meta ->> '$."closed"' = 1, FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END ELSE last.status END AS status,
       last.outcome,
       (SELECT event.meta ->> '$."spandag.redo.hypothesis"' FROM execution_events AS event
        WHERE event.run_id = last.run_id AND event.node_id = last.id AND event.event_type = 'rejected'
        ORDER BY event.seq DESC LIMIT 1) AS hypothesis,
       (SELECT event.meta ->> '$."spandag.redo.requested_by"' FROM execution_events AS event
        WHERE event.run_id = last.run_id AND event.node_id = last.id AND event.event_type = 'rejected'
        ORDER BY event.seq DESC LIMIT 1) AS requested_by,
       last.started_at,
       last.ended_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', last.started_at / 1000000000.0, 'unixepoch') AS started_time,
       CAST(last.ended_at - last.started_at AS DOUBLE PRECISION) / 1000000.0 AS duration_ms,
       last.error_type,
       last.error_message
FROM dag_nodes AS last
JOIN workflow_runs AS run ON run.id = last.run_id
LEFT JOIN dag_nodes AS first ON first.run_id = last.run_id AND first.id = last.step_node_id
WHERE last.node_type = 'step'
  AND last.disposition <> 'superseded'
  AND coalesce(last.outcome, last.status) NOT IN ('accepted', 'completed')
  AND (CASE last.status WHEN 'running' THEN CASE WHEN last.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = last.writer_id AND writer.heartbeat_at >= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000 - 15000000000
                  AND NOT coalesce(writer.meta ->> '$."closed"' = 1, FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END ELSE last.status END NOT IN ('running', 'open') OR run.ended_at IS NOT NULL)
  AND coalesce(first.outcome, '') <> 'accepted'
  AND NOT EXISTS (
      SELECT 1 FROM branches AS branch
      WHERE branch.run_id = last.run_id AND branch.source_node_id = last.step_node_id
        AND branch.status = 'accepted'
  );

CREATE VIEW v_waste AS
SELECT cost.run_id,
       node.disposition,
       node.step_node_id,
       step.name AS step,
       step.step_number,
       cost.agent_name,
       cost.model,
       count(*) AS calls, CAST(coalesce(sum(cost.input_tokens), 0) AS BIGINT) AS input_tokens, CAST(coalesce(sum(cost.output_tokens), 0) AS BIGINT) AS output_tokens, sum(cost.cost_usd) AS cost_usd, count(*) - count(cost.cost_usd) AS unpriced_calls
FROM cost_records AS cost
JOIN dag_nodes AS node ON node.run_id = cost.run_id AND node.id = cost.node_id
LEFT JOIN dag_nodes AS step ON step.run_id = node.run_id AND step.id = node.step_node_id
WHERE cost.counted AND node.disposition IN ('superseded', 'abandoned')
GROUP BY cost.run_id, node.disposition, node.step_node_id, step.name, step.step_number, cost.agent_name, cost.model;

CREATE VIEW v_events AS
SELECT node.run_id,
       node.id AS node_id,
       node.node_type,
       node.name,
       CASE node.node_type WHEN 'agent' THEN 'agent_call' WHEN 'sub_agent' THEN 'agent_call' WHEN 'llm' THEN 'llm_call' WHEN 'tool' THEN 'tool_call' WHEN 'code' THEN 'code_exec' WHEN 'approval' THEN 'approval' END AS event_type,
       'start' AS event_subtype,
       CASE WHEN node.node_type IN ('agent', 'sub_agent') THEN node.name ELSE coalesce(node.agent, cost.agent_name) END AS agent_name,
       node.started_at AS timestamp,
       strftime('%Y-%m-%dT%H:%M:%fZ', node.started_at / 1000000000.0, 'unixepoch') AS time,
       0 AS ordinal,
       CAST(NULL AS INTEGER) AS seq,
       CAST(NULL AS DOUBLE PRECISION) AS duration_ms,
       CAST(NULL AS TEXT) AS error_type,
       CAST(NULL AS TEXT) AS error_message,
       node.disposition,
       'span' AS origin,
       CAST(NULL AS JSONB) AS meta
FROM dag_nodes AS node
LEFT JOIN cost_records AS cost ON cost.run_id = node.run_id AND cost.node_id = node.id
WHERE node.node_type IN ('agent', 'sub_agent', 'llm', 'tool', 'code', 'approval')
UNION ALL
SELECT node.run_id,
       node.id AS node_id,
       node.node_type,
       node.name,
       CASE node.node_type WHEN 'agent' THEN 'agent_call' WHEN 'sub_agent' THEN 'agent_call' WHEN 'llm' THEN 'llm_call' WHEN 'tool' THEN 'tool_call' WHEN 'code' THEN 'code_exec' WHEN 'approval' THEN 'approval' END AS event_type,
       CASE node.status WHEN 'failed' THEN 'error' WHEN 'cancelled' THEN 'cancelled' ELSE 'complete' END AS event_subtype,
       CASE WHEN node.node_type IN ('agent', 'sub_agent') THEN node.name ELSE coalesce(node.agent, cost.agent_name) END AS agent_name,
       node.ended_at AS timestamp,
       strftime('%Y-%m-%dT%H:%M:%fZ', node.ended_at / 1000000000.0, 'unixepoch') AS time,
       2 AS ordinal,
       CAST(NULL AS INTEGER) AS seq,
       CAST(node.ended_at - node.started_at AS DOUBLE PRECISION) / 1000000.0 AS duration_ms,
       node.error_type AS error_type,
       node.error_message AS error_message,
       node.disposition,
       'span' AS origin,
       CAST(NULL AS JSONB) AS meta
FROM dag_nodes AS node
LEFT JOIN cost_records AS cost ON cost.run_id = node.run_id AND cost.node_id = node.id
WHERE node.node_type IN ('agent', 'sub_agent', 'llm', 'tool', 'code', 'approval') AND node.ended_at IS NOT NULL
UNION ALL
SELECT event.run_id,
       event.node_id,
       node.node_type,
       node.name,
       event.event_type,
       event.event_subtype,
       event.agent_name,
       event.timestamp,
       strftime('%Y-%m-%dT%H:%M:%fZ', event.timestamp / 1000000000.0, 'unixepoch'),
       1,
       event.seq,
       CAST(NULL AS DOUBLE PRECISION),
       CASE event.event_type WHEN 'error' THEN event.event_subtype END,
       CASE event.event_type WHEN 'error' THEN event.meta ->> '$."exception.message"' END,
       node.disposition,
       event.origin,
       event.meta
FROM execution_events AS event
LEFT JOIN dag_nodes AS node ON node.run_id = event.run_id AND node.id = event.node_id;

CREATE VIEW v_cost_by_agent AS
SELECT cost.run_id,
       cost.agent_name AS agent_name,
       count(*) AS calls,
       CAST(coalesce(sum(cost.input_tokens), 0) AS BIGINT) AS input_tokens,
       CAST(coalesce(sum(cost.output_tokens), 0) AS BIGINT) AS output_tokens,
       sum(cost.cost_usd) AS cost_usd,
       count(*) - count(cost.cost_usd) AS unpriced_calls,
       CAST(coalesce(sum(cost.cache_read_tokens), 0) AS BIGINT) AS cache_read_tokens,
       CAST(coalesce(sum(cost.cache_write_tokens), 0) AS BIGINT) AS cache_write_tokens,
       CAST(coalesce(sum(cost.reasoning_tokens), 0) AS BIGINT) AS reasoning_tokens
FROM cost_records AS cost
WHERE cost.counted
GROUP BY cost.run_id, cost.agent_name;

CREATE VIEW v_cost_by_model AS
SELECT cost.run_id,
       cost.provider AS provider,
       cost.model AS model,
       count(*) AS calls,
       CAST(coalesce(sum(cost.input_tokens), 0) AS BIGINT) AS input_tokens,
       CAST(coalesce(sum(cost.output_tokens), 0) AS BIGINT) AS output_tokens,
       sum(cost.cost_usd) AS cost_usd,
       count(*) - count(cost.cost_usd) AS unpriced_calls,
       CAST(coalesce(sum(cost.cache_read_tokens), 0) AS BIGINT) AS cache_read_tokens,
       CAST(coalesce(sum(cost.cache_write_tokens), 0) AS BIGINT) AS cache_write_tokens,
       CAST(coalesce(sum(cost.reasoning_tokens), 0) AS BIGINT) AS reasoning_tokens
FROM cost_records AS cost
WHERE cost.counted
GROUP BY cost.run_id, cost.provider, cost.model;

DROP INDEX ix_dag_nodes_agents;
DROP INDEX ix_dag_nodes_steps;
UPDATE spandag_version SET version_num = '0003' WHERE version_num = '0004';
INSERT INTO settings (key, value) VALUES ('needs_spandag', '"0.1.0"') ON CONFLICT (key) DO UPDATE SET value = excluded.value;

COMMIT;

-- Verification: every answer is ok.

SELECT 'revision 0003' AS verified, CASE WHEN count(*) = 1 THEN 'ok' ELSE 'WRONG' END AS answer
FROM spandag_version WHERE version_num = '0003';
SELECT 'tables' AS verified, CASE WHEN count(*) = 13 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'table' AND name IN ('branches', 'cost_records', 'dag_edges', 'dag_nodes', 'execution_events', 'messages', 'node_messages', 'sessions', 'settings', 'span_links', 'tombstones', 'workflow_runs', 'writers');
SELECT 'indexes' AS verified, CASE WHEN count(*) = 7 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'index' AND name IN ('ix_dag_nodes_agents', 'ix_dag_nodes_run_id_parent_node_id', 'ix_dag_nodes_run_id_started_at', 'ix_dag_nodes_steps', 'ix_workflow_runs_branch_parent_id', 'ix_workflow_runs_session_id_ended_at_started_at', 'ix_workflow_runs_session_id_started_at', 'ix_workflow_runs_session_with_user', 'ix_workflow_runs_started_at');
SELECT 'views' AS verified, CASE WHEN count(*) = 12 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'view' AND name IN ('v_active_path', 'v_attempts', 'v_branch_tree', 'v_cost_by_agent', 'v_cost_by_model', 'v_events', 'v_rates', 'v_redos', 'v_run_tree', 'v_runs', 'v_sessions', 'v_unresolved', 'v_waste');
SELECT 'columns' AS verified, CASE WHEN count(*) = 130 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master AS m, pragma_table_info(m.name) WHERE m.type = 'table' AND m.name IN ('branches', 'cost_records', 'dag_edges', 'dag_nodes', 'execution_events', 'messages', 'node_messages', 'sessions', 'settings', 'span_links', 'tombstones', 'workflow_runs', 'writers');
SELECT 'text index' AS verified, CASE WHEN count(*) = 0 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'table' AND name IN ('text_index_runs');
