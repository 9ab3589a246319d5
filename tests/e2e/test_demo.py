"""The demo, whole: golden tree and rows, tokens and cost, and the checks of the systems it is distilled from."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys

import pytest

pytest.importorskip("ag2", reason="the demo needs ag2; it runs in the other environment")

PROGRAM = """
import dataclasses, json, sys
import spandag
from spandag.demo import run_demo

spandag.init(url=sys.argv[1], capture_content=True)
print(json.dumps(dataclasses.asdict(run_demo())))
"""

# USD per million tokens of input, cached input and output, from the providers' price lists.
PRICES = {"gpt-5-mini": (0.25, 0.025, 2.0), "gpt-4o-mini": (0.15, 0.075, 0.60)}


def run_demo_into(url):
    """Run the demo; its result."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, url],
        env={name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
        stdout=subprocess.PIPE,
        check=True,
        timeout=180,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo ran; its result and its store."""
    database = tmp_path_factory.mktemp("demo") / "runs.db"
    return run_demo_into(f"sqlite:///{database}"), database


@pytest.fixture
def rows(demo):
    connection = sqlite3.connect(demo[1])
    connection.row_factory = sqlite3.Row
    yield lambda sql: [dict(row) for row in connection.execute(sql)]
    connection.close()


def test_the_law_is_found_by_a_redo(demo):
    result, _ = demo
    assert round(result["exponent"], 3) == 1.5
    assert (result["accepted"], result["attempts"], result["scripted"]) == (True, 2, True)


def test_the_tree_is_as_the_golden_file_says(demo, golden, tree_of):
    golden("demo.tree.txt", tree_of(demo[1]))


def test_every_row_is_as_the_golden_file_says(demo, golden, rows_of):
    golden("demo.rows.txt", rows_of(demo[1]))


def test_postgresql_has_the_same_tree_and_rows(postgres_url, golden, tree_of, rows_of):
    run_demo_into(postgres_url)
    golden("demo.tree.txt", tree_of(postgres_url))
    golden("demo.rows.txt", rows_of(postgres_url))


def test_tokens_are_those_that_the_model_server_counted(demo, rows):
    served = demo[0]["served"]
    [stored] = rows(
        "SELECT count(*) AS calls, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,"
        " sum(cache_read_tokens) AS cached_tokens, sum(reasoning_tokens) AS reasoning_tokens"
        " FROM cost_records WHERE counted"
    )
    assert stored == served
    assert served["calls"] == 21


def test_the_totals_of_the_run_are_those_of_its_calls(demo, rows):
    [run] = rows("SELECT attributes FROM dag_nodes WHERE node_type = 'run'")
    totals = json.loads(run["attributes"])
    assert totals["spandag.total.input_tokens"] == demo[0]["served"]["input_tokens"]
    assert totals["spandag.total.output_tokens"] == demo[0]["served"]["output_tokens"]
    assert totals["spandag.total.unpriced_calls"] == 0
    [stored] = rows("SELECT sum(cost_usd) AS cost FROM cost_records")
    assert totals["spandag.total.cost"] == pytest.approx(stored["cost"])


def test_the_cost_is_what_a_hand_calculation_gives(rows):
    expected = 0.0
    for call in rows("SELECT * FROM cost_records"):
        plain, cached, output = PRICES[call["model"]]
        from_cache = call["cache_read_tokens"] or 0
        expected += (
            (call["input_tokens"] - from_cache) * plain + from_cache * cached + call["output_tokens"] * output
        )
    [stored] = rows("SELECT sum(cost_usd) AS cost FROM cost_records")
    assert stored["cost"] == pytest.approx(expected / 1e6)


def test_the_redo_is_a_branch_point_with_its_name_hypothesis_and_source(rows):
    [found] = rows(
        "SELECT bp.meta ->> 'branch_name' AS branch_name, bp.meta ->> 'hypothesis' AS hypothesis, source.name AS source,"
        " source.attempt AS attempt, source.disposition AS disposition, bp.parent_node_id = source.parent_node_id AS sibling"
        " FROM dag_nodes AS bp JOIN dag_nodes AS source"
        " ON source.run_id = bp.run_id AND source.id = bp.meta ->> 'source_node_id'"
        " WHERE bp.node_type = 'branch_point'"
    )
    assert found == {
        "branch_name": "redo_1",
        "hypothesis": "The relation looks like a power law: fit log T against log a.",
        "source": "fit the law",
        "attempt": 1,
        "disposition": "superseded",
        "sibling": 1,
    }


def test_a_conditional_edge_leads_from_the_step_to_the_branch_point(rows):
    [edge] = rows(
        "SELECT source.name AS source, target.node_type AS target, edge.condition FROM dag_edges AS edge"
        " JOIN dag_nodes AS source ON source.id = edge.from_node_id"
        " JOIN dag_nodes AS target ON target.id = edge.to_node_id WHERE dependency_type = 'conditional'"
    )
    assert edge == {"source": "fit the law", "target": "branch_point", "condition": "branch_redo_1"}


def test_no_event_is_there_twice(rows):
    assert (
        rows(
            "SELECT event_type, event_subtype, node_id, timestamp, count(*) FROM execution_events"
            " GROUP BY event_type, event_subtype, node_id, timestamp HAVING count(*) > 1"
        )
        == []
    )


def test_events_have_the_run_a_node_and_where_it_is_known_an_agent(rows):
    orphans = rows(
        "SELECT event.* FROM execution_events AS event"
        " LEFT JOIN dag_nodes AS node ON node.run_id = event.run_id AND node.id = event.node_id WHERE node.id IS NULL"
    )
    assert orphans == []


def test_a_recursive_query_gives_the_whole_tree(rows):
    tree = rows(
        "WITH RECURSIVE tree(id, level) AS ("
        " SELECT id, 0 FROM dag_nodes WHERE parent_node_id IS NULL"
        " UNION ALL SELECT node.id, level + 1 FROM dag_nodes AS node JOIN tree ON node.parent_node_id = tree.id"
        ") SELECT count(*) AS nodes, max(level) AS depth, sum(level = depth) AS agreeing"
        " FROM tree JOIN dag_nodes USING (id)"
    )
    [everything] = rows("SELECT count(*) AS nodes, max(depth) AS depth FROM dag_nodes")
    assert tree == [{**everything, "agreeing": everything["nodes"]}]
    assert everything["depth"] >= 8


def test_there_is_one_session_and_one_run(rows):
    assert rows("SELECT id, status FROM sessions") == [{"id": "demo", "status": "idle"}]
    assert rows("SELECT name, status, session_id FROM workflow_runs") == [
        {"name": "Kepler's third law", "status": "completed", "session_id": "demo"}
    ]
