BEGIN TRANSACTION;
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
INSERT INTO "branches" VALUES('0000000000000000000000000000000a','bp:000000000000000d','redo','0000000000000007',NULL,1,'redo_1','in log space','reviewer','rejected',NULL,NULL,NULL,41000000000,60000000000);
INSERT INTO "branches" VALUES('0000000000000000000000000000000a','bp:0000000000000010','redo','0000000000000007',NULL,2,'redo_2','without the outlier','reviewer','accepted',NULL,NULL,NULL,61000000000,80000000000);
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
INSERT INTO "cost_records" VALUES('0000000000000000000000000000000a','0000000000000004','gpt-4o','openai','planner',100,10,NULL,NULL,NULL,0.5,1,'user',8000000000);
INSERT INTO "cost_records" VALUES('0000000000000000000000000000000a','0000000000000009','gpt-4o','openai','engineer',100,10,NULL,NULL,NULL,0.5,1,'user',30000000000);
INSERT INTO "cost_records" VALUES('0000000000000000000000000000000a','000000000000000f','gpt-4o-mini','openai','engineer',100,10,NULL,NULL,NULL,0.5,1,'user',50000000000);
INSERT INTO "cost_records" VALUES('0000000000000000000000000000000a','0000000000000012','gpt-4o-mini','openai','engineer',100,10,NULL,NULL,NULL,0.5,1,'user',70000000000);
CREATE TABLE dag_edges (
	run_id TEXT NOT NULL, 
	from_node_id TEXT NOT NULL, 
	to_node_id TEXT NOT NULL, 
	dependency_type TEXT NOT NULL, 
	condition TEXT, 
	CONSTRAINT pk_dag_edges PRIMARY KEY (run_id, from_node_id, to_node_id, dependency_type)
);
INSERT INTO "dag_edges" VALUES('0000000000000000000000000000000a','0000000000000007','bp:000000000000000d','conditional','branch_redo_1');
INSERT INTO "dag_edges" VALUES('0000000000000000000000000000000a','0000000000000007','bp:0000000000000010','conditional','branch_redo_2');
INSERT INTO "dag_edges" VALUES('0000000000000000000000000000000a','0000000000000002','0000000000000005','sequential',NULL);
INSERT INTO "dag_edges" VALUES('0000000000000000000000000000000a','0000000000000006','0000000000000007','sequential',NULL);
INSERT INTO "dag_edges" VALUES('0000000000000000000000000000000a','0000000000000009','000000000000000b','sequential',NULL);
INSERT INTO "dag_edges" VALUES('0000000000000000000000000000000a','000000000000000b','000000000000000c','parallel',NULL);
INSERT INTO "dag_edges" VALUES('0000000000000000000000000000000a','0000000000000010','0000000000000013','sequential',NULL);
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
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','0000000000000001','0000000000000001',NULL,NULL,0,0,NULL,NULL,'active','run','report','report',NULL,'completed',NULL,NULL,NULL,NULL,0,100000000000,NULL,NULL,'alice',NULL,NULL,NULL,'find the law',NULL,'{"session.id":"alice","spandag.run.task":"find the law","spandag.node.type":"run","gen_ai.workflow.name":"report"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','0000000000000002','0000000000000002','0000000000000001','0000000000000001',1,0,NULL,NULL,'active','phase','planning','planning',NULL,'completed',NULL,NULL,NULL,NULL,1000000000,10000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"spandag.node.type":"phase","gen_ai.step.name":"planning"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','0000000000000003','0000000000000003','0000000000000002','0000000000000002',2,0,NULL,NULL,'active','agent','planner','planner','planner','completed',NULL,NULL,NULL,NULL,2000000000,9000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"spandag.node.type":"agent","gen_ai.agent.name":"planner"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','0000000000000004','0000000000000004','0000000000000003','0000000000000003',3,0,NULL,NULL,'active','llm','gpt-4o','gpt-4o',NULL,'completed',NULL,NULL,NULL,NULL,3000000000,8000000000,'gpt-4o','openai',NULL,NULL,NULL,NULL,'plan it',NULL,'{"gen_ai.operation.name":"chat","gen_ai.provider.name":"openai","gen_ai.usage.input_tokens":100,"gen_ai.usage.output_tokens":10,"gen_ai.usage.cost":0.5,"spandag.price.source":"user","spandag.node.type":"llm","gen_ai.request.model":"gpt-4o"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','0000000000000005','0000000000000005','0000000000000001','0000000000000001',1,1,NULL,NULL,'active','phase','control','control',NULL,'completed',NULL,NULL,NULL,NULL,11000000000,99000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"spandag.node.type":"phase","gen_ai.step.name":"control"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','0000000000000006','0000000000000006','0000000000000005','0000000000000005',2,0,'0000000000000006',NULL,'active','step','load','load',NULL,'completed','0000000000000006',1,1,'accepted',12000000000,20000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"spandag.step.number":1,"spandag.step.attempt":1,"spandag.node.type":"step","gen_ai.step.name":"load","spandag.step.id":"0000000000000006","spandag.attempt.outcome":"accepted"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','0000000000000007','0000000000000007','0000000000000005','0000000000000005',2,1,'0000000000000007',NULL,'superseded','step','fit','fit',NULL,'completed','0000000000000007',1,1,'rejected',21000000000,40000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"spandag.step.number":1,"spandag.step.attempt":1,"spandag.node.type":"step","gen_ai.step.name":"fit","spandag.step.id":"0000000000000007","spandag.attempt.outcome":"rejected"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','0000000000000008','0000000000000008','0000000000000007','0000000000000007',3,0,'0000000000000007',NULL,'superseded','agent','engineer','engineer','engineer','completed',NULL,NULL,NULL,NULL,22000000000,39000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"spandag.node.type":"agent","gen_ai.agent.name":"engineer"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','0000000000000009','0000000000000009','0000000000000008','0000000000000008',4,0,'0000000000000007',NULL,'superseded','llm','gpt-4o','gpt-4o',NULL,'completed',NULL,NULL,NULL,NULL,23000000000,30000000000,'gpt-4o','openai',NULL,NULL,NULL,NULL,NULL,NULL,'{"gen_ai.operation.name":"chat","gen_ai.provider.name":"openai","gen_ai.usage.input_tokens":100,"gen_ai.usage.output_tokens":10,"gen_ai.usage.cost":0.5,"spandag.price.source":"user","spandag.node.type":"llm","gen_ai.request.model":"gpt-4o"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','000000000000000a','000000000000000a','0000000000000009','0000000000000009',5,0,'0000000000000007',NULL,'superseded','span','POST','POST',NULL,'completed',NULL,NULL,NULL,NULL,24000000000,29000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{}','{"kind":"internal","flags":1,"service":"story"}','httpx',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','000000000000000b','000000000000000b','0000000000000008','0000000000000008',4,1,'0000000000000007',NULL,'superseded','tool','csv','csv',NULL,'completed',NULL,NULL,NULL,NULL,31000000000,35000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"spandag.node.type":"tool","gen_ai.tool.name":"csv"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','000000000000000c','000000000000000c','0000000000000008','0000000000000008',4,2,'0000000000000007',NULL,'superseded','tool','plot','plot',NULL,'completed',NULL,NULL,NULL,NULL,32000000000,38000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"spandag.node.type":"tool","gen_ai.tool.name":"plot"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','000000000000000d','000000000000000d','0000000000000005','bp:000000000000000d',3,0,'0000000000000007','bp:000000000000000d','superseded','step','fit','fit',NULL,'completed','0000000000000007',1,2,'rejected',41000000000,60000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"spandag.step.number":1,"spandag.step.attempt":2,"spandag.step.id":"0000000000000007","spandag.redo.hypothesis":"in log space","spandag.redo.requested_by":"reviewer","spandag.node.type":"step","gen_ai.step.name":"fit","spandag.attempt.outcome":"rejected"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','000000000000000e','000000000000000e','000000000000000d','000000000000000d',4,0,'0000000000000007','bp:000000000000000d','superseded','agent','engineer','engineer','engineer','completed',NULL,NULL,NULL,NULL,42000000000,59000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"spandag.node.type":"agent","gen_ai.agent.name":"engineer"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','000000000000000f','000000000000000f','000000000000000e','000000000000000e',5,0,'0000000000000007','bp:000000000000000d','superseded','llm','gpt-4o-mini','gpt-4o-mini',NULL,'completed',NULL,NULL,NULL,NULL,43000000000,50000000000,'gpt-4o-mini','openai',NULL,NULL,NULL,NULL,NULL,NULL,'{"gen_ai.operation.name":"chat","gen_ai.provider.name":"openai","gen_ai.usage.input_tokens":100,"gen_ai.usage.output_tokens":10,"gen_ai.usage.cost":0.5,"spandag.price.source":"user","spandag.node.type":"llm","gen_ai.request.model":"gpt-4o-mini"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','0000000000000010','0000000000000010','0000000000000005','bp:0000000000000010',3,0,'0000000000000007','bp:0000000000000010','active','step','fit','fit',NULL,'completed','0000000000000007',1,3,'accepted',61000000000,80000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"spandag.step.number":1,"spandag.step.attempt":3,"spandag.step.id":"0000000000000007","spandag.redo.hypothesis":"without the outlier","spandag.redo.requested_by":"reviewer","spandag.node.type":"step","gen_ai.step.name":"fit","spandag.attempt.outcome":"accepted"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','0000000000000011','0000000000000011','0000000000000010','0000000000000010',4,0,'0000000000000007','bp:0000000000000010','active','agent','engineer','engineer','engineer','completed',NULL,NULL,NULL,NULL,62000000000,79000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"spandag.node.type":"agent","gen_ai.agent.name":"engineer"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','0000000000000012','0000000000000012','0000000000000011','0000000000000011',5,0,'0000000000000007','bp:0000000000000010','active','llm','gpt-4o-mini','gpt-4o-mini',NULL,'completed',NULL,NULL,NULL,NULL,63000000000,70000000000,'gpt-4o-mini','openai',NULL,NULL,NULL,NULL,'plan it',NULL,'{"gen_ai.operation.name":"chat","gen_ai.provider.name":"openai","gen_ai.usage.input_tokens":100,"gen_ai.usage.output_tokens":10,"gen_ai.usage.cost":0.5,"spandag.price.source":"user","spandag.node.type":"llm","gen_ai.request.model":"gpt-4o-mini"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','0000000000000013','0000000000000013','0000000000000005','0000000000000005',2,2,'0000000000000013',NULL,'active','step','write','write',NULL,'completed','0000000000000013',1,1,'accepted',81000000000,98000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"spandag.step.number":1,"spandag.step.attempt":1,"spandag.node.type":"step","gen_ai.step.name":"write","spandag.step.id":"0000000000000013","spandag.attempt.outcome":"accepted"}','{"kind":"internal","flags":1,"service":"story"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','bp:000000000000000d','000000000000000d','0000000000000005','0000000000000005',2,1,'0000000000000007',NULL,'superseded','branch_point','redo_1',NULL,NULL,'completed','0000000000000007',1,2,'rejected',41000000000,60000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"branch_name":"redo_1","hypothesis":"in log space","source_node_id":"0000000000000007"}','spandag.story',NULL);
INSERT INTO "dag_nodes" VALUES('0000000000000000000000000000000a','bp:0000000000000010','0000000000000010','0000000000000005','0000000000000005',2,1,'0000000000000007',NULL,'active','branch_point','redo_2',NULL,NULL,'completed','0000000000000007',1,3,'accepted',61000000000,80000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"branch_name":"redo_2","hypothesis":"without the outlier","source_node_id":"0000000000000007"}','spandag.story',NULL);
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
INSERT INTO "execution_events" VALUES('0000000000000000000000000000000a','0000000000000004',-1,'model_selected',NULL,'planner',3000000000,'derived','{"model":"gpt-4o"}');
INSERT INTO "execution_events" VALUES('0000000000000000000000000000000a','0000000000000009',-1,'model_selected',NULL,'engineer',23000000000,'derived','{"model":"gpt-4o"}');
INSERT INTO "execution_events" VALUES('0000000000000000000000000000000a','000000000000000f',-1,'model_switched',NULL,'engineer',43000000000,'derived','{"model":"gpt-4o-mini","previous_model":"gpt-4o"}');
CREATE TABLE messages (
	run_id TEXT NOT NULL, 
	hash BLOB NOT NULL, 
	role TEXT, 
	format TEXT NOT NULL, 
	content TEXT NOT NULL, 
	CONSTRAINT pk_messages PRIMARY KEY (run_id, hash)
);
INSERT INTO "messages" VALUES('0000000000000000000000000000000a',X'81D522A7C2DDB7EA775668A55C7D1328','user','message','{"parts":[{"content":"plan it","type":"text"}],"role":"user"}');
CREATE TABLE node_messages (
	run_id TEXT NOT NULL, 
	node_id TEXT NOT NULL, 
	direction TEXT NOT NULL, 
	hashes BLOB NOT NULL, 
	sender TEXT, 
	recipient TEXT, meaning BLOB, 
	CONSTRAINT pk_node_messages PRIMARY KEY (run_id, node_id, direction)
);
INSERT INTO "node_messages" VALUES('0000000000000000000000000000000a','0000000000000004','input',X'81D522A7C2DDB7EA775668A55C7D1328',NULL,NULL,X'81D522A7C2DDB7EA775668A55C7D1328');
INSERT INTO "node_messages" VALUES('0000000000000000000000000000000a','0000000000000012','input',X'81D522A7C2DDB7EA775668A55C7D1328',NULL,NULL,X'81D522A7C2DDB7EA775668A55C7D1328');
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
INSERT INTO "sessions" VALUES('alice','report','find the law',NULL,0,100000000000,'idle',NULL);
CREATE TABLE settings (
	"key" TEXT NOT NULL, 
	value JSON, 
	CONSTRAINT pk_settings PRIMARY KEY ("key")
);
INSERT INTO "settings" VALUES('needs_spandag','"0.1.0"');
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
INSERT INTO "span_links" VALUES('0000000000000000000000000000000a','000000000000000d',0,'0000000000000000000000000000000a','0000000000000007','redo_of','{"spandag.link.type":"redo_of"}');
INSERT INTO "span_links" VALUES('0000000000000000000000000000000a','0000000000000010',0,'0000000000000000000000000000000a','0000000000000007','redo_of','{"spandag.link.type":"redo_of"}');
CREATE TABLE spandag_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT spandag_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "spandag_version" VALUES('0005');
CREATE TABLE tombstones (
	run_id TEXT NOT NULL, 
	pruned_at BIGINT NOT NULL, 
	reason TEXT NOT NULL, 
	nodes INTEGER NOT NULL, 
	CONSTRAINT pk_tombstones PRIMARY KEY (run_id)
);
INSERT INTO "tombstones" VALUES('0000000000000000000000000000000b',1795842865596000000,'asked',1);
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
INSERT INTO "workflow_runs" VALUES('0000000000000000000000000000000a','0000000000000001','report','find the law','completed',0,100000000000,'alice',NULL,NULL,0,0,'0000000000000000000000000000000a',1,1,NULL);
CREATE TABLE writers (
	id TEXT NOT NULL, 
	host TEXT, 
	pid INTEGER, 
	started_at BIGINT, 
	heartbeat_at BIGINT, 
	meta JSON, 
	CONSTRAINT pk_writers PRIMARY KEY (id)
);
CREATE INDEX ix_dag_nodes_run_id_parent_node_id ON dag_nodes (run_id, parent_node_id);
CREATE INDEX ix_dag_nodes_run_id_started_at ON dag_nodes (run_id, started_at);
CREATE INDEX ix_workflow_runs_session_id_started_at ON workflow_runs (session_id, started_at);
CREATE INDEX ix_workflow_runs_started_at ON workflow_runs (started_at);
CREATE INDEX ix_workflow_runs_branch_parent_id ON workflow_runs (branch_parent_id);
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
CREATE INDEX ix_workflow_runs_session_id_ended_at_started_at ON workflow_runs (session_id, ended_at, started_at);
CREATE INDEX ix_workflow_runs_session_with_user ON workflow_runs (session_id, started_at) WHERE user_id IS NOT NULL;
CREATE VIEW v_runs AS
SELECT run.id AS run_id,
       run.name,
       run.task,
       CASE run.status WHEN 'running' THEN (
           SELECT CASE top.node_type WHEN 'run' THEN CASE WHEN top.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = top.writer_id AND writer.heartbeat_at >= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000 - 15000000000
                  AND NOT coalesce(writer.meta ->> '$."closed"' = 1, FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END ELSE (
               SELECT CASE max(CASE CASE WHEN part.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = part.writer_id AND writer.heartbeat_at >= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000 - 15000000000
                  AND NOT coalesce(writer.meta ->> '$."closed"' = 1, FALSE)
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
       strftime('%Y-%m-%dT%H:%M:%fZ', run.started_at / 1000000000.0, 'unixepoch') AS started_time,
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
       spent.value ->> 0 AS calls,
       spent.value ->> 1 AS input_tokens,
       spent.value ->> 2 AS output_tokens,
       spent.value ->> 3 AS cost_usd,
       spent.value ->> 4 AS unpriced_calls,
       run.facts_version = run.derived_version AS settled
FROM workflow_runs AS run
CROSS JOIN json_each((
    SELECT json_array(json_array(count(*), CAST(coalesce(sum(cost.input_tokens), 0) AS BIGINT), CAST(coalesce(sum(cost.output_tokens), 0) AS BIGINT), sum(cost.cost_usd), count(*) - count(cost.cost_usd)))
    FROM cost_records AS cost WHERE cost.run_id = run.id AND cost.counted
)) AS spent
WHERE run.root_node_id IS NOT NULL;
CREATE VIEW v_sessions AS
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
                WHERE writer.id = top.writer_id AND writer.heartbeat_at >= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000 - 15000000000
                  AND NOT coalesce(writer.meta ->> '$."closed"' = 1, FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END ELSE (
               SELECT CASE max(CASE CASE WHEN part.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = part.writer_id AND writer.heartbeat_at >= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000 - 15000000000
                  AND NOT coalesce(writer.meta ->> '$."closed"' = 1, FALSE)
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
       strftime('%Y-%m-%dT%H:%M:%fZ', session.started_at / 1000000000.0, 'unixepoch') AS started_time,
       strftime('%Y-%m-%dT%H:%M:%fZ', session.last_active_at / 1000000000.0, 'unixepoch') AS last_active_time,
       CAST(session.last_active_at - session.started_at AS DOUBLE PRECISION) / 1000000000.0 AS duration_s,
       (SELECT count(*) FROM workflow_runs AS run WHERE run.session_id = session.id) AS runs,
       spent.value ->> 0 AS calls,
       spent.value ->> 1 AS input_tokens,
       spent.value ->> 2 AS output_tokens,
       spent.value ->> 3 AS cost_usd,
       spent.value ->> 4 AS unpriced_calls
FROM sessions AS session
CROSS JOIN json_each((
    SELECT json_array(json_array(count(*), CAST(coalesce(sum(cost.input_tokens), 0) AS BIGINT), CAST(coalesce(sum(cost.output_tokens), 0) AS BIGINT), sum(cost.cost_usd), count(*) - count(cost.cost_usd)))
    FROM workflow_runs AS run JOIN cost_records AS cost ON cost.run_id = run.id WHERE run.session_id = session.id AND cost.counted
)) AS spent;
CREATE VIEW v_run_tree AS
SELECT run.id AS run_id,
       run.name AS run_name,
       tree.key AS position,
       tree.value ->> 2 AS level,
       tree.value ->> 3 AS redo_depth,
       tree.value ->> 0 AS node_id,
       tree.value ->> 1 AS parent_node_id,
       node.node_type,
       node.name,
       node.agent,
       CASE node.status WHEN 'running' THEN CASE WHEN node.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = node.writer_id AND writer.heartbeat_at >= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000 - 15000000000
                  AND NOT coalesce(writer.meta ->> '$."closed"' = 1, FALSE)
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
CROSS JOIN json_each((
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
    SELECT json_group_array(json_array(tree.id, tree.parent_id, tree.level, tree.redo_depth))
    FROM (SELECT * FROM tree WHERE NOT tree.node_type = 'span' ORDER BY path) AS tree
)) AS tree
CROSS JOIN dag_nodes AS node ON node.run_id = run.id AND node.id = tree.value ->> 0
LEFT JOIN branches AS branch ON branch.run_id = run.id AND branch.branch_node_id = node.id
LEFT JOIN cost_records AS cost ON cost.run_id = run.id AND cost.node_id = node.id AND cost.counted;
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
       CASE node.status WHEN 'running' THEN CASE WHEN node.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = node.writer_id AND writer.heartbeat_at >= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000 - 15000000000
                  AND NOT coalesce(writer.meta ->> '$."closed"' = 1, FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END ELSE node.status END AS status,
       node.outcome,
       node.disposition,
       branch.hypothesis,
       branch.requested_by,
       node.started_at,
       node.ended_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', node.started_at / 1000000000.0, 'unixepoch') AS started_time,
       CAST(node.ended_at - node.started_at AS DOUBLE PRECISION) / 1000000.0 AS duration_ms,
       spent.value ->> 0 AS calls,
       spent.value ->> 1 AS input_tokens,
       spent.value ->> 2 AS output_tokens,
       spent.value ->> 3 AS cost_usd,
       spent.value ->> 4 AS unpriced_calls,
       node.error_type,
       node.error_message
FROM dag_nodes AS node
JOIN workflow_runs AS run ON run.id = node.run_id
LEFT JOIN branches AS branch ON branch.run_id = node.run_id AND branch.branch_node_id = 'bp:' || node.id
CROSS JOIN json_each((
    WITH RECURSIVE below(id) AS (
        SELECT node.id
        UNION ALL
        SELECT child.id
        FROM below JOIN dag_nodes AS child ON child.run_id = node.run_id AND child.parent_node_id = below.id
    )
    SELECT json_array(json_array(count(*), CAST(coalesce(sum(cost.input_tokens), 0) AS BIGINT), CAST(coalesce(sum(cost.output_tokens), 0) AS BIGINT), sum(cost.cost_usd), count(*) - count(cost.cost_usd)))
    FROM below JOIN cost_records AS cost ON cost.run_id = node.run_id AND cost.node_id = below.id WHERE cost.counted
)) AS spent
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
       CASE branch.status WHEN 'active' THEN (
           SELECT CASE WHEN open_point.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = open_point.writer_id AND writer.heartbeat_at >= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000 - 15000000000
                  AND NOT coalesce(writer.meta ->> '$."closed"' = 1, FALSE)
            ) THEN 'active'
            ELSE 'interrupted' END
           FROM dag_nodes AS open_point
           WHERE open_point.run_id = branch.run_id AND open_point.id = branch.branch_node_id
       ) ELSE branch.status END AS status,
       point.disposition,
       branch.started_at,
       branch.ended_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', branch.started_at / 1000000000.0, 'unixepoch') AS started_time,
       CAST(branch.ended_at - branch.started_at AS DOUBLE PRECISION) / 1000000.0 AS duration_ms,
       redo.id AS node_id,
       spent.value ->> 0 AS calls,
       spent.value ->> 1 AS input_tokens,
       spent.value ->> 2 AS output_tokens,
       spent.value ->> 3 AS cost_usd,
       spent.value ->> 4 AS unpriced_calls,
       before.id AS before_node_id,
       before.outcome AS before_outcome,
       before.error_type AS before_error_type,
       before.error_message AS before_error_message,
       CAST(before.ended_at - before.started_at AS DOUBLE PRECISION) / 1000000.0 AS before_duration_ms,
       spent_before.value ->> 3 AS before_cost_usd
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
CROSS JOIN json_each((
    WITH RECURSIVE below(id) AS (
        SELECT redo.id
        UNION ALL
        SELECT child.id
        FROM below JOIN dag_nodes AS child ON child.run_id = branch.run_id AND child.parent_node_id = below.id
    )
    SELECT json_array(json_array(count(*), CAST(coalesce(sum(cost.input_tokens), 0) AS BIGINT), CAST(coalesce(sum(cost.output_tokens), 0) AS BIGINT), sum(cost.cost_usd), count(*) - count(cost.cost_usd)))
    FROM below JOIN cost_records AS cost ON cost.run_id = branch.run_id AND cost.node_id = below.id WHERE cost.counted
)) AS spent
CROSS JOIN json_each((
    WITH RECURSIVE below(id) AS (
        SELECT before.id
        UNION ALL
        SELECT child.id
        FROM below JOIN dag_nodes AS child ON child.run_id = branch.run_id AND child.parent_node_id = below.id
    )
    SELECT json_array(json_array(count(*), CAST(coalesce(sum(cost.input_tokens), 0) AS BIGINT), CAST(coalesce(sum(cost.output_tokens), 0) AS BIGINT), sum(cost.cost_usd), count(*) - count(cost.cost_usd)))
    FROM below JOIN cost_records AS cost ON cost.run_id = branch.run_id AND cost.node_id = below.id WHERE cost.counted
)) AS spent_before
WHERE branch.kind = 'redo';
CREATE VIEW v_branch_tree AS
SELECT root.id AS root_run_id,
       (lineage.value ->> 2) AS path,
       lineage.value ->> 1 AS level,
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
                WHERE writer.id = top.writer_id AND writer.heartbeat_at >= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000 - 15000000000
                  AND NOT coalesce(writer.meta ->> '$."closed"' = 1, FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END ELSE (
               SELECT CASE max(CASE CASE WHEN part.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = part.writer_id AND writer.heartbeat_at >= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000 - 15000000000
                  AND NOT coalesce(writer.meta ->> '$."closed"' = 1, FALSE)
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
       strftime('%Y-%m-%dT%H:%M:%fZ', run.started_at / 1000000000.0, 'unixepoch') AS started_time,
       CAST(run.ended_at - run.started_at AS DOUBLE PRECISION) / 1000000000.0 AS duration_s,
       EXISTS (SELECT 1 FROM tombstones AS tombstone WHERE tombstone.run_id = run.branch_parent_id) AS parent_pruned
FROM workflow_runs AS root
CROSS JOIN json_each((
    WITH RECURSIVE lineage(run_id, level, path) AS (
        SELECT root.id, 0, CAST('' AS TEXT)
        UNION ALL
        SELECT fork.id, lineage.level + 1,
               lineage.path || 'b' || substr('abcdefghijklmnopqrstuvwxyz', length(CAST(coalesce(fork.started_at, 0) AS TEXT)), 1) || CAST(coalesce(fork.started_at, 0) AS TEXT) || fork.id
        FROM lineage JOIN workflow_runs AS fork ON fork.branch_parent_id = lineage.run_id
    )
    SELECT json_group_array(json_array(lineage.run_id, lineage.level, lineage.path))
    FROM lineage
)) AS lineage
CROSS JOIN workflow_runs AS run ON run.id = lineage.value ->> 0
LEFT JOIN branches AS fork ON fork.run_id IN (run.id, run.branch_parent_id) AND fork.kind = 'fork' AND fork.child_run_id = run.id
    AND fork.branch_node_id = run.root_node_id
WHERE (root.branch_parent_id IS NULL OR NOT EXISTS (
       SELECT 1 FROM workflow_runs AS parent WHERE parent.id = root.branch_parent_id)) AND run.root_node_id IS NOT NULL
UNION ALL
SELECT root.id,
       ((lineage.value ->> 2) || (nesting.value ->> 1)),
       (lineage.value ->> 1) + (nesting.value ->> 0),
       'redo',
       branch.run_id,
       coalesce(nesting.value ->> 2, branch.run_id),
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
                WHERE writer.id = open_point.writer_id AND writer.heartbeat_at >= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000 - 15000000000
                  AND NOT coalesce(writer.meta ->> '$."closed"' = 1, FALSE)
            ) THEN 'active'
            ELSE 'interrupted' END
           FROM dag_nodes AS open_point
           WHERE open_point.run_id = branch.run_id AND open_point.id = branch.branch_node_id
       ) ELSE branch.status END,
       branch.started_at,
       branch.ended_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', branch.started_at / 1000000000.0, 'unixepoch'),
       CAST(branch.ended_at - branch.started_at AS DOUBLE PRECISION) / 1000000000.0,
       FALSE
FROM workflow_runs AS root
CROSS JOIN json_each((
    WITH RECURSIVE lineage(run_id, level, path) AS (
        SELECT root.id, 0, CAST('' AS TEXT)
        UNION ALL
        SELECT fork.id, lineage.level + 1,
               lineage.path || 'b' || substr('abcdefghijklmnopqrstuvwxyz', length(CAST(coalesce(fork.started_at, 0) AS TEXT)), 1) || CAST(coalesce(fork.started_at, 0) AS TEXT) || fork.id
        FROM lineage JOIN workflow_runs AS fork ON fork.branch_parent_id = lineage.run_id
    )
    SELECT json_group_array(json_array(lineage.run_id, lineage.level, lineage.path))
    FROM lineage
)) AS lineage
CROSS JOIN branches AS branch ON branch.run_id = lineage.value ->> 0 AND branch.kind = 'redo'
CROSS JOIN json_each((
    WITH RECURSIVE above(next_id, parent_id, level, path) AS (
        SELECT point.branch_id, point.branch_id, 1, 'a' || substr('abcdefghijklmnopqrstuvwxyz', length(CAST(point.started_at AS TEXT)), 1) || CAST(point.started_at AS TEXT) || point.span_id
        FROM dag_nodes AS point WHERE point.run_id = branch.run_id AND point.id = branch.branch_node_id
        UNION ALL
        SELECT point.branch_id, above.parent_id, above.level + 1, 'a' || substr('abcdefghijklmnopqrstuvwxyz', length(CAST(point.started_at AS TEXT)), 1) || CAST(point.started_at AS TEXT) || point.span_id || above.path
        FROM above JOIN dag_nodes AS point ON point.run_id = branch.run_id AND point.id = above.next_id
    )
    SELECT json_group_array(json_array(above.level, above.path, above.parent_id))
    FROM above WHERE above.next_id IS NULL
)) AS nesting
LEFT JOIN dag_nodes AS step ON step.run_id = branch.run_id AND step.id = substr(branch.branch_node_id, 4)
WHERE (root.branch_parent_id IS NULL OR NOT EXISTS (
       SELECT 1 FROM workflow_runs AS parent WHERE parent.id = root.branch_parent_id));
CREATE INDEX ix_dag_nodes_steps ON dag_nodes (run_id, disposition) WHERE node_type = 'step';
CREATE INDEX ix_dag_nodes_agents ON dag_nodes (name, started_at) WHERE node_type IN ('agent', 'sub_agent') AND length(name) <= 512;
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
WHERE last.node_type = 'step'
  AND last.disposition <> 'superseded'
  AND (
      coalesce(last.attributes ->> '$."spandag.redo.exhausted"' = 1, FALSE)
      OR coalesce(last.outcome, last.status) NOT IN ('accepted', 'completed')
      AND (CASE last.status WHEN 'running' THEN CASE WHEN last.writer_id IS NULL THEN 'open'
            WHEN EXISTS (
                SELECT 1 FROM writers AS writer
                WHERE writer.id = last.writer_id AND writer.heartbeat_at >= CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000 - 15000000000
                  AND NOT coalesce(writer.meta ->> '$."closed"' = 1, FALSE)
            ) THEN 'running'
            ELSE 'interrupted' END ELSE last.status END NOT IN ('running', 'open') OR run.ended_at IS NOT NULL)
      AND NOT EXISTS (
          SELECT 1 FROM dag_nodes AS other
          WHERE other.run_id = last.run_id AND other.node_type = 'step'
            AND other.disposition <> 'superseded' AND other.step_node_id = last.step_node_id
            AND coalesce(other.outcome, other.status) IN ('accepted', 'completed')
      )
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
JOIN workflow_runs AS run ON run.id = cost.run_id
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
JOIN workflow_runs AS run ON run.id = event.run_id
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
JOIN workflow_runs AS run ON run.id = cost.run_id
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
           coalesce(node.attributes ->> '$."spandag.redo.exhausted"' = 1, FALSE) AS exhausted
    FROM dag_nodes AS node
    JOIN workflow_runs AS run ON run.id = node.run_id
    WHERE node.node_type = 'step'
) AS tried
GROUP BY tried.step;
COMMIT;
