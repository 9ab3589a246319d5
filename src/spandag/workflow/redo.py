"""A redo that goes on with a step of another process, or of an earlier time."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import INVALID_SPAN_CONTEXT

from spandag._guard import guard
from spandag.scrub import scrub_text
from spandag.spans.node import context_below
from spandag.workflow.attempt import Attempt
from spandag.workflow.plan import Before, Plan
from spandag.workflow.ref import Ref, read_ref


@dataclass(frozen=True, slots=True)
class Redo:
    """A redo of an attempt that was made elsewhere, or earlier.

    Attributes:
        ref: Which attempt it was.
        attempt: The number of this one.
        hypothesis: What to try instead.
        requested_by: Who asked for it.
    """

    ref: Ref
    attempt: int
    hypothesis: str | None
    requested_by: str | None

    def plan(self, plan: Plan) -> Plan:
        """Go on with the step where the other attempt was made."""
        ref = self.ref
        plan.first = self.attempt
        plan.before = Before(ref.span_context, self.hypothesis, self.requested_by)
        plan.told = ref.feedback
        if self.hypothesis is not None and self.hypothesis not in ref.feedback:
            plan.told = (*ref.feedback, self.hypothesis)
        if ref.span_context.is_valid:
            plan.step_id = ref.step_node_id
            with guard("go on with a step of another process"):
                plan.context = context_below(ref.parent_context or INVALID_SPAN_CONTEXT)
        return plan


def checked_redo(
    step_name: str,
    redo_of: str | Mapping[str, Any] | Attempt | None,
    attempt: int | None,
    hypothesis: str | None,
    requested_by: str | None,
) -> Redo | None:
    """The redo that `spandag.step` was given; None where it was given none.

    Raises:
        TypeError: The number is none.
        ValueError: It is no redo of any attempt.
    """
    if redo_of is None:
        further = {"attempt": attempt, "hypothesis": hypothesis, "requested_by": requested_by}
        for name, value in further.items():
            if value is not None:
                raise ValueError(
                    f"{name} is of a redo of an attempt made elsewhere: give redo_of=attempt.ref as well"
                )
        return None
    ref = read_ref(redo_of.ref if isinstance(redo_of, Attempt) else redo_of)
    # A row has the name as it was recorded, without secrets.
    if ref.name not in (None, step_name, scrub_text(step_name)):
        raise ValueError(
            f"redo_of is an attempt at the step {ref.name!r}, which cannot be done again as {step_name!r}"
        )
    if attempt is None:
        raise ValueError(
            f"redo_of needs the attempt's number too: that was attempt {ref.attempt}, "
            f"so the next is attempt={ref.attempt + 1}"
        )
    number = whole("attempt", attempt, 2)
    if number <= ref.attempt:
        raise ValueError(
            f"attempt={number} cannot be a redo of attempt {ref.attempt}: the next is attempt={ref.attempt + 1}"
        )
    if hypothesis is None and requested_by is None:
        return Redo(ref, number, ref.hypothesis, ref.requested_by)
    return Redo(ref, number, hypothesis if hypothesis is not None else ref.hypothesis, requested_by)


_MEANINGS = {
    "number": "the step's number within its phase",
    "max_redos": "the number of redos allowed",
    "attempt": "the number of the attempt, 2 for the first redo,",
}


def whole(name: str, value: int, least: int) -> int:
    """A number of the workflow API, from the least on.

    Raises:
        TypeError: It is no whole number.
        ValueError: It is less.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {_MEANINGS[name]} and cannot be {value!r}") from None
    if number < least:
        raise ValueError(f"{name} is {_MEANINGS[name]} and cannot be {value!r}; the least is {least}")
    return number
