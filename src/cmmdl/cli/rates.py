"""``--fps``: frames a second of what says nothing of time."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import click


class _Rates(click.ParamType):
    """A number for both sides, or two: infrared, visible."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        try:
            found = [rate_of(float(part)) for part in str(value).split(",")]
        except (ValueError, OverflowError):
            found = []
        if len(found) not in (1, 2) or min(found) <= 0:
            self.fail(
                f"{value!r} is no rate; give frames a second, such as 25, or of infrared and visible: 9,25", param, ctx
            )
        return found[0], found[-1]


RATES = _Rates()


def rate_of(fps: float) -> Fraction:
    """Frames a second as a fraction: 29.97 is 30000/1001."""
    ntsc = Fraction(round(fps * 1001 / 1000) * 1000, 1001)
    exact = abs(float(ntsc) - fps) >= 0.006 or fps == round(fps)
    return Fraction(fps).limit_denominator(1000) if exact else ntsc
