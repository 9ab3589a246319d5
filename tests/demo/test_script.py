"""The scripted models answer what they are told: no number and no turn of the story is theirs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spandag import pricing
from spandag.demo import script, tasks
from spandag.testing import Message, Reply, Request


def request_to(actor: str, *messages: tuple[str, str]) -> Request:
    return Request(actor, 1, script.MODELS[actor], tuple(Message(role, text) for role, text in messages))


def verdict(checked: dict[str, Any]) -> dict[str, Any]:
    result = tasks.review_task({"form": "linear", "slope": 1.0, "intercept": 0.0})
    reply = script.reviewer(request_to("reviewer", ("user", result), ("tool", json.dumps(checked))))
    answer = json.loads(reply.text or "")
    assert isinstance(answer, dict)
    return answer


def code_of(reply: Reply) -> str:
    return (reply.text or "").partition("<code>\n")[2].partition("\n</code>")[0]


def test_the_reviewer_checks_the_law_it_is_given() -> None:
    law = {"form": "power_law", "slope": 7.25, "intercept": -0.5}
    [call] = script.reviewer(request_to("reviewer", ("user", tasks.review_task(law)))).tool_calls
    assert (call.name, call.arguments) == ("check_residuals", law)


def test_the_reviewer_judges_by_the_residuals() -> None:
    good = verdict({"max_relative_residual": 0.01, "worst_planet": "Mars"})
    assert (good["accepted"], good["hypothesis"]) == (True, None)
    bad = verdict({"max_relative_residual": 0.06, "worst_planet": "Mars"})
    assert not bad["accepted"]
    assert "Mars is off by 6.00%" in bad["reason"]
    assert "log T against log a" in bad["hypothesis"]


OBSERVED = ("user", "Observation:\n{'slope': 7.25, 'intercept': -0.5, 'r_squared': 0.9}")
CHECKED = ("user", "Here is the final answer from your managed agent 'data_checker':\nfine")


@pytest.mark.parametrize(
    ("hypothesis", "form"), [(None, "linear"), ("Use metres.", "linear"), ("Take the log.", "power_law")]
)
def test_the_analyst_fits_as_the_hypothesis_in_its_task_says(hypothesis: str | None, form: str) -> None:
    task = ("user", tasks.fit_task("1. Fit.", hypothesis))
    fitting = code_of(script.analyst(request_to("analyst", task, CHECKED)))
    assert ("math.log" in fitting) == (form == "power_law")
    answer = code_of(script.analyst(request_to("analyst", task, CHECKED, OBSERVED)))
    assert answer == f"final_answer({{'form': '{form}', 'slope': 7.25, 'intercept': -0.5}})"


def test_the_analyst_plans_when_asked_for_a_plan() -> None:
    task = ("user", tasks.fit_task("1. Fit.", None))
    asked = ("user", "Write your plan and then the '<end_plan>' tag.")
    first = script.analyst(request_to("analyst", task, asked)).text or ""
    assert first.endswith("<end_plan>")
    assert "Fit T against a with fit_line" in first
    assert "7.25" in (script.analyst(request_to("analyst", task, OBSERVED, asked)).text or "")


def test_the_loader_hands_on_what_the_tool_returned() -> None:
    [call] = script.loader(request_to("loader", ("user", tasks.load_task()))).tool_calls
    assert (call.name, call.arguments) == ("read_table", {"table": "planets"})
    seen = ("user", 'Observation:\n{"planet": ["X"], "semi_major_axis_au": [1.0]}')
    [call] = script.loader(request_to("loader", ("user", tasks.load_task()), seen)).tool_calls
    assert (call.name, call.arguments) == (
        "final_answer",
        {"answer": {"planet": ["X"], "semi_major_axis_au": [1.0]}},
    )


def test_the_models_have_prices() -> None:
    for model in set(script.MODELS.values()):
        assert pricing.price(model, "openai", pricing.Usage(input_tokens=1000, output_tokens=100)) is not None
