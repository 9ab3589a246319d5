"""The scripted models of the story.

Each is a function of the conversation alone: it reads what tools and other agents really said and goes on
from there. No number of the story stands here; they come from the table through the tools.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from spandag.demo.tasks import HYPOTHESIS_MARK, RESULT_MARK
from spandag.demo.tools import AXIS, PERIOD
from spandag.testing import Reply, Request, ToolCall, estimate_usage, message_tokens

MODELS: Mapping[str, str] = {
    "planner": "gpt-5-mini",
    "loader": "gpt-4o-mini",
    "analyst": "gpt-4o-mini",
    "data_checker": "gpt-4o-mini",
    "reviewer": "gpt-5-mini",
}
"""Which model each agent names, so that the calls have a price."""

TOLERANCE = 0.05

_PLAN_END = "<end_plan>"


def planner(request: Request) -> Reply:
    """Write the plan of the two steps."""
    return _with_usage(
        request,
        Reply(
            "1. Load the data: read the table 'planets'.\n2. Fit the law: look at the data, fit, report the law."
        ),
        reasoning=192,
    )


def loader(request: Request) -> Reply:
    """Read the table, then hand on the columns that the tool returned."""
    found = re.search(r'\{"planet".*\}', _said_to(request))
    if found is None:
        return _with_usage(request, _call("read_table", table="planets"))
    return _with_usage(request, _call("final_answer", answer=json.loads(found[0])))


def data_checker(request: Request) -> Reply:
    """Describe the pairs with the tool, then report what it found, in the form that a managed agent owes."""
    found = re.search(r"\{'pairs'.*\}", _said_to(request))
    if found is None:
        return _with_usage(request, _call("describe_pairs", x="x", y="y"))
    data = ast.literal_eval(found[0])
    report = (
        f"### 1. Task outcome (short version):\nThe {data['pairs']} pairs can be fitted; all values are positive.\n"
        "### 2. Task outcome (extremely detailed version):\n"
        f"x goes from {data['x_min']} to {data['x_max']}, over {data['x_decades']:.2f} decades; "
        f"y goes from {data['y_min']} to {data['y_max']}, over {data['y_decades']:.2f} decades.\n"
        "### 3. Additional context (if relevant):\nNone."
    )
    return _with_usage(request, _call("final_answer", answer=report))


def analyst(request: Request) -> Reply:
    """Plan, have the data checked, fit as the task's hypothesis says, and answer with the fitted numbers."""
    said = _said_to(request)
    hypothesis = re.search(f"{re.escape(HYPOTHESIS_MARK)}(.*)", said)
    power_law = hypothesis is not None and "log" in hypothesis[1]
    fits = re.findall(r"\{'slope'.*?\}", said)
    if _PLAN_END in request.last("user"):
        return _with_usage(request, Reply(_plan(power_law, found=fits[-1] if fits else None)))
    if fits:
        fit = ast.literal_eval(fits[-1])
        answer = {
            "form": "power_law" if power_law else "linear",
            "slope": fit["slope"],
            "intercept": fit["intercept"],
        }
        return _with_usage(request, _code("The fit is there; I report it.", f"final_answer({answer!r})"))
    if "'data_checker':" in said:
        return _with_usage(request, _fit(power_law))
    return _with_usage(
        request,
        _code(
            "First I have the data checked.",
            "report = data_checker(\n"
            '    task="Describe these pairs: x is the semi-major axis in AU, y the orbital period in years.",\n'
            f'    additional_args={{"x": {AXIS}, "y": {PERIOD}}},\n'
            ")\n"
            "print(report)",
        ),
    )


def _plan(power_law: bool, found: str | None) -> str:
    relation = "log T against log a" if power_law else "T against a"
    facts = (
        "the semi-major axes and the periods, as lists"
        if found is None
        else f"the fit of {relation}: {found}"
    )
    steps = (
        f"1. Have data_checker look at the data.\n2. Fit {relation} with fit_line.\n3. Report the law."
        if found is None
        else "1. Report the law with the fitted numbers."
    )
    # A model that heeds the stop sequence ends before what follows it.
    return f"## 1. Facts survey\nGiven: {facts}.\n\n## 2. Plan\n{steps}\n{_PLAN_END}"


def _fit(power_law: bool) -> Reply:
    if not power_law:
        return _code(
            "The pairs can be fitted; I try a straight line.",
            f"fit = fit_line(x={AXIS}, y={PERIOD})\nprint(fit)",
        )
    return _code(
        "All values are positive, so I follow the hypothesis and fit in log space.",
        "import math\n"
        "fit = fit_line(\n"
        f"    x=[math.log(a) for a in {AXIS}],\n"
        f"    y=[math.log(t) for t in {PERIOD}],\n"
        ")\n"
        "print(fit)",
    )


def reviewer(request: Request) -> Reply:
    """Have the fitted law's residuals checked, then judge by what the tool returned."""
    if not request.last("tool"):
        law = json.loads(request.last("user").partition(RESULT_MARK)[2])
        return _with_usage(request, _call("check_residuals", **law), reasoning=64)
    checked = json.loads(request.last("tool"))
    worst = f"the period of {checked['worst_planet']} is off by {checked['max_relative_residual']:,.2%}"
    if checked["max_relative_residual"] <= TOLERANCE:
        verdict = {"accepted": True, "reason": f"At worst {worst}.", "hypothesis": None}
    else:
        hypothesis = "The relation looks like a power law: fit log T against log a."
        verdict = {"accepted": False, "reason": f"A line does not do: {worst}.", "hypothesis": hypothesis}
    return _with_usage(request, Reply(json.dumps(verdict)), reasoning=128)


ACTORS: Mapping[str, Callable[[Request], Reply]] = {
    "planner": planner,
    "loader": loader,
    "analyst": analyst,
    "data_checker": data_checker,
    "reviewer": reviewer,
}
"""The scripted model of each agent."""


def _said_to(request: Request) -> str:
    """What the agent was told: its task and its observations (smolagents sends both as user messages)."""
    return "\n".join(message.text for message in request.messages if message.role == "user")


def _call(name: str, **arguments: Any) -> Reply:
    return Reply(tool_calls=[ToolCall(name, arguments)])


def _code(thought: str, code: str) -> Reply:
    return Reply(f"Thought: {thought}\n<code>\n{code}\n</code>")


def _with_usage(request: Request, reply: Reply, *, reasoning: int = 0) -> Reply:
    """Report the usage that OpenAI would: what the call before had sent already comes from the cache."""
    roles = [message.role for message in request.messages]
    before = len(roles) - 1 - roles[::-1].index("assistant") if "assistant" in roles else 0
    repeated = sum(message_tokens(message) for message in request.messages[:before])
    # OpenAI caches prefixes of 1,024 tokens and more, in steps of 128.
    cached = repeated // 128 * 128 if repeated >= 1024 else 0
    usage = estimate_usage(request, reply, cached=cached, reasoning=reasoning)
    return Reply(reply.text, reply.tool_calls, usage=usage)
