"""Raw 16-bit pictures whose bytes stand in the other order, as FLIR cameras write them into PNGs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUGH, SMOOTHER = 0.05, 4.0
"""A picture rougher than this whose swapped bytes are so many times smoother has swapped bytes."""


def roughness(picture: NDArray[Any]) -> float:
    """How much neighbours differ against the spread of all values: about 1 for noise, near 0 for a picture."""
    values = picture.astype(np.float32)
    spread = float(values.std())
    return 0.0 if spread == 0 or values.shape[1] < 2 else float(np.abs(np.diff(values, axis=1)).mean()) / spread


def in_order(picture: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """A picture with its bytes in the order in which it is one, and whether they had to be swapped.

    Args:
        picture: ``(H, W)``; only uint16 is looked at.
    """
    if picture.dtype != np.uint16 or picture.ndim != 2 or picture.size < 64:
        return picture, False
    as_it_is = roughness(picture)
    if as_it_is < ROUGH:
        return picture, False
    swapped = picture.byteswap()
    return (swapped, True) if SMOOTHER * roughness(swapped) < as_it_is else (picture, False)
