-- spandag: takes back 0005 (What messages mean, beside them, so that runs are compared without reading what they said), with its data
--
-- Database:  SQLite
-- Brings:    revision 0005 to revision 0004
-- Run with:  sqlite3 -bail spandag.db < 0005_meanings.rollback.sql
-- Redo with: sqlite3 -bail spandag.db < 0005_meanings.sql
-- Drops too: the text index, where there is one: text_index, text_index_slices, text_index_runs
-- Generated from store/migrations/versions/0005_meanings.py; not to be edited.

BEGIN;

DROP TABLE IF EXISTS text_index;
DROP TABLE IF EXISTS text_index_slices;
DROP TABLE IF EXISTS text_index_runs;

ALTER TABLE node_messages DROP COLUMN meaning;
UPDATE spandag_version SET version_num = '0004' WHERE version_num = '0005';
INSERT INTO settings (key, value) VALUES ('needs_spandag', '"0.1.0"') ON CONFLICT (key) DO UPDATE SET value = excluded.value;

COMMIT;

-- Verification: every answer is ok.

SELECT 'revision 0004' AS verified, CASE WHEN count(*) = 1 THEN 'ok' ELSE 'WRONG' END AS answer
FROM spandag_version WHERE version_num = '0004';
SELECT 'tables' AS verified, CASE WHEN count(*) = 13 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'table' AND name IN ('branches', 'cost_records', 'dag_edges', 'dag_nodes', 'execution_events', 'messages', 'node_messages', 'sessions', 'settings', 'span_links', 'tombstones', 'workflow_runs', 'writers');
SELECT 'indexes' AS verified, CASE WHEN count(*) = 9 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'index' AND name IN ('ix_dag_nodes_agents', 'ix_dag_nodes_run_id_parent_node_id', 'ix_dag_nodes_run_id_started_at', 'ix_dag_nodes_steps', 'ix_workflow_runs_branch_parent_id', 'ix_workflow_runs_session_id_ended_at_started_at', 'ix_workflow_runs_session_id_started_at', 'ix_workflow_runs_session_with_user', 'ix_workflow_runs_started_at');
SELECT 'views' AS verified, CASE WHEN count(*) = 13 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'view' AND name IN ('v_active_path', 'v_attempts', 'v_branch_tree', 'v_cost_by_agent', 'v_cost_by_model', 'v_events', 'v_rates', 'v_redos', 'v_run_tree', 'v_runs', 'v_sessions', 'v_unresolved', 'v_waste');
SELECT 'columns' AS verified, CASE WHEN count(*) = 130 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master AS m, pragma_table_info(m.name) WHERE m.type = 'table' AND m.name IN ('branches', 'cost_records', 'dag_edges', 'dag_nodes', 'execution_events', 'messages', 'node_messages', 'sessions', 'settings', 'span_links', 'tombstones', 'workflow_runs', 'writers');
SELECT 'text index' AS verified, CASE WHEN count(*) = 0 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'table' AND name IN ('text_index_runs');
