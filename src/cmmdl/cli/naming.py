"""The options that say how pictures of two folders belong together, alike for all commands that pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cmmdl.files.naming import Naming

NAMES = ("ir_name", "vis_name", "ir_suffix", "vis_suffix", "recursive")

_OPTIONS = (
    click.option(
        "--ir-name",
        default="",
        metavar="'IR_*'",
        help="Names of infrared files; the star is what a pair shares.  [default: usual marks are found]",
    ),
    click.option("--vis-name", default="", metavar="'RGB_*'", help="Names of visible files."),
    click.option("--ir-suffix", default="", metavar="TEXT", help="Short for --ir-name '*TEXT', e.g. _ir."),
    click.option("--vis-suffix", default="", metavar="TEXT", help="Short for --vis-name '*TEXT', e.g. _vis."),
    click.option("--recursive", is_flag=True, help="Pair the folders below too, each with that of the same name."),
)


def naming_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_naming(options: dict[str, Any]) -> Naming:
    """Takes the values of the options out of all options, as one value."""
    from cmmdl.files.naming import Naming

    return Naming(**{name: options.pop(name) for name in NAMES})


def say_note(text: str) -> None:
    """Prints a line about how names were read."""
    click.echo(f"note: {text}", err=True)
