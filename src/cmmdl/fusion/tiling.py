"""Fusing a large picture in overlapping tiles that are blended into each other.

A network that looks at the whole picture at once, as CMMDL does, gives a slightly different result in tiles: the
tiles are an approximation, see docs/conventions.md for how large the difference is. A method that looks at one
pixel at a time gives the same. A network that sees only so far, as CMMDL-RT does, gives the same too if the tiles
overlap by twice as much and begin where its blocks do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from cmmdl.files.arrays import Pixels, as_kind_of, namespace

Fuse = Callable[[Pixels, Pixels], Pixels]

GRID = 8
"""Exact tiles begin at multiples of so many pixels: the side of the blocks in which CMMDL-RT takes its spectra."""


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
        raise ValueError(f"a tile of {tile} pixels cannot overlap by {overlap}: 0 <= overlap < tile must hold")
    return _blended(fuse, ir, vis, tile, overlap)


def _blended(fuse: Fuse, ir: Pixels, vis: Pixels, tile: int, overlap: int, margin: int = 0, grid: int = 1) -> Pixels:
    height, width = vis.shape[-2:]
    fused = namespace(vis).zeros_like(vis)
    for rows, row_weights in _spans(height, tile, overlap, margin, grid):
        for columns, column_weights in _spans(width, tile, overlap, margin, grid):
            piece = fuse(ir[..., rows, columns], vis[..., rows, columns])
            weights = (row_weights[:, None] * column_weights).astype(np.float32)
            fused[..., rows, columns] += piece * as_kind_of(weights, piece)
    return fused


def fuse_tiled_exactly(fuse: Fuse, ir: Pixels, vis: Pixels, *, tile: int, reach: int) -> Pixels:
    """Fuses tile by tile with the result of the whole picture, of a network that sees only so far.

    Tiles begin at multiples of `GRID` pixels, and what of them depends on their inner borders is not used.

    Args:
        fuse: As in `fuse_tiled`.
        ir: ``(B, 1, H, W)``.
        vis: Same shape.
        tile: As in `fuse_tiled`; at least `exact_tile` of ``reach``.
        reach: Pixels in each direction that an output pixel can depend on, at most.

    Returns:
        ``(B, 1, H, W)``.

    Raises:
        ValueError: If the tile is too small.
    """
    if tile < exact_tile(reach):
        raise ValueError(
            f"a tile of {tile} pixels is too small for a reach of {reach}; it must be at least {exact_tile(reach)}"
        )
    return _blended(fuse, ir, vis, tile // GRID * GRID, _exact_overlap(reach), reach, GRID)


def exact_tile(reach: int) -> int:
    """The smallest side of a tile in pixels for `fuse_tiled_exactly`."""
    return _exact_overlap(reach) + GRID


def _exact_overlap(reach: int) -> int:
    return -(-2 * reach // GRID) * GRID


def tile_count(height: int, width: int, *, tile: int, overlap: int) -> int:
    """How many tiles :func:`fuse_tiled` cuts a picture into."""
    return len(_starts(height, tile, overlap)) * len(_starts(width, tile, overlap))


def exact_tile_count(height: int, width: int, *, tile: int, reach: int) -> int:
    """How many tiles :func:`fuse_tiled_exactly` cuts a picture into."""
    spread = tile // GRID * GRID, _exact_overlap(reach), GRID
    return len(_starts(height, *spread)) * len(_starts(width, *spread))


def _starts(length: int, tile: int, overlap: int, grid: int = 1) -> list[int]:
    """Where tiles begin along one side, in multiples of ``grid``: evenly spread, the last one ends with the picture."""
    if length <= tile:
        return [0]
    last = -(-(length - tile) // grid)
    count = 1 - (-last // ((tile - overlap) // grid))
    return [grid * round(k * last / (count - 1)) for k in range(count)]


def _spans(
    length: int, tile: int, overlap: int, margin: int = 0, grid: int = 1
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """The tiles along one side, each with weights that sum to 1 over all tiles at every pixel.

    The weights are raised cosines over the tile, 0 within ``margin`` pixels of an end that is not the picture's,
    normalised where tiles overlap.
    """
    total = np.zeros(length)
    spans = [slice(start, min(length, start + tile)) for start in _starts(length, tile, overlap, grid)]
    bumps = [_bump(span, length, margin) for span in spans]
    for span, bump in zip(spans, bumps, strict=True):
        total[span] += bump
    for span, bump in zip(spans, bumps, strict=True):
        yield span, bump / total[span]


def _bump(span: slice, length: int, margin: int) -> NDArray[np.float64]:
    size = span.stop - span.start
    bump = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    if span.start > 0:
        bump[:margin] = 0
    if span.stop < length:
        bump[size - margin :] = 0
    return bump
