-- spandag: takes back 0001 (The first schema: all tables), with its data
--
-- Database:  PostgreSQL
-- Brings:    revision 0001 to an empty database
-- Run with:  psql -v ON_ERROR_STOP=1 -d DATABASE -f 0001_first_schema.rollback.sql
-- Redo with: psql -v ON_ERROR_STOP=1 -d DATABASE -f 0001_first_schema.sql
-- Drops too: the text index, where there is one: text_index, text_index_slices, text_index_runs
-- Generated from store/migrations/versions/0001_first_schema.py; not to be edited.

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
FROM pg_tables WHERE schemaname = current_schema() AND tablename IN ('branches', 'cost_records', 'dag_edges', 'dag_nodes', 'execution_events', 'messages', 'node_messages', 'sessions', 'settings', 'span_links', 'workflow_runs', 'writers');
SELECT 'indexes' AS verified, CASE WHEN count(*) = 0 THEN 'ok' ELSE 'WRONG' END AS answer
FROM pg_indexes WHERE schemaname = current_schema() AND indexname IN ('ix_dag_nodes_run_id_parent_node_id', 'ix_dag_nodes_run_id_started_at', 'ix_workflow_runs_session_id_started_at', 'ix_workflow_runs_started_at');
SELECT 'columns' AS verified, CASE WHEN count(*) = 0 THEN 'ok' ELSE 'WRONG' END AS answer
FROM information_schema.columns WHERE table_schema = current_schema() AND table_name IN ('branches', 'cost_records', 'dag_edges', 'dag_nodes', 'execution_events', 'messages', 'node_messages', 'sessions', 'settings', 'span_links', 'workflow_runs', 'writers');
SELECT 'text index' AS verified, CASE WHEN count(*) = 0 THEN 'ok' ELSE 'WRONG' END AS answer
FROM pg_tables WHERE schemaname = current_schema() AND tablename IN ('text_index_runs');
