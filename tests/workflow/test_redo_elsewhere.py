"""A redo in another process, or later: by the ref of the attempt, or by its row."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys

import pytest
from opentelemetry import trace

import spandag
from spandag import query
from spandag.store import open_store

ELSEWHERE = """
import os, sys
import spandag

spandag.init(url=os.environ["STORE"], capture_content=False)
step = spandag.step("fit", redo_of=sys.stdin.read(), attempt=2, requested_by="ann")
for attempt in step.attempts():
    with attempt:
        print(attempt.number, repr(attempt.feedback))
        with spandag.tool("lookup"):
            pass
        if attempt.number == 2:
            attempt.reject("two planets are missing", requested_by="bob")
"""


def elsewhere(program, url, ref):
    return subprocess.run(
        [sys.executable, "-c", program],
        input=ref,
        env={**os.environ, "STORE": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.splitlines()


def test_another_process_goes_on_with_the_step_in_the_same_run(stored):
    with spandag.run("report") as run, spandag.phase("control"):
        with spandag.step("load"):
            pass
        with spandag.step("fit") as attempt:
            attempt.reject("try a power law", requested_by="reviewer")
            ref = attempt.ref
    run_id = format(run.span.get_span_context().trace_id, "032x")

    printed = elsewhere(ELSEWHERE, stored.url, ref)

    assert printed == ["2 'try a power law'", "3 'try a power law\\ntwo planets are missing'"]
    assert [row["id"] for row in stored.rows("workflow_runs")] == [run_id]
    first, second, third = (node for node in stored.nodes("step") if node["name"] == "fit")
    assert {node["run_id"] for node in (first, second, third)} == {run_id}
    assert {node["parent_span_id"] for node in (first, second, third)} == {first["parent_span_id"]}
    assert {node["step_node_id"] for node in (first, second, third)} == {first["id"]}
    assert [node["step_number"] for node in (first, second, third)] == [2, 2, 2]
    assert [(node["attempt"], node["outcome"], node["disposition"]) for node in (first, second, third)] == [
        (1, "rejected", "superseded"),
        (2, "rejected", "superseded"),
        (3, "accepted", "active"),
    ]
    links = {row["node_id"]: row for row in stored.rows("span_links")}
    assert (links[second["id"]]["linked_span_id"], links[third["id"]]["linked_span_id"]) == (
        first["id"],
        second["id"],
    )
    branches = sorted(stored.rows("branches"), key=lambda row: row["number"])
    assert [(row["source_node_id"], row["hypothesis"], row["requested_by"]) for row in branches] == [
        (first["id"], "try a power law", "ann"),
        (first["id"], "two planets are missing", "bob"),
    ]
    with open_store(stored.url) as store:
        redos = query.redos(store, run_id)
    assert [redo.after.node_id for redo in redos] == [second["id"], third["id"]]


def test_who_has_only_the_store_goes_on_from_the_row(stored):
    with spandag.run("report"), spandag.phase("control"):
        for attempt in spandag.step("fit").attempts():
            with attempt:
                attempt.reject("by the reviewer") if attempt.number == 1 else None
    last = stored.nodes("step")[-1]

    with spandag.step(
        "fit", redo_of=last, attempt=3, hypothesis="use all planets", requested_by="ann"
    ) as again:
        assert again.feedback == "use all planets"

    nodes = stored.nodes("step")
    assert [(node["attempt"], node["step_node_id"], node["parent_span_id"]) for node in nodes] == [
        (number, nodes[0]["id"], nodes[0]["parent_span_id"]) for number in (1, 2, 3)
    ]
    assert len(stored.rows("workflow_runs")) == 1


def test_a_ref_is_a_line_that_json_and_pickle_take(recorder):
    with spandag.run("report") as run, spandag.step("fit", number=4, max_redos=1) as attempt:
        attempt.reject("again", requested_by="me")
        ref = attempt.ref
    step = recorder.named("run_step fit")
    assert pickle.loads(pickle.dumps(ref)) == ref
    assert "\n" not in ref
    assert json.loads(ref) == {
        "run_id": format(step.context.trace_id, "032x"),
        "node_id": format(step.context.span_id, "016x"),
        "attempt": 1,
        "step_node_id": format(step.context.span_id, "016x"),
        "name": "fit",
        "parent_span_id": format(run.span.get_span_context().span_id, "016x"),
        "step_number": 4,
        "max_redos": 1,
        "feedback": ["again"],
        "hypothesis": "again",
        "requested_by": "me",
        "trace_flags": int(step.context.trace_flags),
    }


def test_the_redo_carries_what_any_redo_carries(recorder):
    with spandag.run("report") as run, spandag.step("fit", number=4) as attempt:
        attempt.reject("again", requested_by="me")
    with spandag.run("another"), spandag.step("other"):
        with spandag.step("fit", redo_of=attempt.ref, attempt=2):
            pass
        assert spandag.current("step").name == "other"
    redo = [span for span in recorder.spans if span.name == "run_step fit"][1]
    first = recorder.spans[1]
    assert (redo.context.trace_id, redo.parent.span_id) == (
        first.context.trace_id,
        run.span.get_span_context().span_id,
    )
    assert dict(redo.attributes) == {
        "spandag.node.type": "step",
        "gen_ai.operation.name": "run_step",
        "gen_ai.step.name": "fit",
        "spandag.step.id": format(first.context.span_id, "016x"),
        "spandag.step.number": 4,
        "spandag.step.attempt": 2,
        "spandag.step.max_redos": 1,
        "spandag.redo.hypothesis": "again",
        "spandag.redo.requested_by": "me",
        "spandag.attempt.outcome": "accepted",
    }
    [link] = redo.links
    assert (link.context.trace_id, link.context.span_id) == (first.context.trace_id, first.context.span_id)
    assert dict(link.attributes) == {"spandag.link.type": "redo_of"}


def test_a_redo_later_in_the_same_run_is_beside_the_original_and_its_cost_is_in_the_run(recorder):
    with spandag.run("report") as run:
        with spandag.phase("control"), spandag.step("fit") as attempt:
            pass
        with spandag.phase("review"), spandag.agent("reviewer"):
            redo = spandag.step("fit", redo_of=attempt, attempt=2, hypothesis="looks odd", requested_by="ann")
            with redo, spandag.agent("engineer"), spandag.chat("gpt-4o-mini", provider="openai") as chat:
                chat.set_usage(100, 10)
    steps = [span for span in recorder.spans if span.name == "run_step fit"]
    assert steps[0].parent.span_id == steps[1].parent.span_id
    assert recorder.named("invoke_agent engineer").attributes["spandag.node.type"] == "agent"
    assert recorder.named("run_step review").attributes.get("spandag.total.input_tokens", 0) == 0
    assert steps[1].attributes["spandag.total.input_tokens"] == 100
    assert run.ended


def test_a_redo_under_a_parent_that_is_still_open_counts_in_its_totals(recorder):
    with spandag.run("report"), spandag.phase("control"):
        with spandag.step("fit") as attempt:
            pass
        with spandag.step("review"), spandag.step("fit", redo_of=attempt.ref, attempt=2):  # noqa: SIM117
            with spandag.chat("gpt-4o-mini", provider="openai") as chat:
                chat.set_usage(100, 10)
    assert recorder.named("run_step control").attributes["spandag.total.input_tokens"] == 100
    assert "spandag.total.input_tokens" not in recorder.named("run_step review").attributes


def test_limits_go_on_where_they_were(recorder):
    with spandag.run("report"):
        attempts = iter(spandag.step("fit").attempts(max_redos=1))
        with next(attempts) as first:
            first.reject("no")
    with pytest.raises(spandag.RedoLimitExceeded) as caught:
        for attempt in spandag.step("fit", redo_of=first.ref, attempt=2).attempts():
            with attempt:
                attempt.set_output("still bad")
                attempt.reject("no again")
    assert str(caught.value) == "step 'fit' was rejected 2 times (max_redos=1); last: no again"
    sent = pickle.loads(pickle.dumps(caught.value))
    assert (str(sent), [a.number for a in sent.attempts], sent.last_output) == (
        str(caught.value),
        [2],
        "still bad",
    )
    assert recorder.spans[-1].attributes["spandag.redo.exhausted"] is True
    with pytest.raises(ValueError, match=r"attempt=3 is beyond max_redos=1.*give max_redos=2 or more"):
        spandag.step("fit", redo_of=first.ref, attempt=3).attempts()


def test_the_limit_goes_along_from_redo_to_redo(stored):
    with spandag.run("report"):
        for first in spandag.step("fit").attempts(max_redos=3):
            with first:
                first.reject("no")
            break
    with spandag.step("fit", redo_of=first.ref, attempt=2) as second:
        second.reject("no again")
    with pytest.raises(spandag.RedoLimitExceeded) as caught:
        for attempt in spandag.step("fit", redo_of=second.ref, attempt=3).attempts():
            with attempt:
                attempt.reject("never")
    assert [attempt.number for attempt in caught.value.attempts] == [3, 4]
    assert str(caught.value) == "step 'fit' was rejected 4 times (max_redos=3); last: never"
    assert [node["attributes"]["spandag.step.max_redos"] for node in stored.nodes("step")] == [3, 3, 3, 3]
    with open_store(stored.url) as store:
        [step] = query.unresolved(store)
    assert (step.attempts, step.max_redos, step.exhausted) == (4, 3, True)


def test_a_plain_redo_that_is_the_last_allowed_spends_the_limit_and_is_over(recorder):
    with spandag.run("report"), spandag.step("fit", max_redos=1) as first:
        first.reject("no")
    with spandag.step("fit", redo_of=first.ref, attempt=2) as last:
        last.reject("no again")
    assert (first.exhausted, last.exhausted) == (False, True)
    assert [span.attributes.get("spandag.redo.exhausted") for span in recorder.spans[1:]] == [None, True]


@pytest.mark.parametrize("kind", ["block", "loop", "decorator"])
def test_a_redo_beyond_the_limit_is_refused_unless_it_raises_the_limit(recorder, kind):
    def redo(**options):
        step = spandag.step("fit", redo_of=first.ref, attempt=2, **options)
        if kind == "block":
            with step:
                pass
        elif kind == "loop":
            for attempt in step.attempts():
                with attempt:
                    pass
        else:
            step(lambda: None)()

    with spandag.run("report"), pytest.raises(spandag.RedoLimitExceeded):
        for first in spandag.step("fit").attempts(max_redos=0):
            with first:
                first.reject("no")

    with pytest.raises(ValueError, match=r"attempt=2 is beyond max_redos=0.*give max_redos=1 or more"):
        redo()
    assert len(recorder.spans) == 2

    redo(max_redos=1)
    attributes = recorder.spans[-1].attributes
    assert (attributes["spandag.step.attempt"], attributes["spandag.step.max_redos"]) == (2, 1)


def test_where_nobody_has_said_a_limit_a_plain_redo_is_allowed_and_says_so(recorder):
    with spandag.run("report"), spandag.step("fit") as attempt:
        attempt.reject("no")
    for number in (2, 3, 4):
        with spandag.step("fit", redo_of=attempt.ref, attempt=number) as attempt:
            attempt.reject("no again")
    assert [span.attributes["spandag.step.max_redos"] for span in recorder.spans[1:]] == [0, 1, 2, 3]
    assert not any("spandag.redo.exhausted" in span.attributes for span in recorder.spans)


def test_a_decorated_function_can_be_a_redo(recorder):
    with spandag.run("report"), spandag.step("fit") as attempt:
        attempt.reject("as text")
    fit = spandag.step("fit", redo_of=attempt.ref, attempt=2)(lambda: spandag.current("step").feedback)
    assert fit() == "as text"
    assert recorder.spans[-1].attributes["spandag.step.attempt"] == 2


def test_a_step_without_a_run_is_redone_beside_it(stored):
    with spandag.step("fit") as attempt:
        attempt.reject("no")
    with spandag.run("other"), spandag.step("fit", redo_of=attempt.ref, attempt=2):
        pass
    first, redo = stored.nodes("step")
    assert (redo["run_id"], redo["parent_span_id"]) == (first["run_id"], first["parent_span_id"])
    assert [(step["attempt"], step["disposition"]) for step in (first, redo)] == [
        (1, "superseded"),
        (2, "active"),
    ]


def test_an_attempt_that_stood_alone_in_its_trace_is_redone_in_a_run_of_its_own_that_links_to_it(recorder):
    alone = {"run_id": "a" * 32, "node_id": "b" * 16, "attempt": 1, "parent_span_id": None}
    with spandag.run("other"):
        for attempt in spandag.step("fit", redo_of=alone, attempt=2).attempts():
            with attempt:
                attempt.reject("no") if attempt.number == 2 else None
    second, third = recorder.steps
    assert (
        second.context.trace_id
        == third.context.trace_id
        != recorder.named("invoke_workflow other").context.trace_id
    )
    assert [format(span.links[0].context.span_id, "016x") for span in (second, third)] == [
        "b" * 16,
        format(second.context.span_id, "016x"),
    ]


def test_an_attempt_that_was_not_recorded_can_be_redone_all_the_same(monkeypatch, recorder):
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    with spandag.step("fit") as attempt:
        attempt.reject("no")
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", recorder.provider)
    with spandag.run("report"), spandag.step("fit", redo_of=attempt.ref, attempt=2) as redo:
        assert redo.feedback == "no"
    assert recorder.tree() == ["invoke_workflow report", "  run_step fit"]
    assert recorder.spans[1].links == ()


def test_a_redo_has_the_name_of_its_step(stored):
    with spandag.run("report"), spandag.step("fit, key sk-abcdefghijklmnopqrstuvwx") as attempt:
        attempt.reject("no")
    with pytest.raises(ValueError, match=r"an attempt at the step 'fit, key .*', which cannot .* as 'draw'"):
        spandag.step("draw", redo_of=attempt.ref, attempt=2)
    [row] = stored.nodes("step")
    with pytest.raises(ValueError, match=r"an attempt at the step 'fit, key \[redacted\]'"):
        spandag.step("draw", redo_of=row, attempt=2)
    for redo_of in (attempt, row, {**GOOD, "parent_span_id": None}):
        spandag.step("fit, key sk-abcdefghijklmnopqrstuvwx", redo_of=redo_of, attempt=2)


GOOD = {"run_id": "0" * 31 + "1", "node_id": "0" * 15 + "2", "attempt": 1, "parent_span_id": None}


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("fit", "it is no JSON"),
        ("[1, 2]", "it is no JSON object"),
        (7, "it is no JSON object"),
        ("{}", "it has no node_id"),
        ({**GOOD, "run_id": "XYZ"}, "its run_id is not 32 hexadecimal digits"),
        ({**GOOD, "node_id": 2}, "its node_id is not 16 hexadecimal digits"),
        ({**GOOD, "attempt": 0}, "its attempt is not a number from 1"),
        ({**GOOD, "attempt": 2}, "attempt 2 of a step that it does not name"),
        ({**GOOD, "feedback": "x"}, "its feedback is no list of texts"),
        ({**GOOD, "name": 3}, "its name is no text"),
        ({**GOOD, "hypothesis": 3}, "its hypothesis is no text"),
        ({k: v for k, v in GOOD.items() if k != "parent_span_id"}, "it does not say what it stands under"),
        ("x" * 1000, "…"),
    ],
)
def test_a_broken_ref_is_refused_with_the_reason(broken, why):
    with pytest.raises(ValueError) as refused:
        spandag.step("fit", redo_of=broken, attempt=2)
    assert why in str(refused.value)
    assert "`attempt.ref`" in str(refused.value)
    assert len(str(refused.value)) < 400
