"""The command ``spandag``. Each command is a module, loaded when it is called."""

from __future__ import annotations

import click

from spandag import __version__
from spandag.cli._group import LazyGroup
from spandag.cli._options import json_option, store_option

COMMANDS = {
    "run": ("spandag.cli.run:run", "Run a command and record what its agents do, without a line of code."),
    "runs": ("spandag.cli.runs:runs", "List the newest runs."),
    "tree": ("spandag.cli.tree:tree", "Show everything that happened in a run, as a tree."),
    "node": ("spandag.cli.node:node", "Show one node with its content."),
    "redos": ("spandag.cli.redos:redos", "Show what was done again, why, and with what success."),
    "export": ("spandag.cli.export:export", "Write runs out: OTLP JSON, JSON lines, Mermaid or DOT."),
    "import": (
        "spandag.cli.import_:import_",
        "Copy runs into the store: from files, or from another program.",
    ),
    "db": ("spandag.cli.db:db", "Look after the store: its schema, its health and its size."),
    "demo": ("spandag.cli.demo:demo", "Let agents discover Kepler's third law, and show the run."),
}


@click.group(
    cls=LazyGroup,
    commands_by_name=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="spandag", message="%(prog)s %(version)s")
@store_option
@json_option
@click.pass_context
def cli(ctx: click.Context, store: str | None, as_json: bool) -> None:
    """OpenTelemetry for AG2 and smolagents, with a local DAG of every run.

    Options of all commands can stand before or after the command's name. Where RUN
    is asked for, `last` or the beginning of a run's id will do.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> None:
    """Entry point of the command ``spandag``."""
    cli.main(prog_name="spandag")
