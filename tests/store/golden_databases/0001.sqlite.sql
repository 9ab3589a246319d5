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
	recipient TEXT, 
	CONSTRAINT pk_node_messages PRIMARY KEY (run_id, node_id, direction)
);
INSERT INTO "node_messages" VALUES('0000000000000000000000000000000a','0000000000000004','input',X'81D522A7C2DDB7EA775668A55C7D1328',NULL,NULL);
INSERT INTO "node_messages" VALUES('0000000000000000000000000000000a','0000000000000012','input',X'81D522A7C2DDB7EA775668A55C7D1328',NULL,NULL);
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
INSERT INTO "spandag_version" VALUES('0001');
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
COMMIT;
