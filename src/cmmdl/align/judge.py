"""How sure a transform is: what the blocks say of it, each on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmmdl.align.blocks import Surfaces
from cmmdl.align.fit import agree
from cmmdl.align.geometry import Matrix, Size, corner_error, moved

NEAR = 2.0
"""Distance in pixels of the working grid within which a block's own best place counts as agreeing."""

STRONG = 2.4
"""Strength at which a transform is as likely right as wrong."""
APART = 4.0
"""The same of the distance between halves, in pixels of the grid."""
ASTRAY = 3.0
"""The same of the distance after the way back, for each unit of strength: where many blocks agree, it says less."""


@dataclass(frozen=True)
class Support:
    """How many blocks have their own best place where a transform puts them.

    Attributes:
        share: Of the structure, less what chance would give; 0 is chance and 1 all.
        blocks: How many blocks of equal weight say so.
        agrees: ``(all blocks,)`` which.
        off: ``(all blocks,)`` distance of each one's own best place, in pixels of the grid.
    """

    share: float
    blocks: float
    agrees: NDArray[np.bool_]
    off: NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """What speaks for a transform.

    Attributes:
        support: Of the blocks.
        halves: Distance at the corners between the transforms of two halves of the blocks, in pixels of the grid.
        residual: Median distance of agreeing blocks from the transform, in pixels of the grid.
        spread: The shorter extent of the agreeing blocks against that of the overlap.
    """

    support: Support
    halves: float
    residual: float
    spread: float


def support(surfaces: Surfaces, step: Matrix) -> Support:
    """Asks every block for its own best place and compares.

    Args:
        surfaces: Of the blocks around the last but one transform.
        step: The correction found from them.
    """
    weight = surfaces.weight / max(float(surfaces.weight.sum()), 1e-9)
    off = np.linalg.norm(own_places(surfaces) - (moved(step, surfaces.centres) - surfaces.centres), axis=1)
    agrees = off <= NEAR
    chance = np.pi * NEAR**2 / (2 * surfaces.radius + 1) ** 2
    share = (float(weight[agrees].sum()) - chance) / (1 - chance)
    return Support(share, 1 / max(float((weight**2).sum()), 1e-9), agrees, off)


def evidence(surfaces: Surfaces, step: Matrix, size: Size) -> Evidence:
    """All that speaks for a transform.

    Args:
        surfaces: Of the blocks around the last but one transform.
        step: The correction found from them.
        size: Of their grid.
    """
    seen = support(surfaces, step)
    return Evidence(
        seen,
        halves(surfaces, size),
        float(np.median(seen.off[seen.agrees])) if seen.agrees.any() else float("inf"),
        spread(surfaces.centres[seen.agrees], surfaces.weight[seen.agrees], size),
    )


def strength(seen: Support) -> float:
    """Agreement beyond chance in standard deviations of a share: 0 to 2 by chance, 3 to 14 where pictures match."""
    return max(0.0, seen.share) * seen.blocks**0.5


def confidence(seen: Evidence, back: float, strong: float = STRONG) -> float:
    """Confidence from 0 to 1 that a transform is right; 0.5 is where the gate closes.

    Args:
        seen: What the blocks say.
        back: Distance at the corners of the overlap between the transform and that found backwards from a disturbed
            start, in pixels of a picture 512 wide.
        strong: Strength at which the transform is as likely right as wrong.
    """
    found = max(strength(seen.support), 1e-3)
    terms = (strong / found, seen.halves / APART, back / (ASTRAY * found))
    return float(1 / (1 + sum(min(term, 1e3) ** 6 for term in terms)))


def own_places(surfaces: Surfaces) -> NDArray[Any]:
    """``(blocks, 2)`` each block's best shift in x and y, to a fraction of a pixel."""
    count, side = len(surfaces.values), 2 * surfaces.radius + 1
    flat = surfaces.values.reshape(count, -1).argmax(axis=1)
    return np.stack([flat % side, flat // side], axis=1).astype(np.float64) - surfaces.radius


def halves(surfaces: Surfaces, size: Size) -> float:
    """How far two transforms from a chequerboard of blocks lie apart at the corners."""
    cell = np.floor(surfaces.centres / (np.array(size) / 4)).astype(int).sum(axis=1) % 2
    extent = float(np.hypot(*size)) / 2
    parts = []
    for side in (0, 1):
        keep = cell == side
        if keep.sum() < 4:
            return float("inf")
        part = Surfaces(surfaces.centres[keep], surfaces.values[keep], surfaces.weight[keep], surfaces.radius)
        parts.append(agree(part, "similarity", widths=(4, 3, 2, 1.5), extent=extent))
    return corner_error(parts[0], parts[1], size)


def spread(points: NDArray[Any], weight: NDArray[Any], size: Size) -> float:
    """Smaller standard deviation of points, against that of an evenly covered picture's shorter side."""
    if len(points) < 3:
        return 0.0
    deviation = np.sqrt(np.linalg.eigvalsh(np.cov(points.T, aweights=weight))).min()
    return float(deviation / (min(size) / np.sqrt(12)))
