"""Where to begin: the best places over scale and angle, by correlation of small edge maps in the Fourier domain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from cmmdl.align.geometry import inverse, resizing
from cmmdl.align.maps import Floats, Plane, floats, small, structure

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


class Spectra:
    """A picture's edge maps and their energy in the Fourier domain."""

    def __init__(self, maps: Floats, known: Floats, shape: tuple[int, int]) -> None:
        self.maps = [fft.fft2(maps[..., i] + 1j * maps[..., i + 1], shape) for i in (0, 2)]
        energy = (maps * maps).sum(axis=2)
        self.total = float(energy.sum())
        self.area = float(known.sum())
        self.energy = fft.rfft2(energy, shape)
        self.known = fft.rfft2(known, shape)


def correlation(a: Spectra, b: Spectra, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Normalised correlation at every shift of ``a`` over ``b``, and the overlap in pixels."""
    product = fft.ifft2(sum(np.conj(x) * y for x, y in zip(a.maps, b.maps, strict=True))).real
    under_a = fft.irfft2(np.conj(a.known) * b.energy, shape)
    under_b = fft.irfft2(np.conj(a.energy) * b.known, shape)
    overlap = fft.irfft2(np.conj(a.known) * b.known, shape)
    least = 0.1 * min(a.total, b.total)
    energy = np.sqrt((np.maximum(under_a, 0) + least) * (np.maximum(under_b, 0) + least))
    return (product / np.sqrt(np.maximum(energy, 1e-6))).astype(np.float32), overlap.astype(np.float32)


def turned(maps: Floats, known: Floats, degrees: float) -> tuple[Floats, Floats, NDArray[np.float64]]:
    """Edge maps turned about the middle onto a canvas that holds them, their known pixels, and the 3x3 matrix."""
    height, width = known.shape
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle), np.sin(angle)
    wide, high = int(np.ceil(width * abs(c) + height * abs(s))), int(np.ceil(width * abs(s) + height * abs(c)))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    middle = np.array([(width - 1) / 2, (height - 1) / 2, 1])
    turn[:2, 2] = np.array([(wide - 1) / 2, (high - 1) / 2]) - (turn @ middle)[:2]
    moved = cv2.warpAffine(maps, turn[:2], (wide, high))
    phases = np.exp(1j * angle * np.array([2, 4]))
    for i, phase in zip((0, 2), phases, strict=True):
        plane = (moved[..., i] + 1j * moved[..., i + 1]) * phase
        moved[..., i], moved[..., i + 1] = plane.real, plane.imag
    return floats(moved), floats(cv2.warpAffine(known, turn[:2], (wide, high)) > 0.5), turn.astype(np.float64)


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
        self.ready: dict[tuple[int, int, int, int], Spectra] = {}

    def at(self, ratio: float, angles: tuple[float, ...], count: int = 3) -> Iterator[Start]:
        """The best places for one scale and several angles."""
        shrunk = self.long_side / max(self.vis.size) * ratio**-0.5
        per_ir = ratio * self.vis.size[0] / self.ir.size[0] * shrunk
        ir = small(self.reduced[0], per_ir * self.ir.size[0] / self.reduced[0].size[0])
        vis = small(self.reduced[1], shrunk * self.vis.size[0] / self.reduced[1].size[0])
        to_vis = inverse(resizing(self.vis.size, vis.size))
        from_ir = resizing(self.ir.size, ir.size)
        maps = structure(ir.grey, ir.known)
        visible = structure(vis.grey, vis.known)
        for degrees in angles:
            moved, known, turn = turned(maps, ir.known, degrees)
            shape = padded(known.shape, vis.known.shape)
            key = (*shape, *vis.size)
            if key not in self.ready:
                self.ready[key] = Spectra(visible, vis.known, shape)
            a, b = Spectra(moved, known, shape), self.ready[key]
            surface, overlap = correlation(a, b, shape)
            surface[overlap < LEAST_OVERLAP * min(a.area, b.area)] = -1
            for row, column, value in peaks(surface, count):
                y = row if row < vis.size[1] else row - shape[0]
                x = column if column < vis.size[0] else column - shape[1]
                shift = np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])
                yield Start(to_vis @ shift @ turn @ from_ir, value, ratio, degrees)


def padded(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, int]:
    """Height and width for the transforms, so that shifts with enough overlap do not wrap around."""
    sides = (one + two - LEAST_OVERLAP * min(one, two) + 1 for one, two in zip(a, b, strict=True))
    height, width = (fft.next_fast_len(int(side)) for side in sides)
    return height, width


def scales(least: float, most: float, step: float) -> list[float]:
    """Ratios from ``least`` to ``most`` in equal steps of the logarithm, 1 among them where the range holds it."""
    first, last = round(np.log(least) / np.log(step)), round(np.log(most) / np.log(step))
    return [float(step**i) for i in range(first, last + 1)]
