-- spandag: takes back 0002 (Views, and an index for the tree of forks), with its data
--
-- Database:  SQLite
-- Brings:    revision 0002 to revision 0001
-- Run with:  sqlite3 -bail spandag.db < 0002_views.rollback.sql
-- Redo with: sqlite3 -bail spandag.db < 0002_views.sql
-- Drops too: the text index, where there is one: text_index, text_index_slices, text_index_runs
-- Generated from store/migrations/versions/0002_views.py; not to be edited.

BEGIN;

DROP TABLE IF EXISTS text_index;
DROP TABLE IF EXISTS text_index_slices;
DROP TABLE IF EXISTS text_index_runs;

DROP VIEW v_cost_by_model;
DROP VIEW v_cost_by_agent;
DROP VIEW v_branch_tree;
DROP VIEW v_events;
DROP VIEW v_waste;
DROP VIEW v_unresolved;
DROP VIEW v_redos;
DROP VIEW v_attempts;
DROP VIEW v_active_path;
DROP VIEW v_run_tree;
DROP VIEW v_sessions;
DROP VIEW v_runs;
DROP INDEX ix_workflow_runs_branch_parent_id;
UPDATE spandag_version SET version_num = '0001' WHERE version_num = '0002';
INSERT INTO settings (key, value) VALUES ('needs_spandag', '"0.1.0"') ON CONFLICT (key) DO UPDATE SET value = excluded.value;

COMMIT;

-- Verification: every answer is ok.

SELECT 'revision 0001' AS verified, CASE WHEN count(*) = 1 THEN 'ok' ELSE 'WRONG' END AS answer
FROM spandag_version WHERE version_num = '0001';
SELECT 'tables' AS verified, CASE WHEN count(*) = 12 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'table' AND name IN ('branches', 'cost_records', 'dag_edges', 'dag_nodes', 'execution_events', 'messages', 'node_messages', 'sessions', 'settings', 'span_links', 'workflow_runs', 'writers');
SELECT 'indexes' AS verified, CASE WHEN count(*) = 4 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'index' AND name IN ('ix_dag_nodes_run_id_parent_node_id', 'ix_dag_nodes_run_id_started_at', 'ix_workflow_runs_branch_parent_id', 'ix_workflow_runs_session_id_started_at', 'ix_workflow_runs_started_at');
SELECT 'views' AS verified, CASE WHEN count(*) = 0 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'view' AND name IN ('v_active_path', 'v_attempts', 'v_branch_tree', 'v_cost_by_agent', 'v_cost_by_model', 'v_events', 'v_redos', 'v_run_tree', 'v_runs', 'v_sessions', 'v_unresolved', 'v_waste');
SELECT 'columns' AS verified, CASE WHEN count(*) = 126 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master AS m, pragma_table_info(m.name) WHERE m.type = 'table' AND m.name IN ('branches', 'cost_records', 'dag_edges', 'dag_nodes', 'execution_events', 'messages', 'node_messages', 'sessions', 'settings', 'span_links', 'workflow_runs', 'writers');
SELECT 'text index' AS verified, CASE WHEN count(*) = 0 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'table' AND name IN ('text_index_runs');
