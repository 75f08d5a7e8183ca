"""Levels: which values of a type mean black and white, 8-bit levels of any depth, and the min-max stretch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmmdl.errors import UserError
from cmmdl.files.arrays import Pixels, namespace

Range = tuple[float, float]
"""The values that mean black and white."""

MAXIMA = {
    "bool": 1,
    "uint8": 2**8 - 1,
    "int8": 2**7 - 1,
    "uint16": 2**16 - 1,
    "int16": 2**15 - 1,
    "uint32": 2**32 - 1,
}
"""White of each type of whole numbers; black is 0. Floats run from 0 to 1."""


def to_8_bits(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """The 8-bit levels of a picture: uint16 divided by 257, floats in [0, 1] times 255, both rounded.

    Args:
        picture: Of any shape; uint8, uint16, or floats in [0, 1].

    Raises:
        UserError: If a float picture leaves [0, 1].
    """
    if picture.dtype == np.uint8:
        return picture
    if picture.dtype == np.uint16:
        return np.rint(picture / 257).astype(np.uint8)
    if picture.min() < 0 or picture.max() > 1:
        raise UserError("a float picture must lie in [0, 1]; divide it by its range first")
    return np.rint(picture * 255.0).astype(np.uint8)


def to_levels(picture: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """The 8-bit levels of a picture whose black and white are known; what lies beyond is clipped.

    Args:
        picture: Of any shape and type; uint8 from 0 to 255 is returned as it is.
        low: Black.
        high: White.
    """
    if picture.dtype == np.uint8 and (low, high) == (0, 255):
        return picture
    part = (picture.astype(np.float64) - low) / (high - low)
    return np.rint(255 * part.clip(0, 1)).astype(np.uint8)


def stretch(image: Pixels) -> Pixels:
    """Stretches each picture of a batch to [0, 1] by its own minimum and maximum.

    This is what the programs behind most tables of the field do to every result before scoring it. It changes
    from frame to frame, so a video flickers.

    Args:
        image: ``(..., C, H, W)`` floats.

    Returns:
        The same shape, each ``(C, H, W)`` from 0 to 1. A flat picture is returned as it is.
    """
    xp = namespace(image)
    low, high = (function(image, axis=(-3, -2, -1), keepdims=True) for function in (xp.min, xp.max))
    flat = high <= low
    return xp.where(flat, image, (image - low) / xp.where(flat, xp.ones_like(high), high - low))
