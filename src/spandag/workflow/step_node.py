"""The node of an attempt, as it is given to the code that runs below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spandag.workflow.rejection import rejections_in
from spandag.workflow.section import Section

if TYPE_CHECKING:
    from spandag.workflow.attempt import Attempt


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

    def retry(self, error: BaseException | str | None = None) -> None:
        """See `Attempt.retry`."""
        self.attempt.retry(error)

    def set_output(self, value: object) -> None:
        """See `Attempt.set_output`."""
        self.attempt.set_output(value)

    def hears(self, error: BaseException) -> bool:
        """A rejection is an answer: what it passes through on its way here has not failed."""
        return bool(rejections_in(error))


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

    def retry(self, error: BaseException | str | None = None) -> None:
        """Nothing to record it on."""

    def set_output(self, value: object) -> None:
        """Nothing to record it on."""
