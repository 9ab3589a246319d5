-- spandag: takes back 0001 (The first schema: all tables), with its data
--
-- Database:  SQLite
-- Brings:    revision 0001 to an empty database
-- Run with:  sqlite3 -bail spandag.db < 0001_first_schema.rollback.sql
-- Redo with: sqlite3 -bail spandag.db < 0001_first_schema.sql
-- Drops too: the text index, where there is one: text_index, text_index_slices, text_index_runs
-- Generated from store/migrations/versions/0001_first_schema.py; not to be edited.

BEGIN;

DROP TABLE IF EXISTS text_index;
DROP TABLE IF EXISTS text_index_slices;
DROP TABLE IF EXISTS text_index_runs;

DROP TABLE writers;
DROP INDEX ix_workflow_runs_started_at;
DROP INDEX ix_workflow_runs_session_id_started_at;
DROP TABLE workflow_runs;
DROP TABLE span_links;
DROP TABLE settings;
DROP TABLE sessions;
DROP TABLE node_messages;
DROP TABLE messages;
DROP TABLE execution_events;
DROP INDEX ix_dag_nodes_run_id_started_at;
DROP INDEX ix_dag_nodes_run_id_parent_node_id;
DROP TABLE dag_nodes;
DROP TABLE dag_edges;
DROP TABLE cost_records;
DROP TABLE branches;
DELETE FROM spandag_version WHERE version_num = '0001';

COMMIT;

-- Verification: every answer is ok.

SELECT 'revision base' AS verified, CASE WHEN count(*) = 0 THEN 'ok' ELSE 'WRONG' END AS answer
FROM spandag_version;
SELECT 'tables' AS verified, CASE WHEN count(*) = 0 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'table' AND name IN ('branches', 'cost_records', 'dag_edges', 'dag_nodes', 'execution_events', 'messages', 'node_messages', 'sessions', 'settings', 'span_links', 'workflow_runs', 'writers');
SELECT 'indexes' AS verified, CASE WHEN count(*) = 0 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'index' AND name IN ('ix_dag_nodes_run_id_parent_node_id', 'ix_dag_nodes_run_id_started_at', 'ix_workflow_runs_session_id_started_at', 'ix_workflow_runs_started_at');
SELECT 'columns' AS verified, CASE WHEN count(*) = 0 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master AS m, pragma_table_info(m.name) WHERE m.type = 'table' AND m.name IN ('branches', 'cost_records', 'dag_edges', 'dag_nodes', 'execution_events', 'messages', 'node_messages', 'sessions', 'settings', 'span_links', 'workflow_runs', 'writers');
SELECT 'text index' AS verified, CASE WHEN count(*) = 0 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'table' AND name IN ('text_index_runs');
