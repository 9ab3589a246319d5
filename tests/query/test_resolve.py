from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest
from spandag_test_databases import connected
from sqlalchemy import event, update

import spandag
from spandag import query
from spandag.query import AmbiguousError, QueryError
from spandag.store import schema

from .conftest import Recording, kepler
from .test_tree import spans


def run_of(recording: Recording, text: str) -> str:
    with recording.store.connection() as connection:
        return query.resolve_run(connection, text)


def node_of(recording: Recording, text: str) -> query.NodeId:
    with recording.store.connection() as connection:
        return query.resolve_node(connection, text)


def test_a_run_is_meant_by_last_its_id_or_its_beginning(recording: Recording) -> None:
    first, second = kepler(), kepler()

    assert run_of(recording, "last") == second
    assert run_of(recording, first) == first
    assert run_of(recording, first[:12]) == first
    assert run_of(recording, f" {first[:12].upper()} ") == first


def test_an_ambiguous_run_is_told_with_ids_that_differ(recording: Recording) -> None:
    a, b = 0xABCD1234_00000000_00000000_00000001, 0xABCD1234_00000000_00000000_00000002
    recording.exporter.export([*spans((1, None), trace_id=a), *spans((1, None), trace_id=b)])

    with pytest.raises(QueryError) as error:
        run_of(recording, "ab")

    assert str(error.value) == f"'ab' is ambiguous: {a:032x} (a1, 1970-01-01), {b:032x} (a1, 1970-01-01)"


@pytest.mark.parametrize("text", ["f" * 33, "not hex", "%", "", "_"])
def test_an_unknown_run_suggests_the_newest(recording: Recording, text: str) -> None:
    run_id = kepler()

    with pytest.raises(QueryError) as error:
        run_of(recording, text)

    assert str(error.value) == f"no run starts with {text!r}; newest runs: {run_id[:8]} (kepler)"


def test_an_unknown_run_suggests_what_is_close(recording: Recording) -> None:
    run_id = kepler()
    with spandag.run("other\x1b[31m"):
        pass

    typo = run_id[:7] + ("0" if run_id[7] != "0" else "1")
    for text in ("keplr", "Kepler", "pler", typo):
        with pytest.raises(QueryError) as error:
            run_of(recording, text)
        assert str(error.value) == f"no run starts with {text!r}; did you mean {run_id[:8]} (kepler)?"

    with pytest.raises(QueryError) as error:
        run_of(recording, "zzzz")
    assert "(other\\x1b[31m)" in str(error.value)


def test_an_ambiguous_run_that_is_not_derived_yet_is_told_as_the_others(recording: Recording) -> None:
    recording.exporter.export(
        [*spans((1, None), trace_id=0xAB << 120), *spans((2, None), trace_id=0xAC << 120)]
    )
    with connected(recording.url) as connection:
        connection.execute(update(schema.workflow_runs).values(derived_version=0, name="stale"))

    with pytest.raises(AmbiguousError) as error:
        run_of(recording, "a")

    assert "ab000000 (a1, 1970-01-01), ac000000 (a2, 1970-01-01)" in str(error.value)


def test_last_in_an_empty_store_says_how_to_make_a_run(recording: Recording) -> None:
    with recording.tracer.start_as_current_span("GET"):
        pass

    with pytest.raises(QueryError, match="no runs yet; make one with: spandag demo"):
        run_of(recording, "last")


def test_a_node_is_meant_by_its_id_or_its_beginning_in_any_run_or_one(recording: Recording) -> None:
    run_id = kepler()
    tree = query.tree(recording.store, run_id)
    node = next(n for n in tree.nodes if n.node_type == "tool")
    branch_point = next(n for n in tree.nodes if n.node_type == "branch_point")

    assert node_of(recording, node.id) == (run_id, node.id)
    assert node_of(recording, node.id[:12]) == (run_id, node.id)
    assert node_of(recording, f"last/{node.id}") == (run_id, node.id)
    assert node_of(recording, f"{run_id[:10]}/{node.id[:12].upper()}") == (run_id, node.id)
    assert node_of(recording, branch_point.id) == (run_id, branch_point.id)


def test_ambiguous_nodes_are_told_with_their_runs_where_these_differ(recording: Recording) -> None:
    recording.exporter.export(spans((0xAB01 << 48, None), (0xAB02 << 48, None)))
    with pytest.raises(QueryError) as error:
        node_of(recording, "ab")
    one, two, three = (f"ab0{i}000000000000 (agent a{(0xAB00 + i) << 48}, {{}})" for i in (1, 2, 3))
    assert re.sub(r"\d{4}-\d\d-\d\d", "{}", str(error.value)) == f"'ab' is ambiguous: {one}, {two}"

    recording.exporter.export(spans((0xAB03 << 48, None), trace_id=8))
    with pytest.raises(QueryError) as error:
        node_of(recording, "ab")
    assert re.sub(r"\d{4}-\d\d-\d\d", "{}", str(error.value)) == (
        f"'ab' is ambiguous: 00000000/{one}, 00000000/{two}, 00000000/{three}"
    )


def test_an_unknown_node_says_where_ids_are_shown(recording: Recording) -> None:
    run_id = kepler()

    with pytest.raises(
        QueryError, match=r"^no node starts with 'zz'; ids are shown by: spandag tree last --ids$"
    ):
        node_of(recording, "zz")
    with pytest.raises(QueryError) as error:
        node_of(recording, f"{run_id[:9]}/zz")
    assert str(error.value) == (
        f"no node of run {run_id[:8]} starts with 'zz'; ids are shown by: spandag tree {run_id[:9]} --ids"
    )


def test_a_node_that_is_nearly_right_is_suggested(recording: Recording) -> None:
    recording.exporter.export(spans((0xABCD1234 << 32, None), trace_id=7))
    recording.store.settle()

    with pytest.raises(QueryError) as error:
        node_of(recording, "abcd1235")
    assert str(error.value).startswith("no node starts with 'abcd1235'; did you mean abcd1234 (")


def test_a_node_is_suggested_by_its_name(recording: Recording) -> None:
    kepler()

    for text in ("analyst", "analist", "last/ANALYST"):
        with pytest.raises(QueryError) as error:
            node_of(recording, text)
        assert "did you mean" in str(error.value)
        assert "(agent analyst)" in str(error.value)


def test_a_node_of_an_unknown_run_is_about_the_run(recording: Recording) -> None:
    with spandag.run("r"):
        pass

    with pytest.raises(QueryError, match="no run starts with 'xx'"):
        node_of(recording, "xx/ab")


@pytest.mark.parametrize("backend", ["sqlite"])
def test_the_beginning_of_a_node_is_found_by_the_index(recording: Recording) -> None:
    kepler()
    statements: list[str] = []

    def listen(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    with recording.store.connection() as connection:
        event.listen(connection, "before_cursor_execute", listen)
        query.resolve_node(connection, "last")
        with suppress(QueryError):
            query.resolve_node(connection, "0a")
        [by_prefix] = [statement for statement in statements if "dag_nodes.id >=" in statement]
        plan = [
            row[-1]
            for row in connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {by_prefix}", ("0a", "0ag", "0a", 6, 0)
            )
        ]
    assert any("SEARCH dag_nodes USING" in step and "id>" in step for step in plan), plan
