"""What a picture file holds: pixels, and what the file says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmmdl.errors import TooLargeError

Array = NDArray[Any]
Note = Callable[[str], None]

MAX_PIXELS = 100_000_000
"""Pictures with more pixels than this are refused unless ``max_pixels`` says otherwise."""

ALPHA = "alpha dropped; if it is a band of its own, such as thermal, save it as a file of its own"


@dataclass(frozen=True)
class FilePicture:
    """A picture as its file has it.

    Attributes:
        array: ``(H, W)`` grey or ``(H, W, 3)`` RGB in the file's own values: whole numbers, or float32.
        white: The value that means white where the file declares it (its bits, its ``maxval``); None is the type's.
        turned: Whether its orientation tag exchanged width and height.
        notes: What was dropped, one line a kind.
        metadata: What else it holds that a result does not get: ``"GPS"``, ``"ICC profile"``, ...
    """

    array: Array
    white: float | None = None
    turned: bool = False
    notes: Mapping[str, str] = field(default_factory=dict)
    metadata: tuple[str, ...] = ()


def check_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    """Refuses a picture by its header.

    Raises:
        TooLargeError: If it has no pixels, or more than the limit.
    """
    if width * height > max_pixels:
        raise TooLargeError(
            f"{path}: {width}x{height} is {width * height / 1e6:.1f} megapixels, above the limit of "
            f"{max_pixels / 1e6:.1f}; if it is meant to be that large, pass --max-pixels {width * height}"
        )


def upright(array: Array, orientation: int) -> Array:
    """Applies an EXIF orientation, 1 to 8; anything else leaves the picture as it is."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(array[::rows, ::columns])


def is_turned(orientation: int) -> bool:
    """Whether an EXIF orientation exchanges width and height."""
    return orientation in (5, 6, 7, 8)
