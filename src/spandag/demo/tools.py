"""What the agents of the story can do: plain functions that really compute.

Both frameworks make their tools from such a function, its types and its docstring. They stay free of
any framework, so that a test can call them as they are.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from importlib.resources import files

AXIS = "semi_major_axis_au"
PERIOD = "orbital_period_years"
TABLES = ("planets",)


def read_table(table: str) -> str:
    """Read one of the tables that come with this program.

    Args:
        table: Name of the table. There is one: 'planets'.

    Returns:
        The table as a JSON object of columns, each a list with one entry per row.
    """
    if table not in TABLES:
        raise ValueError(f"There is no table {table!r}. There is: {', '.join(TABLES)}.")
    text = files("spandag.demo").joinpath(f"{table}.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    columns = {
        "planet": [row["planet"] for row in rows],
        AXIS: [float(row[AXIS]) for row in rows],
        PERIOD: [float(row[PERIOD]) for row in rows],
    }
    return json.dumps(columns)


def describe_pairs(x: list[float], y: list[float]) -> dict[str, float]:
    """Describe pairs of numbers before something is fitted to them.

    Args:
        x: The values of the first quantity.
        y: The values of the second quantity, in the same order.

    Returns:
        The number of pairs, the smallest and largest value of each quantity, and over how many decades it ranges.
    """
    _require_pairs(x, y, at_least=1)
    described: dict[str, float] = {"pairs": len(x)}
    for name, values in (("x", x), ("y", y)):
        low, high = min(values), max(values)
        described |= {f"{name}_min": low, f"{name}_max": high}
        if low > 0:
            described[f"{name}_decades"] = math.log10(high / low)
    return described


def fit_line(x: list[float], y: list[float]) -> dict[str, float]:
    """Fit the straight line y = intercept + slope * x by least squares.

    Args:
        x: The values of the independent quantity.
        y: The values of the dependent quantity, in the same order.

    Returns:
        The slope, the intercept and r_squared, the share of the variance of y that the line explains.
    """
    _require_pairs(x, y, at_least=2)
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    spread_x = math.fsum((a - mean_x) ** 2 for a in x)
    spread_y = math.fsum((b - mean_y) ** 2 for b in y)
    if not spread_x:
        raise ValueError("All values of x are the same, so no line can be fitted.")
    slope = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread_x
    intercept = mean_y - slope * mean_x
    left = math.fsum((b - intercept - slope * a) ** 2 for a, b in zip(x, y, strict=True))
    return {"slope": slope, "intercept": intercept, "r_squared": 1 - left / spread_y if spread_y else 1.0}


def check_residuals(form: str, slope: float, intercept: float) -> str:
    """Compare a fitted law with the table of the planets.

    Args:
        form: 'linear' for T = intercept + slope * a, or 'power_law' for ln T = intercept + slope * ln a.
        slope: The fitted slope.
        intercept: The fitted intercept.

    Returns:
        A JSON object: the largest and the mean relative residual of the period, and the planet that is worst.
    """
    columns = json.loads(read_table("planets"))
    residuals = [
        abs(_predict(form, slope, intercept, axis) - period) / period
        for axis, period in zip(columns[AXIS], columns[PERIOD], strict=True)
    ]
    largest = max(residuals)
    return json.dumps(
        {
            "max_relative_residual": largest,
            "mean_relative_residual": math.fsum(residuals) / len(residuals),
            "worst_planet": columns["planet"][residuals.index(largest)],
        }
    )


def _predict(form: str, slope: float, intercept: float, axis: float) -> float:
    if form == "linear":
        return intercept + slope * axis
    if form == "power_law":
        return math.exp(intercept + slope * math.log(axis))
    raise ValueError(f"form must be 'linear' or 'power_law', not {form!r}.")


def _require_pairs(x: Sequence[float], y: Sequence[float], *, at_least: int) -> None:
    if len(x) != len(y) or len(x) < at_least:
        raise ValueError(
            f"x and y need the same number of values, at least {at_least}; they have {len(x)} and {len(y)}."
        )
