"""Picture in picture: a thermal window in the visible picture, as cameras show it."""

from __future__ import annotations

from typing import Literal

from cmmdl.errors import UnusableError, UsageError
from cmmdl.files.arrays import Pixels, namespace

Window = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""


def parse_window(text: str) -> Window | Literal["auto"]:
    """``X,Y,W,H``, or ``auto`` for the middle.

    Raises:
        UsageError: If it is neither.
    """
    if text == "auto":
        return "auto"
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or not all(part.isdecimal() for part in parts) or 0 in (int(parts[2]), int(parts[3])):
        raise UsageError(f"--pip {text!r} is not X,Y,W,H in whole pixels; leave the value out for the middle")
    left, top, width, height = map(int, parts)
    return left, top, width, height


def window_in(size: tuple[int, int], asked: Window | Literal["auto"]) -> Window:
    """The window in a picture of that height and width; by default half of each side, in the middle.

    Raises:
        UnusableError: If it reaches outside.
    """
    height, width = size
    if asked == "auto":
        return width // 4, height // 4, max(1, width // 2), max(1, height // 2)
    left, top, wide, high = asked
    if left + wide > width or top + high > height:
        text = ",".join(map(str, asked))
        raise UnusableError(f"--pip {text} reaches outside the picture of {width}x{height}; make it smaller")
    return asked


def window(ir: Pixels, vis: Pixels, asked: Window | Literal["auto"]) -> Pixels:
    """The visible luma with the infrared one in a window.

    Args:
        ir: ``(B, 1, H, W)`` in [0, 1].
        vis: Same shape and range.
        asked: The window.
    """
    left, top, width, height = window_in((vis.shape[-2], vis.shape[-1]), asked)
    shown = namespace(vis).asarray(vis, copy=True)
    shown[..., top : top + height, left : left + width] = ir[..., top : top + height, left : left + width]
    return shown
