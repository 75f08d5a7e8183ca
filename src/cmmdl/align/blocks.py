"""Blocks of one picture looked for near their place in the other: a surface of likeness for each block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from cmmdl.align.maps import Floats, floats

LEAST_KNOWN = 0.4
"""Share of a block that both pictures must know."""


LARGE = 44
"""Side in pixels from which blocks are correlated one by one."""


@dataclass(frozen=True)
class Surfaces:
    """How well each block fits at each shift.

    Attributes:
        centres: ``(blocks, 2)`` x and y of the blocks' middles.
        values: ``(blocks, 2 * radius + 1, 2 * radius + 1)``, rows are vertical shifts; at most 1.
        weight: ``(blocks,)`` share of each block that both pictures know, times its share of structure.
        radius: Largest shift, in pixels.
    """

    centres: NDArray[Any]
    values: Floats
    weight: Floats
    radius: int


def places(length: int, size: int, step: int) -> NDArray[np.int64]:
    """First pixels of blocks that cover a side evenly."""
    count = max(1, round((length - size) / step) + 1)
    return np.round(np.linspace(0, max(0, length - size), count)).astype(np.int64)


def cut(maps: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64], size: int) -> NDArray[Any]:
    """``(rows * columns, size, size, ...)`` windows whose first pixels are given."""
    return np.stack([maps[y : y + size, x : x + size] for y in rows for x in columns])


def surfaces(fixed: Floats, moving: Floats, both: Floats, *, size: int, step: int, radius: int) -> Surfaces:
    """Correlates blocks of ``fixed`` with ``moving`` around the same place.

    Args:
        fixed: ``(height, width, 4)`` edge maps.
        moving: The same of the other picture, brought onto the same grid by the present guess.
        both: ``(height, width)`` 1 where both pictures are known.
        size: Of a block, in pixels.
        step: Between blocks, in pixels.
        radius: Of the search, in pixels.
    """
    height, width = both.shape
    size = min(size, height, width)
    rows, columns = places(height, size, step), places(width, size, step)
    known, own = (box(values, size)[rows][:, columns].reshape(-1) for values in (both, energy(fixed)))
    keep = known > LEAST_KNOWN * size**2
    around = np.pad(moving, ((radius, radius), (radius, radius), (0, 0)))
    there = cut(box(energy(around), size), rows, columns, 2 * radius + 1)[keep]
    blocks, windows = cut(fixed, rows, columns, size)[keep], cut(around, rows, columns, size + 2 * radius)[keep]
    centres = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2).astype(np.float64) + (size - 1) / 2
    if not keep.any():
        return Surfaces(centres[keep], there, own[keep], radius)
    own, typical = own[keep], float(own.sum() / known.sum()) * size**2
    floor = 0.15 * float(own.mean()) + 1e-6
    values = cross(blocks, windows, radius) / np.sqrt((own[:, None, None] + floor) * (there + floor))
    weight = np.minimum(1, own / max(typical, 1e-9)) * known[keep] / size**2
    return Surfaces(centres[keep], floats(values), floats(weight), radius)


def cross(blocks: Floats, windows: Floats, radius: int) -> Floats:
    """Sum of products of each block with its window at all shifts, through the Fourier domain.

    Large blocks are faster one by one in OpenCV, small ones all at once in SciPy.
    """
    if blocks.shape[1] >= LARGE:
        pairs = zip(windows, blocks, strict=True)
        return floats(np.stack([cv2.matchTemplate(window, block, cv2.TM_CCORR) for window, block in pairs]))
    fast = (fft.next_fast_len(windows.shape[1]),) * 2
    total: Any = 0
    for a, b in zip(planes(blocks), planes(windows), strict=True):
        total = total + np.conj(fft.fft2(a, fast)) * fft.fft2(b, fast)
    shifts = 2 * radius + 1
    return np.ascontiguousarray(fft.ifft2(total).real[:, :shifts, :shifts])


def planes(maps: Floats) -> list[NDArray[np.complex64]]:
    """The two angles of edge maps as complex numbers."""
    both = np.ascontiguousarray(maps).view(np.complex64)
    return [np.ascontiguousarray(both[..., i]) for i in (0, 1)]


def energy(maps: Floats) -> Floats:
    """Squared length of each pixel's vector."""
    return np.einsum("yxc,yxc->yx", maps, maps)


def box(values: Floats, size: int) -> Floats:
    """Sums over all square windows of a size."""
    total = cv2.integral(values, sdepth=cv2.CV_64F)
    sums = total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
    return np.maximum(sums, 0).astype(np.float32)
