"""One attempt at a step: accepted, rejected, failed or cancelled."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Link

from spandag import semconv
from spandag._guard import guard, logger
from spandag.semconv import LinkType, Outcome
from spandag.spans.errors import is_cancellation, is_normal_exit
from spandag.spans.node import Node
from spandag.spans.operations import start_step
from spandag.workflow.scope import tracer
from spandag.workflow.section import Section


class Rejected(Exception):
    """Raised inside an attempt to reject its result.

    Args:
        hypothesis: What to try instead; becomes the next attempt's feedback.
        requested_by: Who rejected it, for example ``"human"`` or an agent's name.
    """

    def __init__(self, hypothesis: str | None = None, requested_by: str | None = None) -> None:
        super().__init__(hypothesis or "the result was rejected")
        self.hypothesis = hypothesis
        self.requested_by = requested_by


class RedoLimitExceeded(Exception):
    """The last allowed attempt at a step was rejected.

    Attributes:
        attempts: Every attempt, in order.
        last_output: What the last one gave to `Attempt.set_output`, if anything.
    """

    def __init__(self, name: str, attempts: list[Attempt]) -> None:
        self._name = name
        self.attempts = attempts
        self.last_output = attempts[-1].output
        times = "once" if len(attempts) == 1 else f"{len(attempts)} times"
        hypothesis = attempts[-1].hypothesis
        super().__init__(
            f"step {name!r} was rejected {times} (max_redos={len(attempts) - 1})"
            + (f"; last: {hypothesis}" if hypothesis else "")
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # In another process there are no spans; what was said and made there is known here.
        return _limit_exceeded, (self._name, [attempt.result for attempt in self.attempts])


# Users know them, and `error.type` names them, by their public names.
Rejected.__module__ = RedoLimitExceeded.__module__ = "spandag"


def _limit_exceeded(name: str, results: list[tuple[Any, ...]]) -> RedoLimitExceeded:
    plan = Plan(name=name, number=0, input=None, max_redos=len(results) - 1, context=Context())
    for result in results:
        attempt = Attempt(plan)
        attempt.outcome, attempt.hypothesis, attempt.requested_by, attempt.output = result
        plan.attempts.append(attempt)
    return RedoLimitExceeded(name, plan.attempts)


@dataclass(slots=True)
class Plan:
    """What the attempts at one step share."""

    name: str
    number: int
    input: Any
    # None where there can be no redo: the step is taken as a plain block.
    max_redos: int | None
    context: Context = field(default_factory=otel_context.get_current)
    step_id: str | None = None
    attempts: list[Attempt] = field(default_factory=list)


class StepNode(Section):
    """The node of an attempt, as `spandag.current("step")` gives it."""

    __slots__ = ("attempt",)

    attempt: Attempt

    @property
    def feedback(self) -> str | None:
        """See `Attempt.feedback`."""
        return self.attempt.feedback

    def reject(self, hypothesis: str | None = None, requested_by: str | None = None) -> None:
        """See `Attempt.reject`."""
        self.attempt.reject(hypothesis, requested_by)

    def set_output(self, value: object) -> None:
        """See `Attempt.set_output`."""
        self.attempt.set_output(value)


class NoStep(StepNode):
    """What `spandag.current("step")` gives where no step is running."""

    __slots__ = ()

    @property
    def feedback(self) -> str | None:
        """There is none."""
        return None

    def reject(self, hypothesis: str | None = None, requested_by: str | None = None) -> None:
        """Refuse: silence would let a rejected result pass.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError("no step is running here that could be rejected")

    def set_output(self, value: object) -> None:
        """Nothing to record it on."""


class Attempt:
    """One attempt at a step; entered with ``with`` or ``async with``.

    Attributes:
        number: 1 for the original, 2 for the first redo.
        hypothesis: What the rejection of this attempt suggests to try instead.
        requested_by: Who rejected it.
        outcome: One of `spandag.semconv.Outcome`; None while it is open.
        output: What `set_output` was given last.
    """

    def __init__(self, plan: Plan, after: Attempt | None = None) -> None:
        self._plan = plan
        self._after = after
        self._node: StepNode | None = None
        self.number = len(plan.attempts) + 1
        self.hypothesis: str | None = None
        self.requested_by: str | None = None
        self.outcome: str | None = None
        self.output: object = None
        self._rejected = False
        self._exhausted = False

    @property
    def feedback(self) -> str | None:
        """What the rejected attempts before were told, a line for each; None at first."""
        told = [
            attempt.hypothesis for attempt in self._plan.attempts[: self.number - 1] if attempt.hypothesis
        ]
        return "\n".join(told) or None

    @property
    def node(self) -> StepNode:
        """The attempt's node.

        Raises:
            RuntimeError: The attempt is not entered yet.
        """
        if self._node is None:
            raise RuntimeError(
                f"this attempt at {self._plan.name!r} is not entered: write `with attempt:` first"
            )
        return self._node

    @property
    def result(self) -> tuple[str | None, str | None, str | None, object]:
        """Outcome, hypothesis, who asked, and output, as they can be sent; None for an output that cannot."""
        output = self.output
        try:
            pickle.dumps(output)
        except Exception:
            output = None
        return self.outcome, self.hypothesis, self.requested_by, output

    # -- what the body says -------------------------------------------------------

    def set_output(self, value: object) -> None:
        """Give the attempt's result; recorded where content is, kept in `output` in any case."""
        self.output = value
        Node.set_output(self.node, value)

    def set_attribute(self, name: str, value: object) -> None:
        """See `Node.set_attribute`."""
        self.node.set_attribute(name, value)

    def add_event(self, name: str, attributes: Mapping[str, object] | None = None) -> None:
        """See `Node.add_event`."""
        self.node.add_event(name, attributes)

    def reject(self, hypothesis: str | None = None, requested_by: str | None = None) -> None:
        """Reject the result: the step is done again, as long as redos are left.

        In a plain ``with spandag.step(...)`` block there is no redo; the step is abandoned.

        Args:
            hypothesis: What to try instead; recorded in every content mode.
            requested_by: Who rejects it, for example ``"human"`` or an agent's name.

        Raises:
            RuntimeError: The attempt is not entered yet, or over.
        """
        if self.node.ended:
            raise RuntimeError(
                f"attempt {self.number} at {self._plan.name!r} is over: reject it inside its block"
            )
        self._rejected = True
        self.hypothesis = hypothesis
        self.requested_by = requested_by

    # -- lifecycle ------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._node is not None:
            raise RuntimeError(f"attempt {self.number} at {self._plan.name!r} was entered before")
        plan = self._plan
        self._node = start_step(
            tracer(),
            plan.name,
            attributes=self._start_attributes(),
            links=self._links(),
            # A redo is a sibling of the original, wherever the loop's body has got to.
            context=plan.context,
            node_class=StepNode,
        )
        self._node.attempt = self
        with guard("identify a step"):
            if plan.step_id is None:
                plan.step_id = format(self._node.span.get_span_context().span_id, "016x")
                self._node.set_attribute(semconv.SPANDAG_STEP_ID, plan.step_id)
        plan.attempts.append(self)
        self._node.__enter__()
        if plan.input is not None:
            self._node.set_input(plan.input)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        node, plan = self.node, self._plan
        if isinstance(error, Rejected):
            self._rejected, self.hypothesis, self.requested_by = True, error.hypothesis, error.requested_by
        failure = None if isinstance(error, Rejected) or is_normal_exit(error) else error
        self.outcome = self._judge(failure)
        # A plain block has no limit to spend; a failure is told by its own exception.
        self._exhausted = (
            self.outcome == Outcome.REJECTED and plan.max_redos is not None and self.number > plan.max_redos
        )
        with guard("record an attempt's outcome"):
            node.set_attribute(semconv.SPANDAG_ATTEMPT_OUTCOME, self.outcome)
            if self._rejected:
                # The redo carries this too; here it stands for the rejection that no redo follows.
                node.add_event(
                    semconv.EVENT_REJECTED,
                    {
                        semconv.SPANDAG_REDO_HYPOTHESIS: self.hypothesis,
                        semconv.SPANDAG_REDO_REQUESTED_BY: self.requested_by,
                    },
                )
            if self._exhausted:
                node.set_attribute(semconv.SPANDAG_REDO_EXHAUSTED, True)
        node.__exit__(type(failure) if failure else None, failure, traceback)
        if self._exhausted and not is_normal_exit(error):
            raise RedoLimitExceeded(plan.name, list(plan.attempts)) from error
        # Where a redo follows, raising `Rejected` is another way of calling `reject`.
        return isinstance(error, Rejected) and plan.max_redos is not None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self.__exit__(exc_type, error, traceback)

    def check_used(self) -> None:
        """Refuse a loop that does not enter its attempts.

        Raises:
            RuntimeError: The attempt was not entered, or is still open.
        """
        if self._node is None:
            raise RuntimeError(
                f"attempt {self.number} at {self._plan.name!r} was never entered: write `with attempt:` in the loop"
            )
        if self.outcome is None:
            raise RuntimeError(
                f"attempt {self.number} at {self._plan.name!r} is still open: leave `with attempt:` before the next"
            )

    def warn_if_unresolved(self) -> None:
        """Say it when a loop was left with its last attempt rejected and redos to spare."""
        if self.outcome == Outcome.REJECTED and not self._exhausted:
            logger.log(
                logging.WARNING,
                "spandag: step %r was left after attempt %d was rejected; it stays unresolved",
                self._plan.name,
                self.number,
            )

    def _judge(self, failure: BaseException | None) -> str:
        if failure is not None:
            return Outcome.CANCELLED if is_cancellation(failure) else Outcome.FAILED
        return Outcome.REJECTED if self._rejected else Outcome.ACCEPTED

    def _start_attributes(self) -> dict[str, object]:
        plan = self._plan
        after = self._after
        return {
            semconv.SPANDAG_STEP_ID: plan.step_id,
            semconv.SPANDAG_STEP_NUMBER: plan.number,
            semconv.SPANDAG_STEP_ATTEMPT: self.number,
            semconv.SPANDAG_STEP_MAX_REDOS: plan.max_redos or 0,
            semconv.SPANDAG_REDO_HYPOTHESIS: after.hypothesis if after else None,
            semconv.SPANDAG_REDO_REQUESTED_BY: after.requested_by if after else None,
        }

    def _links(self) -> list[Link]:
        if self._after is None:
            return []
        context = self._after.node.span.get_span_context()
        return [Link(context, {semconv.SPANDAG_LINK_TYPE: LinkType.REDO_OF})]

    def __repr__(self) -> str:
        return f"<Attempt {self.number} at {self._plan.name!r}: {self.outcome or 'open'}>"
