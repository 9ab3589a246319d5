"""What the agents are asked, word for word: the same for scripted and for real models."""

from __future__ import annotations

import json
from typing import Any

from spandag.demo.tools import AXIS, PERIOD

GOAL = "Find the law that connects the orbital periods of the planets with the sizes of their orbits."
HYPOTHESIS_MARK = "A reviewer rejected the previous attempt. Try this: "
RESULT_MARK = "The fitted law: "


def plan_task() -> str:
    """What the planner is asked."""
    return (
        f"{GOAL} There is a table 'planets'. The team has an agent that loads tables and an analyst who fits "
        "laws to data. Write the plan, a line for each of the two steps."
    )


def load_task() -> str:
    """What the loader is asked."""
    return (
        "Read the table 'planets' and give the whole table as your final answer: "
        f"an object with the columns planet, {AXIS} and {PERIOD}, as the tool returned it."
    )


def fit_task(plan: str, hypothesis: str | None) -> str:
    """What the analyst is asked.

    Args:
        plan: What the planner wrote.
        hypothesis: What the reviewer proposed when it rejected the attempt before; None for the first attempt.
    """
    task = (
        f"{GOAL} T is {PERIOD}, a is {AXIS}; both are lists, in the same order. "
        "Ask data_checker about the data first, then fit with fit_line. "
        "Your final answer is a dictionary: form ('linear' for T = intercept + slope * a, "
        "'power_law' for ln T = intercept + slope * ln a), slope and intercept.\n"
        f"The plan of the team:\n{plan}\n"
    )
    return task if hypothesis is None else f"{task}{HYPOTHESIS_MARK}{hypothesis}\n"


def review_task(result: Any) -> str:
    """What the reviewer is asked.

    Args:
        result: The analyst's final answer.
    """
    try:
        text = json.dumps(result)
    except (TypeError, ValueError):
        # A real model's final answer can be any Python object.
        text = str(result)
    return f"T is the orbital period of a planet in years, a the semi-major axis of its orbit in AU.\n{RESULT_MARK}{text}"
