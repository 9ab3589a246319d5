"""The command ``spandag``. Each command is a module, loaded when it is called."""

from __future__ import annotations

import click

from spandag import __version__
from spandag.cli._group import LazyGroup
from spandag.cli._options import json_option, store_option

COMMANDS = {
    "run": ("spandag.cli.run:run", "Run a command and record what its agents do, without a line of code."),
    "runs": ("spandag.cli.runs:runs", "List the newest runs."),
    "sessions": ("spandag.cli.sessions:sessions", "List the sessions that were active last."),
    "show": ("spandag.cli.show:show", "Show what a run was and what it took, on one page."),
    "tree": ("spandag.cli.tree:tree", "Show everything that happened in a run, as a tree."),
    "path": ("spandag.cli.path:path", "Show only what counted in the end, as a tree."),
    "timeline": ("spandag.cli.timeline:timeline", "Show what happened in a run, in order of time."),
    "node": ("spandag.cli.node:node", "Show one node with its content."),
    "redos": ("spandag.cli.redos:redos", "Show what was done again, and why."),
    "attempts": ("spandag.cli.attempts:attempts", "Show every attempt of a step."),
    "waste": ("spandag.cli.waste:waste", "Show what was spent on work that did not count, and why."),
    "unresolved": ("spandag.cli.unresolved:unresolved", "Show the steps that nobody accepted."),
    "root-cause": ("spandag.cli.root_cause:root_cause", "Show where a run began to go wrong."),
    "lineage": ("spandag.cli.lineage:lineage", "Show forks of forks, and what became of them."),
    "rates": ("spandag.cli.rates:rates", "Show how often steps are done again, and whether it helps."),
    "costs": ("spandag.cli.costs:costs", "Show costs by agent, model, session, day or run."),
    "trajectories": ("spandag.cli.trajectories:trajectories", "Show an agent's last runs, as for a prompt."),
    "search": ("spandag.cli.search:search", "Find nodes by what they say, or of a kind."),
    "diff": ("spandag.cli.diff:diff", "Show what is different between two attempts, forks or runs."),
    "replay": ("spandag.cli.replay:replay", "Play a run back as it happened."),
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
    is asked for, `last`, `last~1` for the one before, or the beginning of a run's id will do.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> None:
    """Entry point of the command ``spandag``."""
    cli.main(prog_name="spandag")
