"""Blocks of one picture looked for near their place in the other: a surface of likeness for each block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from cmmdl.align.maps import Floats


@dataclass(frozen=True)
class Surfaces:
    """How well each block fits at each shift.

    Attributes:
        centres: ``(blocks, 2)`` x and y of the blocks' middles.
        values: ``(blocks, 2 * radius + 1, 2 * radius + 1)``, rows are vertical shifts; at most 1.
        weight: ``(blocks,)`` share of each block that both pictures know, times its share of structure.
        radius: Largest shift, in pixels.
    """

    centres: NDArray[np.float64]
    values: Floats
    weight: Floats
    radius: int


def places(length: int, size: int, step: int) -> NDArray[np.int64]:
    """First pixels of blocks that cover a side evenly."""
    count = max(1, round((length - size) / step) + 1)
    return np.round(np.linspace(0, max(0, length - size), count)).astype(np.int64)


def cut(maps: Floats, rows: NDArray[np.int64], columns: NDArray[np.int64], size: int) -> Floats:
    """``(blocks, size, size, channels)`` windows at every row and column."""
    windows = np.lib.stride_tricks.sliding_window_view(maps, (size, size), axis=(0, 1))
    return np.moveaxis(windows[rows][:, columns].reshape(-1, maps.shape[2], size, size), 1, -1)


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
    edge = ((radius, radius), (radius, radius))
    around = np.pad(moving, (*edge, (0, 0)))
    energy = np.concatenate([(fixed * fixed).sum(2)[..., None], both[..., None]], axis=2)
    blocks, windows = cut(fixed, rows, columns, size), cut(around, rows, columns, size + 2 * radius)
    inside = cut(energy, rows, columns, size).sum(axis=(1, 2))
    values = likeness(blocks, windows, radius)
    typical = float((fixed * fixed).sum() / max(both.sum(), 1)) * size * size
    centres = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2) + (size - 1) / 2
    share = np.minimum(1, inside[:, 0] / max(typical, 1e-9)) * (inside[:, 1] / size**2)
    keep = inside[:, 1] > 0.4 * size**2
    return Surfaces(centres[keep], values[keep], share[keep].astype(np.float32), radius)


def likeness(blocks: Floats, windows: Floats, radius: int) -> Floats:
    """Normalised correlation of each block with its window at all shifts."""
    side = windows.shape[1]
    fast = fft.next_fast_len(side)
    product: NDArray[np.complex64] | float = 0.0
    for i in (0, 2):
        a = fft.fft2(blocks[..., i] + 1j * blocks[..., i + 1], (fast, fast), axes=(1, 2))
        b = fft.fft2(windows[..., i] + 1j * windows[..., i + 1], (fast, fast), axes=(1, 2))
        product = product + np.conj(a) * b
    shifts = 2 * radius + 1
    cross = fft.ifft2(product, axes=(1, 2)).real[:, :shifts, :shifts]
    own = (blocks * blocks).sum(axis=(1, 2, 3))
    there = box((windows * windows).sum(axis=3), blocks.shape[1])
    floor = 0.15 * float(np.mean(own)) + 1e-6
    return (cross / np.sqrt((own[:, None, None] + floor) * (there + floor))).astype(np.float32)


def box(values: Floats, size: int) -> Floats:
    """Sums over all windows of a size, along the last two axes."""
    total = np.cumsum(np.cumsum(np.pad(values, ((0, 0), (1, 0), (1, 0))), axis=1, dtype=np.float64), axis=2)
    sums = total[:, size:, size:] - total[:, :-size, size:] - total[:, size:, :-size] + total[:, :-size, :-size]
    return np.maximum(sums, 0).astype(np.float32)
