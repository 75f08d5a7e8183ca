"""What an exported file says of itself: model, version, preprocessing, precision, memory, and the sizes it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmmdl.errors import UserError
from cmmdl.files.arrays import Pixels, to_numpy

PREPROCESSING = (
    "ir and vis: (B, 1, H, W) float32 in [0, 1]; full-range BT.601 luma (0.299 R + 0.587 G + 0.114 B) of colour, black "
    "0, white 1. fused: the same; the chroma of the visible picture is put back (Cb, Cr unchanged)."
)
"""What a user of the file has to do to pictures, in words, kept in its metadata."""


@dataclass(frozen=True)
class Signature:
    """What is known of an exported network.

    Attributes:
        file: Its path, for messages.
        model: The name of the model, empty if the file is not from ``cmmdl export``.
        version: The version of this package that exported it.
        weights: SHA-256 of the weights file that it was made of.
        precision: ``float32``, ``float16`` or ``int8``.
        bytes_per_pixel: Peak memory for each pixel, 0 if unknown.
        reach: Pixels in each direction that an output pixel can depend on, None where that is unknown or all.
        sides: Batch, height and width that it takes, None where any.
    """

    file: str
    model: str = ""
    version: str = ""
    weights: str = ""
    precision: str = "float32"
    bytes_per_pixel: float = 0
    reach: int | None = None
    sides: tuple[int | None, int | None, int | None] = (None, None, None)

    def check(self, shape: Sequence[int]) -> None:
        """Refuses a shape ``(B, 1, H, W)`` that the network does not take.

        Raises:
            UserError: If it has another batch size, height or width.
        """
        given = (shape[0], shape[2], shape[3])
        if any(fixed not in (None, side) for fixed, side in zip(self.sides, given, strict=True)):
            batch, height, width = self.sides
            fixed = f"{width or 'any width'}x{height or 'any height'} in batches of {batch or 'any size'}"
            raise UserError(
                f"{self.file}: takes only {fixed}, not {given[2]}x{given[1]} in batches of {given[0]}; resize the "
                "pictures, or export the network with free height and width"
            )

    def inputs(self, ir: Pixels, vis: Pixels) -> dict[str, NDArray[Any]]:
        """Both pictures, ``(B, 1, H, W)`` float32, as a runtime takes them.

        Raises:
            UserError: As `check`.
        """
        self.check(vis.shape)
        return {"ir": np.ascontiguousarray(to_numpy(ir)), "vis": np.ascontiguousarray(to_numpy(vis))}

    def to_text(self) -> dict[str, str]:
        """The metadata of the file."""
        return {
            "cmmdl.model": self.model,
            "cmmdl.version": self.version,
            "cmmdl.weights": self.weights,
            "cmmdl.precision": self.precision,
            "cmmdl.bytes_per_pixel": f"{self.bytes_per_pixel:g}",
            "cmmdl.reach": "" if self.reach is None else str(self.reach),
            "cmmdl.preprocessing": PREPROCESSING,
        }


def from_text(text: dict[str, str], file: str, sides: tuple[int | None, int | None, int | None]) -> Signature:
    """What a file's metadata says; of a file with none, what can be supposed."""
    memory, reach = text.get("cmmdl.bytes_per_pixel", ""), text.get("cmmdl.reach", "")
    return Signature(
        file,
        text.get("cmmdl.model", ""),
        text.get("cmmdl.version", ""),
        text.get("cmmdl.weights", ""),
        text.get("cmmdl.precision", "float32"),
        float(memory) if memory.replace(".", "", 1).isdigit() else 0,
        int(reach) if reach.isdigit() else None,
        sides,
    )


def sides_of(shape: Sequence[object], file: str) -> tuple[int | None, int | None, int | None]:
    """Batch, height and width of an input's shape ``(B, 1, H, W)``, None where any is taken.

    Raises:
        UserError: If it is not four axes with one channel.
    """
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 1):
        raise UserError(f"{file}: its inputs are {tuple(shape)}; (B, 1, H, W) is needed")
    batch, height, width = (side if isinstance(side, int) and side > 0 else None for side in (shape[0], *shape[2:]))
    return batch, height, width
