"""A database as CMBAgent makes it, with a run that was redone, one that goes on, and a branch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    TIMESTAMP,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    create_engine,
)

metadata = MetaData()


def _id() -> Column[Any]:
    return Column("id", String(36), primary_key=True)


def _to(table: str, name: str | None = None) -> Column[Any]:
    return Column(name or f"{table[:-1]}_id", String(36), ForeignKey(f"{table}.id", ondelete="CASCADE"))


def _run() -> Column[Any]:
    return _to("workflow_runs", "run_id")


sessions = Table(
    "sessions",
    metadata,
    _id(),
    Column("user_id", String(36)),
    Column("name", String(255), nullable=False),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("last_active_at", TIMESTAMP, nullable=False),
    Column("status", String(50), nullable=False),
    Column("meta", JSON),
    Column("resource_limits", JSON),
)
workflow_runs = Table(
    "workflow_runs",
    metadata,
    _id(),
    _to("sessions"),
    Column("mode", String(50), nullable=False),
    Column("agent", String(100), nullable=False),
    Column("model", String(100), nullable=False),
    Column("status", String(50), nullable=False),
    Column("started_at", TIMESTAMP),
    Column("completed_at", TIMESTAMP),
    Column("task_description", Text),
    Column("meta", JSON),
    _to("workflow_runs", "branch_parent_id"),
    Column("is_branch", Boolean, nullable=False, default=False),
    Column("branch_depth", Integer, nullable=False, default=0),
    _to("workflow_runs", "parent_run_id"),
)
workflow_steps = Table(
    "workflow_steps",
    metadata,
    _id(),
    _run(),
    _to("sessions"),
    Column("step_number", Integer, nullable=False),
    Column("goal", Text, nullable=False),
    Column("summary", Text),
    Column("status", String(50), nullable=False),
    Column("started_at", TIMESTAMP),
    Column("completed_at", TIMESTAMP),
    Column("progress_percentage", Integer, default=0),
    Column("inputs", JSON),
    Column("outputs", JSON),
    Column("error_message", Text),
    Column("meta", JSON),
)
dag_nodes = Table(
    "dag_nodes",
    metadata,
    _id(),
    _run(),
    _to("sessions"),
    _to("dag_nodes", "parent_node_id"),
    Column("node_type", String(50), nullable=False),
    Column("agent", String(100)),
    Column("status", String(50), nullable=False),
    Column("order_index", Integer, nullable=False),
    Column("depth", Integer, nullable=False, default=0),
    Column("meta", JSON),
)
dag_edges = Table(
    "dag_edges",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    _to("dag_nodes", "from_node_id"),
    _to("dag_nodes", "to_node_id"),
    Column("dependency_type", String(50), nullable=False),
    Column("condition", Text),
)
execution_events = Table(
    "execution_events",
    metadata,
    _id(),
    _run(),
    _to("dag_nodes", "node_id"),
    _to("workflow_steps", "step_id"),
    _to("sessions"),
    _to("execution_events", "parent_event_id"),
    Column("event_type", String(50), nullable=False),
    Column("event_subtype", String(50)),
    Column("agent_name", String(100)),
    Column("timestamp", TIMESTAMP, nullable=False),
    Column("started_at", TIMESTAMP),
    Column("completed_at", TIMESTAMP),
    Column("duration_ms", Integer),
    Column("inputs", JSON),
    Column("outputs", JSON),
    Column("error_message", Text),
    Column("meta", JSON),
    Column("execution_order", Integer, nullable=False),
    Column("depth", Integer, nullable=False, default=0),
    Column("status", String(50), nullable=False, default="completed"),
)
messages = Table(
    "messages",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    _run(),
    _to("workflow_steps", "step_id"),
    _to("execution_events", "event_id"),
    _to("dag_nodes", "node_id"),
    Column("sender", String(100)),
    Column("recipient", String(100)),
    Column("content", Text, nullable=False),
    Column("timestamp", TIMESTAMP),
    Column("tokens", Integer),
    Column("meta", JSON),
)
cost_records = Table(
    "cost_records",
    metadata,
    _id(),
    _run(),
    _to("workflow_steps", "step_id"),
    _to("sessions"),
    Column("model", String(100), nullable=False),
    Column("agent_name", String(200)),
    Column("prompt_tokens", Integer, nullable=False, default=0),
    Column("completion_tokens", Integer, nullable=False, default=0),
    Column("total_tokens", Integer, nullable=False, default=0),
    Column("cost_usd", Numeric(10, 6), nullable=False, default=0),
    Column("timestamp", TIMESTAMP, nullable=False),
)
branches = Table(
    "branches",
    metadata,
    _id(),
    _to("workflow_runs", "parent_run_id"),
    _to("workflow_steps", "parent_step_id"),
    _to("workflow_runs", "child_run_id"),
    Column("branch_name", String(255), nullable=False),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("hypothesis", Text),
    Column("status", String(50), nullable=False),
    Column("meta", JSON),
    Column("racing_group_id", String(36)),
    Column("racing_priority", Integer),
    Column("racing_status", String(20)),
)

START = datetime(2026, 2, 10, 12, 0, 0)

Fill = Callable[[str], None]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def _rows() -> list[tuple[Table, list[dict[str, Any]]]]:
    """One statement for each table, in an order that its foreign keys allow."""
    of = {"run_id": "run-1", "session_id": "session-1"}
    return [
        (
            sessions,
            [
                {
                    "id": "session-1",
                    "user_id": "alice",
                    "name": "cosmology",
                    "created_at": at(0),
                    "last_active_at": at(90),
                    "status": "active",
                    "meta": {},
                }
            ],
        ),
        (
            workflow_runs,
            [
                {
                    "id": "run-1",
                    "session_id": "session-1",
                    "mode": "planning_control",
                    "agent": "engineer",
                    "model": "gpt-4o",
                    "status": "completed",
                    "started_at": at(0),
                    "completed_at": at(90),
                    "task_description": "Fit the power spectrum.",
                    "meta": {"llm_config": {"config_list": [{"api_key": "sk-" + "a" * 40}]}},
                },
                {
                    "id": "run-2",
                    "session_id": "session-1",
                    "mode": "one_shot",
                    "agent": "engineer",
                    "model": "gpt-4o",
                    "status": "executing",
                    "started_at": at(100),
                    "meta": {
                        "branch_name": "try_log",
                        "hypothesis": "Logs are smoother.",
                        "branched_from_node": "node-step-1",
                    },
                    "branch_parent_id": "run-1",
                    "is_branch": True,
                    "branch_depth": 1,
                },
            ],
        ),
        (
            workflow_steps,
            [
                of
                | {
                    "id": "step-1",
                    "step_number": 1,
                    "goal": "Load the data",
                    "summary": "Loaded 1,000 rows.",
                    "status": "completed",
                    "started_at": at(10),
                    "completed_at": at(20),
                },
                of
                | {
                    "id": "step-2",
                    "step_number": 2,
                    "goal": "Fit the model",
                    "summary": "A power law.",
                    "status": "completed",
                    "started_at": at(20),
                    "completed_at": at(80),
                },
                of | {"id": "step-3", "step_number": 3, "goal": "Write it up", "status": "pending"},
                {
                    "id": "step-b",
                    "run_id": "run-2",
                    "session_id": "session-1",
                    "step_number": 1,
                    "goal": "Fit the logs",
                    "status": "running",
                    "started_at": at(101),
                },
            ],
        ),
        (
            dag_nodes,
            [
                of | node
                for node in (
                    {"id": "node-plan", "node_type": "planning", "agent": "planner", "status": "completed"}
                    | {"order_index": 0, "meta": {"id": "planning", "label": "Planning"}},
                    {"id": "node-step-1", "node_type": "agent", "agent": "engineer", "status": "completed"}
                    | {"order_index": 1, "meta": {"id": "step_1"}},
                    {"id": "node-step-2", "node_type": "agent", "agent": "engineer", "status": "completed"}
                    | {"order_index": 2, "meta": {"id": "step_2"}},
                    {
                        "id": "node-sub",
                        "parent_node_id": "node-step-2",
                        "node_type": "sub_agent",
                        "agent": "executor",
                        "status": "running",
                        "order_index": 0,
                        "depth": 1,
                        "meta": {"action": "ran code"},
                    },
                    # As redos are recorded: nothing below it, pending for ever.
                    {"id": "node-redo-1", "node_type": "branch_point", "agent": "branch_redo_1"}
                    | {"status": "pending", "order_index": 2}
                    | {
                        "meta": {
                            "branch_name": "redo_1",
                            "hypothesis": "Use a power law.",
                            "source_node_id": "node-step-2",
                        }
                    },
                    # As the documents draw them: the step's second try below it.
                    {"id": "node-redo-2", "node_type": "branch_point", "agent": "branch_redo_2"}
                    | {"status": "pending", "order_index": 2}
                    | {"meta": {"branch_name": "redo_2", "hypothesis": "Weigh by errors."}},
                    {
                        "id": "node-retry",
                        "parent_node_id": "node-redo-2",
                        "node_type": "agent",
                        "agent": "engineer",
                        "status": "completed",
                        "order_index": 0,
                        "depth": 1,
                        "meta": {"id": "step_2_retry_1"},
                    },
                    {"id": "node-end", "node_type": "terminator", "status": "pending", "order_index": 4},
                )
            ],
        ),
        (
            dag_edges,
            [
                {
                    "from_node_id": source,
                    "to_node_id": target,
                    "dependency_type": kind,
                    "condition": condition,
                }
                for source, target, kind, condition in (
                    ("node-plan", "node-step-1", "sequential", None),
                    ("node-step-1", "node-step-2", "sequential", None),
                    ("node-step-2", "node-redo-1", "conditional", "branch_redo_1"),
                    ("node-step-2", "node-redo-2", "conditional", "branch_redo_2"),
                    ("node-step-2", "node-end", "optional", "if time is left"),
                )
            ],
        ),
        (
            execution_events,
            [
                of
                | {
                    "id": "event-1",
                    "node_id": "node-plan",
                    "event_type": "agent_call",
                    "event_subtype": "start",
                    "agent_name": "planner",
                    "timestamp": at(1),
                    "completed_at": at(9),
                    "duration_ms": 8000,
                    "inputs": {"message": "Plan it."},
                    "meta": {"llm_config": {"api_key": "sk-" + "b" * 40}},
                    "execution_order": 1,
                },
                of
                | {
                    "id": "event-2",
                    "node_id": "node-step-2",
                    "step_id": "step-2",
                    "event_type": "code_exec",
                    "event_subtype": "executed",
                    "agent_name": "executor",
                    "timestamp": at(30),
                    "outputs": {"exit_code": 0},
                    "execution_order": 2,
                },
                of
                | {
                    "id": "event-3",
                    "node_id": "node-retry",
                    "event_type": "agent_call",
                    "event_subtype": "start",
                    "agent_name": "engineer",
                    "timestamp": at(60),
                    "completed_at": at(75),
                    "execution_order": 3,
                },
            ],
        ),
        (
            messages,
            [
                {
                    "run_id": "run-1",
                    "event_id": "event-1",
                    "node_id": "node-plan",
                    "sender": "planner",
                    "recipient": "engineer",
                    "content": "Load, then fit.",
                    "timestamp": at(8),
                    "tokens": 4,
                },
                {
                    "run_id": "run-1",
                    "step_id": "step-1",
                    "sender": "user",
                    "recipient": "engineer",
                    "content": "Go on.",
                    "timestamp": at(11),
                },
            ],
        ),
        (
            cost_records,
            [
                of
                | {
                    "id": "cost-1",
                    "step_id": "step-1",
                    "model": "gpt-4o",
                    "agent_name": "engineer",
                    "prompt_tokens": 100,
                    "completion_tokens": 10,
                    "total_tokens": 110,
                    "cost_usd": 0.25,
                    "timestamp": at(15),
                },
                of
                | {
                    "id": "cost-2",
                    "step_id": "step-2",
                    "model": "home-made",
                    "agent_name": "engineer",
                    "prompt_tokens": 200,
                    "completion_tokens": 20,
                    "total_tokens": 220,
                    "cost_usd": 0,
                    "timestamp": at(40),
                },
            ],
        ),
        (
            branches,
            [
                {
                    "id": "branch-1",
                    "parent_run_id": "run-1",
                    "parent_step_id": "step-1",
                    "child_run_id": "run-2",
                    "branch_name": "try_log",
                    "created_at": at(99),
                    "hypothesis": "Logs are smoother.",
                    "status": "active",
                }
            ],
        ),
    ]


def fill(url: str) -> None:
    """Create CMBAgent's tables in an empty database and fill them."""
    engine = create_engine(url)
    try:
        metadata.create_all(engine)
        with engine.begin() as connection:
            for table, rows in _rows():
                for row in rows:
                    connection.execute(table.insert(), row)
    finally:
        engine.dispose()


def finish(url: str) -> None:
    """The run that was going on comes to its end."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(
                workflow_runs.update()
                .where(workflow_runs.c.id == "run-2")
                .values(status="failed", completed_at=at(150))
            )
            connection.execute(
                workflow_steps.update()
                .where(workflow_steps.c.id == "step-b")
                .values(status="failed", completed_at=at(140), error_message="no convergence")
            )
    finally:
        engine.dispose()


@pytest.fixture
def cmbagent_file(tmp_path: Path) -> Path:
    """A CMBAgent database in a file."""
    path = tmp_path / "cmbagent.db"
    fill(f"sqlite:///{path}")
    return path


@pytest.fixture
def finish_run() -> Fill:
    return finish


@pytest.fixture
def fill_cmbagent() -> Fill:
    return fill
