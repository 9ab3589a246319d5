"""A step that another process goes on with, and limits that are spent."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import pytest
from opentelemetry import trace

import spandag
from spandag import query
from spandag.store import open_store


def steps(recorder):
    return [span for span in recorder.spans if span.attributes["spandag.node.type"] == "step"]


def rejected_once(name="fit"):
    """An attempt that was rejected by two reviewers, as text for whoever goes on."""
    with spandag.run("report"), spandag.phase("control"), spandag.step(name, number=3) as attempt:
        attempt.reject("try a power law", requested_by="ann")
        attempt.reject("leave out Pluto", requested_by="bob")
        return attempt.ref


def test_a_redo_elsewhere_is_a_linked_sibling_in_the_same_run(recorder):
    ref = json.loads(json.dumps(pickle.loads(pickle.dumps(rejected_once()))))
    with spandag.run("another"), spandag.step("fit", redo_of=ref) as redo:
        assert redo.number == 2
        assert redo.feedback == "try a power law\nleave out Pluto"
    first, second = steps(recorder)
    assert second.context.trace_id == first.context.trace_id
    assert second.parent.span_id == first.parent.span_id
    [link] = second.links
    assert (link.context.span_id, link.attributes["spandag.link.type"]) == (first.context.span_id, "redo_of")
    assert dict(second.attributes) == {
        "spandag.node.type": "step",
        "gen_ai.operation.name": "run_step",
        "gen_ai.step.name": "fit",
        "spandag.step.id": format(first.context.span_id, "016x"),
        "spandag.step.number": 3,
        "spandag.step.attempt": 2,
        "spandag.step.max_redos": 0,
        "spandag.redo.hypothesis": "leave out Pluto",
        "spandag.redo.requested_by": "ann, bob",
        "spandag.attempt.outcome": "accepted",
    }


def test_it_can_say_which_attempt_it_is_and_why(recorder):
    ref = rejected_once()
    with spandag.step(
        "fit", redo_of=ref, attempt=4, hypothesis="use log space", requested_by="carol"
    ) as redo:
        assert redo.feedback == "try a power law\nleave out Pluto\nuse log space"
        later = redo.ref
    said = steps(recorder)[-1].attributes
    assert (
        said["spandag.step.attempt"],
        said["spandag.redo.hypothesis"],
        said["spandag.redo.requested_by"],
    ) == (
        4,
        "use log space",
        "carol",
    )
    with spandag.step("fit", redo_of=later) as redo:
        assert redo.number == 5


def test_the_redos_made_before_count_towards_the_limit(recorder):
    ref = rejected_once()
    attempts = []
    with pytest.raises(spandag.RedoLimitExceeded, match="rejected 3 times") as spent:
        for attempt in spandag.step("fit", redo_of=ref).attempts(max_redos=2):
            with attempt:
                attempts.append(attempt.number)
                attempt.reject("no")
    assert attempts == [2, 3]
    assert pickle.loads(pickle.dumps(spent.value)).attempts[0].number == 2


def test_a_decorated_function_goes_on_as_well(recorder):
    @spandag.step("fit", redo_of=rejected_once())
    def fit():
        return spandag.current("step").feedback

    assert fit() == "try a power law\nleave out Pluto"


def test_without_a_tracer_provider_nothing_breaks(monkeypatch):
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    with spandag.step("fit", redo_of=rejected_once()) as redo:
        assert redo.number == 2


@pytest.mark.parametrize(
    ("redo_of", "error", "message"),
    [
        (7, TypeError, "takes the text of an attempt's .ref, not int"),
        ("", ValueError, "this is another text"),
        ("{}", ValueError, "this is another text"),
        ("[1", ValueError, "this is another text"),
        ('{"version": 99}', ValueError, "another version of spandag"),
        ('{"version": 1, "trace_id": "abc"}', ValueError, "changed or cut"),
    ],
)
def test_what_is_no_reference_is_refused(redo_of, error, message):
    with pytest.raises(error, match=message):
        spandag.step("fit", redo_of=redo_of)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"attempt": 2}, "attempt is of a redo: name the attempt before"),
        ({"hypothesis": "x"}, "hypothesis is of a redo"),
        ({"requested_by": "x"}, "requested_by is of a redo"),
        ({"number": 0}, "counted from 1"),
        ({"on_exhausted": "shrug"}, 'on_exhausted is "raise" or "accept"'),
    ],
)
def test_half_a_redo_is_refused_with_advice(said, message):
    with pytest.raises(ValueError, match=message):
        spandag.step("fit", **said)


def test_a_redo_cannot_come_before_what_it_follows():
    with pytest.raises(ValueError, match="attempt 1 cannot follow attempt 1"):
        spandag.step("fit", redo_of=rejected_once(), attempt=1)


def test_a_reference_is_of_an_attempt_that_has_begun():
    attempt = next(spandag.step("fit").attempts())
    with pytest.raises(RuntimeError, match="not entered"):
        _ = attempt.ref


# --- a limit that is spent -----------------------------------------------------


def test_the_last_attempt_can_be_accepted_all_the_same(recorder):
    for attempt in spandag.step("fit").attempts(max_redos=1, on_exhausted="accept"):
        with attempt:
            attempt.set_output(attempt.number)
            attempt.reject("still curved", requested_by="reviewer")
    assert (attempt.output, attempt.outcome) == (2, "accepted")
    first, last = steps(recorder)
    assert first.attributes["spandag.attempt.outcome"] == "rejected"
    said = {
        key: value for key, value in last.attributes.items() if key.startswith(("spandag.redo", "spandag.at"))
    }
    assert said == {
        "spandag.redo.hypothesis": "still curved",
        "spandag.redo.requested_by": "reviewer",
        "spandag.attempt.outcome": "accepted",
        "spandag.redo.exhausted": True,
        "spandag.redo.on_exhausted": "accept",
    }
    [rejected] = last.events
    assert rejected.name == "rejected"


def test_what_was_raised_cannot_be_accepted(recorder):
    """There is no result then."""
    with pytest.raises(spandag.RedoLimitExceeded):
        for attempt in spandag.step("fit").attempts(max_redos=0, on_exhausted="accept"):
            with attempt:
                raise spandag.Rejected("no")


# --- in another process, through the store -------------------------------------

BEGIN = """
import sys, spandag
spandag.init(url=sys.argv[1], capture_content=False)
with spandag.run("report"), spandag.phase("control"), spandag.step("fit") as attempt:
    with spandag.agent("engineer"):
        pass
    attempt.reject("try a power law", requested_by="human")
    print(attempt.ref)
"""

GO_ON = """
import sys, spandag
spandag.init(url=sys.argv[1], capture_content=False)
for attempt in spandag.step("fit", redo_of=sys.argv[2]).attempts(max_redos=2):
    with attempt, spandag.agent("engineer"):
        print(attempt.number, attempt.feedback)
"""


def test_two_processes_make_one_step_of_one_run(store_url: str) -> None:
    def run(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, store_url, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    ref = run(BEGIN)
    assert run(GO_ON, ref) == "2 try a power law"
    with open_store(store_url) as store:
        [redo] = query.redos(store)
        tree = query.tree(store, redo.run_id)
    assert (redo.run_id, redo.run_name) == (json.loads(ref)["trace_id"], "report")
    assert (redo.hypothesis, redo.requested_by, redo.status) == ("try a power law", "human", "accepted")
    assert redo.before is not None
    assert redo.before.outcome == "rejected"
    assert [(node.depth, node.node_type, node.disposition) for node in tree.nodes] == [
        (0, "run", "active"),
        (1, "phase", "active"),
        (2, "step", "superseded"),
        (3, "agent", "superseded"),
        (2, "branch_point", "active"),
        (3, "step", "active"),
        (4, "agent", "active"),
    ]
