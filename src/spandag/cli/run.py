"""``spandag run -- CMD…``."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping

import click

from spandag.cli._child_environment import ENV_CONFIG_FILE, ChildEnvironment, child_environment
from spandag.cli._options import check_writable, json_option, same_store, store_option, store_url
from spandag.config import Settings, label_of

_CANNOT_EXECUTE = 126
_NOT_FOUND = 127


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[--] COMMAND...")
@click.option(
    "--content/--no-content",
    default=None,
    help="Record messages, arguments and results. [default: only where nothing but the store receives them]",
)
@click.option("--service-name", metavar="NAME", help="service.name of the spans. [default: from COMMAND]")
@store_option
@json_option
def run(
    command: tuple[str, ...],
    content: bool | None,
    service_name: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Run COMMAND and record what its agents do, without a line of code.

    Every Python process that COMMAND starts is set up as `opentelemetry-instrument` does
    it, with the exporter `spandag` added to those of OTEL_TRACES_EXPORTER. TRACEPARENT is
    honoured and set, so that all of it is one run. Signals are passed on; the exit code is
    that of COMMAND. Standard output is the command's. Where agents ran, the last lines on standard
    error say where the run is stored and how to see it; with --json the last line is an object,
    also with the exit code.
    """
    from spandag.cli._child_process import ChildProcess
    from spandag.cli._command_span import CommandSpan

    program = shutil.which(command[0])
    if program is None:
        found = os.path.exists(command[0]) and os.path.dirname(command[0])
        click.echo(
            f"spandag: {command[0]}: {'cannot be executed' if found else 'command not found'}", err=True
        )
        sys.exit(_CANNOT_EXECUTE if found else _NOT_FOUND)

    url = store_url(store)
    child = child_environment(
        os.environ, command, url=url, content=content, service_name=service_name, stored=_is_writable(url)
    )
    with ChildProcess(command) as process:
        span = None
        environ: Mapping[str, str] = os.environ.copy()
        try:
            span = CommandSpan(command, child.variables)
            environ = span.propagated(child.variables)
            _say_who_decides(child)
        except Exception as error:
            # What the user asked OpenTelemetry for; the command would fail to set it up as well.
            _say(
                f"recording could not be set up ({type(error).__name__}: {error}); the command runs without it"
            )
        try:
            code = process.run(environ, span.started if span else None)
        except OSError as error:
            _say(f"{command[0]}: {error.strerror}")
            code = _CANNOT_EXECUTE
    # Outside: whoever loses patience with a slow backend can interrupt this.
    if span is not None:
        span.end(code)
        run_id = span.run_id if child.stored else None
        is_stored = run_id is not None and _is_in_store(url, run_id)
        if as_json:
            said = {
                "run_id": span.run_id,
                "exit_code": code,
                "store": os.path.expanduser(label_of(url)) if is_stored else None,
                "content": Settings.capture_content_in_environment(child.variables),
            }
            click.echo(json.dumps(said), err=True)
        elif run_id is not None and is_stored:
            _say_where_it_is(
                run_id,
                label_of(url),
                store,
                turned_on=child.content_turned_on,
                lacks=content is None and not Settings.capture_content_in_environment(child.variables),
            )
    sys.exit(code)


def _is_writable(url: str) -> bool:
    """Whether the store takes what the command records; said here, once, and not by every process."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    from spandag.store.errors import StoreError

    try:
        check_writable(url)
    except StoreError as error:
        _say(f"{error}; the command runs without being stored")
        return False
    return True


def _is_in_store(url: str, run_id: str) -> bool:
    """Whether there is a run to look at: a command that has no agents leaves none."""
    from spandag.query.runs import is_run
    from spandag.store import StoreError, open_store

    try:
        with open_store(url) as store, store.connection() as connection:
            return is_run(connection, run_id)
    except StoreError:
        # Whoever wrote, or could not write, has said so.
        return False


def _say_where_it_is(run_id: str, label: str, store: str | None, *, turned_on: bool, lacks: bool) -> None:
    from spandag.cli._output import program
    from spandag.query.render import Page
    from spandag.query.resolve import SHORT_ID

    dot = Page(encoding=sys.stderr.encoding or "utf-8").glyphs.dot
    too = ", without message content (--content turns it on)" if lacks else ""
    if turned_on:
        too = ", message content too, as it goes nowhere else (--no-content turns it off)"
    _say(f"stored in {label}{too} {dot} {program()} tree {run_id[:SHORT_ID]}{same_store(store)}")


def _say_who_decides(child: ChildEnvironment) -> None:
    if child.variables.get(ENV_CONFIG_FILE):
        _say(f"{ENV_CONFIG_FILE} decides where spans go; name the exporter spandag in it")


def _say(message: str) -> None:
    click.echo(f"spandag: {message}", err=True)
