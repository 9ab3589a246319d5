"""What another process needs to know of an attempt in order to do the step again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from opentelemetry.trace import SpanContext, TraceFlags

_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Ref:
    """An attempt by its ids; its keys as JSON are the columns of ``dag_nodes`` and the like.

    Attributes:
        run_id: The trace it is in, 32 hexadecimal digits; all zero where it is not recorded.
        node_id: Its own span, 16 hexadecimal digits.
        attempt: Which attempt it is, from 1.
        step_node_id: The span of attempt 1.
        name: The step's name; None where that was not said.
        parent_span_id: What it stands under; None where there was nothing around it.
        step_number: The step's number within its phase.
        max_redos: How many redos were allowed; None where that was not said.
        feedback: What was said up to this attempt, it included, one after the other.
        hypothesis: What the rejection of this attempt suggests.
        requested_by: Who rejected it.
        trace_flags: Of its span: whether it is sampled.
    """

    run_id: str
    node_id: str
    attempt: int
    step_node_id: str
    name: str | None = None
    parent_span_id: str | None = None
    step_number: int | None = None
    max_redos: int | None = None
    feedback: tuple[str, ...] = ()
    hypothesis: str | None = None
    requested_by: str | None = None
    trace_flags: int = TraceFlags.SAMPLED

    @property
    def span_context(self) -> SpanContext:
        """The attempt's span, as a link leads to it."""
        return self._context_of(self.node_id)

    @property
    def parent_context(self) -> SpanContext | None:
        """The span that it stands under."""
        return None if self.parent_span_id is None else self._context_of(self.parent_span_id)

    def _context_of(self, span_id: str) -> SpanContext:
        return SpanContext(
            int(self.run_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(self.trace_flags)
        )

    def as_json(self) -> str:
        """One line of JSON, which `read_ref` takes."""
        return json.dumps(
            {
                key: value
                for key, value in asdict(self).items()
                if value not in (None, ()) or key == "parent_span_id"
            }
        )


def read_ref(given: object) -> Ref:
    """Read what `Attempt.ref` gave, or a row of ``dag_nodes``.

    Args:
        given: JSON, or a mapping with its keys; keys that it does not need are not looked at.

    Raises:
        ValueError: It is neither.
    """
    said = given
    if isinstance(given, (str, bytes)):
        try:
            said = json.loads(given)
        except ValueError as error:
            raise _broken(given, "it is no JSON") from error
    if not isinstance(said, Mapping):
        raise _broken(given, "it is no JSON object")
    reader = _Reader(given, said)
    node_id = reader.digits(16, "node_id", "id")
    attempt = reader.count("attempt", 1) or 1
    if "parent_span_id" not in said:
        raise _broken(given, "it does not say what it stands under (parent_span_id, which may be null)")
    step_node_id = reader.optional_digits(16, "step_node_id")
    if step_node_id is None:
        if attempt > 1:
            raise _broken(given, f"it is attempt {attempt} of a step that it does not name (step_node_id)")
        step_node_id = node_id
    hypothesis = reader.text("hypothesis")
    return Ref(
        run_id=reader.digits(32, "run_id"),
        node_id=node_id,
        attempt=attempt,
        step_node_id=step_node_id,
        name=reader.text("name"),
        parent_span_id=reader.optional_digits(16, "parent_span_id"),
        step_number=reader.count("step_number", 1),
        max_redos=reader.count("max_redos", 0),
        feedback=reader.texts("feedback"),
        hypothesis=hypothesis,
        requested_by=reader.text("requested_by"),
        trace_flags=_in_byte(reader.count("trace_flags", 0)),
    )


def _in_byte(flags: int | None) -> int:
    return TraceFlags.SAMPLED if flags is None else flags & 0xFF


class _Reader:
    def __init__(self, given: object, said: Mapping[str, Any]) -> None:
        self._given = given
        self._said = said

    def digits(self, length: int, *keys: str) -> str:
        found = self.optional_digits(length, *keys)
        if found is None:
            raise _broken(self._given, f"it has no {keys[0]}")
        return found

    def optional_digits(self, length: int, *keys: str) -> str | None:
        key = next((key for key in keys if self._said.get(key) is not None), None)
        if key is None:
            return None
        value = self._said[key]
        if not (isinstance(value, str) and len(value) == length and set(value) <= set("0123456789abcdef")):
            raise _broken(
                self._given, f"its {key} is not {length} hexadecimal digits in small letters: {_short(value)}"
            )
        return value

    def count(self, key: str, least: int) -> int | None:
        value = self._said.get(key)
        if value is None:
            return None
        if type(value) is not int or value < least:
            raise _broken(self._given, f"its {key} is not a number from {least}: {_short(value)}")
        return value

    def text(self, key: str) -> str | None:
        value = self._said.get(key)
        if value is not None and not isinstance(value, str):
            raise _broken(self._given, f"its {key} is no text: {_short(value)}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._said.get(key)
        if values is None:
            return ()
        if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
            raise _broken(self._given, f"its {key} is no list of texts: {_short(values)}")
        return tuple(values)


def _broken(given: object, why: str) -> ValueError:
    return ValueError(
        f"redo_of takes what `attempt.ref` gave, or a row of dag_nodes with run_id, id, parent_span_id, "
        f"step_node_id and attempt; {why}: {_short(given)}"
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
