"""How stored frames are turned and mirrored for display."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cmmdl.errors import UnusableError
from cmmdl.files.images import Array

_TURNS = {(1, 0): 0, (0, -1): 90, (-1, 0): 180, (0, 1): 270}
"""Degrees counter-clockwise by where a step to the right leads: columns, rows downwards."""


@dataclass(frozen=True)
class Turn:
    """From the stored frame to the displayed one: first mirrored, then turned.

    Attributes:
        degrees: Counter-clockwise: 0, 90, 180 or 270.
        mirrored: Whether left and right are exchanged before that.
    """

    degrees: int = 0
    mirrored: bool = False

    @property
    def on_its_side(self) -> bool:
        """Whether width and height are exchanged."""
        return self.degrees in (90, 270)

    def upright(self, pixels: Array) -> Array:
        """Stored pixels as they are displayed."""
        if not self.degrees and not self.mirrored:
            return pixels
        return np.ascontiguousarray(np.rot90(pixels[:, ::-1] if self.mirrored else pixels, self.degrees // 90))


def turn_of(frame: Any, name: str) -> Turn:
    """What the display matrix of a frame asks for.

    Args:
        frame: A decoded frame.
        name: How messages call its clip.

    Raises:
        UnusableError: If the sides of the displayed picture would not be level and plumb.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return Turn()
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].astype(float) / 65536
    mirrored = a * d - b * c < 0
    right = (-a, -b) if mirrored else (a, b)
    straight = _is_along(a, b) and _is_along(c, d) and abs(a * c + b * d) < 0.01 * np.hypot(a, b) * np.hypot(c, d)
    if not straight:
        raise UnusableError(
            f"{name} is to be displayed slanted (matrix {a:g}, {b:g}, {c:g}, {d:g}), and only quarter turns and "
            "mirrored frames can be read; turn it with a video editor first"
        )
    larger = max(abs(right[0]), abs(right[1]))
    return Turn(_TURNS[round(right[0] / larger), round(right[1] / larger)], mirrored)


def _is_along(x: float, y: float) -> bool:
    """Whether a step leads along the rows or the columns, to within half a degree."""
    return min(abs(x), abs(y)) < 0.01 * max(abs(x), abs(y))
