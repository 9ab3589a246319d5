-- spandag: The first schema: all tables
--
-- Database:  SQLite
-- Brings:    an empty database to revision 0001
-- Run with:  sqlite3 -bail spandag.db < 0001_first_schema.sql
-- Undo with: sqlite3 -bail spandag.db < 0001_first_schema.rollback.sql
-- Needs:     spandag 0.1.0 or newer
-- Generated from store/migrations/versions/0001_first_schema.py; not to be edited.

BEGIN;

CREATE TABLE branches (
    run_id TEXT NOT NULL,
    branch_node_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    source_node_id TEXT,
    child_run_id TEXT,
    number BIGINT,
    branch_name TEXT,
    hypothesis TEXT,
    requested_by TEXT,
    status TEXT NOT NULL,
    group_id TEXT,
    score DOUBLE,
    won BOOLEAN,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    CONSTRAINT pk_branches PRIMARY KEY (run_id, branch_node_id)
);

CREATE TABLE cost_records (
    run_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    model TEXT,
    provider TEXT,
    agent_name TEXT,
    input_tokens BIGINT,
    output_tokens BIGINT,
    cache_read_tokens BIGINT,
    cache_write_tokens BIGINT,
    reasoning_tokens BIGINT,
    cost_usd DOUBLE,
    counted BOOLEAN DEFAULT 1 NOT NULL,
    price_source TEXT,
    timestamp BIGINT NOT NULL,
    CONSTRAINT pk_cost_records PRIMARY KEY (run_id, node_id)
);

CREATE TABLE dag_edges (
    run_id TEXT NOT NULL,
    from_node_id TEXT NOT NULL,
    to_node_id TEXT NOT NULL,
    dependency_type TEXT NOT NULL,
    condition TEXT,
    CONSTRAINT pk_dag_edges PRIMARY KEY (run_id, from_node_id, to_node_id, dependency_type)
);

CREATE TABLE dag_nodes (
    run_id TEXT NOT NULL,
    id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    parent_span_id TEXT,
    parent_node_id TEXT,
    depth INTEGER,
    order_index INTEGER,
    step_node_id TEXT,
    branch_id TEXT,
    disposition TEXT,
    node_type TEXT NOT NULL,
    name TEXT NOT NULL,
    span_name TEXT,
    agent TEXT,
    status TEXT NOT NULL,
    step_id TEXT,
    step_number BIGINT,
    attempt BIGINT,
    outcome TEXT,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    model TEXT,
    provider TEXT,
    session_id TEXT,
    user_id TEXT,
    error_type TEXT,
    error_message TEXT,
    input_preview TEXT,
    output_preview TEXT,
    attributes JSON,
    meta JSON,
    scope TEXT,
    writer_id TEXT,
    CONSTRAINT pk_dag_nodes PRIMARY KEY (run_id, id)
);

CREATE INDEX ix_dag_nodes_run_id_parent_node_id ON dag_nodes (run_id, parent_node_id);
CREATE INDEX ix_dag_nodes_run_id_started_at ON dag_nodes (run_id, started_at);

CREATE TABLE execution_events (
    run_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    event_subtype TEXT,
    agent_name TEXT,
    timestamp BIGINT,
    origin TEXT NOT NULL,
    meta JSON,
    CONSTRAINT pk_execution_events PRIMARY KEY (run_id, node_id, seq)
);

CREATE TABLE messages (
    run_id TEXT NOT NULL,
    hash BLOB NOT NULL,
    role TEXT,
    format TEXT NOT NULL,
    content TEXT NOT NULL,
    CONSTRAINT pk_messages PRIMARY KEY (run_id, hash)
);

CREATE TABLE node_messages (
    run_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    hashes BLOB NOT NULL,
    sender TEXT,
    recipient TEXT,
    CONSTRAINT pk_node_messages PRIMARY KEY (run_id, node_id, direction)
);

CREATE TABLE sessions (
    id TEXT NOT NULL,
    name TEXT,
    task TEXT,
    user_id TEXT,
    started_at BIGINT,
    last_active_at BIGINT,
    status TEXT,
    meta JSON,
    CONSTRAINT pk_sessions PRIMARY KEY (id)
);

CREATE TABLE settings (
    "key" TEXT NOT NULL,
    value JSON,
    CONSTRAINT pk_settings PRIMARY KEY ("key")
);

CREATE TABLE span_links (
    run_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    linked_run_id TEXT NOT NULL,
    linked_span_id TEXT NOT NULL,
    link_type TEXT,
    attributes JSON,
    CONSTRAINT pk_span_links PRIMARY KEY (run_id, node_id, seq)
);

CREATE TABLE workflow_runs (
    id TEXT NOT NULL,
    root_node_id TEXT,
    name TEXT,
    task TEXT,
    status TEXT,
    started_at BIGINT,
    ended_at BIGINT,
    session_id TEXT,
    user_id TEXT,
    branch_parent_id TEXT,
    is_branch BOOLEAN DEFAULT 0 NOT NULL,
    branch_depth INTEGER DEFAULT '0' NOT NULL,
    root_run_id TEXT,
    facts_version BIGINT DEFAULT '0' NOT NULL,
    derived_version BIGINT DEFAULT '0' NOT NULL,
    meta JSON,
    CONSTRAINT pk_workflow_runs PRIMARY KEY (id)
);

CREATE INDEX ix_workflow_runs_session_id_started_at ON workflow_runs (session_id, started_at);
CREATE INDEX ix_workflow_runs_started_at ON workflow_runs (started_at);

CREATE TABLE writers (
    id TEXT NOT NULL,
    host TEXT,
    pid INTEGER,
    started_at BIGINT,
    heartbeat_at BIGINT,
    meta JSON,
    CONSTRAINT pk_writers PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS spandag_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT spandag_version_pkc PRIMARY KEY (version_num)
);

INSERT INTO spandag_version (version_num) VALUES ('0001');
INSERT INTO settings (key, value) VALUES ('needs_spandag', '"0.1.0"') ON CONFLICT (key) DO UPDATE SET value = excluded.value;

COMMIT;

-- Verification: every answer is ok.

SELECT 'revision 0001' AS verified, CASE WHEN count(*) = 1 THEN 'ok' ELSE 'WRONG' END AS answer
FROM spandag_version WHERE version_num = '0001';
SELECT 'tables' AS verified, CASE WHEN count(*) = 12 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'table' AND name IN ('branches', 'cost_records', 'dag_edges', 'dag_nodes', 'execution_events', 'messages', 'node_messages', 'sessions', 'settings', 'span_links', 'workflow_runs', 'writers');
SELECT 'indexes' AS verified, CASE WHEN count(*) = 4 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master WHERE type = 'index' AND name IN ('ix_dag_nodes_run_id_parent_node_id', 'ix_dag_nodes_run_id_started_at', 'ix_workflow_runs_session_id_started_at', 'ix_workflow_runs_started_at');
SELECT 'columns' AS verified, CASE WHEN count(*) = 126 THEN 'ok' ELSE 'WRONG' END AS answer
FROM sqlite_master AS m, pragma_table_info(m.name) WHERE m.type = 'table' AND m.name IN ('branches', 'cost_records', 'dag_edges', 'dag_nodes', 'execution_events', 'messages', 'node_messages', 'sessions', 'settings', 'span_links', 'workflow_runs', 'writers');
