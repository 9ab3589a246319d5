"""The text index: what it finds, how it is built and kept."""

from __future__ import annotations

import json
import re

import pytest
from spandag_test_databases import connected
from sqlalchemy import text as sql

import spandag
from spandag import query, semconv
from spandag.query.as_json import as_json
from spandag.query.render import Page, render_search, to_text
from spandag.query.render.search import MARKED
from spandag.store import StoreError, text_index
from spandag.store.admin import downgrade_to
from spandag.store.check import check
from spandag.store.indexing import build_index, drop_index
from spandag.store.limits import DAY_NS
from spandag.store.retention import prune, remove, set_retention
from spandag.store.stats import stats

from .conftest import Recording, kepler
from .searching import build, names, run_saying
from .test_render import GOLDEN, normal

pytestmark = pytest.mark.usefixtures("capture_content")


# --- the index ---------------------------------------------------------------------------


def test_with_the_index_only_runs_that_can_have_it_are_looked_at(recording: Recording) -> None:
    wanted = run_saying("a needle")
    for _ in range(3):
        run_saying("hay")
    assert build(recording).added == 4

    page = query.search(recording.store, "needle", seconds=0)

    assert (page.runs, page.used_index, [hit.run_id for hit in page.hits]) == (1, True, [wanted])
    without = query.search(recording.store, "needle", use_index=False)
    assert (without.runs, without.used_index, without.hits) == (4, False, page.hits)
    assert not query.search(recording.store, "ne").used_index


def test_the_longest_text_is_found_across_the_pieces_of_a_long_one(recording: Recording) -> None:
    wanted = "abc" + "\x01" * 994 + "xyz"
    inner = json.dumps({"b": "x" * 33_960 + wanted + "x" * 20_000})
    with spandag.run("r"), spandag.tool("long", arguments={"a": inner}):
        pass
    build(recording)

    page = query.search(recording.store, wanted)

    assert ([hit.name for hit in page.hits], page.used_index) == (["long"], True)


def test_what_comes_after_the_index_is_found_and_indexed_the_next_time(recording: Recording) -> None:
    with spandag.run("old"):
        context = spandag.current().span.get_span_context()  # type: ignore[union-attr]
    build(recording)
    new = run_saying("needle")
    # A late span of a run that is indexed.
    from opentelemetry import trace

    attributes = {semconv.SPANDAG_NODE_TYPE: "tool", semconv.GEN_AI_TOOL_NAME: "late needle"}
    parent = trace.set_span_in_context(trace.NonRecordingSpan(context))
    recording.tracer.start_span("late", context=parent, attributes=attributes).end()

    for _ in range(2):
        hits = query.search(recording.store, "needle").hits
        assert {(hit.run_id, hit.name) for hit in hits} == {
            (new, "tool0"),
            (format(context.trace_id, "032x"), "late needle"),
        }
        added = build(recording).added
    assert added == 0


def test_building_again_indexes_only_what_is_new(recording: Recording) -> None:
    run_saying("a")
    reports: list[tuple[int, int | None]] = []

    assert build(recording).added == 1
    run_saying("b")
    built = build(recording, report=lambda *report: reports.append(report))

    assert (built.runs, built.added, reports) == (2, 1, [(0, 1), (1, 1)])
    assert build(recording).added == 0


def test_building_that_was_stopped_goes_on(recording: Recording) -> None:
    for _ in range(3):
        run_saying(*["needle"] * 3)

    def stop(done: int, total: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(recording, report=stop)

    assert len(query.search(recording.store, "needle").hits) == 9
    built = build(recording)
    assert (built.runs, built.added) == (3, 1)


def test_a_run_that_was_half_indexed_is_searched_without_and_indexed_anew(recording: Recording) -> None:
    run_id = run_saying("needle")
    build(recording)
    with connected(recording.url) as connection:
        text_index.forget(connection, run_id, 1)

    assert names(recording, text="needle") == ["tool0"]
    assert build(recording).added == 1
    assert query.search(recording.store, "needle").used_index
    assert names(recording, text="needle") == ["tool0"]


def test_removed_runs_leave_nothing_in_the_index(recording: Recording) -> None:
    old, new = run_saying(*["needle"] * 3), run_saying("needle")
    build(recording)

    remove(recording.url, [old])

    assert [hit.run_id for hit in query.search(recording.store, "needle").hits] == [new]
    with connected(recording.url) as connection:
        assert text_index.runs_with(connection, "needle") == {new}
        assert connection.execute(sql("SELECT run_id FROM text_index_runs")).scalars().all() == [new]
    assert check(recording.url).ok
    assert build(recording).removed == 0


def test_a_run_that_was_removed_unnoticed_is_not_found_and_is_taken_out(recording: Recording) -> None:
    run_id = run_saying("needle")
    build(recording)
    with connected(recording.url) as connection:
        for table, key in (
            ("dag_nodes", "run_id"),
            ("messages", "run_id"),
            ("node_messages", "run_id"),
            ("workflow_runs", "id"),
        ):
            connection.execute(sql(f"DELETE FROM {table} WHERE {key} = :run_id"), {"run_id": run_id})

    assert query.search(recording.store, "needle").hits == []
    found = [finding for finding in check(recording.url).findings if finding.table == "text_index_runs"]
    assert [(finding.rows, finding.wrong) for finding in found] == [(1, False)]
    assert build(recording).removed == 1
    with connected(recording.url) as connection:
        assert text_index.runs_with(connection, "needle") == set()


def test_retention_works_with_an_index(recording: Recording) -> None:
    run_saying("needle")
    build(recording)
    set_retention(recording.url, 1, None)

    assert prune(recording.url, now=2**62 + 3 * DAY_NS).runs == 1
    assert query.search(recording.store, "needle").hits == []


def test_an_index_is_no_stranger_to_the_store(recording: Recording) -> None:
    run_saying("needle")
    build(recording)

    checked = check(recording.url)
    assert (checked.ok, checked.schema) == (True, [])
    [row] = [table for table in stats(recording.url).tables if table.table == "text_index"]
    assert row.rows > 0
    assert row.bytes > 0
    with spandag.open_store(recording.url) as again:
        assert len(query.search(again, "needle").hits) == 1


def test_an_index_that_is_dropped_leaves_no_table(recording: Recording) -> None:
    run_saying("needle")
    build(recording)

    assert drop_index(recording.url).dropped
    assert not drop_index(recording.url).dropped
    assert not query.search(recording.store, "needle").used_index
    assert names(recording, text="needle") == ["tool0"]
    with connected(recording.url) as connection:
        assert not text_index.exists(connection)
    assert "text_index" not in {table.table for table in stats(recording.url).tables}


def test_going_back_to_an_older_revision_removes_the_index(recording: Recording) -> None:
    run_saying("needle")
    build(recording)
    recording.store.close()

    downgrade_to(recording.url, "0002")

    with connected(recording.url) as connection:
        assert not text_index.exists(connection)


@pytest.mark.parametrize("backend", ["sqlite"])
def test_without_fts5_searching_works_and_building_says_why_it_does_not(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = run_saying("needle"), run_saying("needle")
    build(recording)
    with monkeypatch.context() as patched:
        patched.setattr(text_index, "has_fts5", lambda connection: False)

        page = query.search(recording.store, "needle")
        assert (len(page.hits), page.used_index) == (2, False)
        for work in (build_index, drop_index):
            with pytest.raises(StoreError, match="built without FTS5; searching works without it"):
                work(recording.url)
        remove(recording.url, [old])
        assert check(recording.url).ok

    with connected(recording.url) as connection:
        assert text_index.runs_with(connection, "needle") == {new}
    build(recording)
    run_saying("needle")
    build(recording)
    with connected(recording.url) as connection:
        count = connection.execute(sql("SELECT count(*) FROM text_index_docsize")).scalar_one()
        named = connection.execute(
            sql("SELECT sum(last_doc - first_doc + 1) FROM text_index_slices")
        ).scalar_one()
    assert count == named
    assert len(query.search(recording.store, "needle").hits) == 2


def test_hits_are_drawn_as_in_the_golden_file(recording: Recording) -> None:
    kepler()
    hits = [
        hit for text in ("the law", "table", "log space") for hit in query.search(recording.store, text).hits
    ]
    hits += query.search(recording.store, node_type="phase").hits

    drawn = re.sub(r"(?<=\S) +", " ", normal(to_text(render_search(hits, Page(width=140)))))
    assert drawn == (GOLDEN / "search.txt").read_text(encoding="utf-8")
    [line] = [line for line in render_search(hits, Page()) if "log space" in to_text([line])]
    assert [text for text, style in line if style == MARKED] == ["log space"]


def test_json_has_the_columns_of_the_store(recording: Recording) -> None:
    kepler()

    [hit] = as_json(query.search(recording.store, "in log").hits)

    assert list(hit) == [
        "run_id",
        "run_name",
        "node_id",
        "node_type",
        "name",
        "step_number",
        "agent",
        "model",
        "status",
        "started_at",
        "ended_at",
        "error_type",
        "path",
        "found_in",
        "excerpt",
        "marks",
        "cursor",
    ]
