"""The group of commands: loads them late, and says errors in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

USAGE_ERROR = 2
# What shells report for a program that a signal has ended.
_INTERRUPTED = 130
_BROKEN_PIPE = 141


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called.

    Args:
        commands_by_name: For each command where it is (``module:attribute``) and its one-line help.
        *args: As of `click.Group`.
        **kwargs: As of `click.Group`.
    """

    def __init__(self, *args: Any, commands_by_name: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._commands_by_name = commands_by_name

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of the help."""
        return list(self._commands_by_name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self._commands_by_name:
            return None
        module, _, attribute = self._commands_by_name[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._commands_by_name.items()])

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run a command; whatever is wrong is one line on standard error and an exit code.

        Exit codes: 0 for an answer, 2 where the question or the store is wrong, 130 when interrupted,
        141 when the reader of the output went away. ``spandag run`` has its command's.
        """
        try:
            code = super().main(args, prog_name, **{**extra, "standalone_mode": False})
            sys.stdout.flush()
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx else "spandag"
            _fail(f"{_one_line(error.format_message())} Try '{path} --help'.")
        except click.ClickException as error:
            _fail(_one_line(error.format_message()))
        except (click.Abort, KeyboardInterrupt):
            sys.exit(_INTERRUPTED)
        except BrokenPipeError:
            # Whatever is left in the buffer has no reader; Python would complain at its exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(_BROKEN_PIPE)
        sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> NoReturn:
    click.echo(f"spandag: {message}", err=True)
    sys.exit(USAGE_ERROR)


def _one_line(message: str) -> str:
    return " ".join(message.split())
