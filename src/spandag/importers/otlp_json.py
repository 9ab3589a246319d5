"""OTLP JSON of anybody: spans, as the SDK has them, for the projection.

Reads what `spandag.query.export_otlp` and a Collector's file exporter write, and whole documents. Ids may be
hexadecimal, as OTLP says, or base64, as protobuf's own JSON has them; enumerations numbers or names.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from spandag import semconv
from spandag.query.export_otlp import CONTEXT_HAS_IS_REMOTE, CONTEXT_IS_REMOTE

SIGNALS = ("resourceSpans", "resourceMetrics", "resourceLogs")
"""What an object of OTLP has one of."""

_IS_REMOTE = CONTEXT_HAS_IS_REMOTE | CONTEXT_IS_REMOTE
_KINDS = (None, SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER)
_CODES = (StatusCode.UNSET, StatusCode.OK, StatusCode.ERROR)
_KIND_NAMES = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_CODE_NAMES = ("UNSET", "OK", "ERROR")
_NOWHERE = b"\x00"


class NotOtlpError(ValueError):
    """Something is not as OTLP says; the message says what."""


def spans_of(resource_spans: Any) -> Iterator[ReadableSpan]:
    """The spans of one item of ``resourceSpans``.

    Raises:
        NotOtlpError: It is not as OTLP says.
    """
    item = _mapping(resource_spans, "resourceSpans")
    said = _mapping(item.get("resource"), "resource")
    resource = Resource(_attributes(said.get("attributes")))
    for scope_spans in _list(item.get("scopeSpans"), "scopeSpans"):
        scope_item = _mapping(scope_spans, "scopeSpans")
        named = _mapping(scope_item.get("scope"), "scope")
        scope = None
        if named.get("name"):
            scope = InstrumentationScope(_text(named, "name"), _text(named, "version") or None)
        for span in _list(scope_item.get("spans"), "spans"):
            yield _span(_mapping(span, "span"), resource, scope)


def _span(span: Mapping[str, Any], resource: Resource, scope: InstrumentationScope | None) -> ReadableSpan:
    trace_id = _id(span.get("traceId"), 16, "traceId")
    span_id = _id(span.get("spanId"), 8, "spanId")
    if not trace_id or not span_id:
        raise NotOtlpError("a span has no traceId or no spanId")
    flags = _integer(span.get("flags"), "flags")
    parent_id = _id(span.get("parentSpanId"), 8, "parentSpanId")
    state = _text(span, "traceState")
    status = _mapping(span.get("status"), "status")
    code = _enumerated(status.get("code"), "STATUS_CODE_", _CODE_NAMES, _CODES)
    message = _text(status, "message") or None
    attributes = _attributes(span.get("attributes"))
    end = _integer(span.get("endTimeUnixNano"), "endTimeUnixNano")
    if attributes.pop(semconv.SPANDAG_UNFINISHED, False) is True:
        end = 0
    start = span.get("startTimeUnixNano")
    trace_flags = TraceFlags(flags & 0xFF)
    return ReadableSpan(
        name=_text(span, "name"),
        context=SpanContext(
            trace_id, span_id, False, trace_flags, TraceState.from_header([state]) if state else None
        ),
        parent=SpanContext(trace_id, parent_id, flags & _IS_REMOTE == _IS_REMOTE) if parent_id else None,
        resource=resource,
        attributes=attributes,
        events=[_event(_mapping(event, "event")) for event in _list(span.get("events"), "events")],
        links=[_link(_mapping(link, "link")) for link in _list(span.get("links"), "links")],
        kind=_enumerated(span.get("kind"), "SPAN_KIND_", _KIND_NAMES, _KINDS),
        instrumentation_scope=scope,
        status=Status(code, message if code is StatusCode.ERROR else None),
        start_time=None if start is None else _integer(start, "startTimeUnixNano"),
        # In OTLP a span without an end is one that goes on.
        end_time=end or None,
    )


def _event(event: Mapping[str, Any]) -> Event:
    at = _integer(event.get("timeUnixNano"), "timeUnixNano")
    return Event(_text(event, "name"), _attributes(event.get("attributes")), at)


def _link(link: Mapping[str, Any]) -> Link:
    context = SpanContext(_id(link.get("traceId"), 16, "traceId"), _id(link.get("spanId"), 8, "spanId"), True)
    return Link(context, _attributes(link.get("attributes")))


def _attributes(items: Any) -> dict[str, Any]:
    return {
        _text(item, "key"): _value(item.get("value")) for item in map(_key_value, _list(items, "attributes"))
    }


def _key_value(item: Any) -> Mapping[str, Any]:
    return _mapping(item, "attribute")


def _value(said: Any, depth: int = 0) -> Any:
    value = _mapping(said, "value")
    if not value:
        return None
    [(kind, inner)] = list(value.items())[:1]
    if depth > 50:
        raise NotOtlpError("a value is nested too deeply")
    match kind:
        case "stringValue" if isinstance(inner, str):
            return inner
        case "boolValue" if isinstance(inner, bool):
            return inner
        case "intValue":
            return _integer(inner, kind)
        case "doubleValue":
            return _double(inner)
        case "bytesValue" if isinstance(inner, str):
            return _base64(inner, kind)
        case "arrayValue":
            items = _list(_mapping(inner, kind).get("values"), kind)
            return tuple(_value(item, depth + 1) for item in items)
        case "kvlistValue":
            pairs = map(_key_value, _list(_mapping(inner, kind).get("values"), kind))
            return {_text(pair, "key"): _value(pair.get("value"), depth + 1) for pair in pairs}
    raise NotOtlpError(f"an attribute's value is {kind}: {str(inner)[:40]!r}")


def _double(value: Any) -> float:
    # Numbers that JSON does not know are texts: "NaN", "Infinity".
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise NotOtlpError(f"{str(value)[:40]!r} is no number") from error


def _integer(value: Any, name: str) -> int:
    if value is None:
        return 0
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise NotOtlpError(f"{name} is {str(value)[:40]!r}, no whole number") from error


def _id(value: Any, size: int, name: str) -> int:
    if value is None or value == "":
        return 0
    if isinstance(value, str):
        try:
            found = bytes.fromhex(value) if len(value) == 2 * size else _base64(value, name)
        except ValueError:
            found = _NOWHERE
        if len(found) == size:
            return int.from_bytes(found)
    raise NotOtlpError(f"{name} is {str(value)[:40]!r}, not {2 * size} hexadecimal digits")


def _base64(value: str, name: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise NotOtlpError(f"{name} is {value[:40]!r}, no base64") from error


def _enumerated(value: Any, prefix: str, names: Sequence[str], values: Sequence[Any]) -> Any:
    if isinstance(value, str) and not value.isdecimal():
        name = value.removeprefix(prefix)
        return values[names.index(name)] if name in names else values[0]
    number = _integer(value, prefix.rstrip("_").lower())
    return values[number] if 0 <= number < len(values) else values[0]


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise NotOtlpError(f"{name} is {str(value)[:40]!r}, no text")
    return value


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise NotOtlpError(f"{name} is no object")
    return value


def _list(value: Any, name: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise NotOtlpError(f"{name} is no list")
    return value
