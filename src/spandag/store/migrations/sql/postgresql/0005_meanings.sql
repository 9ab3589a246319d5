-- spandag: What messages mean, beside them, so that runs are compared without reading what they said
--
-- Database:  PostgreSQL
-- Brings:    revision 0004 to revision 0005
-- Run with:  psql -v ON_ERROR_STOP=1 -d DATABASE -f 0005_meanings.sql
-- Undo with: psql -v ON_ERROR_STOP=1 -d DATABASE -f 0005_meanings.rollback.sql
-- Needs:     spandag 0.1.0 or newer
-- Generated from store/migrations/versions/0005_meanings.py; not to be edited.

BEGIN;

ALTER TABLE node_messages ADD COLUMN meaning BYTEA;
COMMENT ON COLUMN node_messages.meaning IS 'the same for lists that mean the same: but for ids of tool calls and how JSON is written; NULL where it is not known';
COMMENT ON COLUMN workflow_runs.derived_version IS 'facts_version last derived; negative while a large run is written';
UPDATE spandag_version SET version_num = '0005' WHERE version_num = '0004';
INSERT INTO settings (key, value) VALUES ('needs_spandag', '"0.1.0"') ON CONFLICT (key) DO UPDATE SET value = excluded.value;

COMMIT;

-- Verification: every answer is ok.

SELECT 'revision 0005' AS verified, CASE WHEN count(*) = 1 THEN 'ok' ELSE 'WRONG' END AS answer
FROM spandag_version WHERE version_num = '0005';
SELECT 'tables' AS verified, CASE WHEN count(*) = 13 THEN 'ok' ELSE 'WRONG' END AS answer
FROM pg_tables WHERE schemaname = current_schema() AND tablename IN ('branches', 'cost_records', 'dag_edges', 'dag_nodes', 'execution_events', 'messages', 'node_messages', 'sessions', 'settings', 'span_links', 'tombstones', 'workflow_runs', 'writers');
SELECT 'indexes' AS verified, CASE WHEN count(*) = 9 THEN 'ok' ELSE 'WRONG' END AS answer
FROM pg_indexes WHERE schemaname = current_schema() AND indexname IN ('ix_dag_nodes_agents', 'ix_dag_nodes_run_id_parent_node_id', 'ix_dag_nodes_run_id_started_at', 'ix_dag_nodes_steps', 'ix_workflow_runs_branch_parent_id', 'ix_workflow_runs_session_id_ended_at_started_at', 'ix_workflow_runs_session_id_started_at', 'ix_workflow_runs_session_with_user', 'ix_workflow_runs_started_at');
SELECT 'views' AS verified, CASE WHEN count(*) = 13 THEN 'ok' ELSE 'WRONG' END AS answer
FROM pg_views WHERE schemaname = current_schema() AND viewname IN ('v_active_path', 'v_attempts', 'v_branch_tree', 'v_cost_by_agent', 'v_cost_by_model', 'v_events', 'v_rates', 'v_redos', 'v_run_tree', 'v_runs', 'v_sessions', 'v_unresolved', 'v_waste');
SELECT 'columns' AS verified, CASE WHEN count(*) = 131 THEN 'ok' ELSE 'WRONG' END AS answer
FROM information_schema.columns WHERE table_schema = current_schema() AND table_name IN ('branches', 'cost_records', 'dag_edges', 'dag_nodes', 'execution_events', 'messages', 'node_messages', 'sessions', 'settings', 'span_links', 'tombstones', 'workflow_runs', 'writers');
