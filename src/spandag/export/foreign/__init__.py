"""Spans of other instrumentations, in the names of the GenAI conventions.

Each module here reads one dialect. What a dialect says only fills in what the
span does not say in the names of the conventions itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from spandag import semconv
from spandag.export.foreign import ag2, langfuse, older, openinference, traceloop
from spandag.semconv import CONTENT_ATTRIBUTES, Langfuse, OpenInference, Traceloop


class _Dialect(NamedTuple):
    """A dialect.

    Attributes:
        marks: The attributes of which a span that speaks it has at least one.
        read: What a span says, by the names of the conventions; None takes back what stands under
            that name already. Called with the attributes, from which it takes what is content,
            with the span's name, and with whether nothing is above the span.
    """

    marks: tuple[str, ...]
    read: Callable[[dict[str, Any], str, bool], dict[str, Any]]


# The more telling first: OpenInference and Langfuse stand on spans that others name as well.
_DIALECTS = (
    _Dialect((OpenInference.SPAN_KIND,), openinference.read),
    _Dialect((semconv.AG2_SPAN_TYPE,), ag2.read),
    _Dialect((Langfuse.TYPE,), langfuse.read),
    _Dialect((Traceloop.SPAN_KIND, Traceloop.REQUEST_TYPE), traceloop.read),
    _Dialect(older.MARKS, older.read),
)


def in_conventions(attributes: dict[str, Any], span_name: str, *, top: bool) -> Mapping[str, Any]:
    """What a foreign span says, by the names of the conventions.

    Args:
        attributes: As recorded; content that stands under other names is taken out of them.
        span_name: As recorded.
        top: Whether the span has no parent.

    Returns:
        The attributes with what they say in dialects; `attributes` itself where they speak none.
    """
    said: dict[str, Any] = {}
    for marks, read in _DIALECTS:
        if any(mark in attributes for mark in marks):
            for name, value in read(attributes, span_name, top).items():
                said.setdefault(name, value)
    if not said:
        return attributes
    directions = {CONTENT_ATTRIBUTES[name] for name in CONTENT_ATTRIBUTES if name in attributes}
    result = {
        name: value
        for name, value in said.items()
        if value is not None and CONTENT_ATTRIBUTES.get(name) not in directions
    }
    for name, value in attributes.items():
        if name not in said or said[name] is not None:
            result[name] = value
    return result
