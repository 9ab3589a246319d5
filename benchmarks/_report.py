"""Figures: ours beside a baseline of the same run, printed and kept in ``benchmarks/results/``."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        name: What was measured.
        value: The median: a ratio, or what `unit` says.
        low: The smallest of all rounds.
        high: The largest.
        unit: What the value is, such as ``× the baseline``.
        target: What it should be, in words; None where it is only told.
        met: Whether it is; None without a target.
        beside: Absolute figures, for orientation only: they mean nothing on another machine.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    target: str | None = None
    met: bool | None = None
    beside: str = ""


@dataclass(slots=True)
class Report:
    """The figures of one script."""

    script: str
    versions: dict[str, str] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)

    def add(
        self,
        name: str,
        values: Iterable[float],
        unit: str,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        beside: str = "",
    ) -> None:
        """Add a figure of several rounds, and print it.

        Args:
            name: What was measured.
            values: One of each round.
            unit: What they are.
            at_least: The target, where more is better.
            at_most: The target, where less is better.
            beside: Absolute figures.
        """
        rounds = list(values)
        median = statistics.median(rounds)
        target = met = None
        if at_least is not None:
            target, met = f"at least {at_least:g}", median >= at_least
        elif at_most is not None:
            target, met = f"at most {at_most:g}", median <= at_most
        figure = Figure(name, median, min(rounds), max(rounds), unit, target, met, beside)
        self.figures.append(figure)
        sys.stdout.write(_line(figure) + "\n")
        sys.stdout.flush()

    def write(self) -> None:
        """Write the figures as JSON and as a table in Markdown."""
        RESULTS.mkdir(exist_ok=True)
        about = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "cpus": os.cpu_count(), **self.versions}
        content = {"about": about, "figures": [asdict(figure) for figure in self.figures]}
        (RESULTS / f"{self.script}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        lines = [
            f"# benchmarks/{self.script}.py",
            "",
            ", ".join(f"{name} {value}" for name, value in about.items()),
            "",
            "| figure | median | least to most | target | |",
            "|---|---|---|---|---|",
            *(
                f"| {f.name} | {_number(f.value)} {f.unit} | {_number(f.low)} to {_number(f.high)} "
                f"| {_verdict(f)} | {f.beside} |"
                for f in self.figures
            ),
        ]
        (RESULTS / f"{self.script}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """What the figures depend on beside the machine."""
    return {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}


def seconds(work: Callable[[], object]) -> float:
    """How long a piece of work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def pairs(baseline: Callable[[], T], ours: Callable[[], T], rounds: int) -> tuple[list[T], list[T]]:
    """Both in turn, after one round that does not count: the speed of the machine changes meanwhile.

    Each goes first every other time, so that what one leaves behind burdens both alike.
    """
    baseline()
    ours()
    bases: list[T] = []
    others: list[T] = []
    for number in range(rounds):
        if number % 2:
            others.append(ours())
            bases.append(baseline())
        else:
            bases.append(baseline())
            others.append(ours())
    return bases, others


def _line(figure: Figure) -> str:
    value = f"{_number(figure.value)} {figure.unit}"
    spread = f"({_number(figure.low)} to {_number(figure.high)})"
    return f"{figure.name:<58} {value:>28}  {spread:<20} {_verdict(figure):<20} {figure.beside}".rstrip()


def _verdict(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return f"{figure.target}: {'met' if figure.met else 'MISSED'}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
