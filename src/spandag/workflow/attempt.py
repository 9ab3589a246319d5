"""One attempt at a step: accepted, rejected, failed or cancelled."""

from __future__ import annotations

import itertools
import logging
import pickle
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link

from spandag import semconv
from spandag._guard import guard, logger
from spandag.semconv import LinkType, Outcome
from spandag.spans.errors import describe, is_cancellation, is_normal_exit, qualified_name
from spandag.spans.node import Node, clean
from spandag.spans.operations import start_step
from spandag.workflow.plan import Before, Plan
from spandag.workflow.ref import Ref
from spandag.workflow.rejection import Rejection, joined, rejections_in
from spandag.workflow.run import run_of_step
from spandag.workflow.scope import tracer
from spandag.workflow.step_node import StepNode


class RedoLimitExceeded(Exception):
    """The last allowed attempt at a step was rejected.

    Attributes:
        attempts: Every attempt, in order.
        last_output: What the last one gave to `Attempt.set_output`, if anything.
    """

    def __init__(self, name: str, attempts: list[Attempt]) -> None:
        self._name = name
        self.attempts = attempts
        last = attempts[-1]
        self.last_output = last.output
        times = "once" if last.number == 1 else f"{last.number} times"
        super().__init__(
            f"step {name!r} was rejected {times} (max_redos={last.number - 1})"
            + (f"; last: {last.hypothesis}" if last.hypothesis else "")
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # In another process there are no spans; what was said and made there is known here.
        results = [attempt.result for attempt in self.attempts]
        return _limit_exceeded, (self._name, self.attempts[0].number, results)


# Users know it, and `error.type` names it, by its public name.
RedoLimitExceeded.__module__ = "spandag"


def _limit_exceeded(name: str, first: int, results: list[tuple[Any, ...]]) -> RedoLimitExceeded:
    plan = Plan(name=name, number=0, input=None, max_redos=0, first=first, context=Context())
    for result in results:
        attempt = Attempt(plan)
        attempt.outcome, attempt._rejections, attempt.output = result
        plan.attempts.append(attempt)
    # Who is not the last was redone, so the limit was spent by the last.
    plan.attempts[-1].exhausted = True
    return RedoLimitExceeded(name, plan.attempts)


class Attempt:
    """One attempt at a step; entered with ``with`` or ``async with``.

    Attributes:
        number: 1 for the original, 2 for the first redo.
        outcome: One of `spandag.semconv.Outcome`; None while it is open.
        exhausted: Whether it was the last one allowed, and rejected; its outcome is ``accepted`` all the same
            where ``on_exhausted="accept"`` goes on with it.
        output: What `set_output` was given last.
    """

    def __init__(self, plan: Plan, after: Attempt | None = None) -> None:
        self._plan = plan
        self._after = after
        self._node: StepNode | None = None
        self.number = plan.first + len(plan.attempts)
        self.outcome: str | None = None
        self.exhausted = False
        self.output: object = None
        self._has_output = False
        self._rejections: list[Rejection] = []
        self._retries = itertools.count(1)

    @property
    def hypothesis(self) -> str | None:
        """What its rejection suggests to try instead; a line for each reviewer."""
        return joined((rejection.hypothesis for rejection in list(self._rejections)), "\n")

    @property
    def requested_by(self) -> str | None:
        """Who rejected it; several are separated by commas."""
        return joined((rejection.requested_by for rejection in list(self._rejections)), ", ")

    @property
    def feedback(self) -> str | None:
        """What the attempts before were told, a line for each rejection; None at first."""
        return "\n".join(self._told_before()) or None

    def _told_before(self) -> list[str]:
        before = self._plan.attempts[: self.number - self._plan.first]
        return [*self._plan.told, *(attempt.hypothesis for attempt in before if attempt.hypothesis)]

    @property
    def ref(self) -> str:
        """This attempt in one line of JSON, for a redo later or elsewhere: ``spandag.step(name, redo_of=ref)``.

        What was said so far is in it: take it after the attempt was rejected.

        Raises:
            RuntimeError: The attempt is not entered yet.
        """
        here = self.node.span.get_span_context()
        parent = trace.get_current_span(self._plan.context).get_span_context()
        told = self._told_before()
        return Ref(
            run_id=format(here.trace_id, "032x"),
            node_id=format(here.span_id, "016x"),
            attempt=self.number,
            step_node_id=self._plan.step_id or format(here.span_id, "016x"),
            name=self._plan.name,
            parent_span_id=format(parent.span_id, "016x") if parent.is_valid else None,
            step_number=self._plan.number,
            max_redos=self._plan.max_redos,
            feedback=(*told, self.hypothesis) if self.hypothesis else tuple(told),
            hypothesis=self.hypothesis,
            requested_by=self.requested_by,
            trace_flags=here.trace_flags,
        ).as_json()

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
    def result(self) -> tuple[str | None, list[Rejection], object]:
        """Outcome, rejections and output, as they can be sent; None for an output that cannot."""
        output = self.output
        try:
            pickle.dumps(output)
        except Exception:
            output = None
        return self.outcome, list(self._rejections), output

    # -- what the body says -------------------------------------------------------

    def set_output(self, value: object) -> None:
        """Give the attempt's result; recorded where content is, kept in `output` in any case."""
        node = self.node
        self.output, self._has_output = value, True
        Node.set_output(node, value)

    def set_attribute(self, name: str, value: object) -> None:
        """See `Node.set_attribute`."""
        self.node.set_attribute(name, value)

    def add_event(self, name: str, attributes: Mapping[str, object] | None = None) -> None:
        """See `Node.add_event`."""
        self.node.add_event(name, attributes)

    def reject(self, hypothesis: str | None = None, requested_by: str | None = None) -> None:
        """Reject the result: the step is done again, as long as redos are left.

        In a plain ``with spandag.step(...)`` block there is no redo; the step is abandoned.
        Several reviewers can reject the same attempt, from any thread: all of them are heard.

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
        self._rejections.append(Rejection(hypothesis, requested_by))

    def retry(self, error: BaseException | str | None = None) -> None:
        """Record that something which failed technically is tried again within this attempt; that is no redo.

        Args:
            error: What it failed with, as an exception or in words.
        """
        node = self.node
        with guard("record a retry"):
            said: dict[str, object] = {
                semconv.SPANDAG_RETRY_NUMBER: next(self._retries),
                semconv.EXCEPTION_MESSAGE: error,
            }
            if isinstance(error, BaseException):
                said[semconv.ERROR_TYPE] = qualified_name(type(error))
                said[semconv.EXCEPTION_MESSAGE] = describe(error)
            node.add_event(semconv.EVENT_RETRY, said)

    # -- lifecycle ------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._node is not None:
            raise RuntimeError(f"attempt {self.number} at {self._plan.name!r} was entered before")
        plan = self._plan
        if not plan.attempts:
            plan.run = run_of_step(plan.name, plan.context)
            plan.context = plan.context if plan.run is None else plan.run.context
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
        raised = rejections_in(error)
        self._rejections.extend(raised)
        failure = None if raised or is_normal_exit(error) else error
        self.outcome = self._judge(failure)
        # A failure is told by its own exception.
        self.exhausted = (
            self.outcome == Outcome.REJECTED and plan.max_redos is not None and self.number > plan.max_redos
        )
        if self.exhausted and plan.on_exhausted == "accept" and (self._has_output or not plan.needs_output):
            self.outcome = Outcome.ACCEPTED
        with guard("record an attempt's outcome"):
            self._record_outcome(node)
        node.__exit__(type(failure) if failure else None, failure, traceback)
        spent = self.exhausted and self.outcome == Outcome.REJECTED
        # After a plain block its author says what follows; a redo beyond the limit is refused.
        limit = None
        if spent and plan.redoes and not is_normal_exit(error):
            limit = RedoLimitExceeded(plan.name, list(plan.attempts))
        # Where a redo follows, raising `Rejected` is another way of calling `reject`.
        is_heard = bool(raised) and plan.redoes
        if plan.is_left or not self.is_followed:
            plan.end_run(limit or (None if is_heard else error))
        if limit is not None:
            raise limit from error
        return is_heard

    def _record_outcome(self, node: StepNode) -> None:
        node.set_attribute(semconv.SPANDAG_ATTEMPT_OUTCOME, self.outcome)
        if len(self._rejections) > 1:
            for rejection in self._rejections:
                node.span.add_event(semconv.EVENT_REVIEW, clean(_said(rejection)), rejection.at)
        if self._rejections:
            # The redo carries this too; here it stands for the rejection that no redo follows.
            node.add_event(semconv.EVENT_REJECTED, _said(self))
        if self.exhausted:
            node.set_attribute(semconv.SPANDAG_REDO_EXHAUSTED, True)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self.__exit__(exc_type, error, traceback)

    @property
    def is_followed(self) -> bool:
        """Whether it is over and a loop gives another attempt after it."""
        return self._plan.redoes and self.outcome == Outcome.REJECTED and not self.exhausted

    def leave(self) -> None:
        """The loop gives no further attempt after this one."""
        plan = self._plan
        plan.is_left = True
        if self._node is None or self.outcome is not None:
            plan.end_run()

    def drop(self) -> None:
        """End an attempt that nobody will go on with."""
        self.node.end()
        self._plan.end_run()

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
        if self.outcome == Outcome.REJECTED and not self.exhausted:
            logger.log(
                logging.WARNING,
                "spandag: step %r was left after attempt %d was rejected; it stays unresolved",
                self._plan.name,
                self.number,
            )

    def _judge(self, failure: BaseException | None) -> str:
        if failure is not None:
            return Outcome.CANCELLED if is_cancellation(failure) else Outcome.FAILED
        return Outcome.REJECTED if self._rejections else Outcome.ACCEPTED

    def _before(self) -> Before | None:
        after = self._after
        if after is None:
            return self._plan.before
        return Before(after.node.span.get_span_context(), after.hypothesis, after.requested_by)

    def _start_attributes(self) -> dict[str, object]:
        plan, before = self._plan, self._before()
        return {
            semconv.SPANDAG_STEP_ID: plan.step_id,
            semconv.SPANDAG_STEP_NUMBER: plan.number,
            semconv.SPANDAG_STEP_ATTEMPT: self.number,
            # Where nobody has said a limit, this attempt was allowed and no further one is expected.
            semconv.SPANDAG_STEP_MAX_REDOS: self.number - 1 if plan.max_redos is None else plan.max_redos,
            semconv.SPANDAG_REDO_HYPOTHESIS: before.hypothesis if before else None,
            semconv.SPANDAG_REDO_REQUESTED_BY: before.requested_by if before else None,
        }

    def _links(self) -> list[Link]:
        before = self._before()
        if before is None or not before.context.is_valid:
            return []
        return [Link(before.context, {semconv.SPANDAG_LINK_TYPE: LinkType.REDO_OF})]

    def __repr__(self) -> str:
        return f"<Attempt {self.number} at {self._plan.name!r}: {self.outcome or 'open'}>"


def _said(by: Rejection | Attempt) -> dict[str, object]:
    return {
        semconv.SPANDAG_REDO_HYPOTHESIS: by.hypothesis,
        semconv.SPANDAG_REDO_REQUESTED_BY: by.requested_by,
    }
