"""The views, on both databases: what they say is what the questions of `spandag.query` answer."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import fields
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import Span
from opentelemetry.trace import StatusCode
from spandag_test_databases import connected
from sqlalchemy import inspect, select, text, update

from spandag import query, semconv
from spandag.export.project import project
from spandag.query import Spent
from spandag.semconv import NodeType
from spandag.store import Store, Writer, load_run, open_store, revisions, schema, views
from spandag.store.heartbeat import STALE_NS, now_ns_sql
from spandag.store.migrations import views_0002, views_0003

from .conftest import Story, opened, two_redos

S = 1_000_000_000
DOCS = Path(__file__).parents[2] / "docs" / "views.md"

Rows = list[dict[str, Any]]

# In the answer they stand under the same names.
TREE_COLUMNS = [
    *("node_type", "name", "agent", "status", "step_node_id", "branch_id", "disposition"),
    *("step_number", "attempt", "outcome", "started_at", "ended_at", "model", "provider"),
    *("error_type", "error_message"),
]


class Told:
    """A store with the runs of a story in it, by name."""

    def __init__(self, url: str, store: Store) -> None:
        self.url = url
        self.store = store
        self.runs = {run.name: run.id for run in query.runs(store, limit=None)}

    def rows(self, view: str, run: str | None = None, order_by: str = "1") -> Rows:
        """Rows of a view, all or those of the run of that name."""
        where = "" if run is None else f" WHERE run_id = '{self.runs[run]}'"
        with connected(self.url) as connection:
            return [
                dict(row)
                for row in connection.execute(
                    text(f"SELECT * FROM {view}{where} ORDER BY {order_by}")
                ).mappings()
            ]

    def values(self, view: str, run: str, columns: str, order_by: str) -> list[tuple[Any, ...]]:
        """Some columns of the rows of a run."""
        return [tuple(row[name] for name in columns.split()) for row in self.rows(view, run, order_by)]


def number(span: Span) -> str:
    return trace.format_span_id(span.get_span_context().span_id)


def nested(story: Story) -> None:
    """A step that is redone, with a step in each attempt that is redone; another in a sub-agent."""
    run = story.span(NodeType.RUN, "nested", 1000, 1100, attributes={semconv.SESSION_ID: "alice"})
    phase = story.span(NodeType.PHASE, "control", 1001, 1099, parent=run)
    first = story.step("outer", 1002, 1040, parent=phase, outcome="rejected")
    story.chat(1003, 1004, parent=first)
    inner = story.step("inner", 1005, 1010, parent=first, outcome="rejected")
    story.chat(1006, 1007, parent=inner)
    again = story.step(
        "inner", 1011, 1020, parent=first, first=inner, attempt=2, hypothesis="inner, otherwise"
    )
    story.chat(1012, 1013, parent=again)
    second = story.step("outer", 1041, 1080, parent=phase, first=first, attempt=2, hypothesis="once more")
    inner = story.step("inner", 1042, 1050, parent=second, outcome="failed")
    again = story.step("inner", 1051, 1060, parent=second, first=inner, attempt=2, hypothesis="carefully")
    story.chat(1052, 1053, parent=again, model="claude-sonnet-4-5")
    agent = story.span(NodeType.AGENT, "manager", 1061, 1079, parent=second)
    below = story.span(NodeType.SUB_AGENT, "worker", 1062, 1078, parent=agent)
    tried = story.step("look up", 1063, 1066, parent=below, outcome="rejected")
    story.chat(1064, 1065, parent=tried)
    story.step("look up", 1067, 1070, parent=below, first=tried, attempt=2, hypothesis="elsewhere")


def troubled(story: Story) -> None:
    """Steps that were left, that spent their limit and that failed; costs that must not be counted or are unknown."""
    run = story.span(NodeType.RUN, "troubled", 2000, 2100)
    left = story.start(NodeType.STEP, "left", 2001, parent=run, attributes={semconv.SPANDAG_STEP_ATTEMPT: 1})
    left.set_attribute(semconv.SPANDAG_STEP_MAX_REDOS, 2)
    left.set_attribute(semconv.SPANDAG_ATTEMPT_OUTCOME, "rejected")
    left.add_event(
        semconv.EVENT_REJECTED,
        {
            semconv.SPANDAG_REDO_HYPOTHESIS: "ask somebody else",
            semconv.SPANDAG_REDO_REQUESTED_BY: "human",
        },
        timestamp=2002 * S,
    )
    story.end(left, 2003)
    spent = story.step("spent", 2004, 2010, parent=run, outcome="rejected")
    story.step(
        "spent",
        2011,
        2020,
        parent=run,
        first=spent,
        attempt=2,
        outcome="rejected",
        hypothesis="try harder",
        **{semconv.SPANDAG_REDO_EXHAUSTED: True, semconv.SPANDAG_STEP_MAX_REDOS: 1},
    )
    failed = story.start(NodeType.STEP, "failed", 2021, parent=run)
    failed.record_exception(ValueError("no such column"), timestamp=2022 * S)
    failed.set_status(StatusCode.ERROR, "no such column")
    story.end(failed, 2023)
    # An accepted step within work that was given up is no loose end.
    around = story.step("around", 2024, 2040, parent=run, outcome="cancelled")
    story.step("fine", 2025, 2026, parent=around)
    agent = story.span(NodeType.AGENT, "engineer", 2041, 2060, parent=run)
    unpriced = {"gen_ai.provider.name": "nobody", semconv.GEN_AI_USAGE_COST: "unknown"}
    story.chat(2042, 2043, parent=agent, model="own-model", **unpriced)
    call = story.chat(2044, 2050, parent=agent)
    request = story.span(None, "POST", 2045, 2049, parent=call, scope="httpx")
    # Another instrumentation saw the same call.
    story.chat(2046, 2048, parent=request, model="gpt-4o-2024-08-06")
    code = story.span(NodeType.CODE, "python_interpreter", 2051, 2055, parent=agent)
    tool = story.start(NodeType.TOOL, "csv", 2052, parent=code)
    tool.set_attribute(semconv.GEN_AI_AGENT_NAME, "engineer")
    tool.record_exception(FileNotFoundError("planets"), timestamp=2053 * S)
    tool.set_status(StatusCode.ERROR, "planets")
    story.end(tool, 2054)
    story.span(NodeType.APPROVAL, "human", 2056, 2059, parent=agent)


def running(story: Story) -> list[Any]:
    """A run that goes on: started spans beside ended ones."""
    run = story.start(NodeType.RUN, "running", 3000)
    step = story.start(NodeType.STEP, "waits", 3001, parent=run, attributes={semconv.SPANDAG_STEP_ATTEMPT: 1})
    story.chat(3002, 3003, parent=step)
    return [opened(run), opened(step)]


@pytest.fixture
def told(writer: Writer, store_url: str, story: Story) -> Iterator[Told]:
    two_redos(story)
    nested(story)
    troubled(story)
    story.span(None, "GET /", 4000, 4001, scope="web")
    story.chat(5000, 5001, parent=story.start(None, "lonely", 5000))
    started = running(story)
    writer.write(project([*story.spans, *started]))
    writer.settle()
    with open_store(store_url) as store:
        yield Told(store_url, store)


def spent_of(row: dict[str, Any]) -> Spent:
    return Spent(
        row["calls"],
        row["input_tokens"],
        row["output_tokens"],
        row["cost_usd"],
        row["unpriced_calls"],
    )


# --- what there is ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selects", "dialect", "digest"),
    [
        (views_0002.views, "sqlite", "f9b48822f212b8c6ec7fe589b39f91a612753a4ace0601c0862293f61817042c"),
        (views_0002.views, "postgresql", "a6b52a253c5220859e1dc84727f2d0432ffff97b1960c5706914d9552950f80a"),
        (views_0003.views, "sqlite", "c6a381d0a0642f0c2c14c9167f43324e00ab424da8d82eb834e41010b2961d0e"),
        (views_0003.views, "postgresql", "67a349282d806f17dfdcf831a57177c6d25f525c5d1268f773a5cb5a5c6aa583"),
        (views.views, "sqlite", "93277f4707bfdf1e0d1301e594bcb432340207ac4c9193abef64b46a227863fa"),
        (views.views, "postgresql", "7c78b50ee175c66f4ebd3a2bc147732a49ee89b054fd0610263cadc66699fc1d"),
    ],
)
def test_what_a_revision_creates_does_not_change(
    selects: Callable[[str], dict[str, str]], dialect: str, digest: str
) -> None:
    """Stores have it: a view that is to change needs a new revision, see `spandag.store.views`."""
    created = "\n".join(f"CREATE VIEW {name} AS\n{select}" for name, select in selects(dialect).items())
    assert sha256(created.encode()).hexdigest() == digest


@pytest.mark.parametrize(
    ("number", "selects_before", "selects_after"),
    [("0003", views_0002.views, views_0003.views), ("0004", views_0003.views, views.views)],
)
def test_a_revision_changes_no_more_views_than_it_says(
    number: str,
    selects_before: Callable[[str], dict[str, str]],
    selects_after: Callable[[str], dict[str, str]],
) -> None:
    [revision] = [each for each in revisions.revisions() if each.id == number]
    for dialect in revisions.DIALECTS:
        before, after = selects_before(dialect), selects_after(dialect)
        changed = [name for name in before if before[name] != after[name]]
        assert changed == list(revision.module.CHANGED)
        assert sorted(after.keys() - before.keys()) == sorted(getattr(revision.module, "ADDED", ()))


def test_views_come_and_go_with_their_revision(writer: Writer, store_url: str) -> None:
    writer.settle()
    writer.close()
    with connected(store_url) as connection:
        assert set(inspect(connection).get_view_names()) == set(views.NAMES)
    with connected(store_url) as connection:
        revisions.migrate(connection, "store", "0003", down=True)
    with connected(store_url) as connection:
        assert set(inspect(connection).get_view_names()) == set(views_0003.NAMES)
    with connected(store_url) as connection:
        revisions.migrate(connection, "store", "0002", down=True)
    with connected(store_url) as connection:
        assert set(inspect(connection).get_view_names()) == set(views_0002.NAMES)
        assert "parent_pruned" not in connection.execute(text("SELECT * FROM v_branch_tree")).keys()  # noqa: SIM118
    with connected(store_url) as connection:
        revisions.migrate(connection, "store", "0001", down=True)
    with connected(store_url) as connection:
        assert inspect(connection).get_view_names() == []
    with connected(store_url) as connection:
        revisions.migrate(connection, "store")
    with connected(store_url) as connection:
        assert set(inspect(connection).get_view_names()) == set(views.NAMES)


def test_both_databases_have_the_same_columns_and_the_docs_name_them(told: Told) -> None:
    sections = {
        section.split("`")[0]: section for section in DOCS.read_text(encoding="utf-8").split("\n## `")[1:]
    }
    assert list(sections) == list(views.NAMES)
    silent = []
    with connected(told.url) as connection:
        for view in views.NAMES:
            columns = list(connection.execute(text(f"SELECT * FROM {view} LIMIT 0")).keys())
            silent += [f"{view}.{name}" for name in columns if f"`{name}`" not in sections[view]]
            assert len(set(columns)) == len(columns)
    assert silent == []


def test_the_queries_of_the_docs_run_on_both_databases(told: Told) -> None:
    queries = re.findall(r"```sql\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(queries) > len(views.NAMES)
    with connected(told.url) as connection:
        empty = [sql for sql in queries if not connection.execute(text(sql)).all()]
    assert empty == []


# --- as the questions answer -----------------------------------------------------------


def test_runs_are_those_of_the_question(told: Told) -> None:
    rows = told.rows("v_runs", order_by="started_at DESC, run_id")
    answers = query.runs(told.store, limit=None)
    assert [row["name"] for row in rows] == ["gpt-4o", "running", "troubled", "nested", "report"]
    for row, answer in zip(rows, answers, strict=True):
        facts = dict(row)
        assert spent_of(facts) == answer.spent
        duration_s = None if answer.ended_at is None else (answer.ended_at - answer.started_at) / S
        assert facts.pop("duration_s") == duration_s
        assert facts.pop("settled") == 1
        del facts["started_time"]
        expected = query.as_json(answer)
        expected["run_id"] = expected.pop("id")
        assert facts == expected


def test_an_open_run_says_what_is_known(told: Told) -> None:
    [row] = told.rows("v_runs", "running")
    assert (row["status"], row["ended_at"], row["duration_s"], row["calls"]) == ("open", None, None, 1)
    assert told.values(
        "v_attempts", "running", "step status outcome disposition duration_ms calls", "step"
    ) == [("waits", "open", None, "active", None, 1)]
    assert told.rows("v_unresolved", "running") == []


def test_a_run_that_is_not_settled_lags_until_it_is(writer: Writer, store_url: str, story: Story) -> None:
    spans = two_redos(story)
    # The first batch of a run is derived at once, the next one is not.
    writer.write(project(spans[1:5]))
    writer.write(project(spans[5:]))
    with open_store(store_url) as store:
        told = Told(store_url, store)
        assert len(query.runs(store)) == 1
        [row] = told.rows("v_runs")
        assert (row["nodes"], row["settled"]) == (17, 0)
        assert {row["disposition"] for row in told.rows("v_run_tree")} == {"active", None}
        store.settle()
        [row] = told.rows("v_runs")
        assert (row["nodes"], row["redos"], row["settled"]) == (17, 2, 1)


@pytest.mark.parametrize("run", ["report", "nested", "troubled", "running", "gpt-4o"])
def test_the_tree_is_that_of_the_question(told: Told, run: str) -> None:
    rows = told.rows("v_run_tree", run, "position")
    nodes = query.tree(told.store, told.runs[run]).nodes
    # Spans that are left out leave no gap.
    assert [row["position"] for row in rows] == list(range(len(rows)))
    assert [(row["node_id"], row["parent_node_id"], row["level"]) for row in rows] == [
        (node.id, node.parent_node_id, node.depth) for node in nodes
    ]
    names = [*TREE_COLUMNS, "hypothesis", "requested_by"]
    assert [[row[name] for name in names] for row in rows] == [
        [getattr(node, name) for name in names] for node in nodes
    ]
    # Leaves say what they spent themselves; what is not counted says nothing.
    leaves = {node.id: node.spent for node in nodes if not node.children}
    for row in rows:
        if row["node_id"] in leaves and leaves[row["node_id"]].calls:
            assert row["cost_usd"] == leaves[row["node_id"]].cost_usd
            assert row["input_tokens"] == leaves[row["node_id"]].input_tokens
        if row["node_type"] != NodeType.LLM:
            assert (row["input_tokens"], row["output_tokens"], row["cost_usd"]) == (None, None, None)
    assert [row["redo_depth"] for row in rows] == [
        sum(above.node_type == NodeType.BRANCH_POINT for above in _upwards(node, nodes)) for node in nodes
    ]


def _upwards(node: query.TreeNode, nodes: list[query.TreeNode]) -> Iterator[query.TreeNode]:
    by_id = {each.id: each for each in nodes}
    at: query.TreeNode | None = node
    while at is not None:
        yield at
        at = by_id.get(at.parent_node_id or "")


def test_spans_of_other_libraries_are_left_out_and_what_is_below_moves_up(told: Told) -> None:
    rows = told.rows("v_run_tree", "troubled", "position")
    assert "span" not in {row["node_type"] for row in rows}
    calls = {row["node_id"]: row for row in rows if row["node_type"] == NodeType.LLM}
    [foreign] = [row for row in calls.values() if row["name"] == "gpt-4o-2024-08-06"]
    assert calls[foreign["parent_node_id"]]["name"] == "gpt-4o"
    assert foreign["level"] == calls[foreign["parent_node_id"]]["level"] + 1
    assert (foreign["input_tokens"], foreign["cost_usd"]) == (None, None)


@pytest.mark.parametrize("run", ["report", "nested", "troubled"])
def test_the_active_path_is_what_counted_in_the_end(told: Told, run: str) -> None:
    nodes = query.tree(told.store, told.runs[run]).nodes
    counted = [node for node in nodes if node.disposition == "active" and node.node_type != "branch_point"]
    rows = told.rows("v_active_path", run, "position")
    assert [row["node_id"] for row in rows] == [node.id for node in counted]
    assert [row["level"] for row in rows] == [
        sum(above.node_type != NodeType.BRANCH_POINT for above in _upwards(node, nodes)) - 1
        for node in counted
    ]


@pytest.mark.parametrize("run", ["report", "nested", "troubled"])
def test_attempts_are_the_steps_of_the_tree(told: Told, run: str) -> None:
    nodes = query.tree(told.store, told.runs[run]).nodes
    steps = {node.id: node for node in nodes if node.node_type == NodeType.STEP}
    redos = {redo.after.node_id: redo for redo in query.redos(told.store, told.runs[run]) if redo.after}
    rows = told.rows("v_attempts", run, "node_id")
    assert [row["node_id"] for row in rows] == sorted(steps)
    for row in rows:
        node, redo = steps[row["node_id"]], redos.get(row["node_id"])
        phase = next((up.name for up in _upwards(node, nodes) if up.node_type == NodeType.PHASE), None)
        assert spent_of(row) == node.spent
        assert (row["run_name"], row["phase"], row["step"], row["attempt"]) == (
            run,
            phase,
            node.name,
            node.attempt or 1,
        )
        names = (
            "step_node_id step_number status outcome disposition started_at ended_at error_type error_message"
        )
        assert [row[name] for name in names.split()] == [getattr(node, name) for name in names.split()]
        assert row["duration_ms"] == ((node.ended_at or 0) - node.started_at) / 1e6
        assert (row["branch_node_id"], row["hypothesis"], row["requested_by"]) == (
            (redo.branch_node_id, redo.hypothesis, redo.requested_by) if redo else (None, None, None)
        )


@pytest.mark.parametrize("run", ["report", "nested", "troubled"])
def test_redos_are_those_of_the_question(told: Told, run: str) -> None:
    rows = told.rows("v_redos", run, "started_at, branch_node_id")
    answers = query.redos(told.store, told.runs[run])
    assert len(rows) == len(answers) > 0
    for row, answer in zip(rows, answers, strict=True):
        before, after = answer.before, answer.after
        assert before is not None
        assert after is not None
        its_own = [field.name for field in fields(query.Redo) if field.name not in ("before", "after")]
        assert [row[name] for name in its_own] == [getattr(answer, name) for name in its_own]
        assert (row["node_id"], spent_of(row)) == (after.node_id, after.spent)
        assert row["duration_ms"] == ((after.ended_at or 0) - after.started_at) / 1e6
        assert [row[f"before_{name}"] for name in ("node_id", "outcome", "error_type", "error_message")] == [
            before.node_id,
            before.outcome,
            before.error_type,
            before.error_message,
        ]
        assert row["before_cost_usd"] == before.spent.cost_usd
        assert row["before_duration_ms"] == ((before.ended_at or 0) - before.started_at) / 1e6


def test_a_redo_whose_first_attempt_is_missing_is_there(writer: Writer, store_url: str, story: Story) -> None:
    spans = [span for span in two_redos(story) if number(span) != f"{7:016x}"]  # type: ignore[arg-type]
    writer.write(project(spans))
    writer.settle()
    with open_store(store_url) as store:
        told = Told(store_url, store)
        assert told.values(
            "v_redos", "report", "step number before_node_id node_id before_cost_usd", "number"
        ) == [
            ("fit", 1, None, f"{0xD:016x}", None),
            ("fit", 2, f"{0xD:016x}", f"{0x10:016x}", 0.5),
        ]


# --- who is still alive ----------------------------------------------------------------

WRITERS = {
    "alive": (0, None, "running"),
    "slow": (STALE_NS - 2 * S, {"dropped_spans": 3}, "running"),
    "silent": (STALE_NS + S, None, "interrupted"),
    "ended": (0, {"closed": True}, "interrupted"),
    "forgotten": (None, None, "interrupted"),
}
"""By id: nanoseconds since the last heartbeat, or None for no row at all; meta; what an open node reads."""


@pytest.fixture
def started(writer: Writer, store_url: str) -> Iterator[Callable[[str | None], Told]]:
    """A run with a redo that goes on, held open by a process."""
    with ExitStack() as stack:

        def start(writer_id: str | None) -> Told:
            story = Story()
            run = story.start(NodeType.RUN, "started", 0, attributes={semconv.SESSION_ID: "alice"})
            first = story.step("fit", 1, 2, parent=run, outcome="rejected")
            redo = story.step(
                "fit", 3, 4, parent=run, first=first, attempt=2, outcome=None, hypothesis="again"
            )
            story.chat(5, 6, parent=redo)
            ended = [span for span in story.spans if span.context != redo.context]
            writer.write(project([*ended, opened(run), opened(redo)], writer_id=writer_id))
            writer.settle()
            age, meta, _ = WRITERS.get(writer_id or "", (None, None, ""))
            if age is not None:
                with connected(store_url) as connection:
                    now = connection.execute(
                        text(f"SELECT {now_ns_sql(connection.dialect.name)}")
                    ).scalar_one()
                    connection.execute(
                        schema.writers.insert().values(id=writer_id, heartbeat_at=now - age, meta=meta)
                    )
            return Told(store_url, stack.enter_context(open_store(store_url)))

        yield start


@pytest.mark.parametrize("writer_id", [*WRITERS, None])
def test_open_work_says_whether_anybody_is_left_to_end_it(
    started: Callable[[str | None], Told], writer_id: str | None
) -> None:
    standing = WRITERS[writer_id][2] if writer_id else "open"
    told = started(writer_id)
    active = "active" if standing == "running" else standing
    assert told.values("v_runs", "started", "status ended_at", "1") == [(standing, None)]
    statuses = [
        ("run", standing),
        ("step", "completed"),
        ("branch_point", standing),
        ("step", standing),
        ("llm", "completed"),
    ]
    assert told.values("v_run_tree", "started", "node_type status", "position") == statuses
    assert told.values("v_active_path", "started", "status", "position") == [
        (standing,),
        (standing,),
        ("completed",),
    ]
    assert told.values("v_attempts", "started", "attempt status", "attempt") == [
        (1, "completed"),
        (2, standing),
    ]
    assert told.values("v_redos", "started", "branch_name status", "1") == [("redo_1", active)]
    assert told.values("v_branch_tree", "started", "kind status", "path") == [
        ("run", standing),
        ("redo", active),
    ]
    # What nobody will end is a loose end.
    unresolved = [("fit", 2, standing)] if standing == "interrupted" else []
    assert told.values("v_unresolved", "started", "step attempts status", "1") == unresolved
    [session] = told.rows("v_sessions")
    assert session["status"] == ("idle" if standing == "interrupted" else "active")


@pytest.mark.parametrize("writer_id", [*WRITERS, None])
def test_open_work_is_what_the_questions_say(
    started: Callable[[str | None], Told], writer_id: str | None
) -> None:
    told = started(writer_id)
    [answer] = query.runs(told.store)
    assert [row["status"] for row in told.rows("v_runs")] == [answer.status]
    nodes = query.tree(told.store, answer.id).nodes
    assert [row["status"] for row in told.rows("v_run_tree", order_by="position")] == [
        node.status for node in nodes
    ]
    assert [row["status"] for row in told.rows("v_redos")] == [
        redo.status for redo in query.redos(told.store)
    ]


def test_a_trace_without_a_run_is_as_alive_as_any_of_its_calls(writer: Writer, store_url: str) -> None:
    """Its status is that of the topmost calls, whichever process makes them."""
    story = Story()
    request = story.span(None, "POST /answer", 0, 9, scope="web")
    story.chat(1, 2, parent=request)
    lost = story.start(NodeType.AGENT, "lost", 1, parent=request)
    held = story.start(NodeType.AGENT, "held", 2, parent=request)
    writer.write(project([*story.spans, opened(lost)], writer_id="gone"))
    writer.settle()
    with open_store(store_url) as store:
        [run] = query.runs(store)
        told = Told(store_url, store)
        assert [row["status"] for row in told.rows("v_runs")] == [run.status] == ["interrupted"]
        writer.write(project([opened(held)], writer_id="there"))
        writer.beat("there")
        writer.settle()
        [run] = query.runs(store)
        assert [row["status"] for row in told.rows("v_runs")] == [run.status] == ["running"]


# --- loose ends and waste --------------------------------------------------------------


def test_unresolved_are_steps_that_nobody_accepted(told: Told) -> None:
    columns = (
        "step attempts max_redos exhausted status outcome hypothesis requested_by error_type error_message"
    )
    assert told.values("v_unresolved", "troubled", columns, "started_at") == [
        ("left", 1, 2, False, "completed", "rejected", "ask somebody else", "human", None, None),
        ("spent", 2, 1, True, "completed", "rejected", None, None, None, None),
        ("failed", 1, None, False, "failed", None, None, None, "ValueError", "no such column"),
        ("around", 1, None, False, "cancelled", "cancelled", None, None, None, None),
    ]
    # What failed in an attempt that was done again is none.
    assert told.rows("v_unresolved", "nested") == []
    assert told.rows("v_unresolved", "report") == []


def test_a_step_that_was_open_when_its_run_ended_is_unresolved(
    writer: Writer, store_url: str, story: Story
) -> None:
    run = story.span(NodeType.RUN, "killed", 0, 10)
    step = story.start(NodeType.STEP, "lost", 1, parent=run)
    writer.write(project([*story.spans, opened(step)]))
    writer.settle()
    with open_store(store_url) as store:
        assert Told(store_url, store).values("v_unresolved", "killed", "step status outcome", "1") == [
            ("lost", "open", None)
        ]


@pytest.mark.parametrize("value", ["many", 2.5, True, 2**62, -1, ""])
def test_a_nonsensical_limit_ends_no_query(
    writer: Writer, store_url: str, story: Story, value: object
) -> None:
    run = story.span(NodeType.RUN, "odd", 0, 10)
    odd = {semconv.SPANDAG_STEP_MAX_REDOS: value, semconv.SPANDAG_REDO_EXHAUSTED: value}
    story.step("s", 1, 2, parent=run, outcome="rejected", **odd)
    writer.write(project(story.spans))
    with open_store(store_url) as store:
        [(max_redos, exhausted)] = Told(store_url, store).values(
            "v_unresolved", "odd", "max_redos exhausted", "1"
        )
    # JSON's true is a number on SQLite.
    assert (max_redos or 1, exhausted) == (1, value is True)


def test_waste_is_what_was_spent_on_work_that_did_not_count(told: Told) -> None:
    columns = "step disposition agent_name model calls input_tokens output_tokens cost_usd unpriced_calls"
    assert sorted(told.values("v_waste", "nested", columns, "1"), key=str) == [
        ("inner", "superseded", None, "gpt-4o", 2, 200, 20, 1.0, 0),
        ("look up", "superseded", "worker", "gpt-4o", 1, 100, 10, 0.5, 0),
        ("outer", "superseded", None, "gpt-4o", 1, 100, 10, 0.5, 0),
    ]
    for run, run_id in told.runs.items():
        with told.store.connection() as connection:
            rows = load_run(connection, run_id)
        assert rows is not None
        dispositions = {node.id: node.disposition for node in rows.nodes}
        expected: dict[str, Spent] = defaultdict(Spent)
        for cost in rows.costs:
            if cost.counted and dispositions[cost.node_id] != "active":
                kind = str(dispositions[cost.node_id])
                expected[kind] = expected[kind].plus(_spent(cost))
        found: dict[str, Spent] = defaultdict(Spent)
        for row in told.rows("v_waste", run):
            found[row["disposition"]] = found[row["disposition"]].plus(spent_of(row))
        assert found == expected


def _spent(cost: Any) -> Spent:
    return Spent(
        1, cost.input_tokens or 0, cost.output_tokens or 0, cost.cost_usd, int(cost.cost_usd is None)
    )


def test_rates_count_attempts_below_their_steps_name(told: Told) -> None:
    rows = {row["step"]: row for row in told.rows("v_rates")}
    outer = dict(rows["outer"])
    assert outer == {
        "step": "outer",
        "steps": 1,
        "attempts": 2,
        "redos": 1,
        "redone": 1,
        "accepted": 1,
        "rejected": 1,
        "failed": 0,
        "cancelled": 0,
        "unfinished": 0,
        "exhausted": 0,
        "mean_attempts": 2.0,
        "redo_rate": 1.0,
        "first_success_rate": 0.0,
        "redo_success_rate": 1.0,
    }
    assert (rows["inner"]["steps"], rows["inner"]["attempts"], rows["inner"]["failed"]) == (2, 4, 1)
    assert (rows["spent"]["exhausted"], rows["spent"]["redo_success_rate"]) == (1, 0.0)
    # What has not ended is no failure.
    assert (rows["waits"]["unfinished"], rows["waits"]["first_success_rate"]) == (1, None)


def test_nothing_is_shown_of_a_run_whose_removal_stopped_midway(told: Told) -> None:
    """Its own row is the first that goes."""
    with connected(told.url) as connection:
        connection.execute(schema.workflow_runs.delete())
    assert [view for view in views.NAMES if view != "v_sessions" and told.rows(view)] == []


# --- costs and sessions ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "keys"), [("v_cost_by_agent", ["agent_name"]), ("v_cost_by_model", ["provider", "model"])]
)
def test_costs_are_summed_over_counted_calls(told: Told, view: str, keys: list[str]) -> None:
    for run, run_id in told.runs.items():
        with told.store.connection() as connection:
            rows = load_run(connection, run_id)
        assert rows is not None
        expected: dict[tuple[Any, ...], Spent] = defaultdict(Spent)
        for cost in rows.costs:
            if cost.counted:
                values = tuple(getattr(cost, key) for key in keys)
                expected[values] = expected[values].plus(_spent(cost))
        found = {tuple(row[key] for key in keys): spent_of(row) for row in told.rows(view, run)}
        assert found == expected


def test_an_unknown_price_is_not_nothing(told: Told) -> None:
    columns = "model calls cost_usd unpriced_calls cache_read_tokens cache_write_tokens reasoning_tokens"
    assert told.values("v_cost_by_model", "troubled", columns, "model") == [
        ("gpt-4o", 1, 0.5, 0, 0, 0, 0),
        ("own-model", 1, None, 1, 0, 0, 0),
    ]
    [row] = told.rows("v_runs", "troubled")
    assert (row["calls"], row["cost_usd"], row["unpriced_calls"]) == (2, 0.5, 1)


def test_sessions_sum_their_runs(told: Told) -> None:
    [row] = told.rows("v_sessions")
    its = [run.spent for run in query.runs(told.store) if run.session_id == "alice"]
    total = Spent()
    for spent in its:
        total = total.plus(spent)
    assert (row["session_id"], row["runs"], row["status"], row["task"]) == (
        "alice",
        2,
        "idle",
        "find the law",
    )
    assert spent_of(row) == total
    assert row["duration_s"] == 1100.0


# --- events ----------------------------------------------------------------------------


def test_events_are_starts_and_ends_and_what_happened_in_between(told: Told) -> None:
    columns = "timestamp event_type event_subtype agent_name name duration_ms error_type error_message"
    events = told.values("v_events", "troubled", columns, "timestamp, ordinal, node_id, seq")
    assert [(event[0] // S, *event[1:]) for event in events if event[0] >= 2041 * S] == [
        (2041, "agent_call", "start", "engineer", "engineer", None, None, None),
        (2042, "llm_call", "start", "engineer", "own-model", None, None, None),
        (2042, "model_selected", None, "engineer", "own-model", None, None, None),
        (2043, "llm_call", "complete", "engineer", "own-model", 1000.0, None, None),
        (2044, "llm_call", "start", "engineer", "gpt-4o", None, None, None),
        (2044, "model_switched", None, "engineer", "gpt-4o", None, None, None),
        (2046, "llm_call", "start", "engineer", "gpt-4o-2024-08-06", None, None, None),
        (2048, "llm_call", "complete", "engineer", "gpt-4o-2024-08-06", 2000.0, None, None),
        (2050, "llm_call", "complete", "engineer", "gpt-4o", 6000.0, None, None),
        (2051, "code_exec", "start", None, "python_interpreter", None, None, None),
        (2052, "tool_call", "start", "engineer", "csv", None, None, None),
        (2053, "error", "FileNotFoundError", "engineer", "csv", None, "FileNotFoundError", "planets"),
        (2054, "tool_call", "error", "engineer", "csv", 2000.0, "FileNotFoundError", "planets"),
        (2055, "code_exec", "complete", None, "python_interpreter", 4000.0, None, None),
        (2056, "approval", "start", None, "human", None, None, None),
        (2059, "approval", "complete", None, "human", 3000.0, None, None),
        (2060, "agent_call", "complete", "engineer", "engineer", 19000.0, None, None),
    ]
    [rejected] = [row for row in told.rows("v_events", "troubled") if row["event_type"] == "rejected"]
    meta = rejected["meta"] if isinstance(rejected["meta"], dict) else json.loads(rejected["meta"])
    assert meta[semconv.SPANDAG_REDO_HYPOTHESIS] == "ask somebody else"
    assert (rejected["node_type"], rejected["origin"], rejected["disposition"]) == (
        "step",
        "recorded",
        "abandoned",
    )


def test_what_runs_has_started_and_not_ended(told: Told) -> None:
    assert told.values("v_events", "running", "event_type event_subtype", "timestamp, ordinal") == [
        ("llm_call", "start"),
        ("model_selected", None),
        ("llm_call", "complete"),
    ]


# --- redos and forks as a tree -----------------------------------------------------------


def test_the_branch_tree_nests_redos_and_forks(told: Told) -> None:
    forks = [("running", "report"), ("troubled", "running")]
    runs = schema.workflow_runs
    with connected(told.url) as connection:
        for fork, parent in forks:
            connection.execute(
                update(runs)
                .where(runs.c.id == told.runs[fork])
                .values(branch_parent_id=told.runs[parent], is_branch=True)
            )
        # The parent of one was removed, that of the other is in another store.
        for fork, parent in (("gpt-4o", "gone"), ("nested", "elsewhere")):
            connection.execute(
                update(runs)
                .where(runs.c.id == told.runs[fork])
                .values(branch_parent_id=parent, is_branch=True)
            )
        connection.execute(
            schema.tombstones.insert().values(run_id="gone", pruned_at=1, reason="age", nodes=1)
        )
        root = select(runs.c.root_node_id).where(runs.c.id == told.runs["running"])
        connection.execute(
            schema.branches.insert().values(
                run_id=told.runs["running"],
                branch_node_id=connection.execute(root).scalar_one(),
                kind="fork",
                child_run_id=told.runs["running"],
                branch_name="what if",
                hypothesis="a colder start",
                status="active",
                started_at=1,
            )
        )
    rows = told.rows("v_branch_tree", order_by="root_run_id, path")
    lines = {
        root: [
            "  " * row["level"]
            + " ".join(str(row[name]) for name in ("kind", "name", "branch_name", "status"))
            for row in group
        ]
        for root, group in groupby(rows, key=lambda row: row["root_run_id"])
    }
    assert lines[told.runs["report"]] == [
        "run report None completed",
        "  redo fit redo_1 rejected",
        "  redo fit redo_2 accepted",
        "  fork running what if open",
        "    fork troubled None completed",
        "      redo spent redo_1 exhausted",
    ]
    assert lines[told.runs["nested"]] == [
        "fork nested None completed",
        "  redo inner redo_1 accepted",
        "  redo outer redo_1 accepted",
        "    redo inner redo_1 accepted",
        "    redo look up redo_1 accepted",
    ]
    assert lines[told.runs["gpt-4o"]] == ["fork gpt-4o None completed"]
    assert len(lines) == 3
    by_id = {
        row["branch_node_id"] or row["run_id"]: row for row in rows if row["run_id"] == told.runs["nested"]
    }
    for row in by_id.values():
        if row["kind"] == "redo":
            assert by_id[row["parent_id"]]["level"] == row["level"] - 1
    [fork] = [row for row in rows if row["branch_name"] == "what if"]
    assert (fork["hypothesis"], fork["parent_id"]) == ("a colder start", told.runs["report"])
    assert [row["name"] for row in rows if row["parent_pruned"]] == ["gpt-4o"]
    assert {type(row["parent_pruned"]) for row in rows} <= {bool, int}


# --- how they are read -------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["sqlite"])
def test_one_run_is_read_without_looking_at_the_others(told: Told) -> None:
    """In SQLite's plan; tables as small as these PostgreSQL scans in any case."""
    scanned = {}
    with connected(told.url) as connection:
        for view in set(views.NAMES) - {"v_sessions", "v_rates"}:
            key = "root_run_id" if view == "v_branch_tree" else "run_id"
            plan = connection.execute(
                text(f"EXPLAIN QUERY PLAN SELECT * FROM {view} WHERE {key} = '{told.runs['nested']}'")
            )
            scanned[view] = {step.split()[1] for *_, step in plan if step.startswith("SCAN")}
    # What is correlated, and so small: the rows of a recursion, and what json_each makes of them.
    small = {"tree", "below", "above", "lineage", "spent", "spent_before", "nesting", "CONSTANT"}
    # A view itself is scanned for what its own tables gave.
    small.update(views.NAMES)
    assert {view: names - small for view, names in scanned.items() if names - small} == {}


def test_times_are_times(told: Told) -> None:
    [row] = told.rows("v_runs", "nested")
    shown = row["started_time"] if isinstance(row["started_time"], str) else row["started_time"].isoformat()
    assert shown.startswith("1970-01-01T00:16:40")
