"""``--ir-range`` and ``--vis-range``, which mean the same in every command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from cmmdl.files.ranges import RangeRule, Side

Command = TypeVar("Command", bound=Callable[..., Any])


class _RangeText(click.ParamType):
    """A text that says which values mean black and white; anything else is wrong usage."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from cmmdl.errors import UsageError
        from cmmdl.files.ranges import parse_range

        try:
            parse_range(value, "vis" if param and param.name == "vis_range" else "ir")
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return str(value)


def range_options(default: str | None = "auto") -> Callable[[Command], Command]:
    """The two options, for a command of two sides.

    Args:
        default: Of the first side; None leaves it to a configuration.
    """
    shape = "LOW:HIGH"
    first = click.option(
        "--ir-range",
        type=_RangeText(),
        metavar=shape,
        default=default,
        help="Infrared (MRI) values that mean black and white: 7000:8500, 1%:99% of them, auto (what they span in "
        "all pictures, where less than half of their type), each (auto for each picture), or type.  [default: auto]",
    )
    second = click.option(
        "--vis-range", type=_RangeText(), metavar=shape, help="The same of the visible pictures.  [default: type]"
    )
    return lambda command: first(second(command))


def settled_range(
    given: str | None, paths: Sequence[Path], side: Side, note: Callable[[str], None], max_pixels: int | None = None
) -> RangeRule:
    """One rule for all pictures of a side; what was found is told."""
    from cmmdl.files.images import MAX_PIXELS
    from cmmdl.files.notes import ResultNote
    from cmmdl.files.ranges import settled

    rule, notes = settled(given, paths, side, max_pixels=max_pixels or MAX_PIXELS)
    for text in notes:
        note(ResultNote(text))
    return rule
