"""Whether an exported file computes what torch does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cmmdl.errors import UserError
from cmmdl.files.colour import luma
from cmmdl.models.cmmdl import CMMDL
from cmmdl.runtimes import Backend
from cmmdl.scenes import synthetic_pair

SIZES = ((64, 96), (61, 83), (120, 56))
"""Heights and widths that files are checked at; one is odd."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """Absolute differences of the fused luma in [0, 1] from torch's in float32, over all sizes.

    Attributes:
        largest: Of any pixel.
        mean: Of all pixels, the largest of the sizes' means.
    """

    largest: float
    mean: float

    def __str__(self) -> str:
        return f"at most {self.largest:.2g}, on average {self.mean:.2g}"


LIMITS = {
    "float32": Agreement(1e-3, 1e-3),
    "float16": Agreement(5e-3, 1e-3),
    "int8": Agreement(0.15, 0.015),
}
"""Precision -> differences at which a file is still kept."""

FULL_NETWORK_LIMIT = Agreement(5e-3, 2e-4)
"""The same for `CMMDL`: a rounding error turns the phase of a faint frequency, and with it a few pixels."""


def check_agreement(backend: Backend, model: nn.Module, precision: str) -> Agreement:
    """Compares a file with the module that it was made of, on synthetic scenes of `SIZES`.

    Args:
        backend: Runs the file.
        model: In eval mode, on the CPU.
        precision: A key of `LIMITS`.

    Raises:
        UserError: If they differ by more than the limit.
    """
    found = [_difference(backend, model, *pair) for pair in scenes(SIZES)]
    agreement = Agreement(max(one.largest for one in found), max(one.mean for one in found))
    limit = FULL_NETWORK_LIMIT if isinstance(model, CMMDL) else LIMITS[precision]
    if not (agreement.largest <= limit.largest and agreement.mean <= limit.mean):
        raise UserError(
            f"the exported network differs from torch {agreement}; the limit is {limit}, so the file was not kept"
        )
    return agreement


def scenes(sizes: tuple[tuple[int, int], ...], seed: int = 0) -> Iterator[tuple[Floats, Floats]]:
    """Luma of synthetic pairs, each ``(1, 1, H, W)`` in [0, 1], with a strip of the darkest levels in both."""
    for number, (height, width) in enumerate(sizes):
        ir, vis = synthetic_pair(height, width, seed + number)
        ir[:8] = vis[:8] = 0
        ir[4:8] = np.arange(width) % 6
        rgb = vis.transpose(2, 0, 1)[None].astype(np.float32)
        yield ir[None, None].astype(np.float32) / np.float32(255), luma(rgb) / np.float32(255)


def _difference(backend: Backend, model: nn.Module, ir: Floats, vis: Floats) -> Agreement:
    with torch.no_grad():
        expected = model(torch.from_numpy(ir), torch.from_numpy(vis)).numpy()
    difference = np.abs(np.asarray(backend.run(ir, vis), np.float64) - expected)
    return Agreement(float(difference.max()), float(difference.mean()))
