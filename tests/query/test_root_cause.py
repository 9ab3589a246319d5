from __future__ import annotations

from pathlib import Path

import pytest

import spandag
from spandag import query
from spandag.query import RootCause
from spandag.query.as_json import as_json
from spandag.query.render import Page, render_root_cause, to_text

from .conftest import Recording, call, kepler
from .stories import failing_tool, fall_behind, report
from .test_render import normal

GOLDEN = Path(__file__).parent / "golden"


def broken() -> None:
    """An agent copes with a tool that fails; another one later does not, and takes the run down."""
    with pytest.raises(RuntimeError), spandag.run("broken"), spandag.phase("control"):
        with spandag.agent("loader"):
            call()
            failing_tool("read_csv", FileNotFoundError("planets.csv"))
            call()
        with spandag.step("fit"), spandag.agent("engineer"):
            call()
            try:
                with spandag.tool("fit_line"):
                    raise ValueError("singular matrix")
            except ValueError as error:
                raise RuntimeError("the fit failed") from error


def names(found: RootCause) -> list[str]:
    assert found.cause is not None
    return [failure.name for failure in (found.cause, *found.others)]


def test_the_earliest_failure_is_told_with_what_came_before(recording: Recording) -> None:
    broken()

    found = query.root_cause(recording.store, "last")

    assert names(found) == ["read_csv", "fit_line"]
    cause = found.cause
    assert cause is not None
    assert (cause.node_type, cause.error_type, cause.error_message) == (
        "tool",
        "FileNotFoundError",
        "planets.csv",
    )
    assert (cause.agent_name, cause.phase, cause.step, cause.disposition) == (
        "loader",
        "control",
        None,
        "active",
    )
    # The agent went on: nothing failed because of it.
    assert (cause.failed_above, cause.failed_the_run) == ([], False)
    assert found.before is not None
    assert (found.before.model, found.before.agent_name) == ("gpt-5-mini", "loader")
    assert found.before.ended_at <= cause.started_at


def test_a_run_whose_own_span_is_missing_failed_because_of_any_part_that_did(recording: Recording) -> None:
    with recording.tracer.start_as_current_span("GET /report"):
        with spandag.agent("planner"):
            call()
        with pytest.raises(ValueError), spandag.agent("engineer"), spandag.tool("fit_line"):
            raise ValueError("singular matrix")

    found = query.root_cause(recording.store, "last")

    assert (found.run.name, found.run.status) == ("planner", "failed")
    assert found.cause is not None
    assert (found.cause.name, [above.name for above in found.cause.failed_above]) == (
        "fit_line",
        ["engineer"],
    )
    assert found.cause.failed_the_run
    assert "so       the run failed" in to_text(render_root_cause(found, Page()))


def test_what_failed_because_of_it_is_told_up_to_the_run(recording: Recording) -> None:
    broken()

    [other] = query.root_cause(recording.store, "last").others

    assert (other.name, other.step, other.attempt, other.agent_name) == ("fit_line", "fit", 1, "engineer")
    # Whoever passes it on may say something else.
    assert [(above.node_type, above.error_message) for above in other.failed_above] == [
        ("agent", "the fit failed"),
        ("step", "the fit failed"),
        ("phase", "the fit failed"),
        ("run", "the fit failed"),
    ]
    assert other.failed_the_run


def test_a_failure_in_a_superseded_attempt_comes_after_those_that_counted(recording: Recording) -> None:
    report()

    found = query.root_cause(recording.store, "last")

    assert names(found) == ["plot", "read_csv"]
    cause, [other] = found.cause, found.others
    assert cause is not None
    # No node of it failed: it was rejected with no redo left.
    assert (cause.node_type, cause.outcome, cause.attempt, cause.failed_the_run) == (
        "step",
        "rejected",
        2,
        True,
    )
    assert [(above.node_type, above.error_type) for above in cause.failed_above] == [
        ("phase", "spandag.RedoLimitExceeded"),
        ("run", "spandag.RedoLimitExceeded"),
    ]
    assert other.disposition == "superseded"
    assert [step.step for step in found.rejected] == ["plot"]


def test_a_run_without_failure_says_so_and_names_what_was_rejected(recording: Recording) -> None:
    with spandag.run("left"):
        for attempt in spandag.step("draw").attempts():
            with attempt:
                attempt.reject("bigger")
            break

    found = query.root_cause(recording.store, "last")

    assert (found.cause, found.before, found.others) == (None, None, [])
    assert [step.step for step in found.rejected] == ["draw"]
    text = to_text(render_root_cause(found, Page()))
    assert "\nnothing failed\n" in text
    assert "“bigger”" in text


def test_a_run_that_went_well_has_no_root_cause(recording: Recording) -> None:
    with spandag.run("well"):
        call()

    found = as_json(query.root_cause(recording.store, "last"))

    assert {name: found[name] for name in ("cause", "before", "others", "rejected")} == {
        "cause": None,
        "before": None,
        "others": [],
        "rejected": [],
    }


def test_the_root_cause_is_known_while_the_run_goes_on(recording: Recording) -> None:
    with spandag.run("r"), spandag.agent("a"):
        failing_tool("read_csv", FileNotFoundError("planets.csv"))
        recording.provider.force_flush()
        found = query.root_cause(recording.store, "last")

    assert names(found) == ["read_csv"]


def test_the_root_cause_is_the_same_of_a_run_that_is_behind(recording: Recording) -> None:
    run_id = kepler()
    recording.store.settle()
    settled = query.root_cause(recording.store, run_id)

    fall_behind(recording.url)

    assert query.root_cause(recording.store, run_id) == settled


def test_many_failures_are_told_on_a_page(recording: Recording) -> None:
    with spandag.run("r"):
        for number in range(40):
            failing_tool(f"t{number}", ValueError(f"e{number}"))

    found = query.root_cause(recording.store, "last")

    assert len(found.others) == 39
    assert "… 29 more" in to_text(render_root_cause(found, Page()))


def test_a_root_cause_is_drawn_as_in_the_golden_file(recording: Recording) -> None:
    broken()

    drawn = to_text(render_root_cause(query.root_cause(recording.store, "last"), Page()))

    assert normal(drawn) == (GOLDEN / "root_cause.txt").read_text(encoding="utf-8")
