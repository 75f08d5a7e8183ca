"""Thumbnails compared in a few milliseconds: one correlation of the whole, straight and mirrored, then blocks.

Leaner than the maps and blocks of ``register``: one complex number a pixel, no map of known pixels, a similarity in
closed form. Shifts are complex numbers too, x + iy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from cmmdl.align.geometry import Size
from cmmdl.align.maps import Floats, floats

Complex = NDArray[np.complex64]

RADIUS = 5
"""Pixels that a block may lie off the shift of the whole."""
WIDTHS = (4.0, 2.5, 1.5)
"""Sigma of the neighbourhood looked at in each round of the fit, in pixels."""
SHARPNESS = 25.0
"""How much likelier a shift becomes with each unit of correlation (natural logarithm)."""
STIFF = 0.02
"""Weight that holds rotation and scale at none."""
NEAR = 2.0
"""Distance within which a block's own best place counts as agreeing."""


def thumbnail(picture: NDArray[Any], long_side: int) -> Floats:
    """The picture as grey levels in its own units, its longer side ``long_side`` or as it is; NaN where it has none."""
    height, width = picture.shape[:2]
    scale = min(1.0, long_side / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    simple = picture if picture.dtype in (np.uint8, np.uint16, np.float32) else picture.astype(np.float32)
    if simple.ndim == 3:
        simple = cv2.cvtColor(simple, cv2.COLOR_RGB2GRAY) if simple.shape[2] == 3 else simple[..., 0]
    return floats(cv2.resize(np.ascontiguousarray(simple), size, interpolation=cv2.INTER_AREA))


def edges(thumb: Floats) -> Complex:
    """Edge directions without a sign as in :func:`cmmdl.align.maps.structure`, the doubled angle only."""
    inside = np.zeros_like(thumb)
    inside[2:-2, 2:-2] = 1
    if not np.isfinite(thumb.sum()):
        known = np.isfinite(thumb)
        inside *= cv2.erode(floats(known), np.ones((5, 5), np.uint8))
        thumb = np.where(known, thumb, thumb[known].mean() if known.any() else 0).astype(np.float32)
    smooth = cv2.GaussianBlur(thumb, (5, 5), 1.0)
    x, y = (cv2.Sobel(smooth, cv2.CV_32F, *way) * inside for way in ((1, 0), (0, 1)))
    strength = cv2.magnitude(x, y)
    reach = max(5, (max(thumb.shape) // 5) | 1)
    ratio = strength / (strength + cv2.blur(strength, (reach, reach)) + float(strength.mean()) + 1e-9)
    weight = ratio * np.sqrt(ratio) / (strength * strength + 1e-12)
    maps = cv2.merge([(x * x - y * y) * weight, 2 * x * y * weight])
    return np.ascontiguousarray(cv2.blur(maps, (3, 3))).view(np.complex64)[..., 0]


def mirror(maps: Complex) -> Complex:
    """Edge maps with left and right exchanged."""
    return np.conj(maps[:, ::-1])


def peaks(ir: Complex, vis: Complex) -> list[tuple[float, complex]]:
    """Correlates all of both, straight and mirrored.

    Returns:
        For each of the two the height of the peak, and the shift of ``ir`` there.
    """
    shape = [fft.next_fast_len(side * 4 // 3) for side in vis.shape]
    straight, mirrored, fixed = fft.fft2(np.stack([ir, mirror(ir), vis]), shape)
    surfaces = fft.ifft2(np.stack([np.conj(straight) * fixed, np.conj(mirrored) * fixed])).real
    found = []
    for surface in surfaces:
        row, column = divmod(int(surface.argmax()), shape[1])
        x, y = column - shape[1] * (column > shape[1] // 2), row - shape[0] * (row > shape[0] // 2)
        found.append((float(surface[row, column]), complex(x, y)))
    return found


@dataclass(frozen=True)
class Blocks:
    """How well each block of the visible thumbnail fits at each shift around that of the whole.

    Attributes:
        centres: ``(blocks,)`` complex.
        values: ``(blocks, 11, 11)`` correlation, rows are vertical shifts.
        weight: ``(blocks,)`` share of structure; their sum is 1.
        size: Width and height of the thumbnail.
    """

    centres: NDArray[np.complex128]
    values: Floats
    weight: Floats
    size: Size


def blocks(ir: Complex, vis: Complex, shift: complex) -> Blocks:
    """Correlates blocks with the other picture around one shift.

    Args:
        ir: Edge maps of the infrared thumbnail.
        vis: Of the visible one, of the same size.
        shift: Of ``ir``, whole numbers.
    """
    height, width = vis.shape
    side = min(max(width, height) // 4, width, height)
    places = [(y, x) for y in firsts(height, side) for x in firsts(width, side)]
    fixed, moving = windows(ir, vis, shift, places, side)
    own, there = energy(fixed), energy(moving) * (side / (side + 2 * RADIUS)) ** 2
    values = fft.ifft2(np.conj(fft.fft2(fixed)) * fft.fft2(moving)).real[:, : 2 * RADIUS + 1, : 2 * RADIUS + 1]
    typical, typical_there = own.mean(), there.mean()
    norm = np.sqrt((own + 0.15 * typical + 1e-6) * (there + 0.15 * typical_there + 1e-6))
    weight = np.minimum(1, own / (typical + 1e-9)) + 1e-9
    centres = np.array([x + 1j * y for y, x in places]) + (side - 1) / 2 * (1 + 1j)
    return Blocks(centres, floats(values / norm[:, None, None]), floats(weight / weight.sum()), (width, height))


def windows(ir: Complex, vis: Complex, shift: complex, places: list[tuple[int, int]], side: int) -> tuple[Complex, ...]:
    """Blocks of ``vis`` and what lies around them in ``ir`` at a shift, both padded with zeros for the transforms."""
    (height, width), (x, y) = vis.shape, (int(shift.real), int(shift.imag))
    wide, rim = side + 2 * RADIUS, RADIUS + max(abs(x), abs(y))
    around = np.zeros((height + 2 * rim, width + 2 * rim), np.complex64)
    around[rim : rim + height, rim : rim + width] = ir
    fast = fft.next_fast_len(wide)
    fixed, moving = np.zeros((2, len(places), fast, fast), np.complex64)
    for k, (row, column) in enumerate(places):
        top, left = row + rim - RADIUS - y, column + rim - RADIUS - x
        fixed[k, :side, :side] = vis[row : row + side, column : column + side]
        moving[k, :wide, :wide] = around[top : top + wide, left : left + wide]
    return fixed, moving


def firsts(length: int, side: int) -> list[int]:
    """First pixels of blocks that cover a side evenly."""
    count = max(2, round(1.3 * length / side) - 1)
    return [i * (length - side) // (count - 1) for i in range(count)]


def energy(maps: Complex) -> Floats:
    """Sum of squares of each block."""
    flat = maps.reshape(len(maps), -1).view(np.float32)
    return np.einsum("ki,ki->k", flat, flat)


@dataclass(frozen=True)
class Similarity:
    """Shifts of all blocks from one shift, rotation and scale.

    Attributes:
        middle: Where ``shift`` holds.
        shift: In pixels.
        slope: Change of the shift with each pixel of the place: scale and, times i, rotation.
    """

    middle: complex
    shift: complex
    slope: complex

    def at(self, places: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """The shifts at places."""
        return self.shift + self.slope * (places - self.middle)


def agree(found: Blocks) -> Similarity:
    """The similarity that most blocks agree with, by mean shift as in :func:`cmmdl.align.fit.agree`."""
    likely = np.exp(SHARPNESS * found.values)
    typical = likely.mean(axis=(1, 2))
    side = np.arange(-RADIUS, RADIUS + 1, dtype=np.float32)
    extent = float(np.hypot(*found.size)) / 2
    middle = complex(found.centres.mean())
    places = (found.centres - middle) / extent
    shift = slope = 0j
    for width in WIDTHS:
        now = (shift + slope * places).astype(np.complex64)
        near_x = np.exp((side - now.real[:, None]) ** 2 * np.float32(-0.5 / width**2))
        near_y = np.exp((side - now.imag[:, None]) ** 2 * np.float32(-0.5 / width**2))
        by_x = (near_y[:, None, :] @ likely)[:, 0] * near_x
        by_y = (likely @ near_x[:, :, None])[:, :, 0] * near_y
        mass = by_x.sum(axis=1) + 1e-12
        target = (by_x @ side + 1j * (by_y @ side)) / mass
        there = mass / (near_x.sum(axis=1) * near_y.sum(axis=1) * typical)
        trust = found.weight * np.clip(np.log(there + 1e-9), 0.02, 4)
        trust = trust / trust.sum()
        place, goal = (trust * places).sum(), (trust * target).sum()
        off = places - place
        slope = (trust * (target - goal) * np.conj(off)).sum() / ((trust * abs(off) ** 2).sum() + STIFF)
        shift = goal - slope * place
    return Similarity(middle, complex(shift), complex(slope) / extent)


def strength(found: Blocks, fit: Similarity) -> float:
    """How many blocks' own best places agree beyond chance, in standard deviations of a share."""
    count, side = len(found.values), 2 * RADIUS + 1
    best = found.values.reshape(count, -1).argmax(axis=1)
    own = best % side + 1j * (best // side) - RADIUS * (1 + 1j)
    agrees = abs(own - fit.at(found.centres)) <= NEAR
    chance = np.pi * NEAR**2 / side**2
    return float((found.weight[agrees].sum() - chance) / (1 - chance) / np.sqrt((found.weight**2).sum()))


def likeness(found: Blocks, shifts: NDArray[np.complex128]) -> float:
    """Mean correlation of the blocks at their shifts, less that of all shifts; those out of reach count 0."""
    x, y = shifts.real + RADIUS, shifts.imag + RADIUS
    inside = (x >= 0) & (y >= 0) & (x <= 2 * RADIUS) & (y <= 2 * RADIUS)
    column, row = (np.clip(values, 0, 2 * RADIUS - 1e-6).astype(int) for values in (x, y))
    u, v, k, values = x - column, y - row, np.arange(len(x)), found.values
    above = (1 - u) * values[k, row, column] + u * values[k, row, column + 1]
    below = (1 - u) * values[k, row + 1, column] + u * values[k, row + 1, column + 1]
    there = np.where(inside, (1 - v) * above + v * below, 0)
    return float((found.weight * (there - found.values.mean(axis=(1, 2)))).sum())
