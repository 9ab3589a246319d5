"""Which attempt a redo follows, as text that another process can go on from."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

_VERSION = 1
_HEX = re.compile(r"[0-9a-f]+")


class AttemptRef(NamedTuple):
    """An attempt, for whoever continues its step elsewhere.

    Attributes:
        trace_id: 32 hexadecimal digits; the run's id.
        span_id: The attempt's, 16 hexadecimal digits.
        parent_span_id: What the attempt stands below; None at the top of its run.
        flags: The trace flags.
        step_id: Span id of attempt 1.
        name: The step's name.
        number: The step's number.
        attempt: Which attempt it is, from 1.
        max_redos: How many redos were allowed; None where none were.
        told: The hypotheses so far, its own included.
        requested_by: Who rejected it, if anybody has.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None
    flags: int
    step_id: str
    name: str
    number: int
    attempt: int
    max_redos: int | None
    told: tuple[str, ...]
    requested_by: str | None

    def dumps(self) -> str:
        """As text."""
        return json.dumps({"version": _VERSION, **self._asdict()}, separators=(",", ":"))

    @property
    def span_context(self) -> SpanContext:
        """Of the attempt, for a link."""
        return self._context_of(self.span_id)

    @property
    def is_recorded(self) -> bool:
        """Whether anything recorded it; without a tracer provider there are no ids."""
        return self.span_context.is_valid

    @property
    def context(self) -> Context:
        """Where a sibling of the attempt is started; below the attempt where it stands at the top."""
        above = self._context_of(self.parent_span_id or self.span_id)
        # Of nothing that runs here: what is current has no part in another process's run.
        return trace.set_span_in_context(NonRecordingSpan(above), Context())

    def _context_of(self, span_id: str) -> SpanContext:
        return SpanContext(int(self.trace_id, 16), int(span_id, 16), True, TraceFlags(self.flags))


def loads(text: object) -> AttemptRef:
    """The attempt that a text stands for.

    Raises:
        TypeError: It is no text.
        ValueError: It is not of `spandag.Attempt.ref`.
    """
    if not isinstance(text, str):
        raise TypeError(f"redo_of takes the text of an attempt's .ref, not {type(text).__name__}")
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict) or "version" not in said:
        raise ValueError("redo_of takes the text of an attempt's .ref as it is; this is another text")
    if said.pop("version") != _VERSION:
        raise ValueError("this .ref is of another version of spandag; upgrade the older of the two")
    if set(said) != set(AttemptRef._fields) or not _is_sound(said):
        raise ValueError("this .ref has been changed or cut; pass the text of an attempt's .ref as it is")
    return AttemptRef(**{**said, "told": tuple(said["told"])})


def _is_sound(said: dict[str, Any]) -> bool:
    above = said["parent_span_id"]
    return (
        _is_id(said["trace_id"], 32)
        and _is_id(said["span_id"], 16)
        and _is_id(said["step_id"], 16)
        and (above is None or _is_id(above, 16))
        and isinstance(said["name"], str)
        and all(type(said[name]) is int for name in ("flags", "number", "attempt"))
        and 0 <= said["flags"] <= 255
        and said["attempt"] >= 1
        and (said["max_redos"] is None or type(said["max_redos"]) is int)
        and isinstance(said["told"], list)
        and all(isinstance(line, str) for line in said["told"])
        and (said["requested_by"] is None or isinstance(said["requested_by"], str))
    )


def _is_id(value: object, digits: int) -> bool:
    return isinstance(value, str) and len(value) == digits and bool(_HEX.fullmatch(value))
