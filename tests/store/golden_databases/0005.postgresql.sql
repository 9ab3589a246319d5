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
    score DOUBLE PRECISION,
    won BOOLEAN,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    CONSTRAINT pk_branches PRIMARY KEY (run_id, branch_node_id)
);

COMMENT ON TABLE branches IS 'Redos and forks.';
COMMENT ON COLUMN branches.run_id IS 'the run: the trace id, 32 hexadecimal digits';
COMMENT ON COLUMN branches.branch_node_id IS 'the branch point in dag_nodes';
COMMENT ON COLUMN branches.kind IS 'redo or fork';
COMMENT ON COLUMN branches.source_node_id IS 'attempt 1 of the step; where a fork starts from';
COMMENT ON COLUMN branches.child_run_id IS 'of a fork the new run';
COMMENT ON COLUMN branches.number IS '1 for the first redo';
COMMENT ON COLUMN branches.branch_name IS 'redo_1 …';
COMMENT ON COLUMN branches.hypothesis IS 'why another attempt should do better';
COMMENT ON COLUMN branches.requested_by IS 'who asked for it';
COMMENT ON COLUMN branches.status IS 'active, accepted, rejected, failed, abandoned or exhausted';
COMMENT ON COLUMN branches.group_id IS 'branches that were tried against each other';
COMMENT ON COLUMN branches.score IS 'within the group';
COMMENT ON COLUMN branches.won IS 'within the group';
COMMENT ON COLUMN branches.started_at IS 'Unix ns';
COMMENT ON COLUMN branches.ended_at IS 'Unix ns; NULL while active';

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
    cost_usd DOUBLE PRECISION,
    counted BOOLEAN DEFAULT true NOT NULL,
    price_source TEXT,
    timestamp BIGINT NOT NULL,
    CONSTRAINT pk_cost_records PRIMARY KEY (run_id, node_id)
);

COMMENT ON TABLE cost_records IS 'Tokens and cost of the model calls that say them.';
COMMENT ON COLUMN cost_records.run_id IS 'the run: the trace id, 32 hexadecimal digits';
COMMENT ON COLUMN cost_records.node_id IS 'dag_nodes.id of a model call';
COMMENT ON COLUMN cost_records.model IS 'as dag_nodes.model';
COMMENT ON COLUMN cost_records.provider IS 'as dag_nodes.provider';
COMMENT ON COLUMN cost_records.agent_name IS 'the agent of the call, else the nearest above it';
COMMENT ON COLUMN cost_records.input_tokens IS 'cached ones included; NULL where not said';
COMMENT ON COLUMN cost_records.output_tokens IS 'reasoning included; NULL where not said';
COMMENT ON COLUMN cost_records.cache_read_tokens IS 'input that came from the provider''s cache';
COMMENT ON COLUMN cost_records.cache_write_tokens IS 'input written to the provider''s cache';
COMMENT ON COLUMN cost_records.reasoning_tokens IS 'output spent on reasoning';
COMMENT ON COLUMN cost_records.cost_usd IS 'NULL where no price is known';
COMMENT ON COLUMN cost_records.counted IS 'false below a model call that has usage of its own';
COMMENT ON COLUMN cost_records.price_source IS 'span, user, genai-prices or provider; NULL without a price';
COMMENT ON COLUMN cost_records.timestamp IS 'Unix ns: when the call ended';

CREATE TABLE dag_edges (
    run_id TEXT NOT NULL,
    from_node_id TEXT NOT NULL,
    to_node_id TEXT NOT NULL,
    dependency_type TEXT NOT NULL,
    condition TEXT,
    CONSTRAINT pk_dag_edges PRIMARY KEY (run_id, from_node_id, to_node_id, dependency_type)
);

COMMENT ON TABLE dag_edges IS 'What led to what among siblings; the parent is in dag_nodes.';
COMMENT ON COLUMN dag_edges.run_id IS 'the run: the trace id, 32 hexadecimal digits';
COMMENT ON COLUMN dag_edges.from_node_id IS 'dag_nodes.id';
COMMENT ON COLUMN dag_edges.to_node_id IS 'dag_nodes.id';
COMMENT ON COLUMN dag_edges.dependency_type IS 'sequential, parallel, handoff (all derived), conditional or optional';
COMMENT ON COLUMN dag_edges.condition IS 'of a conditional edge: branch_redo_1 …';

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
    attributes JSONB,
    meta JSONB,
    scope TEXT,
    writer_id TEXT,
    CONSTRAINT pk_dag_nodes PRIMARY KEY (run_id, id)
);

COMMENT ON TABLE dag_nodes IS 'One span each, and one branch point for each redo.';
COMMENT ON COLUMN dag_nodes.run_id IS 'the run: the trace id, 32 hexadecimal digits';
COMMENT ON COLUMN dag_nodes.id IS 'the span id, 16 hexadecimal digits; of a branch point: bp: and the redo''s span id';
COMMENT ON COLUMN dag_nodes.span_id IS 'the span; of a branch point the redo''s';
COMMENT ON COLUMN dag_nodes.parent_span_id IS 'the parent as recorded, stored or not';
COMMENT ON COLUMN dag_nodes.parent_node_id IS 'the parent in the tree; NULL at the top';
COMMENT ON COLUMN dag_nodes.depth IS '0 at the top';
COMMENT ON COLUMN dag_nodes.order_index IS 'place among its siblings by start, from 0; a branch point has its step''s, so order by (order_index, attempt)';
COMMENT ON COLUMN dag_nodes.step_node_id IS 'the step that this is part of: attempt 1 of the nearest step';
COMMENT ON COLUMN dag_nodes.branch_id IS 'the nearest branch point above, NULL on the first path';
COMMENT ON COLUMN dag_nodes.disposition IS 'active, abandoned or superseded: worst of its own and its ancestors''';
COMMENT ON COLUMN dag_nodes.node_type IS 'spandag.semconv.NodeType';
COMMENT ON COLUMN dag_nodes.name IS 'of the agent, tool, model, step …';
COMMENT ON COLUMN dag_nodes.span_name IS 'the span''s own name; NULL for a branch point';
COMMENT ON COLUMN dag_nodes.agent IS 'the agent at work, as recorded on this span';
COMMENT ON COLUMN dag_nodes.status IS 'pending, running, completed, failed, cancelled or skipped';
COMMENT ON COLUMN dag_nodes.step_id IS 'spandag.step.id: span id of attempt 1, on steps and branch points';
COMMENT ON COLUMN dag_nodes.step_number IS 'of a step within its phase; of an iteration within its agent';
COMMENT ON COLUMN dag_nodes.attempt IS 'of a step and its branch point, from 1';
COMMENT ON COLUMN dag_nodes.outcome IS 'of an attempt: accepted, rejected, failed or cancelled';
COMMENT ON COLUMN dag_nodes.started_at IS 'Unix ns';
COMMENT ON COLUMN dag_nodes.ended_at IS 'Unix ns; NULL while it is running';
COMMENT ON COLUMN dag_nodes.model IS 'the model asked for, else the one that answered';
COMMENT ON COLUMN dag_nodes.provider IS 'gen_ai.provider.name';
COMMENT ON COLUMN dag_nodes.session_id IS 'session.id, else gen_ai.conversation.id, as recorded on this span';
COMMENT ON COLUMN dag_nodes.user_id IS 'user.id as recorded on this span';
COMMENT ON COLUMN dag_nodes.error_type IS 'error.type, else the exception''s';
COMMENT ON COLUMN dag_nodes.error_message IS 'the exception''s message, else the status description';
COMMENT ON COLUMN dag_nodes.input_preview IS 'the last message that went in, at most 4,096 characters';
COMMENT ON COLUMN dag_nodes.output_preview IS 'the last message that came out, at most 4,096 characters';
COMMENT ON COLUMN dag_nodes.attributes IS 'the span''s attributes without content and without secrets';
COMMENT ON COLUMN dag_nodes.meta IS 'span: kind, flags, service …; branch point: branch_name, hypothesis, source_node_id';
COMMENT ON COLUMN dag_nodes.scope IS 'name of the instrumentation scope';
COMMENT ON COLUMN dag_nodes.writer_id IS 'writers.id of the process that holds the span open';
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
    meta JSONB,
    CONSTRAINT pk_execution_events PRIMARY KEY (run_id, node_id, seq)
);

COMMENT ON TABLE execution_events IS 'Span events, and the changes of model that follow from the calls.';
COMMENT ON COLUMN execution_events.run_id IS 'the run: the trace id, 32 hexadecimal digits';
COMMENT ON COLUMN execution_events.node_id IS 'dag_nodes.id';
COMMENT ON COLUMN execution_events.seq IS 'place among the span''s events from 0; negative where derived';
COMMENT ON COLUMN execution_events.event_type IS 'error for an exception, else the event''s name';
COMMENT ON COLUMN execution_events.event_subtype IS 'the exception''s type; transfer for a handoff';
COMMENT ON COLUMN execution_events.agent_name IS 'the agent it is about';
COMMENT ON COLUMN execution_events.timestamp IS 'Unix ns';
COMMENT ON COLUMN execution_events.origin IS 'recorded or derived';
COMMENT ON COLUMN execution_events.meta IS 'the event''s attributes';

CREATE TABLE messages (
    run_id TEXT NOT NULL,
    hash BYTEA NOT NULL,
    role TEXT,
    format TEXT NOT NULL,
    content TEXT NOT NULL,
    CONSTRAINT pk_messages PRIMARY KEY (run_id, hash)
);

COMMENT ON TABLE messages IS 'Each message once a run, however many calls repeat the history.';
COMMENT ON COLUMN messages.run_id IS 'the run: the trace id, 32 hexadecimal digits';
COMMENT ON COLUMN messages.hash IS 'blake2b of format and content, 16 bytes';
COMMENT ON COLUMN messages.role IS 'of a message that has one';
COMMENT ON COLUMN messages.format IS 'message: JSON of the GenAI conventions; text: as it was recorded';
COMMENT ON COLUMN messages.content IS 'whole';

CREATE TABLE node_messages (
    run_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    hashes BYTEA NOT NULL,
    sender TEXT,
    recipient TEXT,
    CONSTRAINT pk_node_messages PRIMARY KEY (run_id, node_id, direction)
);

COMMENT ON TABLE node_messages IS 'Which messages went into and came out of a node.';
COMMENT ON COLUMN node_messages.run_id IS 'the run: the trace id, 32 hexadecimal digits';
COMMENT ON COLUMN node_messages.node_id IS 'dag_nodes.id';
COMMENT ON COLUMN node_messages.direction IS 'system, tools, input or output';
COMMENT ON COLUMN node_messages.hashes IS 'messages.hash in order, 16 bytes each';
COMMENT ON COLUMN node_messages.sender IS 'of messages between agents';
COMMENT ON COLUMN node_messages.recipient IS 'of messages between agents';

CREATE TABLE sessions (
    id TEXT NOT NULL,
    name TEXT,
    task TEXT,
    user_id TEXT,
    started_at BIGINT,
    last_active_at BIGINT,
    status TEXT,
    meta JSONB,
    CONSTRAINT pk_sessions PRIMARY KEY (id)
);

COMMENT ON TABLE sessions IS 'Runs that belong together for a user.';
COMMENT ON COLUMN sessions.id IS 'session.id, else gen_ai.conversation.id, of a run''s topmost node';
COMMENT ON COLUMN sessions.name IS 'name of the session''s first run';
COMMENT ON COLUMN sessions.task IS 'task of the session''s first run';
COMMENT ON COLUMN sessions.user_id IS 'user.id of the first run that has one';
COMMENT ON COLUMN sessions.started_at IS 'when its first run started';
COMMENT ON COLUMN sessions.last_active_at IS 'when its last run ended, or started if it runs';
COMMENT ON COLUMN sessions.status IS 'active while a run of it is running, else idle';
COMMENT ON COLUMN sessions.meta IS 'free';

CREATE TABLE settings (
    key TEXT NOT NULL,
    value JSONB,
    CONSTRAINT pk_settings PRIMARY KEY (key)
);

COMMENT ON TABLE settings IS 'Retention and other settings of the store itself.';
COMMENT ON COLUMN settings.key IS 'name of the setting';
COMMENT ON COLUMN settings.value IS 'its value';

CREATE TABLE span_links (
    run_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    linked_run_id TEXT NOT NULL,
    linked_span_id TEXT NOT NULL,
    link_type TEXT,
    attributes JSONB,
    CONSTRAINT pk_span_links PRIMARY KEY (run_id, node_id, seq)
);

COMMENT ON TABLE span_links IS 'Span links as recorded.';
COMMENT ON COLUMN span_links.run_id IS 'the run: the trace id, 32 hexadecimal digits';
COMMENT ON COLUMN span_links.node_id IS 'dag_nodes.id';
COMMENT ON COLUMN span_links.seq IS 'place among the span''s links from 0';
COMMENT ON COLUMN span_links.linked_run_id IS 'trace id of the target';
COMMENT ON COLUMN span_links.linked_span_id IS 'span id of the target';
COMMENT ON COLUMN span_links.link_type IS 'spandag.link.type: redo_of, fork_of, started_by';
COMMENT ON COLUMN span_links.attributes IS 'the link''s attributes';

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
    is_branch BOOLEAN DEFAULT false NOT NULL,
    branch_depth INTEGER DEFAULT '0' NOT NULL,
    root_run_id TEXT,
    facts_version BIGINT DEFAULT '0' NOT NULL,
    derived_version BIGINT DEFAULT '0' NOT NULL,
    meta JSONB,
    CONSTRAINT pk_workflow_runs PRIMARY KEY (id)
);

COMMENT ON TABLE workflow_runs IS 'One trace each.';
COMMENT ON COLUMN workflow_runs.id IS 'the trace id, 32 hexadecimal digits';
COMMENT ON COLUMN workflow_runs.root_node_id IS 'topmost run node, else topmost GenAI node; NULL: not listed';
COMMENT ON COLUMN workflow_runs.name IS 'of the root node';
COMMENT ON COLUMN workflow_runs.task IS 'what the run was asked to do: spandag.run.task, else the root node''s input';
COMMENT ON COLUMN workflow_runs.status IS 'running, completed, failed or cancelled, as the root node';
COMMENT ON COLUMN workflow_runs.started_at IS 'Unix ns';
COMMENT ON COLUMN workflow_runs.ended_at IS 'Unix ns; NULL while the run is running';
COMMENT ON COLUMN workflow_runs.session_id IS 'sessions.id';
COMMENT ON COLUMN workflow_runs.user_id IS 'user.id of the root node';
COMMENT ON COLUMN workflow_runs.branch_parent_id IS 'the run that this one was forked from';
COMMENT ON COLUMN workflow_runs.is_branch IS 'whether this run is a fork';
COMMENT ON COLUMN workflow_runs.branch_depth IS 'how many forks deep';
COMMENT ON COLUMN workflow_runs.root_run_id IS 'first run of the chain of forks; itself where there is none';
COMMENT ON COLUMN workflow_runs.facts_version IS 'grows with every write of facts';
COMMENT ON COLUMN workflow_runs.derived_version IS 'facts_version last derived';
COMMENT ON COLUMN workflow_runs.meta IS 'free';
CREATE INDEX ix_workflow_runs_session_id_started_at ON workflow_runs (session_id, started_at);
CREATE INDEX ix_workflow_runs_started_at ON workflow_runs (started_at);

CREATE TABLE writers (
    id TEXT NOT NULL,
    host TEXT,
    pid INTEGER,
    started_at BIGINT,
    heartbeat_at BIGINT,
    meta JSONB,
    CONSTRAINT pk_writers PRIMARY KEY (id)
);

COMMENT ON TABLE writers IS 'Processes that hold spans open.';
COMMENT ON COLUMN writers.id IS 'a writing process';
COMMENT ON COLUMN writers.host IS 'host name';
COMMENT ON COLUMN writers.pid IS 'process id';
COMMENT ON COLUMN writers.started_at IS 'Unix ns by the database''s clock';
COMMENT ON COLUMN writers.heartbeat_at IS 'Unix ns by the database''s clock';
COMMENT ON COLUMN writers.meta IS 'free';

CREATE TABLE IF NOT EXISTS spandag_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT spandag_version_pkc PRIMARY KEY (version_num)
);

INSERT INTO spandag_version (version_num) VALUES ('0001');
INSERT INTO settings (key, value) VALUES ('needs_spandag', '"0.1.0"') ON CONFLICT (key) DO UPDATE SET value = excluded.value;

CREATE INDEX ix_workflow_runs_branch_parent_id ON workflow_runs (branch_parent_id);

CREATE VIEW v_runs AS
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

CREATE VIEW v_sessions AS
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

CREATE VIEW v_run_tree AS
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

CREATE VIEW v_active_path AS
SELECT run_id,
       run_name,
       position,
       level - redo_depth AS level,
       node_id,
       node_type,
       name,
       agent,
       status,
       step_number,
       attempt,
       outcome,
       started_at,
       ended_at,
       duration_ms,
       model,
       provider,
       input_tokens,
       output_tokens,
       cost_usd
FROM v_run_tree
WHERE disposition = 'active' AND node_type <> 'branch_point';

CREATE VIEW v_attempts AS
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

CREATE VIEW v_redos AS
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
       to_timestamp(CAST(node.started_at AS DOUBLE PRECISION) / 1000000000.0) AS time,
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
       to_timestamp(CAST(node.ended_at AS DOUBLE PRECISION) / 1000000000.0) AS time,
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
       to_timestamp(CAST(event.timestamp AS DOUBLE PRECISION) / 1000000000.0),
       1,
       event.seq,
       CAST(NULL AS DOUBLE PRECISION),
       CASE event.event_type WHEN 'error' THEN event.event_subtype END,
       CASE event.event_type WHEN 'error' THEN event.meta ->> 'exception.message' END,
       node.disposition,
       event.origin,
       event.meta
FROM execution_events AS event
LEFT JOIN dag_nodes AS node ON node.run_id = event.run_id AND node.id = event.node_id;

CREATE VIEW v_branch_tree AS
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

UPDATE spandag_version SET version_num = '0002' WHERE version_num = '0001';
INSERT INTO settings (key, value) VALUES ('needs_spandag', '"0.1.0"') ON CONFLICT (key) DO UPDATE SET value = excluded.value;

CREATE TABLE tombstones (
    run_id TEXT NOT NULL,
    pruned_at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    nodes INTEGER NOT NULL,
    CONSTRAINT pk_tombstones PRIMARY KEY (run_id)
);

COMMENT ON TABLE tombstones IS 'Runs that were removed, so that late spans do not bring them back.';
COMMENT ON COLUMN tombstones.run_id IS 'the run that was removed: the trace id, 32 hexadecimal digits';
COMMENT ON COLUMN tombstones.pruned_at IS 'Unix ns by the database''s clock';
COMMENT ON COLUMN tombstones.reason IS 'age, size or asked';
COMMENT ON COLUMN tombstones.nodes IS 'how many nodes it had';
CREATE INDEX ix_workflow_runs_session_id_ended_at_started_at ON workflow_runs (session_id, ended_at, started_at);
CREATE INDEX ix_workflow_runs_session_with_user ON workflow_runs (session_id, started_at) WHERE user_id IS NOT NULL;
COMMENT ON COLUMN branches.branch_node_id IS 'dag_nodes.id: of a redo the branch point, of a fork the root of the new run';
COMMENT ON COLUMN branches.source_node_id IS 'attempt 1 of the step; of a fork the node of the other run that it goes on from';
COMMENT ON COLUMN branches.branch_name IS 'redo_1 …; of a fork the run''s name';

CREATE OR REPLACE VIEW v_runs AS
SELECT run.id AS run_id,
       run.name,
       run.task,
       CASE run.status WHEN 'running' THEN (
           SELECT CASE top.node_type WHEN 'run' THEN CASE WHEN top.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = top.writer_id AND writer.heartbeat_at >= CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT) * 1000 - 15000000000
                  AND NOT coalesce(writer.meta ->> 'closed' = 'true', FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END ELSE (
               SELECT CASE max(CASE CASE WHEN part.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = part.writer_id AND writer.heartbeat_at >= CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT) * 1000 - 15000000000
                  AND NOT coalesce(writer.meta ->> 'closed' = 'true', FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END WHEN 'running' THEN 2 WHEN 'interrupted' THEN 1 ELSE 0 END)
                   WHEN 2 THEN 'running' WHEN 1 THEN 'interrupted' ELSE 'open' END
               FROM dag_nodes AS part
               LEFT JOIN dag_nodes AS higher ON higher.run_id = part.run_id AND higher.id = part.parent_node_id
               WHERE part.run_id = top.run_id AND part.ended_at IS NULL AND part.node_type NOT IN ('span', 'branch_point')
                 AND (higher.id IS NULL OR higher.node_type IN ('span', 'branch_point'))
           ) END
           FROM dag_nodes AS top WHERE top.run_id = run.id AND top.id = run.root_node_id
       ) ELSE run.status END AS status,
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
       CASE WHEN session.status = 'active' AND NOT EXISTS (
           SELECT 1 FROM workflow_runs AS run
           WHERE run.session_id = session.id AND run.ended_at IS NULL
             AND CASE run.status WHEN 'running' THEN (
           SELECT CASE top.node_type WHEN 'run' THEN CASE WHEN top.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = top.writer_id AND writer.heartbeat_at >= CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT) * 1000 - 15000000000
                  AND NOT coalesce(writer.meta ->> 'closed' = 'true', FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END ELSE (
               SELECT CASE max(CASE CASE WHEN part.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = part.writer_id AND writer.heartbeat_at >= CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT) * 1000 - 15000000000
                  AND NOT coalesce(writer.meta ->> 'closed' = 'true', FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END WHEN 'running' THEN 2 WHEN 'interrupted' THEN 1 ELSE 0 END)
                   WHEN 2 THEN 'running' WHEN 1 THEN 'interrupted' ELSE 'open' END
               FROM dag_nodes AS part
               LEFT JOIN dag_nodes AS higher ON higher.run_id = part.run_id AND higher.id = part.parent_node_id
               WHERE part.run_id = top.run_id AND part.ended_at IS NULL AND part.node_type NOT IN ('span', 'branch_point')
                 AND (higher.id IS NULL OR higher.node_type IN ('span', 'branch_point'))
           ) END
           FROM dag_nodes AS top WHERE top.run_id = run.id AND top.id = run.root_node_id
       ) ELSE run.status END <> 'interrupted'
       ) THEN 'idle' ELSE session.status END AS status,
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
       CASE node.status WHEN 'running' THEN CASE WHEN node.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = node.writer_id AND writer.heartbeat_at >= CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT) * 1000 - 15000000000
                  AND NOT coalesce(writer.meta ->> 'closed' = 'true', FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END ELSE node.status END AS status,
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
       CASE node.status WHEN 'running' THEN CASE WHEN node.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = node.writer_id AND writer.heartbeat_at >= CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT) * 1000 - 15000000000
                  AND NOT coalesce(writer.meta ->> 'closed' = 'true', FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END ELSE node.status END AS status,
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
       CASE branch.status WHEN 'active' THEN (
           SELECT CASE WHEN open_point.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = open_point.writer_id AND writer.heartbeat_at >= CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT) * 1000 - 15000000000
                  AND NOT coalesce(writer.meta ->> 'closed' = 'true', FALSE)
            ) THEN 'active'
            ELSE 'interrupted' END
           FROM dag_nodes AS open_point
           WHERE open_point.run_id = branch.run_id AND open_point.id = branch.branch_node_id
       ) ELSE branch.status END AS status,
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
       CASE last.status WHEN 'running' THEN CASE WHEN last.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = last.writer_id AND writer.heartbeat_at >= CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT) * 1000 - 15000000000
                  AND NOT coalesce(writer.meta ->> 'closed' = 'true', FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END ELSE last.status END AS status,
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
  AND (CASE last.status WHEN 'running' THEN CASE WHEN last.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = last.writer_id AND writer.heartbeat_at >= CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT) * 1000 - 15000000000
                  AND NOT coalesce(writer.meta ->> 'closed' = 'true', FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END ELSE last.status END NOT IN ('running', 'open') OR run.ended_at IS NOT NULL)
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
       CASE run.status WHEN 'running' THEN (
           SELECT CASE top.node_type WHEN 'run' THEN CASE WHEN top.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = top.writer_id AND writer.heartbeat_at >= CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT) * 1000 - 15000000000
                  AND NOT coalesce(writer.meta ->> 'closed' = 'true', FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END ELSE (
               SELECT CASE max(CASE CASE WHEN part.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = part.writer_id AND writer.heartbeat_at >= CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT) * 1000 - 15000000000
                  AND NOT coalesce(writer.meta ->> 'closed' = 'true', FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END WHEN 'running' THEN 2 WHEN 'interrupted' THEN 1 ELSE 0 END)
                   WHEN 2 THEN 'running' WHEN 1 THEN 'interrupted' ELSE 'open' END
               FROM dag_nodes AS part
               LEFT JOIN dag_nodes AS higher ON higher.run_id = part.run_id AND higher.id = part.parent_node_id
               WHERE part.run_id = top.run_id AND part.ended_at IS NULL AND part.node_type NOT IN ('span', 'branch_point')
                 AND (higher.id IS NULL OR higher.node_type IN ('span', 'branch_point'))
           ) END
           FROM dag_nodes AS top WHERE top.run_id = run.id AND top.id = run.root_node_id
       ) ELSE run.status END AS status,
       run.started_at,
       run.ended_at,
       to_timestamp(CAST(run.started_at AS DOUBLE PRECISION) / 1000000000.0) AS started_time,
       CAST(run.ended_at - run.started_at AS DOUBLE PRECISION) / 1000000000.0 AS duration_s,
       EXISTS (SELECT 1 FROM tombstones AS tombstone WHERE tombstone.run_id = run.branch_parent_id) AS parent_pruned
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
    AND fork.branch_node_id = run.root_node_id
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
       CASE branch.status WHEN 'active' THEN (
           SELECT CASE WHEN open_point.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = open_point.writer_id AND writer.heartbeat_at >= CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT) * 1000 - 15000000000
                  AND NOT coalesce(writer.meta ->> 'closed' = 'true', FALSE)
            ) THEN 'active'
            ELSE 'interrupted' END
           FROM dag_nodes AS open_point
           WHERE open_point.run_id = branch.run_id AND open_point.id = branch.branch_node_id
       ) ELSE branch.status END,
       branch.started_at,
       branch.ended_at,
       to_timestamp(CAST(branch.started_at AS DOUBLE PRECISION) / 1000000000.0),
       CAST(branch.ended_at - branch.started_at AS DOUBLE PRECISION) / 1000000000.0,
       FALSE
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

UPDATE spandag_version SET version_num = '0003' WHERE version_num = '0002';
INSERT INTO settings (key, value) VALUES ('needs_spandag', '"0.1.0"') ON CONFLICT (key) DO UPDATE SET value = excluded.value;

CREATE INDEX ix_dag_nodes_steps ON dag_nodes (run_id, disposition) WHERE node_type = 'step';
CREATE INDEX ix_dag_nodes_agents ON dag_nodes (name, started_at) WHERE node_type IN ('agent', 'sub_agent') AND length(name) <= 512;

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
       CASE last.status WHEN 'running' THEN CASE WHEN last.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = last.writer_id AND writer.heartbeat_at >= CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT) * 1000 - 15000000000
                  AND NOT coalesce(writer.meta ->> 'closed' = 'true', FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END ELSE last.status END AS status,
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
WHERE last.node_type = 'step'
  AND last.disposition <> 'superseded'
  AND (
      coalesce(last.attributes ->> 'spandag.redo.exhausted' = 'true', FALSE)
      OR coalesce(last.outcome, last.status) NOT IN ('accepted', 'completed')
      AND (CASE last.status WHEN 'running' THEN CASE WHEN last.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = last.writer_id AND writer.heartbeat_at >= CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT) * 1000 - 15000000000
                  AND NOT coalesce(writer.meta ->> 'closed' = 'true', FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END ELSE last.status END NOT IN ('running', 'open') OR run.ended_at IS NOT NULL)
      AND NOT EXISTS (
          SELECT 1 FROM dag_nodes AS other
          WHERE other.run_id = last.run_id AND other.node_type = 'step'
            AND other.disposition <> 'superseded' AND other.step_node_id = last.step_node_id
            AND coalesce(other.outcome, other.status) IN ('accepted', 'completed')
      )
  );

CREATE OR REPLACE VIEW v_waste AS
SELECT cost.run_id,
       node.disposition,
       node.step_node_id,
       step.name AS step,
       step.step_number,
       cost.agent_name,
       cost.model,
       count(*) AS calls, CAST(coalesce(sum(cost.input_tokens), 0) AS BIGINT) AS input_tokens, CAST(coalesce(sum(cost.output_tokens), 0) AS BIGINT) AS output_tokens, sum(cost.cost_usd) AS cost_usd, count(*) - count(cost.cost_usd) AS unpriced_calls
FROM cost_records AS cost
JOIN workflow_runs AS run ON run.id = cost.run_id
JOIN dag_nodes AS node ON node.run_id = cost.run_id AND node.id = cost.node_id
LEFT JOIN dag_nodes AS step ON step.run_id = node.run_id AND step.id = node.step_node_id
WHERE cost.counted AND node.disposition IN ('superseded', 'abandoned')
GROUP BY cost.run_id, node.disposition, node.step_node_id, step.name, step.step_number, cost.agent_name, cost.model;

CREATE OR REPLACE VIEW v_events AS
SELECT node.run_id,
       node.id AS node_id,
       node.node_type,
       node.name,
       CASE node.node_type WHEN 'agent' THEN 'agent_call' WHEN 'sub_agent' THEN 'agent_call' WHEN 'llm' THEN 'llm_call' WHEN 'tool' THEN 'tool_call' WHEN 'code' THEN 'code_exec' WHEN 'approval' THEN 'approval' END AS event_type,
       'start' AS event_subtype,
       CASE WHEN node.node_type IN ('agent', 'sub_agent') THEN node.name ELSE coalesce(node.agent, cost.agent_name) END AS agent_name,
       node.started_at AS timestamp,
       to_timestamp(CAST(node.started_at AS DOUBLE PRECISION) / 1000000000.0) AS time,
       0 AS ordinal,
       CAST(NULL AS INTEGER) AS seq,
       CAST(NULL AS DOUBLE PRECISION) AS duration_ms,
       CAST(NULL AS TEXT) AS error_type,
       CAST(NULL AS TEXT) AS error_message,
       node.disposition,
       'span' AS origin,
       CAST(NULL AS JSONB) AS meta
FROM dag_nodes AS node
JOIN workflow_runs AS run ON run.id = node.run_id
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
       to_timestamp(CAST(node.ended_at AS DOUBLE PRECISION) / 1000000000.0) AS time,
       2 AS ordinal,
       CAST(NULL AS INTEGER) AS seq,
       CAST(node.ended_at - node.started_at AS DOUBLE PRECISION) / 1000000.0 AS duration_ms,
       node.error_type AS error_type,
       node.error_message AS error_message,
       node.disposition,
       'span' AS origin,
       CAST(NULL AS JSONB) AS meta
FROM dag_nodes AS node
JOIN workflow_runs AS run ON run.id = node.run_id
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
       to_timestamp(CAST(event.timestamp AS DOUBLE PRECISION) / 1000000000.0),
       1,
       event.seq,
       CAST(NULL AS DOUBLE PRECISION),
       CASE event.event_type WHEN 'error' THEN event.event_subtype END,
       CASE event.event_type WHEN 'error' THEN event.meta ->> 'exception.message' END,
       node.disposition,
       event.origin,
       event.meta
FROM execution_events AS event
JOIN workflow_runs AS run ON run.id = event.run_id
LEFT JOIN dag_nodes AS node ON node.run_id = event.run_id AND node.id = event.node_id;

CREATE OR REPLACE VIEW v_cost_by_agent AS
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
JOIN workflow_runs AS run ON run.id = cost.run_id
WHERE cost.counted
GROUP BY cost.run_id, cost.agent_name;

CREATE OR REPLACE VIEW v_cost_by_model AS
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
JOIN workflow_runs AS run ON run.id = cost.run_id
WHERE cost.counted
GROUP BY cost.run_id, cost.provider, cost.model;

CREATE VIEW v_rates AS
SELECT tried.step,
       count(DISTINCT tried.step_key) AS steps,
       count(*) AS attempts,
       sum(CASE WHEN tried.is_redo THEN 1 ELSE 0 END) AS redos,
       count(DISTINCT CASE WHEN tried.is_redo THEN tried.step_key END) AS redone,
       sum(CASE tried.outcome WHEN 'accepted' THEN 1 ELSE 0 END) AS accepted,
       sum(CASE tried.outcome WHEN 'rejected' THEN 1 ELSE 0 END) AS rejected,
       sum(CASE tried.outcome WHEN 'failed' THEN 1 ELSE 0 END) AS failed,
       sum(CASE tried.outcome WHEN 'cancelled' THEN 1 ELSE 0 END) AS cancelled,
       sum(CASE WHEN tried.has_ended THEN 0 ELSE 1 END) AS unfinished,
       sum(CASE WHEN tried.exhausted THEN 1 ELSE 0 END) AS exhausted,
       CAST(count(*) AS DOUBLE PRECISION) / nullif(count(DISTINCT tried.step_key), 0) AS mean_attempts,
       CAST(count(DISTINCT CASE WHEN tried.is_redo THEN tried.step_key END) AS DOUBLE PRECISION) / nullif(count(DISTINCT tried.step_key), 0) AS redo_rate,
       CAST(sum(CASE WHEN NOT tried.is_redo AND tried.outcome = 'accepted' THEN 1 ELSE 0 END) AS DOUBLE PRECISION) / nullif(sum(CASE WHEN NOT tried.is_redo AND tried.has_ended THEN 1 ELSE 0 END), 0) AS first_success_rate,
       CAST(sum(CASE WHEN tried.is_redo AND tried.outcome = 'accepted' THEN 1 ELSE 0 END) AS DOUBLE PRECISION) / nullif(sum(CASE WHEN tried.is_redo AND tried.has_ended THEN 1 ELSE 0 END), 0) AS redo_success_rate
FROM (
    SELECT node.name AS step,
           node.run_id || coalesce(node.step_node_id, node.id) AS step_key,
           node.id <> coalesce(node.step_node_id, node.id) AS is_redo,
           CASE coalesce(node.outcome, node.status) WHEN 'completed' THEN 'accepted' ELSE coalesce(node.outcome, node.status) END AS outcome,
           coalesce(node.outcome, node.status) IN ('completed', 'accepted', 'rejected', 'failed', 'cancelled') AS has_ended,
           coalesce(node.attributes ->> 'spandag.redo.exhausted' = 'true', FALSE) AS exhausted
    FROM dag_nodes AS node
    JOIN workflow_runs AS run ON run.id = node.run_id
    WHERE node.node_type = 'step'
) AS tried
GROUP BY tried.step;

UPDATE spandag_version SET version_num = '0004' WHERE version_num = '0003';
INSERT INTO settings (key, value) VALUES ('needs_spandag', '"0.1.0"') ON CONFLICT (key) DO UPDATE SET value = excluded.value;

ALTER TABLE node_messages ADD COLUMN meaning BYTEA;
COMMENT ON COLUMN node_messages.meaning IS 'the same for lists that mean the same: but for ids of tool calls and how JSON is written; NULL where it is not known';
COMMENT ON COLUMN workflow_runs.derived_version IS 'facts_version last derived; negative while a large run is written';
UPDATE spandag_version SET version_num = '0005' WHERE version_num = '0004';
INSERT INTO settings (key, value) VALUES ('needs_spandag', '"0.1.0"') ON CONFLICT (key) DO UPDATE SET value = excluded.value;

INSERT INTO branches (run_id, branch_node_id, kind, source_node_id, child_run_id, number, branch_name, hypothesis, requested_by, status, group_id, score, won, started_at, ended_at) VALUES ('0000000000000000000000000000000a', 'bp:000000000000000d', 'redo', '0000000000000007', NULL, 1, 'redo_1', 'in log space', 'reviewer', 'rejected', NULL, NULL, NULL, 41000000000, 60000000000);
INSERT INTO branches (run_id, branch_node_id, kind, source_node_id, child_run_id, number, branch_name, hypothesis, requested_by, status, group_id, score, won, started_at, ended_at) VALUES ('0000000000000000000000000000000a', 'bp:0000000000000010', 'redo', '0000000000000007', NULL, 2, 'redo_2', 'without the outlier', 'reviewer', 'accepted', NULL, NULL, NULL, 61000000000, 80000000000);
INSERT INTO cost_records (run_id, node_id, model, provider, agent_name, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost_usd, counted, price_source, timestamp) VALUES ('0000000000000000000000000000000a', '0000000000000004', 'gpt-4o', 'openai', 'planner', 100, 10, NULL, NULL, NULL, 0.5, true, 'user', 8000000000);
INSERT INTO cost_records (run_id, node_id, model, provider, agent_name, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost_usd, counted, price_source, timestamp) VALUES ('0000000000000000000000000000000a', '0000000000000009', 'gpt-4o', 'openai', 'engineer', 100, 10, NULL, NULL, NULL, 0.5, true, 'user', 30000000000);
INSERT INTO cost_records (run_id, node_id, model, provider, agent_name, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost_usd, counted, price_source, timestamp) VALUES ('0000000000000000000000000000000a', '000000000000000f', 'gpt-4o-mini', 'openai', 'engineer', 100, 10, NULL, NULL, NULL, 0.5, true, 'user', 50000000000);
INSERT INTO cost_records (run_id, node_id, model, provider, agent_name, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost_usd, counted, price_source, timestamp) VALUES ('0000000000000000000000000000000a', '0000000000000012', 'gpt-4o-mini', 'openai', 'engineer', 100, 10, NULL, NULL, NULL, 0.5, true, 'user', 70000000000);
INSERT INTO dag_edges (run_id, from_node_id, to_node_id, dependency_type, condition) VALUES ('0000000000000000000000000000000a', '0000000000000002', '0000000000000005', 'sequential', NULL);
INSERT INTO dag_edges (run_id, from_node_id, to_node_id, dependency_type, condition) VALUES ('0000000000000000000000000000000a', '0000000000000006', '0000000000000007', 'sequential', NULL);
INSERT INTO dag_edges (run_id, from_node_id, to_node_id, dependency_type, condition) VALUES ('0000000000000000000000000000000a', '0000000000000007', 'bp:000000000000000d', 'conditional', 'branch_redo_1');
INSERT INTO dag_edges (run_id, from_node_id, to_node_id, dependency_type, condition) VALUES ('0000000000000000000000000000000a', '0000000000000007', 'bp:0000000000000010', 'conditional', 'branch_redo_2');
INSERT INTO dag_edges (run_id, from_node_id, to_node_id, dependency_type, condition) VALUES ('0000000000000000000000000000000a', '0000000000000009', '000000000000000b', 'sequential', NULL);
INSERT INTO dag_edges (run_id, from_node_id, to_node_id, dependency_type, condition) VALUES ('0000000000000000000000000000000a', '000000000000000b', '000000000000000c', 'parallel', NULL);
INSERT INTO dag_edges (run_id, from_node_id, to_node_id, dependency_type, condition) VALUES ('0000000000000000000000000000000a', '0000000000000010', '0000000000000013', 'sequential', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '0000000000000001', '0000000000000001', NULL, NULL, 0, 0, NULL, NULL, 'active', 'run', 'report', 'report', NULL, 'completed', NULL, NULL, NULL, NULL, 0, 100000000000, NULL, NULL, 'alice', NULL, NULL, NULL, 'find the law', NULL, '{"session.id":"alice","spandag.run.task":"find the law","spandag.node.type":"run","gen_ai.workflow.name":"report"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '0000000000000002', '0000000000000002', '0000000000000001', '0000000000000001', 1, 0, NULL, NULL, 'active', 'phase', 'planning', 'planning', NULL, 'completed', NULL, NULL, NULL, NULL, 1000000000, 10000000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"spandag.node.type":"phase","gen_ai.step.name":"planning"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '0000000000000003', '0000000000000003', '0000000000000002', '0000000000000002', 2, 0, NULL, NULL, 'active', 'agent', 'planner', 'planner', 'planner', 'completed', NULL, NULL, NULL, NULL, 2000000000, 9000000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"spandag.node.type":"agent","gen_ai.agent.name":"planner"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '0000000000000004', '0000000000000004', '0000000000000003', '0000000000000003', 3, 0, NULL, NULL, 'active', 'llm', 'gpt-4o', 'gpt-4o', NULL, 'completed', NULL, NULL, NULL, NULL, 3000000000, 8000000000, 'gpt-4o', 'openai', NULL, NULL, NULL, NULL, 'plan it', NULL, '{"gen_ai.operation.name":"chat","gen_ai.provider.name":"openai","gen_ai.usage.input_tokens":100,"gen_ai.usage.output_tokens":10,"gen_ai.usage.cost":0.5,"spandag.price.source":"user","spandag.node.type":"llm","gen_ai.request.model":"gpt-4o"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '0000000000000005', '0000000000000005', '0000000000000001', '0000000000000001', 1, 1, NULL, NULL, 'active', 'phase', 'control', 'control', NULL, 'completed', NULL, NULL, NULL, NULL, 11000000000, 99000000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"spandag.node.type":"phase","gen_ai.step.name":"control"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '0000000000000006', '0000000000000006', '0000000000000005', '0000000000000005', 2, 0, '0000000000000006', NULL, 'active', 'step', 'load', 'load', NULL, 'completed', '0000000000000006', 1, 1, 'accepted', 12000000000, 20000000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"spandag.step.number":1,"spandag.step.attempt":1,"spandag.node.type":"step","gen_ai.step.name":"load","spandag.step.id":"0000000000000006","spandag.attempt.outcome":"accepted"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '0000000000000007', '0000000000000007', '0000000000000005', '0000000000000005', 2, 1, '0000000000000007', NULL, 'superseded', 'step', 'fit', 'fit', NULL, 'completed', '0000000000000007', 1, 1, 'rejected', 21000000000, 40000000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"spandag.step.number":1,"spandag.step.attempt":1,"spandag.node.type":"step","gen_ai.step.name":"fit","spandag.step.id":"0000000000000007","spandag.attempt.outcome":"rejected"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '0000000000000008', '0000000000000008', '0000000000000007', '0000000000000007', 3, 0, '0000000000000007', NULL, 'superseded', 'agent', 'engineer', 'engineer', 'engineer', 'completed', NULL, NULL, NULL, NULL, 22000000000, 39000000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"spandag.node.type":"agent","gen_ai.agent.name":"engineer"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '0000000000000009', '0000000000000009', '0000000000000008', '0000000000000008', 4, 0, '0000000000000007', NULL, 'superseded', 'llm', 'gpt-4o', 'gpt-4o', NULL, 'completed', NULL, NULL, NULL, NULL, 23000000000, 30000000000, 'gpt-4o', 'openai', NULL, NULL, NULL, NULL, NULL, NULL, '{"gen_ai.operation.name":"chat","gen_ai.provider.name":"openai","gen_ai.usage.input_tokens":100,"gen_ai.usage.output_tokens":10,"gen_ai.usage.cost":0.5,"spandag.price.source":"user","spandag.node.type":"llm","gen_ai.request.model":"gpt-4o"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '000000000000000a', '000000000000000a', '0000000000000009', '0000000000000009', 5, 0, '0000000000000007', NULL, 'superseded', 'span', 'POST', 'POST', NULL, 'completed', NULL, NULL, NULL, NULL, 24000000000, 29000000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{}', '{"kind":"internal","flags":1,"service":"story"}', 'httpx', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '000000000000000b', '000000000000000b', '0000000000000008', '0000000000000008', 4, 1, '0000000000000007', NULL, 'superseded', 'tool', 'csv', 'csv', NULL, 'completed', NULL, NULL, NULL, NULL, 31000000000, 35000000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"spandag.node.type":"tool","gen_ai.tool.name":"csv"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '000000000000000c', '000000000000000c', '0000000000000008', '0000000000000008', 4, 2, '0000000000000007', NULL, 'superseded', 'tool', 'plot', 'plot', NULL, 'completed', NULL, NULL, NULL, NULL, 32000000000, 38000000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"spandag.node.type":"tool","gen_ai.tool.name":"plot"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '000000000000000d', '000000000000000d', '0000000000000005', 'bp:000000000000000d', 3, 0, '0000000000000007', 'bp:000000000000000d', 'superseded', 'step', 'fit', 'fit', NULL, 'completed', '0000000000000007', 1, 2, 'rejected', 41000000000, 60000000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"spandag.step.number":1,"spandag.step.attempt":2,"spandag.step.id":"0000000000000007","spandag.redo.hypothesis":"in log space","spandag.redo.requested_by":"reviewer","spandag.node.type":"step","gen_ai.step.name":"fit","spandag.attempt.outcome":"rejected"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '000000000000000e', '000000000000000e', '000000000000000d', '000000000000000d', 4, 0, '0000000000000007', 'bp:000000000000000d', 'superseded', 'agent', 'engineer', 'engineer', 'engineer', 'completed', NULL, NULL, NULL, NULL, 42000000000, 59000000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"spandag.node.type":"agent","gen_ai.agent.name":"engineer"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '000000000000000f', '000000000000000f', '000000000000000e', '000000000000000e', 5, 0, '0000000000000007', 'bp:000000000000000d', 'superseded', 'llm', 'gpt-4o-mini', 'gpt-4o-mini', NULL, 'completed', NULL, NULL, NULL, NULL, 43000000000, 50000000000, 'gpt-4o-mini', 'openai', NULL, NULL, NULL, NULL, NULL, NULL, '{"gen_ai.operation.name":"chat","gen_ai.provider.name":"openai","gen_ai.usage.input_tokens":100,"gen_ai.usage.output_tokens":10,"gen_ai.usage.cost":0.5,"spandag.price.source":"user","spandag.node.type":"llm","gen_ai.request.model":"gpt-4o-mini"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '0000000000000010', '0000000000000010', '0000000000000005', 'bp:0000000000000010', 3, 0, '0000000000000007', 'bp:0000000000000010', 'active', 'step', 'fit', 'fit', NULL, 'completed', '0000000000000007', 1, 3, 'accepted', 61000000000, 80000000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"spandag.step.number":1,"spandag.step.attempt":3,"spandag.step.id":"0000000000000007","spandag.redo.hypothesis":"without the outlier","spandag.redo.requested_by":"reviewer","spandag.node.type":"step","gen_ai.step.name":"fit","spandag.attempt.outcome":"accepted"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '0000000000000011', '0000000000000011', '0000000000000010', '0000000000000010', 4, 0, '0000000000000007', 'bp:0000000000000010', 'active', 'agent', 'engineer', 'engineer', 'engineer', 'completed', NULL, NULL, NULL, NULL, 62000000000, 79000000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"spandag.node.type":"agent","gen_ai.agent.name":"engineer"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '0000000000000012', '0000000000000012', '0000000000000011', '0000000000000011', 5, 0, '0000000000000007', 'bp:0000000000000010', 'active', 'llm', 'gpt-4o-mini', 'gpt-4o-mini', NULL, 'completed', NULL, NULL, NULL, NULL, 63000000000, 70000000000, 'gpt-4o-mini', 'openai', NULL, NULL, NULL, NULL, 'plan it', NULL, '{"gen_ai.operation.name":"chat","gen_ai.provider.name":"openai","gen_ai.usage.input_tokens":100,"gen_ai.usage.output_tokens":10,"gen_ai.usage.cost":0.5,"spandag.price.source":"user","spandag.node.type":"llm","gen_ai.request.model":"gpt-4o-mini"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', '0000000000000013', '0000000000000013', '0000000000000005', '0000000000000005', 2, 2, '0000000000000013', NULL, 'active', 'step', 'write', 'write', NULL, 'completed', '0000000000000013', 1, 1, 'accepted', 81000000000, 98000000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"spandag.step.number":1,"spandag.step.attempt":1,"spandag.node.type":"step","gen_ai.step.name":"write","spandag.step.id":"0000000000000013","spandag.attempt.outcome":"accepted"}', '{"kind":"internal","flags":1,"service":"story"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', 'bp:000000000000000d', '000000000000000d', '0000000000000005', '0000000000000005', 2, 1, '0000000000000007', NULL, 'superseded', 'branch_point', 'redo_1', NULL, NULL, 'completed', '0000000000000007', 1, 2, 'rejected', 41000000000, 60000000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"branch_name":"redo_1","hypothesis":"in log space","source_node_id":"0000000000000007"}', 'spandag.story', NULL);
INSERT INTO dag_nodes (run_id, id, span_id, parent_span_id, parent_node_id, depth, order_index, step_node_id, branch_id, disposition, node_type, name, span_name, agent, status, step_id, step_number, attempt, outcome, started_at, ended_at, model, provider, session_id, user_id, error_type, error_message, input_preview, output_preview, attributes, meta, scope, writer_id) VALUES ('0000000000000000000000000000000a', 'bp:0000000000000010', '0000000000000010', '0000000000000005', '0000000000000005', 2, 1, '0000000000000007', NULL, 'active', 'branch_point', 'redo_2', NULL, NULL, 'completed', '0000000000000007', 1, 3, 'accepted', 61000000000, 80000000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"branch_name":"redo_2","hypothesis":"without the outlier","source_node_id":"0000000000000007"}', 'spandag.story', NULL);
INSERT INTO execution_events (run_id, node_id, seq, event_type, event_subtype, agent_name, timestamp, origin, meta) VALUES ('0000000000000000000000000000000a', '0000000000000004', -1, 'model_selected', NULL, 'planner', 3000000000, 'derived', '{"model":"gpt-4o"}');
INSERT INTO execution_events (run_id, node_id, seq, event_type, event_subtype, agent_name, timestamp, origin, meta) VALUES ('0000000000000000000000000000000a', '0000000000000009', -1, 'model_selected', NULL, 'engineer', 23000000000, 'derived', '{"model":"gpt-4o"}');
INSERT INTO execution_events (run_id, node_id, seq, event_type, event_subtype, agent_name, timestamp, origin, meta) VALUES ('0000000000000000000000000000000a', '000000000000000f', -1, 'model_switched', NULL, 'engineer', 43000000000, 'derived', '{"model":"gpt-4o-mini","previous_model":"gpt-4o"}');
INSERT INTO messages (run_id, hash, role, format, content) VALUES ('0000000000000000000000000000000a', '\x81d522a7c2ddb7ea775668a55c7d1328', 'user', 'message', '{"parts":[{"content":"plan it","type":"text"}],"role":"user"}');
INSERT INTO node_messages (run_id, node_id, direction, hashes, sender, recipient, meaning) VALUES ('0000000000000000000000000000000a', '0000000000000004', 'input', '\x81d522a7c2ddb7ea775668a55c7d1328', NULL, NULL, '\x81d522a7c2ddb7ea775668a55c7d1328');
INSERT INTO node_messages (run_id, node_id, direction, hashes, sender, recipient, meaning) VALUES ('0000000000000000000000000000000a', '0000000000000012', 'input', '\x81d522a7c2ddb7ea775668a55c7d1328', NULL, NULL, '\x81d522a7c2ddb7ea775668a55c7d1328');
INSERT INTO sessions (id, name, task, user_id, started_at, last_active_at, status, meta) VALUES ('alice', 'report', 'find the law', NULL, 0, 100000000000, 'idle', NULL);
INSERT INTO settings (key, value) VALUES ('needs_spandag', '"0.1.0"') ON CONFLICT DO NOTHING;
INSERT INTO span_links (run_id, node_id, seq, linked_run_id, linked_span_id, link_type, attributes) VALUES ('0000000000000000000000000000000a', '000000000000000d', 0, '0000000000000000000000000000000a', '0000000000000007', 'redo_of', '{"spandag.link.type":"redo_of"}');
INSERT INTO span_links (run_id, node_id, seq, linked_run_id, linked_span_id, link_type, attributes) VALUES ('0000000000000000000000000000000a', '0000000000000010', 0, '0000000000000000000000000000000a', '0000000000000007', 'redo_of', '{"spandag.link.type":"redo_of"}');
INSERT INTO tombstones (run_id, pruned_at, reason, nodes) VALUES ('0000000000000000000000000000000b', 1795842865596000000, 'asked', 1);
INSERT INTO workflow_runs (id, root_node_id, name, task, status, started_at, ended_at, session_id, user_id, branch_parent_id, is_branch, branch_depth, root_run_id, facts_version, derived_version, meta) VALUES ('0000000000000000000000000000000a', '0000000000000001', 'report', 'find the law', 'completed', 0, 100000000000, 'alice', NULL, NULL, false, 0, '0000000000000000000000000000000a', 1, 1, NULL);

COMMIT;
