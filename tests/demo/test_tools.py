"""The tools of the demo compute for real."""

from __future__ import annotations

import json
import math

import pytest

from spandag.demo.tools import AXIS, PERIOD, check_residuals, describe_pairs, fit_line, read_table


def test_the_table_has_the_eight_planets_with_numbers() -> None:
    columns = json.loads(read_table("planets"))
    assert list(columns) == ["planet", AXIS, PERIOD]
    assert columns["planet"] == [
        "Mercury",
        "Venus",
        "Earth",
        "Mars",
        "Jupiter",
        "Saturn",
        "Uranus",
        "Neptune",
    ]
    assert [len(column) for column in columns.values()] == [8, 8, 8]
    assert columns[AXIS] == sorted(columns[AXIS])
    assert columns[PERIOD] == sorted(columns[PERIOD])


@pytest.mark.parametrize("table", ["moons", "../planets", ""])
def test_no_other_table_can_be_read(table: str) -> None:
    with pytest.raises(ValueError, match="There is: planets"):
        read_table(table)


def test_a_line_is_found_exactly() -> None:
    fit = fit_line([1.0, 2.0, 4.0], [5.0, 7.0, 11.0])
    assert fit == {
        "slope": pytest.approx(2),
        "intercept": pytest.approx(3),
        "r_squared": pytest.approx(1),
    }


def test_least_squares_of_points_that_are_on_no_line() -> None:
    fit = fit_line([0, 1, 2], [0, 1, 0])
    assert fit == {
        "slope": pytest.approx(0),
        "intercept": pytest.approx(1 / 3),
        "r_squared": pytest.approx(0),
    }


def test_the_planets_follow_a_power_law_of_three_halves() -> None:
    columns = json.loads(read_table("planets"))
    fit = fit_line([math.log(a) for a in columns[AXIS]], [math.log(t) for t in columns[PERIOD]])
    assert f"{fit['slope']:.3f}" == "1.500"
    checked = json.loads(check_residuals("power_law", fit["slope"], fit["intercept"]))
    assert checked["max_relative_residual"] < 0.001


def test_a_line_through_the_planets_misses_the_inner_ones() -> None:
    columns = json.loads(read_table("planets"))
    fit = fit_line(columns[AXIS], columns[PERIOD])
    checked = json.loads(check_residuals("linear", fit["slope"], fit["intercept"]))
    assert checked["worst_planet"] == "Mercury"
    assert checked["max_relative_residual"] > 1 > checked["mean_relative_residual"] / 10


def test_residuals_of_a_constant() -> None:
    checked = json.loads(check_residuals("linear", 0, 0))
    assert checked == {
        "max_relative_residual": 1.0,
        "mean_relative_residual": 1.0,
        "worst_planet": "Mercury",
    }


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="'linear' or 'power_law'"):
        check_residuals("cubic", 1, 0)


def test_pairs_are_described() -> None:
    assert describe_pairs([1, 10], [-1, 5]) == {
        "pairs": 2,
        "x_min": 1,
        "x_max": 10,
        "x_decades": pytest.approx(1),
        "y_min": -1,
        "y_max": 5,
    }


@pytest.mark.parametrize(("x", "y"), [([1.0], [1.0, 2.0]), ([1.0], [1.0]), ([2.0, 2.0], [1.0, 3.0])])
def test_what_determines_no_line_is_refused(x: list[float], y: list[float]) -> None:
    with pytest.raises(ValueError, match="same"):
        fit_line(x, y)
