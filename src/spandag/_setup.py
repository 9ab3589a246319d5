"""`spandag.init` and `spandag.instrument`: the one-liners for programs."""

from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry import trace
from opentelemetry.trace import TracerProvider

from spandag import pricing
from spandag._guard import guard, say_once
from spandag.config import ENV_CAPTURE_CONTENT, ENV_TRACES_EXPORTER, Settings, label_of
from spandag.spans import content
from spandag.workflow.scope import provider_in_use, use_tracer_provider

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider as SDKTracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

    from spandag.instrumentation._base import FrameworkInstrumentor

_EXPORTER = "spandag"
_said_where = False
# Which provider got which exporters from us.
_given: WeakKeyDictionary[TracerProvider, WeakSet[SpanExporter]] = WeakKeyDictionary()
_OTLP_BY_PROTOCOL = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}


def init(
    *,
    url: str | None = None,
    service_name: str | None = None,
    capture_content: bool | None = None,
    prices: str | None = None,
    tracer_provider: TracerProvider | None = None,
) -> None:
    """Record this program's runs: a tracer provider if there is none, our exporter, the instrumentors.

    Says once on standard error where to. A provider that exists already (the global one, or the one given) is kept and
    gets our exporter, unless it has it. Calling it again changes nothing that is set up.

    Args:
        url: SQLAlchemy URL of the store; by default that of ``OTEL_EXPORTER_SPANDAG_URL``,
            else a SQLite file in the user's data folder.
        service_name: ``service.name`` of a provider that is made here.
        capture_content: Whether messages, arguments and results are recorded. By default as
            ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` says; where that is not set,
            only if the store is the sole place that traces go to.
        prices: A price file, as in ``OTEL_EXPORTER_SPANDAG_PRICES``.
        tracer_provider: The provider to use instead of the global one.
    """
    where = set_up(
        url=url,
        service_name=service_name,
        capture_content=capture_content,
        prices=prices,
        tracer_provider=tracer_provider,
    )
    if where is not None:
        sys.stderr.write(f"spandag: {where}\n")


def set_up(
    *,
    url: str | None = None,
    service_name: str | None = None,
    capture_content: bool | None = None,
    prices: str | None = None,
    tracer_provider: TracerProvider | None = None,
) -> str | None:
    """As `init`, in silence: returns what there is to be said."""
    where = None
    with guard("set up recording"):
        settings = Settings.load(url=url, prices=prices)
        if prices is not None:
            pricing.use_price_file(prices)
        to = _set_up_provider(settings, service_name, tracer_provider)
        with_content = _set_up_content(capture_content, to)
        if to.store:
            where = _where(settings.url, with_content=with_content)
        if tracer_provider is not None:
            use_tracer_provider(tracer_provider)
    # Also if another call, or the program itself, has decided which it is.
    instrument(tracer_provider=provider_in_use())
    return where


def instrument(*, tracer_provider: TracerProvider | None = None) -> None:
    """Patch every supported framework that is installed; a second call changes nothing.

    Args:
        tracer_provider: The provider of the spans, the global one by default. A second call
            with another one is warned about.
    """
    for instrumentor in _instrumentors():
        with guard(f"instrument {instrumentor.module}"):
            instrumentor.instrument(tracer_provider=tracer_provider)


def uninstrument() -> None:
    """Put back what `instrument` patched."""
    for instrumentor in _instrumentors():
        with guard(f"uninstrument {instrumentor.module}"):
            instrumentor.uninstrument()


def _instrumentors() -> list[FrameworkInstrumentor]:
    from spandag.instrumentation.ag2 import AG2Instrumentor
    from spandag.instrumentation.autogen import AG2ClassicInstrumentor
    from spandag.instrumentation.smolagents import SmolagentsInstrumentor

    return [SmolagentsInstrumentor(), AG2Instrumentor(), AG2ClassicInstrumentor()]


class _Receivers(NamedTuple):
    """Who gets the spans because of a call of `init`.

    Attributes:
        store: Whether our store does, which did not get them before.
        others: Whether somebody else may get them as well.
    """

    store: bool
    others: bool = True


def _set_up_provider(
    settings: Settings, service_name: str | None, given: TracerProvider | None
) -> _Receivers:
    """Give the provider our exporter, unless it has it."""
    from opentelemetry.sdk.trace import TracerProvider as SDKTracerProvider

    from spandag.export import SpandagSpanExporter

    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return _Receivers(store=False)
    provider = given or trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):
        exporters = _exporters_of_environment(settings)
        sole = all(isinstance(exporter, SpandagSpanExporter) for exporter in exporters)
        made = SDKTracerProvider(resource=_resource(service_name))
        for exporter in exporters:
            _give(made, exporter)
        trace.set_tracer_provider(made)
        return _Receivers(store=True, others=not sole)
    if not isinstance(provider, SDKTracerProvider):
        say_once(
            logging.WARNING,
            "foreign-provider",
            "spandag: the tracer provider is a %s, which takes no exporter; nothing is stored",
            type(provider).__name__,
        )
        return _Receivers(store=False)
    if _has_exporter(provider, settings.url):
        return _Receivers(store=False)
    _give(provider, SpandagSpanExporter(url=settings.url))
    # Who made the provider may send its spans anywhere.
    return _Receivers(store=True)


def _has_exporter(provider: TracerProvider, url: str) -> bool:
    """Whether a provider has an exporter to the store of a URL; none is asked, for they do not tell."""
    from spandag.export import SpandagSpanExporter

    writing = SpandagSpanExporter.writing_to(url)
    if any(exporter in _given.get(provider, ()) for exporter in writing):
        return True
    given = [exporter for exporters in _given.values() for exporter in exporters]
    # One that we have given to nobody is where the environment puts it: at the global provider.
    return provider is trace.get_tracer_provider() and any(exporter not in given for exporter in writing)


def _give(provider: SDKTracerProvider, exporter: SpanExporter) -> None:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from spandag.export import SpandagSpanExporter, live

    provider.add_span_processor(BatchSpanProcessor(exporter))
    if isinstance(exporter, SpandagSpanExporter):
        live.join(provider, exporter)
    _given.setdefault(provider, WeakSet()).add(exporter)


def _exporters_of_environment(settings: Settings) -> list[SpanExporter]:
    """Our exporter, and those that ``OTEL_TRACES_EXPORTER`` names beside it."""
    from spandag.export import SpandagSpanExporter

    exporters: list[SpanExporter] = [SpandagSpanExporter(url=settings.url)]
    for name in os.environ.get(ENV_TRACES_EXPORTER, "").split(","):
        name = name.strip()
        if name in ("", "none", _EXPORTER):
            continue
        if name == "otlp":
            protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get(
                "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"
            )
            name = _OTLP_BY_PROTOCOL.get(protocol, name)
        found = next(iter(entry_points(group="opentelemetry_traces_exporter", name=name)), None)
        if found is None:
            say_once(
                logging.WARNING,
                f"exporter:{name}",
                "spandag: %s names no exporter that is installed: %s",
                ENV_TRACES_EXPORTER,
                name,
            )
            continue
        exporters.append(found.load()())
    return exporters


def _resource(service_name: str | None) -> Any:
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource

    return Resource.create({SERVICE_NAME: service_name} if service_name else None)


def _set_up_content(capture_content: bool | None, to: _Receivers) -> bool:
    """Record content or not; tells whether nobody but us has decided that it is recorded."""
    by_us = capture_content is None
    if by_us:
        if os.environ.get(ENV_CAPTURE_CONTENT) or not to.store or to.others:
            return False
        capture_content = True
    content.set_capture_content(capture_content)
    return by_us


def _where(url: str, *, with_content: bool) -> str | None:
    """Where runs are recorded to, and where content is part of them because of us, that too; once only."""
    global _said_where
    # What no store can be, the exporter says; nothing is recorded there.
    if _said_where or not url.startswith(("sqlite", "postgres")):
        return None
    _said_where = True
    too = ", message content too, as it goes nowhere else (init(capture_content=False) turns it off)"
    return f"recording to {label_of(url)}{too if with_content else ''}"
