"""The whole story with the real frameworks: how it goes, and how it can end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("smolagents")
pytest.importorskip("ag2")

from spandag import semconv
from spandag.demo import DemoResult, run_demo, script
from spandag.demo.agents import PLANNER_PROMPT, REVIEWER_PROMPT, Endpoint
from spandag.demo.story import Ending, tell
from spandag.testing import Actor, ModelServer, Reply, Request

HYPOTHESIS = "The relation looks like a power law: fit log T against log a."


@pytest.fixture(scope="module")
def told() -> tuple[Ending, ModelServer, list[str]]:
    """The scripted story, told once, with the server that served it and its lines of progress."""
    lines: list[str] = []
    with ModelServer(script.ACTORS) as server:
        ending = tell(
            lambda agent: Endpoint(script.MODELS[agent], server.url_for(agent), "any", trust_env=False),
            lines.append,
        )
    return ending, server, lines


class TestScripted:
    def test_it_finds_the_exponent_with_one_redo(self, told: tuple[Ending, ModelServer, list[str]]) -> None:
        ending, server, _ = told
        assert ending.accepted
        assert ending.attempts == 2
        assert f"{ending.exponent:.3f}" == "1.500"
        assert {actor: server.counted(actor).calls for actor in script.ACTORS} == {
            "planner": 1,
            "loader": 2,
            "analyst": 10,
            "data_checker": 4,
            "reviewer": 4,
        }

    def test_no_call_fails_and_every_kind_of_token_is_there(
        self, told: tuple[Ending, ModelServer, list[str]]
    ) -> None:
        server = told[1]
        assert all(isinstance(exchange.answer, Reply) for exchange in server.log)
        counted = server.counted()
        assert counted.calls == 21
        assert 0 < counted.cached_tokens < counted.input_tokens
        assert 0 < counted.reasoning_tokens < counted.output_tokens

    def test_fitted_numbers_reach_the_reviewer_through_the_messages(
        self, told: tuple[Ending, ModelServer, list[str]]
    ) -> None:
        server = told[1]
        reviews = [exchange for exchange in server.exchanges("reviewer") if exchange.answer.tool_calls]
        analyst_said = [exchange.request.text for exchange in server.exchanges("analyst")]
        for review, last_step in zip(reviews, (analyst_said[4], analyst_said[9]), strict=True):
            [call] = review.answer.tool_calls
            assert isinstance(call.arguments, dict)
            assert f"{{'slope': {call.arguments['slope']!r}, " in last_step
            assert json.dumps(call.arguments["slope"]) in review.request.last("user")

    def test_the_verdict_rests_on_the_residuals_that_the_tool_returned(
        self, told: tuple[Ending, ModelServer, list[str]]
    ) -> None:
        checked = [
            json.loads(exchange.request.last("tool"))["max_relative_residual"]
            for exchange in told[1].exchanges("reviewer")
            if exchange.request.last("tool")
        ]
        assert checked[0] > 1
        assert checked[1] < 0.001

    def test_the_hypothesis_reaches_the_redo_and_only_the_redo(
        self, told: tuple[Ending, ModelServer, list[str]]
    ) -> None:
        asked = [exchange.request.text for exchange in told[1].exchanges("analyst")]
        assert [HYPOTHESIS in text for text in asked] == [False] * 5 + [True] * 5

    def test_the_data_and_the_plan_reach_the_analyst(
        self, told: tuple[Ending, ModelServer, list[str]]
    ) -> None:
        first = told[1].exchanges("analyst")[0].request.text
        assert "0.387099" in first
        assert "164.79132" in first
        assert "2. Fit the law: look at the data" in first

    def test_planning_stops_at_the_end_of_the_plan(self, told: tuple[Ending, ModelServer, list[str]]) -> None:
        plans = [x for x in told[1].exchanges("analyst") if "<end_plan>" in x.request.stop]
        assert [exchange.request.number for exchange in plans] == [1, 4, 6, 9]
        assert all("<end_plan>" not in (exchange.answer.text or "") for exchange in plans)

    def test_the_reviewer_is_asked_for_a_structured_verdict(
        self, told: tuple[Ending, ModelServer, list[str]]
    ) -> None:
        asked = told[1].exchanges("reviewer")[0].request.response_format
        assert asked is not None
        assert list(asked["json_schema"]["schema"]["properties"]) == ["accepted", "reason", "hypothesis"]

    def test_it_says_how_it_goes(self, told: tuple[Ending, ModelServer, list[str]]) -> None:
        assert told[2] == [
            "planning: the planner has written the plan",
            "step 1: the loader has read 8 planets",
            "step 2, attempt 1: the analyst says T = -8.795 + 5.385 a",
            "  rejected: A line does not do: the period of Mercury is off by 2,885.99%. "
            f"Hypothesis: {HYPOTHESIS}",
            "step 2, attempt 2: the analyst says T ~ a^1.500",
            "  accepted: At worst the period of Saturn is off by 0.02%.",
        ]


def test_two_runs_are_served_the_same(told: tuple[Ending, ModelServer, list[str]]) -> None:
    again = run_demo()
    assert again.served == told[1].counted()


def test_the_demo_is_quiet_on_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    result = run_demo()
    assert result == DemoResult(
        run_id=None,
        accepted=True,
        exponent=pytest.approx(1.5, abs=0.0005),
        attempts=2,
        scripted=True,
        served=result.served,
    )
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("The model is scripted")
    assert len(err.splitlines()) == 7


def test_its_run_phases_steps_and_redo_are_recorded(global_recorder: Any) -> None:
    result = run_demo()
    assert global_recorder.tree() == [
        "invoke_workflow Kepler's third law",
        "  run_step planning",
        "  run_step control",
        "    run_step load the data",
        "    run_step fit the law",
        "    run_step fit the law",
    ]
    original, redo = (span for span in global_recorder.spans if span.name == "run_step fit the law")
    assert result.run_id == f"{original.context.trace_id:032x}"
    assert original.attributes[semconv.SPANDAG_ATTEMPT_OUTCOME] == semconv.Outcome.REJECTED
    assert redo.attributes[semconv.SPANDAG_ATTEMPT_OUTCOME] == semconv.Outcome.ACCEPTED
    assert redo.attributes[semconv.SPANDAG_STEP_NUMBER] == 2
    assert redo.attributes[semconv.SPANDAG_STEP_ATTEMPT] == 2
    assert redo.attributes[semconv.SPANDAG_REDO_HYPOTHESIS] == HYPOTHESIS
    assert redo.attributes[semconv.SPANDAG_REDO_REQUESTED_BY] == "reviewer"
    assert [link.context.span_id for link in redo.links] == [original.context.span_id]


@contextmanager
def real_model(reviewer: Actor) -> Iterator[tuple[ModelServer, str]]:
    """A server like a provider's: one base URL for all agents, who are told apart by what they are asked."""

    def everyone(request: Request) -> Any:
        system = request.last("system")
        if system == REVIEWER_PROMPT:
            return reviewer(replace(request, actor="reviewer")) if callable(reviewer) else reviewer[0]
        if system == PLANNER_PROMPT:
            return script.planner(request)
        if "read_table" in request.tools:
            return script.loader(request)
        if "describe_pairs" in request.tools:
            return script.data_checker(request)
        return script.analyst(request)

    with ModelServer({"everyone": everyone}) as server:
        yield server, server.url_for("everyone")


def never_content(request: Request) -> str:
    number = str(request.number)
    return json.dumps({"accepted": False, "reason": "No.", "hypothesis": f"Try again, {number}."})


class TestRealModel:
    def test_without_a_redo(self, capsys: pytest.CaptureFixture[str]) -> None:
        verdict = json.dumps({"accepted": True, "reason": "Good enough.", "hypothesis": None})
        with real_model([verdict]) as (server, base_url):
            result = run_demo(model="gpt-4o-mini", base_url=base_url)
        assert result == DemoResult(None, accepted=True, exponent=None, attempts=1, scripted=False)
        assert capsys.readouterr().err.startswith("The model is real: gpt-4o-mini.\n")
        assert {exchange.request.model for exchange in server.log} == {"gpt-4o-mini"}

    def test_with_the_limit_spent(self, global_recorder: Any, capsys: pytest.CaptureFixture[str]) -> None:
        with real_model(never_content) as (_, base_url):
            result = run_demo(model="gpt-4o-mini", base_url=base_url)
        assert (result.accepted, result.attempts, result.scripted) == (False, 3, False)
        assert "the limit of 2 redos is spent" in capsys.readouterr().err
        steps = [span for span in global_recorder.spans if span.name == "run_step fit the law"]
        assert [span.attributes[semconv.SPANDAG_ATTEMPT_OUTCOME] for span in steps] == ["rejected"] * 3
        assert steps[-1].attributes[semconv.SPANDAG_REDO_EXHAUSTED] is True
        run = global_recorder.named("invoke_workflow Kepler's third law")
        assert run.status.is_ok

    def test_a_verdict_that_cannot_be_read_is_a_rejection(self, capsys: pytest.CaptureFixture[str]) -> None:
        with real_model(["I like it."]) as (_, base_url):
            result = run_demo(model="gpt-4o-mini", base_url=base_url)
        assert (result.accepted, result.attempts) == (False, 3)
        assert "rejected: No verdict could be read" in capsys.readouterr().err

    def test_a_table_that_was_paraphrased_does_not_end_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        def paraphrase(request: Request) -> Reply:
            reply = script.loader(request)
            [call] = reply.tool_calls
            if call.name == "read_table":
                return reply
            return replace(
                reply, tool_calls=[replace(call, arguments={"answer": "There are eight planets."})]
            )

        with ModelServer({**script.ACTORS, "loader": paraphrase}) as server:
            ending = tell(
                lambda agent: Endpoint(script.MODELS[agent], server.url_for(agent), "any", trust_env=False),
                lambda line: None,
            )
        assert ending.accepted

    def test_the_key_reaches_the_api(self) -> None:
        verdict = json.dumps({"accepted": True, "reason": "Good.", "hypothesis": None})
        with real_model([verdict]) as (server, base_url):
            run_demo(model="gpt-4o-mini", base_url=base_url, api_key="sk-test")
        assert {exchange.request.headers["authorization"] for exchange in server.log} == {"Bearer sk-test"}

    def test_a_base_url_alone_is_not_enough(self) -> None:
        with pytest.raises(ValueError, match="--model"):
            run_demo(base_url="http://127.0.0.1:1/v1")

    def test_openai_needs_a_key(self) -> None:
        with pytest.raises(ValueError, match="OPENAI_API_KEY"):
            run_demo(model="gpt-4o-mini")


@pytest.mark.parametrize("framework", ["smolagents", "ag2"])
def test_a_framework_that_is_missing_is_named_with_what_to_install(
    framework: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, framework, None)
    with pytest.raises(ImportError, match=rf"{framework}.*pip install 'spandag\[smolagents,ag2\]'"):
        run_demo()
