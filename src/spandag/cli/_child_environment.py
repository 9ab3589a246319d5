"""The environment that makes a program record itself without a line of code."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spandag.config import ENV_CAPTURE_CONTENT, ENV_TRACES_EXPORTER, ENV_URL

ENV_CONFIG_FILE = "OTEL_CONFIG_FILE"

_EXPORTER = "spandag"
_ZERO_CODE = Path(__file__).parent / "zero_code"
_SPAN_ONLY = "SPAN_ONLY"
_NO_CONTENT = "NO_CONTENT"


@dataclass(frozen=True, slots=True)
class ChildEnvironment:
    """What a program is started with.

    Attributes:
        variables: Its whole environment.
        content_turned_on: Whether content is recorded because nothing but the local store receives it.
        stored: Whether the store is among the exporters.
    """

    variables: dict[str, str]
    content_turned_on: bool
    stored: bool


def child_environment(
    environ: Mapping[str, str],
    command: Sequence[str],
    *,
    url: str,
    content: bool | None,
    service_name: str | None,
    stored: bool = True,
) -> ChildEnvironment:
    """The environment for a command, from that of this process.

    What the user has set stays; the exporter `spandag` is added to those that
    ``OTEL_TRACES_EXPORTER`` names.

    Args:
        environ: The environment to start from.
        command: The command and its arguments.
        url: The store, as a URL that holds in any working directory.
        content: What ``--content`` or ``--no-content`` says; None if neither was given.
        service_name: What ``--service-name`` says.
        stored: Whether the store can be written; otherwise only the other exporters remain.
    """
    variables = dict(environ)
    exporters = [name.strip() for name in variables.get(ENV_TRACES_EXPORTER, "").split(",")]
    exporters = [name for name in exporters if name not in ("", "none", _EXPORTER)]
    if stored:
        exporters.insert(0, _EXPORTER)
    variables[ENV_TRACES_EXPORTER] = ",".join(exporters) or "none"
    # OpenTelemetry's defaults would send metrics and logs to a Collector that most people do not have.
    variables.setdefault("OTEL_METRICS_EXPORTER", "none")
    variables.setdefault("OTEL_LOGS_EXPORTER", "none")
    variables[ENV_URL] = url
    if service_name or not _has_service_name(variables):
        variables["OTEL_SERVICE_NAME"] = service_name or service_name_of(command)

    # A configuration file may send spans anywhere.
    sole = exporters == [_EXPORTER] and not variables.get(ENV_CONFIG_FILE)
    turned_on = content is None and sole and not variables.get(ENV_CAPTURE_CONTENT)
    if content is not None or turned_on:
        variables[ENV_CAPTURE_CONTENT] = _NO_CONTENT if content is False else _SPAN_ONLY

    entries = [e for e in variables.get("PYTHONPATH", "").split(os.pathsep) if e and e != str(_ZERO_CODE)]
    variables["PYTHONPATH"] = os.pathsep.join([str(_ZERO_CODE), *entries])
    return ChildEnvironment(variables, turned_on, stored)


def service_name_of(command: Sequence[str]) -> str:
    """A service's name from its command: the script or module of a Python command, else the program."""
    program = Path(command[0]).name
    if program.startswith(("python", "pypy")):
        arguments = iter(command[1:])
        for argument in arguments:
            if argument == "-m":
                return next(arguments, program)
            if argument == "-c" or argument == "-":
                break
            if argument in ("-W", "-X", "--check-hash-based-pycs"):
                next(arguments, None)
            elif not argument.startswith("-"):
                return Path(argument).stem or program
    return program


def _has_service_name(variables: Mapping[str, str]) -> bool:
    attributes = variables.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")
    return bool(variables.get("OTEL_SERVICE_NAME")) or any(
        attribute.partition("=")[0].strip() == "service.name" for attribute in attributes
    )
