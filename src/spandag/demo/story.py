"""How the planets' periods led to Kepler's third law: the workflow that the demo runs.

This is the code of a user of spandag: phases, steps, a reviewer, and a step that is done again when the
reviewer rejects its result. The instrumentors see to everything below the steps.
"""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import spandag
from spandag.demo import tasks
from spandag.demo.agents import Endpoint, Verdict, ask_planner, ask_reviewer, run_analyst, run_loader
from spandag.demo.tools import AXIS, PERIOD, read_table

MAX_REDOS = 2

Say = Callable[[str], None]
"""Takes one line of progress."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How the story ended.

    Attributes:
        run_id: The run's id, which is its trace id in hex; None if it is not recorded.
        accepted: Whether the reviewer accepted a law.
        exponent: The exponent of the power law of the last attempt, None if that was no power law.
        attempts: How often the law was fitted.
    """

    run_id: str | None
    accepted: bool
    exponent: float | None
    attempts: int


def tell(endpoint: Callable[[str], Endpoint], say: Say) -> Ending:
    """Run the story.

    Args:
        endpoint: Gives the model endpoint of an agent by its name.
        say: Called with each line of progress.
    """
    with spandag.run("Kepler's third law", task=tasks.GOAL, session="demo") as run:
        with spandag.phase("planning"):
            plan = asyncio.run(ask_planner(endpoint("planner"), tasks.plan_task()))
            say("planning: the planner has written the plan")
        with spandag.phase("control"):
            with spandag.step("load the data") as step:
                data = load_data(endpoint, say)
                step.set_output(data)
            result: Any = None
            accepted, attempts = False, 0
            try:
                for attempt in spandag.step("fit the law").attempts(max_redos=MAX_REDOS):
                    with attempt:
                        attempts = attempt.number
                        result = fit_law(endpoint, plan, data, attempt.feedback)
                        attempt.set_output(result)
                        say(f"step 2, attempt {attempts}: the analyst says {describe_law(result)}")
                        verdict = review(endpoint, result)
                        accepted = verdict.accepted
                        if accepted:
                            say(f"  accepted: {verdict.reason}")
                        else:
                            hypothesis = verdict.hypothesis or verdict.reason
                            say(f"  rejected: {verdict.reason} Hypothesis: {hypothesis}")
                            attempt.reject(hypothesis=hypothesis, requested_by="reviewer")
            except spandag.RedoLimitExceeded:
                say(f"  the limit of {MAX_REDOS} redos is spent; the story ends without an accepted law")
        return Ending(run.run_id, accepted, exponent_of(result), attempts)


def load_data(endpoint: Callable[[str], Endpoint], say: Say) -> dict[str, list[float]]:
    """Step 1: have the loader read the table, and check that it is one."""
    answer = read_mapping(run_loader(endpoint("loader"), tasks.load_task()))
    columns = {name: answer.get(name) for name in (AXIS, PERIOD)}
    lengths = {len(column) if isinstance(column, list) else 0 for column in columns.values()}
    numbers = [value for column in columns.values() if isinstance(column, list) for value in column]
    if len(lengths) == 1 and 0 not in lengths and all(isinstance(value, (int, float)) for value in numbers):
        say(f"step 1: the loader has read {lengths.pop()} planets")
    else:
        # A real model may paraphrase the table; the story shall not end for that.
        columns = json.loads(read_table("planets"))
        say("step 1: the loader's answer is no table, so the story goes on with the file")
    return {name: [float(value) for value in columns[name] or ()] for name in (AXIS, PERIOD)}


def fit_law(
    endpoint: Callable[[str], Endpoint], plan: str, data: dict[str, list[float]], hypothesis: str | None
) -> Any:
    """Step 2: have the analyst fit the law, following the reviewer's hypothesis if there is one."""
    return run_analyst(endpoint("analyst"), endpoint("data_checker"), tasks.fit_task(plan, hypothesis), data)


def review(endpoint: Callable[[str], Endpoint], result: Any) -> Verdict:
    """Have the reviewer judge; what cannot be read as a verdict counts as a rejection."""
    try:
        return asyncio.run(ask_reviewer(endpoint("reviewer"), tasks.review_task(result)))
    except ValueError as error:
        cause = str(error).partition("\n")[0]
        return Verdict(accepted=False, reason=f"No verdict could be read: {cause}.", hypothesis=None)


def exponent_of(result: Any) -> float | None:
    """The exponent of a fitted law, None if it is no power law."""
    law = read_mapping(result)
    slope = law.get("slope")
    return float(slope) if law.get("form") == "power_law" and isinstance(slope, (int, float)) else None


def describe_law(result: Any) -> str:
    """A fitted law as a formula; what is none, as it is."""
    law = read_mapping(result)
    match law:
        case {"form": "power_law", "slope": int() | float() as slope}:
            return f"T ~ a^{slope:.3f}"
        case {"form": "linear", "slope": int() | float() as slope, "intercept": int() | float() as intercept}:
            return f"T = {intercept:.3f} + {slope:.3f} a"
    return str(result)


def read_mapping(answer: Any) -> dict[str, Any]:
    """An agent's answer as a mapping, whether it gave one or its text; empty if it is neither."""
    if isinstance(answer, str):
        for read in (json.loads, ast.literal_eval):
            try:
                answer = read(answer)
                break
            except (ValueError, SyntaxError):
                continue
    return dict(answer) if isinstance(answer, dict) else {}
