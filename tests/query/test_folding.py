from __future__ import annotations

import re
from typing import Any

import pytest

import spandag
from spandag import query
from spandag.query.render import (
    NO_FOLDS,
    Page,
    folds,
    render_changes,
    render_path,
    render_timeline,
    render_tree,
    to_text,
)
from spandag.query.tree import tree_of_rows
from spandag.store import TreeRows
from spandag.store.records import TREE_COLUMNS, RunRecord

from .conftest import Recording, call
from .test_render import tree_text


def labels(recording: Recording) -> list[str]:
    """The drawn nodes without their columns."""
    lines = tree_text(recording).splitlines()[3:]
    return [re.split(r"  +[✓✗●]", re.sub("^[├└│─ ]+", "", line))[0].strip() for line in lines]


def test_of_many_like_siblings_in_a_row_the_first_two_and_the_last_are_drawn(recording: Recording) -> None:
    with spandag.run("r"):
        for _ in range(20):
            call()
        with spandag.tool("t"):
            pass

    assert labels(recording) == [
        "run r",
        "llm gpt-5-mini",
        "llm gpt-5-mini",
        "… 17 more llm gpt-5-mini",
        "llm gpt-5-mini",
        "tool t",
    ]
    [line] = [line for line in tree_text(recording).splitlines() if "more" in line]
    assert re.search(r"✓ +\d+ms +19k tokens +\$0\.0170$", line)
    tree = query.tree(recording.store, "last")
    assert len(render_tree(tree, Page(), folded=NO_FOLDS)) == 3 + 22


def test_ten_are_not_too_many(recording: Recording) -> None:
    with spandag.run("r"):
        for _ in range(10):
            call()

    assert len(labels(recording)) == 11


def test_what_has_the_like_below_it_is_folded_with_all_of_it(recording: Recording) -> None:
    with spandag.run("r"):
        for i in range(15):
            with spandag.agent("a"):
                call()
                # However often in a row.
                for _ in range(1 + i % 2):
                    with spandag.tool("t"):
                        pass

    assert [label for label in labels(recording) if "more" in label] == ["… 12 more agent a"]
    assert len(folds(query.tree(recording.store, "last")).hidden) == 12 * 3 + 6


def test_what_somebody_chose_is_drawn_where_it_is_another_choice(recording: Recording) -> None:
    with spandag.run("r"):
        for i in range(30):
            spandag.ask_human("Go on?", ask=lambda question, i=i: "abort" if i == 15 else "continue")

    lines = to_text(render_tree(query.tree(recording.store, "last"), Page(90))).splitlines()
    told = [" ".join(line.split()[1:-1]) for line in lines if "approval" in line]
    assert told == [
        *["approval human ✓ continue"] * 2,
        "… 12 more approval human ✓ continue",
        "approval human ✓ continue",
        "approval human ✓ abort",
        *["approval human ✓ continue"] * 2,
        "… 11 more approval human ✓ continue",
        "approval human ✓ continue",
    ]
    replay = query.replay(recording.store, "last")
    assert [event.choice for event in replay.events if event.choice != "continue" and event.choice] == [
        "abort"
    ]
    changes = to_text(render_changes([event.as_change() for event in replay.events], Page(90)))
    assert changes.count("approval human  abort") == 1
    timeline = to_text(render_timeline(query.timeline(recording.store, "last"), Page(120)))
    assert "abort" in timeline


def test_errors_and_redos_are_always_drawn(recording: Recording) -> None:
    with spandag.run("r"):
        for i in range(40):
            if i == 20:
                with pytest.raises(ValueError), spandag.agent("a"), spandag.tool("t"):
                    raise ValueError("broken")
            elif i == 35:
                with spandag.agent("a"):
                    for attempt in spandag.step("s").attempts():
                        with attempt:
                            if attempt.number == 1:
                                attempt.reject("again")
            else:
                with spandag.agent("a"):
                    pass

    drawn = labels(recording)

    assert drawn.count("… 17 more agent a") == 1
    assert drawn.count("… 11 more agent a") == 1
    assert "ValueError: broken" in drawn
    assert "↻ redo_1: “again”" in drawn
    assert sum("more" in label for label in drawn) == 2


def test_what_has_another_name_or_status_is_not_alike(recording: Recording) -> None:
    with spandag.run("r"):
        for i in range(20):
            with spandag.tool(f"t{i % 2}"):
                pass

    assert len(labels(recording)) == 21


def take_turns(times: int) -> None:
    """An agent that calls its model and then two tools, again and again."""
    for _ in range(times):
        call()
        for name in ("look", "write"):
            with spandag.tool(name):
                pass


def test_of_an_agent_that_thinks_and_acts_by_turns_the_first_two_rounds_and_the_last_are_drawn(
    recording: Recording,
) -> None:
    with spandag.run("r"), spandag.agent("a"):
        take_turns(30)
        with spandag.tool("report"):
            pass

    a_round = ["llm gpt-5-mini", "tool look", "tool write"]
    assert labels(recording) == [
        "run r",
        "agent a",
        *a_round * 2,
        "… 27 more × (llm gpt-5-mini, tool look, tool write)",
        *a_round,
        "tool report",
    ]
    [line] = [line for line in tree_text(recording).splitlines() if "more" in line]
    assert re.search(r"✓ +\d+ms +30k tokens +\$0\.0270$", line)
    ascii_lines = to_text(render_tree(query.tree(recording.store, "last"), Page(encoding="ascii")))
    assert "... 27 more x (llm gpt-5-mini, tool look, tool write)" in ascii_lines
    in_time = to_text(render_timeline(query.timeline(recording.store, "last"), Page(200)))
    assert in_time.count("llm gpt-5-mini") == 4
    assert "… 27 more × (llm gpt-5-mini, tool look, tool write)" in in_time
    counted = to_text(render_path(query.path(recording.store, "last"), Page()))
    assert "… 27 more × (llm gpt-5-mini, tool look, tool write)" in counted


def test_an_error_between_two_turns_is_drawn_in_its_place(recording: Recording) -> None:
    with spandag.run("r"), spandag.agent("a"):
        take_turns(15)
        with pytest.raises(ValueError), spandag.tool("look"):
            raise ValueError("broken")
        take_turns(20)

    drawn = labels(recording)

    assert [label for label in drawn if "more" in label or "broken" in label] == [
        "… 12 more × (llm gpt-5-mini, tool look, tool write)",
        "ValueError: broken",
        "… 17 more × (llm gpt-5-mini, tool look, tool write)",
    ]


def test_what_comes_in_no_order_is_drawn_whole(recording: Recording) -> None:
    names = [f"t{i * i % 7 % 3}{i % 5}" for i in range(40)]
    with spandag.run("r"):
        for name in names:
            with spandag.tool(name):
                pass

    assert labels(recording) == ["run r", *(f"tool {name}" for name in names)]


def test_100_000_nodes_are_drawn_on_a_narrow_terminal() -> None:
    def row(number: int, parent: str | None) -> tuple[Any, ...]:
        values = {
            "id": f"{number:016x}",
            "parent_node_id": parent,
            "node_type": "tool" if parent else "run",
            "name": "read_csv",
            "status": "completed",
            "disposition": "active",
            "started_at": number,
            "ended_at": number + 1,
            "order_index": number,
        }
        return tuple(values.get(name) for name in TREE_COLUMNS)

    root = f"{0:016x}"
    identity = dict.fromkeys(RunRecord._fields) | {"id": "0" * 32, "name": "r", "status": "completed"}
    rows = TreeRows(RunRecord(**identity), [row(0, None), *(row(i, root) for i in range(1, 100_000))])
    tree = tree_of_rows(rows)

    lines = to_text(render_tree(tree, Page(80))).splitlines()
    assert len(lines) == 3 + 5
    assert "… 99,996 more tool read_csv" in lines[6]

    every = to_text(render_tree(tree, Page(80), folded=NO_FOLDS)).splitlines()
    assert len(every) == 3 + 100_000
    assert max(map(len, every)) <= 80
