"""The ``cmmdl`` command: one file a subcommand.

A subcommand's file imports torch, and whatever imports torch, inside its function: ``cmmdl --help`` must not wait.
"""

from __future__ import annotations

import difflib
import signal
import sys
from importlib import import_module
from threading import current_thread, main_thread
from typing import Any

import click

import cmmdl
from cmmdl.cli.exit_codes import INTERRUPTED, NOTHING_DONE, SUMMARY, TABLE, TERMINATED, WRONG_USAGE
from cmmdl.cli.streams import make_printable
from cmmdl.errors import UsageError, UserError

COMMANDS = [
    "fuse",
    "align",
    "evaluate",
    "sheet",
    "data",
    "serve",
    "train",
    "average",
    "models",
    "convert",
    "export",
    "bench",
    "doctor",
]


class _Commands(click.Group):
    """Finds the subcommands, suggests the nearest name for a wrong one, prints user errors as one line."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        make_printable()
        return super().main(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return COMMANDS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            near = difflib.get_close_matches(cmd_name, COMMANDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else f" The commands are: {', '.join(COMMANDS)}."
            raise click.UsageError(f"No such command {cmd_name!r}.{hint}")
        command = import_module(f"cmmdl.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return _with_summary(command)

    def invoke(self, ctx: click.Context) -> object:
        before = signal.signal(signal.SIGTERM, _terminated) if current_thread() is main_thread() else None
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(WRONG_USAGE if isinstance(error, UsageError) else NOTHING_DONE)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)


def _with_summary(command: click.Command) -> click.Command:
    """The command, and those below it, with the exit status at the end of its help."""
    if SUMMARY not in (command.epilog or ""):
        command.epilog = "\n\n".join(filter(None, [command.epilog, SUMMARY]))
    for below in getattr(command, "commands", {}).values():
        _with_summary(below)
    return command


def _terminated(number: int, frame: object) -> None:
    """On SIGTERM clean up as on any exit: temporary files are removed, pools are closed."""
    sys.exit(TERMINATED)


@click.group(
    cls=_Commands, epilog=TABLE, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(cmmdl.__version__, prog_name="cmmdl")
def main() -> None:
    """Fuse two registered pictures of one scene into one that keeps what matters in both."""
