"""Finding nodes by what they say and by what they are, with and without the text index."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spandag_test_databases import connected
from sqlalchemy import text as sql

import spandag
from spandag import query, semconv
from spandag.query import Hit, QueryError
from spandag.query.cursors import Place, place_of
from spandag.query.matching import Wanted
from spandag.query.render import Page, render_node, render_search, to_text
from spandag.store.case_folding import folded, like
from spandag.store.text import storable

from .conftest import Recording, kepler
from .searching import chat, marked, names, run_saying, said

pytestmark = pytest.mark.usefixtures("capture_content")


# --- text ------------------------------------------------------------------------------


def test_an_iteration_is_called_as_in_the_tree(recording: Recording) -> None:
    attributes = {semconv.SPANDAG_NODE_TYPE: "iteration", semconv.SPANDAG_ITERATION_NUMBER: 3}
    with (
        spandag.run("r"),
        spandag.agent("poet"),
        recording.tracer.start_as_current_span("run_step poet", attributes=attributes),
        spandag.chat("m") as chat,
    ):
        chat.set_usage(1760, 1200)

    [hit] = query.search(recording.store, node_type="llm").hits
    [iteration] = query.search(recording.store, node_type="iteration").hits

    assert (hit.path, iteration.step_number) == (["poet", "iteration 3"], 3)
    assert "iteration 3  in poet\n" in to_text(render_search([iteration], Page()))
    assert "llm m  in poet · iteration 3\n" in to_text(render_search([hit], Page()))
    drawn = to_text(render_node(query.node(recording.store, hit.node_id), Page()))
    assert "· poet · iteration 3\n" in drawn
    assert "1,760 in, 1,200 out\n" in drawn
    assert to_text(render_node(query.node(recording.store, iteration.node_id), Page())).startswith(
        "iteration 3  ✓"
    )


def test_a_text_is_found_wherever_somebody_said_it(
    recording: Recording, and_indexed: Callable[[], None]
) -> None:
    kepler()
    and_indexed()

    def found(text: str) -> list[tuple[str, str, str | None]]:
        return said(query.search(recording.store, text).hits)

    assert found("no such table") == [("tool", "read_csv", "error")]
    assert found("FILENOTFOUND") == [("tool", "read_csv", "error")]
    assert found("in log") == [("step", "fit", "hypothesis")]
    assert found("the law") == [("run", "kepler", "task")]
    # The agent itself, and the calls that it made.
    assert found("nalys") == [("llm", "gpt-5-mini", "agent"), ("agent", "analyst", "name")] * 2
    assert found("own-mod") == [("llm", "own-model", "name")]
    assert [node_type for node_type, _, _ in found("question")] == ["llm"] * 4
    assert found("nobody says this") == []


def test_a_hit_says_where_it_is_and_marks_every_place(recording: Recording) -> None:
    run_id = kepler()

    [hit] = query.search(recording.store, "no such table").hits

    assert (hit.run_id, hit.run_name, hit.path, hit.status) == (
        run_id,
        "kepler",
        ["control", "load", "loader"],
        "failed",
    )
    assert (hit.excerpt, marked(hit)) == ("no such table: planets", ["no such table"])
    run_saying("x" * 500 + " Needle and needle " + "y" * 500)
    [hit] = query.search(recording.store, "needle").hits
    assert marked(hit) == ["Needle", "needle"]
    assert hit.excerpt is not None
    assert hit.excerpt.startswith("…xxx")
    assert hit.excerpt.endswith("yyy…")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('she said "yes"', 'said "yes"'),
        ("100% sure", "0% s"),
        ("snake_case", "e_c"),
        ("back\\slash", "k\\s"),
        ("it's", "'s"),
        ("nul\0byte", "l\0b"),
        ("mark \u241b of escapes", "\u241b o"),
        ("party 🎉 time", "🎉"),
        ("Ärger und ÖL", "ärger UND öl"),
        ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
        ("300 K", "300 K"),
        ("日本語のテキスト", "語のテ"),
        ("NOT (a OR b) AND c*", "or b) and c*"),
        ("-x: name:y NEAR/2", "-X: name:Y near/2"),
        ("ab\tcd", "b\tc"),
    ],
)
def test_no_character_has_a_meaning_of_its_own(
    recording: Recording, and_indexed: Callable[[], None], text: str, wanted: str
) -> None:
    run_saying(text, "something else")
    with spandag.run("m"), spandag.chat("m", input=text):
        pass
    and_indexed()

    hits = query.search(recording.store, wanted).hits

    assert said(hits) == [("llm", "m", "input"), ("tool", "tool0", "output")]


@pytest.mark.parametrize("wanted", ["a%b", "a_b", "a*", "*", '"', "role", "parts", "tool_call", "241b"])
def test_what_is_not_there_is_not_found(
    recording: Recording, and_indexed: Callable[[], None], wanted: str
) -> None:
    run_saying("axxb abb ␛")
    with spandag.run("m"), spandag.chat("m", input="hi"):
        pass
    and_indexed()

    assert query.search(recording.store, wanted).hits == []


def test_a_lone_surrogate_is_found_as_it_was_recorded(recording: Recording) -> None:
    run_saying("a")
    with connected(recording.url) as connection:
        values = {"text": storable("half \ud83d a pair")}
        connection.execute(sql("UPDATE dag_nodes SET error_message = :text WHERE name = 'tool0'"), values)

    [hit] = query.search(recording.store, "F \ud83d a").hits

    assert (hit.found_in, marked(hit)) == ("error", ["f \ud83d a"])
    assert query.search(recording.store, "d83d").hits == []


def test_a_message_that_is_repeated_is_found_where_it_first_appears(
    recording: Recording, and_indexed: Callable[[], None]
) -> None:
    first = '{"role":"user","parts":[{"type":"text","content":"the \\"first\\" question"}]}'
    call = '{"role":"assistant","parts":[{"type":"tool_call","name":"add","arguments":{"left":0.25}}]}'
    last = '{"role":"user","parts":[{"type":"text","content":"go on"}]}'
    with spandag.run("r"):
        chat(recording, "m1", f"[{first},{last}]")
        chat(recording, "m2", f"[{first},{call},{last}]")
    and_indexed()

    for wanted, model in (('"first"', "m1"), ("0.25", "m2"), ("left", "m2")):
        [hit] = query.search(recording.store, wanted).hits
        assert (hit.name, hit.found_in, marked(hit)) == (model, "input", [wanted])
    # Of those that are asked for.
    assert names(recording, text="first", model="m2") == ["m2"]


def test_text_within_a_long_one_is_found_behind_its_preview(
    recording: Recording, and_indexed: Callable[[], None]
) -> None:
    run_saying("x" * 39_990 + " here it is " + "y" * 60_000)
    and_indexed()

    [hit] = query.search(recording.store, "here it is").hits

    assert (hit.name, hit.found_in, marked(hit)) == ("tool0", "output", ["here it is"])


def test_secrets_were_never_there_to_be_found(recording: Recording, and_indexed: Callable[[], None]) -> None:
    run_saying("Authorization: Bearer sk-abcdefghijklmnopqrstuvwxyz123456")
    and_indexed()

    assert query.search(recording.store, "abcdefghijklmnop").hits == []
    assert names(recording, text="Authorization") == ["tool0"]


def test_every_character_is_found_in_its_other_case_by_the_pattern_as_well() -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        lower = folded(character)
        assert len(lower) == 1
        if lower != character and not (character.isascii() and lower not in "k"):
            assert like(character) == like(lower) == "%_%"


@given(st.text(), st.text(min_size=1, max_size=5))
def test_marks_are_where_the_text_is(text: str, wanted: str) -> None:
    match = Wanted(wanted).match("output", text + wanted + text)

    assert match is not None
    assert match.marks
    for start, end in match.marks:
        there = match.excerpt[start:end]
        assert folded(there) == "".join(" " if c.isspace() else c for c in folded(wanted))


# --- filters -----------------------------------------------------------------------------


def test_filters_list_what_they_leave(recording: Recording) -> None:
    kepler()
    run_saying("a", session="bob")

    assert names(recording, node_type="tool") == ["tool0", "read_csv"]
    assert names(recording, node_type="tool", session="alice") == ["read_csv"]
    assert names(recording, node_type="phase") == ["control", "planning"]
    assert names(recording, model="own-model") == ["own-model"]
    assert names(recording, agent="analyst", node_type="agent") == ["analyst", "analyst"]
    assert names(recording, status="failed", node_type="tool") == ["read_csv"]
    assert names(recording, error="", node_type="tool") == ["read_csv"]
    assert names(recording, error="PLANETS", node_type="tool") == ["read_csv"]
    assert names(recording, error="other") == []
    assert names(recording, session="nobody") == []
    assert names(recording, run="last") == ["tool0", "r"]
    assert names(recording, text="tool", run="last", node_type="run") == []


def test_a_message_is_found_at_the_first_node_with_the_error_that_is_asked_for(
    recording: Recording, and_indexed: Callable[[], None]
) -> None:
    # A pattern of the database for "key" lets "they" through.
    history = [
        {"role": "user", "parts": [{"type": "text", "content": text}]} for text in ("a zebra", "go on")
    ]
    with spandag.run("r"):
        for message in ("they failed", "key missing", "the key again"):
            with pytest.raises(ValueError, match=message), spandag.chat(message, input=history):
                raise ValueError(message)
    and_indexed()

    assert names(recording, text="zebra", error="key") == ["key missing"]
    assert names(recording, text="zebra", error="") == ["they failed"]
    assert names(recording, text="zebra", error="again") == ["the key again"]


def test_errors_that_only_look_alike_hide_none(recording: Recording) -> None:
    with spandag.run("r"):
        for number in range(8):
            message = "key missing" if number < 2 else "they failed"
            with pytest.raises(ValueError, match=message), spandag.tool(f"tool{number}"):
                raise ValueError(message)

    first = query.search(recording.store, error="key", limit=1)
    assert [hit.name for hit in first.hits] == ["tool1"]
    second = query.search(recording.store, error="key", limit=1, cursor=first.cursor)
    assert ([hit.name for hit in second.hits], second.cursor) == (["tool0"], None)


def test_time_and_duration_are_limits(recording: Recording) -> None:
    second = 10**9
    with spandag.run("r"):
        for name, start, end in (("short", 100, 101), ("long", 200, 220), ("open", 300, None)):
            attributes = {semconv.SPANDAG_NODE_TYPE: "tool", semconv.GEN_AI_TOOL_NAME: name}
            span = recording.tracer.start_span(name, attributes=attributes, start_time=start * second)
            if end is not None:
                span.end(end_time=end * second)

    def found(**asked: int) -> list[str]:
        return names(recording, node_type="tool", **asked)

    assert found() == ["open", "long", "short"]
    assert found(since=200 * second) == ["open", "long"]
    assert found(until=200 * second) == ["short"]
    assert found(since=100 * second, until=101 * second) == ["short"]
    assert found(min_duration=20 * second) == ["long"]
    assert found(max_duration=second) == ["short"]
    assert found(min_duration=2 * second, max_duration=3 * second) == []


def test_what_nobody_holds_open_is_open(recording: Recording) -> None:
    run_saying("a")
    with connected(recording.url) as connection:
        connection.execute(
            sql(
                "UPDATE dag_nodes SET status = 'running', ended_at = NULL, writer_id = NULL WHERE name = 'tool0'"
            )
        )

    assert names(recording, status="open") == ["tool0"]
    assert names(recording, status="running") == names(recording, status="interrupted") == []
    [hit] = query.search(recording.store, node_type="tool").hits
    assert hit.status == "open"
    with connected(recording.url) as connection:
        connection.execute(sql("UPDATE dag_nodes SET writer_id = 'gone' WHERE name = 'tool0'"))
    assert names(recording, status="interrupted") == ["tool0"]
    assert names(recording, status="open") == []


def test_spans_of_other_libraries_are_found_where_they_are_asked_for(recording: Recording) -> None:
    with spandag.run("r"), recording.tracer.start_as_current_span("GET /planets"):
        pass

    assert names(recording, text="planets") == []
    assert names(recording, text="planets", node_type="span") == ["GET /planets"]


def test_a_run_that_goes_on_is_searched_as_it_is(
    recording: Recording, and_indexed: Callable[[], None]
) -> None:
    with spandag.run("outer"), spandag.phase("planning"):
        with spandag.agent("planner"), spandag.tool("look") as tool:
            tool.set_output("a star")
        and_indexed()
        with spandag.tool("again") as tool:
            tool.set_output("a star, too")

        hits = query.search(recording.store, "a star").hits

        assert [(hit.name, hit.path) for hit in hits] == [
            ("again", ["planning"]),
            ("look", ["planning", "planner"]),
        ]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"node_type": "toll"}, "there is no type 'toll'; known are run, phase"),
        ({"status": "broken"}, "there is no status 'broken'; known are completed"),
        ({"cursor": "xyz"}, "'xyz' is no cursor"),
        ({"text": "x" * 1001}, "the text to search for has 1,001 characters; at most 1,000"),
        ({"error": "x" * 1001}, "the text of the error has 1,001 characters"),
        ({"since": 2, "until": 2}, "nothing starts before it starts"),
        ({"min_duration": 2, "max_duration": 1}, "nothing takes longer"),
        ({"run": "zz"}, "no run starts with 'zz'"),
    ],
)
def test_bad_input_is_said_in_one_line(recording: Recording, asked: dict[str, Any], message: str) -> None:
    run_saying("a")

    with pytest.raises(QueryError) as raised:
        query.search(recording.store, **asked)

    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


# --- pages -------------------------------------------------------------------------------


def test_pages_hold_everything_once_while_others_write(recording: Recording) -> None:
    for _ in range(3):
        run_saying(*["needle"] * 5)
    # All at the same time.
    with connected(recording.url) as connection:
        connection.execute(sql("UPDATE dag_nodes SET started_at = 1000, ended_at = 2000"))
        connection.execute(sql("UPDATE workflow_runs SET started_at = 1000, ended_at = 2000"))
    everything = query.search(recording.store, "needle", limit=100).hits
    assert len(everything) == 15
    for text in ("needle", None):
        whole = query.search(recording.store, text, node_type="tool", limit=100).hits
        found: list[Hit] = []
        cursor = None
        while True:
            page = query.search(recording.store, text, node_type="tool", limit=4, cursor=cursor)
            found += page.hits
            cursor = page.cursor
            if cursor is None:
                break
            run_saying("needle")
        assert found == whole
        with connected(recording.url) as connection:
            newer = "(SELECT id FROM workflow_runs WHERE started_at > 1000)"
            connection.execute(sql(f"DELETE FROM dag_nodes WHERE run_id IN {newer}"))
            connection.execute(sql("DELETE FROM workflow_runs WHERE started_at > 1000"))


def test_every_node_can_be_gone_on_from(recording: Recording) -> None:
    kepler()
    for node_type in ("branch_point", "tool"):
        [hit] = query.search(recording.store, node_type=node_type).hits
        assert hit.node_id.startswith("bp:") == (node_type == "branch_point")
        assert str(place_of(hit.cursor)) == hit.cursor
        assert query.search(recording.store, node_type=node_type, cursor=hit.cursor).hits == []
    for moment in (-(2**63), -1, 0, 2**63 - 1):
        for node_id in ("0" * 16, "bp:" + "f" * 16):
            place = Place(moment, "0123456789abcdef" * 2, moment, node_id)
            assert place_of(str(place)) == place
            assert place_of(str(place._replace(started_at=None, node_id=None))).run_started_at == moment


def test_a_search_whose_time_is_over_says_how_to_go_on(recording: Recording) -> None:
    oldest = run_saying("needle")
    for _ in range(3):
        run_saying("hay")

    page = query.search(recording.store, "needle", seconds=0)
    looked = 1
    while not page.hits:
        assert (page.runs, page.cursor is not None) == (1, True)
        page = query.search(recording.store, "needle", seconds=0, cursor=page.cursor)
        looked += 1

    assert (looked, page.hits[0].run_id, page.cursor) == (4, oldest, None)
    assert query.search(recording.store, "needle", seconds=math.inf).runs == 4
