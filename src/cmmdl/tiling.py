"""Fusing a large picture in overlapping tiles that are blended into each other.

A network that looks at the whole picture at once, as CMMDL does, gives a slightly different result in tiles: the
tiles are an approximation, see docs/conventions.md for how large the difference is. A method that looks at one
pixel at a time gives the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from cmmdl.arrays import Pixels, alike, namespace

Fuse = Callable[[Pixels, Pixels], Pixels]


def fuse_tiled(fuse: Fuse, ir: Pixels, vis: Pixels, *, tile: int, overlap: int) -> Pixels:
    """Fuses tile by tile and blends the results.

    Args:
        fuse: Takes and gives ``(B, 1, h, w)``, ``h`` and ``w`` at most ``tile``.
        ir: ``(B, 1, H, W)``.
        vis: Same shape.
        tile: Side of a tile in pixels, overlap included. A side of the picture that is shorter is taken whole.
        overlap: Least overlap of neighbours in pixels, below ``tile``.

    Returns:
        ``(B, 1, H, W)``.

    Raises:
        ValueError: If ``tile`` or ``overlap`` do not make sense.
    """
    if tile < 1 or not 0 <= overlap < tile:
        raise ValueError(f"a tile of {tile} pixels with an overlap of {overlap}: 0 <= overlap < tile is needed")
    height, width = vis.shape[-2:]
    fused = namespace(vis).zeros_like(vis)
    for rows, row_weights in _spans(height, tile, overlap):
        for columns, column_weights in _spans(width, tile, overlap):
            piece = fuse(ir[..., rows, columns], vis[..., rows, columns])
            weights = (row_weights[:, None] * column_weights).astype(np.float32)
            fused[..., rows, columns] += piece * alike(weights, piece)
    return fused


def tile_count(height: int, width: int, *, tile: int, overlap: int) -> int:
    """How many tiles :func:`fuse_tiled` cuts a picture into."""
    return len(_starts(height, tile, overlap)) * len(_starts(width, tile, overlap))


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along one side: evenly spread, the last one ends with the picture."""
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(k * (length - tile) / (count - 1)) for k in range(count)]


def _spans(length: int, tile: int, overlap: int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """The tiles along one side, each with weights that sum to 1 over all tiles at every pixel.

    The weights are raised cosines over the tile, normalised where tiles overlap.
    """
    size = min(length, tile)
    bump = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    total = np.zeros(length)
    spans = [slice(start, start + size) for start in _starts(length, tile, overlap)]
    for span in spans:
        total[span] += bump
    for span in spans:
        yield span, bump / total[span]
