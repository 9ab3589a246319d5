"""What it means that a result was rejected, however that was said."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from spandag._guard import guard
from spandag.spans.plain import as_text


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

    def __reduce__(self) -> tuple[type[Rejected], tuple[str | None, str | None]]:
        return type(self), (self.hypothesis, self.requested_by)


# Users know it, and `error.type` names it, by its public name.
Rejected.__module__ = "spandag"


@dataclass(frozen=True, slots=True)
class Rejection:
    """One reviewer's word on an attempt.

    Attributes:
        hypothesis: What to try instead.
        requested_by: Who said it.
        at: When, in Unix ns.
    """

    hypothesis: str | None = None
    requested_by: str | None = None
    at: int = field(default_factory=time.time_ns, compare=False)

    def __post_init__(self) -> None:
        # A review that is no text is told all the same.
        for name in ("hypothesis", "requested_by"):
            value: object = getattr(self, name)
            if value is not None and not isinstance(value, str):
                text = None
                with guard("read a rejection"):
                    text = as_text(value)
                object.__setattr__(self, name, text)


def rejections_in(error: BaseException | None) -> list[Rejection]:
    """The rejections that an exception stands for; none where anything else failed as well.

    Reviewers that work in one ``asyncio.TaskGroup`` raise theirs as a group.
    """
    if isinstance(error, Rejected):
        return [Rejection(error.hypothesis, error.requested_by)]
    if isinstance(error, BaseExceptionGroup):
        found = [rejections_in(inner) for inner in error.exceptions]
        return [rejection for inner in found for rejection in inner] if all(found) else []
    return []


def joined(texts: Iterable[str | None], separator: str) -> str | None:
    """The texts in order, each once; None where there is none."""
    return separator.join(dict.fromkeys(text for text in texts if text)) or None
