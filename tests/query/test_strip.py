from __future__ import annotations

from pathlib import Path

import pytest

import spandag
from spandag import query
from spandag.query import as_json
from spandag.query.render import Page, render_strip, to_text

from .conftest import Recording, call, kepler
from .test_render import normal

GOLDEN = Path(__file__).parent / "golden"


def story() -> None:
    """A step with two redos, of which the first has a step of its own that is redone; and one that is not."""
    with spandag.run("report"):
        with spandag.phase("control"):
            with spandag.step("load"):
                call()
            for attempt in spandag.step("fit").attempts(max_redos=2):
                with attempt:
                    call(cost=0.25)
                    if attempt.number == 2:
                        for inner in spandag.step("check").attempts():
                            with inner:
                                if inner.number == 1:
                                    inner.reject("look twice", "critic")
                    if attempt.number < 3:
                        attempt.reject(f"idea {attempt.number}", "reviewer")
        with spandag.phase("writing"), spandag.step("write"):
            call("own-model", (10, 5), None)


@pytest.mark.parametrize(
    ("name", "page"), [("strip.txt", Page()), ("strip_ascii.txt", Page(encoding="ascii"))]
)
def test_branches_are_drawn_as_in_the_golden_file(recording: Recording, name: str, page: Page) -> None:
    story()

    text = to_text(render_strip(query.strip(recording.store, "last"), page))

    assert normal(text) == (GOLDEN / name).read_text(encoding="utf-8")


def test_each_attempt_says_its_lane_and_whether_that_joins_again(recording: Recording) -> None:
    story()

    found = query.strip(recording.store, "last").attempts

    assert [(a.name, a.attempt, a.lane, a.nesting, a.starts_lane, a.joins) for a in found] == [
        ("load", 1, 0, 0, False, False),
        ("fit", 1, 0, 0, False, False),
        ("fit", 2, 1, 0, True, False),
        ("check", 1, 1, 1, False, False),
        ("check", 2, 2, 1, True, True),
        ("fit", 3, 1, 0, True, True),
        ("write", 1, 0, 0, False, False),
    ]
    assert [a.hypothesis for a in found if a.hypothesis] == ["idea 1", "look twice", "idea 2"]


def test_superseded_attempts_are_dim_but_for_their_outcome(recording: Recording) -> None:
    kepler()

    lines = render_strip(query.strip(recording.store, "last"), Page())

    [rejected] = [line for line in lines if "attempt 1" in to_text([line])]
    [accepted] = [line for line in lines if "attempt 2" in to_text([line])]
    assert {style for text, style in rejected if text.strip()} == {"dim", "yellow"}
    assert "bold" in {style for _, style in accepted}


def test_what_has_not_ended_is_shown_with_how_long_it_has_been(recording: Recording) -> None:
    with spandag.run("r"):
        with spandag.step("s"):
            pass
        found = query.strip(recording.store, "last")
    assert found.attempts[0].status == "completed"


def test_lanes_never_take_more_than_a_narrow_page_has(recording: Recording) -> None:
    with spandag.run("r"):
        steps(0)

    text = to_text(render_strip(query.strip(recording.store, "last"), Page(width=40)))

    assert max(map(len, text.splitlines())) <= 40


def steps(depth: int) -> None:
    if depth < 12:
        for attempt in spandag.step(f"step {depth}").attempts():
            with attempt:
                if attempt.number == 1:
                    attempt.reject("no")
                else:
                    steps(depth + 1)


def test_json_has_the_columns_of_the_store(recording: Recording) -> None:
    kepler()

    answer = as_json(query.strip(recording.store, "last"))

    assert set(answer) == {"run", "attempts"}
    assert {"node_id", "step_node_id", "branch_id", "step_number", "outcome", "cost_usd", "lane"} <= set(
        answer["attempts"][0]
    )
