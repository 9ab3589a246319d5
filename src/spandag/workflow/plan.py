"""What the attempts at one step share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from spandag.workflow.section import Section

if TYPE_CHECKING:
    from spandag.workflow.attempt import Attempt

OnExhausted = Literal["raise", "accept"]
"""What becomes of a step whose last allowed attempt is rejected."""


@dataclass(frozen=True, slots=True)
class Before:
    """The attempt that a redo follows.

    Attributes:
        context: Its span.
        hypothesis: What its rejection suggests.
        requested_by: Who rejected it.
    """

    context: SpanContext
    hypothesis: str | None
    requested_by: str | None


@dataclass(slots=True)
class Plan:
    """What the attempts at one step share."""

    name: str
    number: int
    input: Any
    # None where nobody has said a limit: no redo is expected, and none is refused.
    max_redos: int | None
    # Whether a rejected attempt is followed by the next one here, as in a loop; a plain block is over with it.
    redoes: bool = True
    on_exhausted: OnExhausted = "raise"
    # Whether there is something to accept only where an attempt was given an output.
    needs_output: bool = False
    context: Context = field(default_factory=otel_context.get_current)
    step_id: str | None = None
    # Of a redo of an attempt elsewhere: the number of the first one here, what it follows, and what was said.
    first: int = 1
    before: Before | None = None
    told: tuple[str, ...] = ()
    attempts: list[Attempt] = field(default_factory=list)
    # Opened for a step that is in no run, until no further attempt follows.
    run: Section | None = None
    # Whether the loop was left, so that none does.
    is_left: bool = False

    def end_run(self, error: BaseException | None = None) -> None:
        """End the run that was opened for the step, if one was.

        Args:
            error: The exception that leaves it.
        """
        run, self.run = self.run, None
        if run is not None:
            run.end(error)
