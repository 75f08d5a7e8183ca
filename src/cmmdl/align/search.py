"""Where to begin: the best places over scale and angle, by correlation of small edge maps in the Fourier domain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from cmmdl.align.geometry import Matrix, inverse, middle, resizing, shifting, turning
from cmmdl.align.maps import Floats, Plane, floats, small, structure

Spectrum = NDArray[np.complex64]

LEAST_OVERLAP = 0.4
"""Share of the shorter side that must lie on the other picture."""


@dataclass(frozen=True)
class Start:
    """A guess at the transform.

    Attributes:
        matrix: 3x3, infrared to visible pixels; a similarity.
        score: Normalised correlation of the edge maps there, at most 1.
        ratio: Width of the infrared picture as seen on the visible one, as a share of that.
        degrees: Rotation, clockwise on the screen.
    """

    matrix: NDArray[np.float64]
    score: float
    ratio: float
    degrees: float


def spectra(maps: Floats, shape: tuple[int, int]) -> list[Spectrum]:
    """A picture's edge maps in the Fourier domain: the doubled angle, and the quadrupled."""
    return [fft.fft2(maps[..., i] + 1j * maps[..., i + 1], shape) for i in (0, 2)]


@dataclass(frozen=True)
class Norm:
    """What correlations of two pictures are divided by.

    Attributes:
        root: ``(height, width)`` root of the product of both energies in the overlap at every shift, over the root of
            the overlap's share: few pixels agree by chance more often than many.
        enough: ``(height, width)`` whether the overlap is large enough.
    """

    root: Floats
    enough: NDArray[np.bool_]


def norm(ir: Floats, ir_known: Floats, vis: Floats, vis_known: Floats, shape: tuple[int, int]) -> Norm:
    """The :class:`Norm` of edge maps ``(height, width, 4)`` at every shift of one over the other."""
    (energy, known), (other, visible) = (
        [fft.rfft2(values, shape) for values in ((maps * maps).sum(axis=2), pixels)]
        for maps, pixels in ((ir, ir_known), (vis, vis_known))
    )
    of_vis, of_ir, overlap = (
        fft.irfft2(np.conj(a) * b, shape) for a, b in ((known, other), (energy, visible), (known, visible))
    )
    least = 0.1 * min(energy[0, 0].real, other[0, 0].real)
    root = np.sqrt((np.maximum(of_vis, 0) + least) * (np.maximum(of_ir, 0) + least))
    share = np.maximum(overlap, 0) / max(float(min(ir_known.sum(), vis_known.sum())), 1.0)
    fewer = np.sqrt(np.maximum(share, 0.1))
    return Norm(floats(np.maximum(root / fewer, 1e-6)), share >= LEAST_OVERLAP)


def turned(maps: Floats, degrees: float) -> tuple[Floats, Matrix]:
    """Edge maps turned about the middle by a few degrees within their frame, and the 3x3 matrix."""
    size = maps.shape[1], maps.shape[0]
    turn = turning(degrees, 1.0, middle(size))
    if not degrees:
        return maps, turn
    moved = cv2.warpAffine(maps, turn[:2], size)
    for i, times in ((0, 2), (2, 4)):
        plane = (moved[..., i] + 1j * moved[..., i + 1]) * np.exp(1j * times * np.deg2rad(degrees))
        moved[..., i], moved[..., i + 1] = plane.real, plane.imag
    return floats(moved), turn


def peaks(surface: Floats, count: int, apart: int = 4) -> list[tuple[int, int, float]]:
    """The highest local maxima, as row, column and value."""
    kernel = np.ones((2 * apart + 1, 2 * apart + 1), np.uint8)
    top = (surface >= cv2.dilate(surface, kernel)) & (surface > 0)
    rows, columns = np.nonzero(top)
    best = np.argsort(-surface[rows, columns])[:count]
    return [(int(rows[i]), int(columns[i]), float(surface[rows[i], columns[i]])) for i in best]


class Search:
    """Correlates an infrared picture with a visible one over scales and angles.

    Args:
        ir: The infrared picture.
        vis: The visible one.
        long_side: Of the visible picture where both have the same field of view, in pixels; by as much as one is
            wider, it is shown larger than that by the root, and the other smaller.
    """

    def __init__(self, ir: Plane, vis: Plane, long_side: int) -> None:
        self.ir, self.vis, self.long_side = ir, vis, long_side
        self.reduced = [small(one, min(1.0, 2.5 * long_side / max(one.size))) for one in (ir, vis)]

    def at(self, ratio: float, angles: tuple[float, ...], count: int = 3) -> Iterator[Start]:
        """The best places for one scale and several angles."""
        shrunk = self.long_side / max(self.vis.size) * ratio**-0.5
        per_ir = ratio * self.vis.size[0] / self.ir.size[0] * shrunk
        ir = small(self.reduced[0], per_ir * self.ir.size[0] / self.reduced[0].size[0])
        vis = small(self.reduced[1], shrunk * self.vis.size[0] / self.reduced[1].size[0])
        to_vis = inverse(resizing(self.vis.size, vis.size))
        from_ir = resizing(self.ir.size, ir.size)
        maps, visible = structure(ir.grey, ir.known), structure(vis.grey, vis.known)
        shape = padded(ir.known.shape, vis.known.shape)
        fixed, scale = spectra(visible, shape), norm(maps, ir.known, visible, vis.known, shape)
        for degrees in angles:
            moved, turn = turned(maps, degrees)
            product = sum(np.conj(a) * b for a, b in zip(spectra(moved, shape), fixed, strict=True))
            surface = np.where(scale.enough, fft.ifft2(product).real / scale.root, -1)
            for row, column, value in peaks(floats(surface), count):
                y = row if row < vis.size[1] else row - shape[0]
                x = column if column < vis.size[0] else column - shape[1]
                yield Start(to_vis @ shifting(x, y) @ turn @ from_ir, value, ratio, degrees)


def padded(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, int]:
    """Height and width for the transforms, so that shifts with enough overlap do not wrap around."""
    sides = (one + two - LEAST_OVERLAP * min(one, two) + 1 for one, two in zip(a, b, strict=True))
    height, width = (fft.next_fast_len(int(side)) for side in sides)
    return height, width


def scales(least: float, most: float, step: float) -> list[float]:
    """Ratios from ``least`` to ``most`` in equal steps of the logarithm, 1 among them where the range holds it."""
    first, last = round(np.log(least) / np.log(step)), round(np.log(most) / np.log(step))
    return [float(step**i) for i in range(first, last + 1)]
