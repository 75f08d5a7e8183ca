"""The options that lay the infrared picture on the visible one before both are fused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

WARPS = ("auto", "translation", "similarity", "affine", "homography", "elastic")


class Shift(click.ParamType):
    """``X,Y`` in pixels."""

    name = "X,Y"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Two numbers, or a usage error."""
        if isinstance(value, tuple):
            return value
        try:
            x, y = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not two numbers with a comma between, such as 8,-3", param, ctx)
        return x, y


class PlacingCommand(click.Command):
    """A command in which ``--align`` may stand without a value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads ``--align`` as ``--align=auto`` unless the next word is a kind of transform."""
        words = list(args)
        for place, word in enumerate(words):
            if word == "--":
                break
            following = words[place + 1] if place + 1 < len(words) else ""
            if word == "--align" and following not in WARPS:
                words[place] = "--align=auto"
        return super().parse_args(ctx, words)


_OPTIONS = (
    click.option(
        "--align",
        type=click.Choice(WARPS),
        metavar="[=WARP]",
        help="Lay each infrared picture on the visible one where that is sure; WARP is translation, similarity, "
        "affine, homography or elastic, by default the simplest of the first four that explains the pair.",
    ),
    click.option(
        "--transform",
        type=click.Path(path_type=Path, readable=False),
        metavar="FILE",
        help="Use the transform that `cmmdl align --save` wrote to this file.",
    ),
    click.option(
        "--shift", type=Shift(), default="0,0", help="Move infrared right and down, in pixels of the visible picture."
    ),
    click.option("--zoom", type=float, default=1.0, metavar="Z", help="Enlarge infrared about the middle."),
    click.option("--rotate", type=float, default=0.0, metavar="DEG", help="Turn infrared clockwise about the middle."),
    click.option(
        "--grid",
        type=click.Choice(["vis", "overlap", "ir"]),
        help="Whose pixels the result has: all of the visible picture's, those that infrared covers, or the infrared "
        "picture's.  [default: vis; overlap for a photo within a radiometric file]",
    ),
    click.option("--no-check", is_flag=True, help="Do not look whether the pictures lie on each other."),
)


def placing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
