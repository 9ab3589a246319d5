"""The span of a command that ``spandag run`` starts, by the conventions for CLI programs.

It is written by this process, with the exporters that the command itself uses:
whatever ``OTEL_*`` says. Its context is the command's ``TRACEPARENT``.

Source: https://opentelemetry.io/docs/specs/semconv/cli/cli-spans/ (caller).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from spandag import __version__, semconv
from spandag._guard import guard
from spandag.scrub import REDACTED, is_secret_key, scrub_text


class CommandSpan:
    """The span around a command.

    Args:
        command: The program and its arguments.
        environ: The environment of the command, which also says where spans go.

    Raises:
        Exception: What the environment asks for cannot be set up.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        _configure(environ)
        carrier = {name.lower(): environ.get(name, "") for name in ("TRACEPARENT", "TRACESTATE")}
        self._span = trace.get_tracer("spandag", __version__).start_span(
            Path(command[0]).name,
            context=TraceContextTextMapPropagator().extract(carrier),
            kind=SpanKind.CLIENT,
            attributes={
                semconv.PROCESS_EXECUTABLE_NAME: Path(command[0]).name,
                semconv.PROCESS_COMMAND_ARGS: scrubbed(command),
            },
        )

    @property
    def run_id(self) -> str | None:
        """The trace's id; None where it is not recorded."""
        context = self._span.get_span_context()
        return format(context.trace_id, "032x") if context.trace_flags.sampled else None

    def propagated(self, environ: Mapping[str, str]) -> dict[str, str]:
        """An environment that continues this span's trace."""
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, trace.set_span_in_context(self._span))
        if not carrier:
            return dict(environ)
        rest = {name: value for name, value in environ.items() if name != "TRACESTATE"}
        return rest | {name.upper(): value for name, value in carrier.items()}

    def started(self, pid: int) -> None:
        """Record the command's process."""
        self._span.set_attribute(semconv.PROCESS_PID, pid)

    def end(self, exit_code: int) -> None:
        """Record how the command ended, and deliver the span."""
        with guard("record the command's end"):
            self._span.set_attribute(semconv.PROCESS_EXIT_CODE, exit_code)
            if exit_code != 0:
                self._span.set_attribute(semconv.ERROR_TYPE, str(exit_code))
                self._span.set_status(Status(StatusCode.ERROR, f"exit code {exit_code}"))
            self._span.end()
            shutdown = getattr(trace.get_tracer_provider(), "shutdown", None)
            if shutdown is not None:
                shutdown()


def scrubbed(command: Sequence[str]) -> list[str]:
    """A command's arguments without secrets, also those of ``--api-key VALUE`` and ``API_KEY=VALUE``."""
    result = []
    secret = False
    for argument in command:
        name, equals, _ = argument.partition("=")
        if secret and not argument.startswith("-"):
            result.append(REDACTED)
        elif equals and is_secret_key(name):
            result.append(f"{name}={REDACTED}")
        else:
            result.append(scrub_text(argument))
        secret = not equals and argument.startswith("-") and is_secret_key(name)
    return result


def _configure(environ: Mapping[str, str]) -> None:
    """Set up this process's tracer provider as that of the command will be.

    The same way as `opentelemetry-instrument` takes: exporters, samplers and
    resource from the environment. Metrics and logs are the command's own.
    """
    from opentelemetry.distro import OpenTelemetryConfigurator

    os.environ.update({name: value for name, value in environ.items() if name.startswith("OTEL_")})
    os.environ.update({"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"})
    # The command is over when this one span is sent; nobody shall wait long for a backend that is away.
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    OpenTelemetryConfigurator().configure()  # type: ignore[no-untyped-call]
