"""Both pictures on one grid at one resolution, and one round of refinement there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cmmdl.align.blocks import Surfaces, surfaces
from cmmdl.align.fit import agree, excess
from cmmdl.align.geometry import Matrix, Size, inverse, overlap, resizing, zoom
from cmmdl.align.maps import Floats, Plane, floats, small, structure


@dataclass(frozen=True)
class Level:
    """Edge maps of both pictures on a grid that covers their overlap.

    Attributes:
        vis: ``(height, width, 4)`` of the visible picture.
        ir: The same of the infrared one under the present transform.
        both: ``(height, width)`` 1 where both are known.
        matrix: 3x3 from the grid to the visible picture's pixels.
    """

    vis: Floats
    ir: Floats
    both: Floats
    matrix: Matrix


def level(ir: Plane, vis: Plane, matrix: Matrix, long_side: int) -> Level | None:
    """Edge maps of both on a grid whose longer side has at most ``long_side`` pixels; None without an overlap."""
    box = overlap(matrix, ir.size, vis.size)
    if box is None:
        return None
    left, top, right, bottom = box
    per_ir = zoom(matrix, ir.size)
    scale = min(1.0, long_side / max(right - left + 1, bottom - top + 1), 1.5 / per_ir)
    width, height = max(8, round((right - left + 1) * scale)), max(8, round((bottom - top + 1) * scale))
    to_vis = np.array([[1 / scale, 0, left + 0.5 / scale - 0.5], [0, 1 / scale, top + 0.5 / scale - 0.5], [0, 0, 1]])
    here = inverse(to_vis)
    visible = onto(vis, here, (width, height), scale)
    infrared = onto(ir, here @ matrix, (width, height), scale * per_ir)
    reach = max(6.0, max(width, height) / 16)
    return Level(
        structure(visible.grey, visible.known, reach=reach),
        structure(infrared.grey, infrared.known, reach=reach),
        visible.known * infrared.known,
        to_vis,
    )


def onto(picture: Plane, matrix: Matrix, size: tuple[int, int], scale: float) -> Plane:
    """The picture through a matrix onto a grid, without aliasing where it shrinks."""
    if scale < 0.75:
        before = picture.size
        picture = small(picture, scale)
        matrix = matrix @ inverse(resizing(before, picture.size))
    grey = cv2.warpPerspective(picture.grey, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    known = cv2.warpPerspective(picture.known, matrix, size)
    return Plane(floats(grey), floats(known > 0.99))


LEAST_BLOCK = 36
"""Pixels of the smallest blocks."""


@dataclass(frozen=True)
class Rule:
    """How one round looks.

    Attributes:
        long_side: Of the grid at most, in pixels; an overlap of fewer pixels has a smaller grid.
        size: Of the blocks on the largest grid, in pixels, half of which lies between them; on a smaller grid they
            shrink with the root, so that there are enough of them.
        radius: Of the search, in pixels.
        widths: Sigma of the neighbourhood that each block looks at from the common transform, round after round.
    """

    long_side: int
    size: int
    radius: int
    widths: tuple[float, ...]


@dataclass(frozen=True)
class Refined:
    """What one round found.

    Attributes:
        matrix: 3x3 from infrared to visible pixels.
        surfaces: Likeness of the blocks on the grid.
        step: 3x3 from visible to infrared on the grid: the correction.
        grid: 3x3 from the grid to visible pixels.
        size: Width and height of the grid.
    """

    matrix: Matrix
    surfaces: Surfaces
    step: Matrix
    grid: Matrix
    size: Size

    @property
    def score(self) -> float:
        """How far the transform stands out of other shifts of the blocks, times the root of their number."""
        return excess(self.surfaces, self.step) * float(np.sqrt(self.surfaces.weight.sum()))


def refine(ir: Plane, vis: Plane, matrix: Matrix, model: str, rule: Rule) -> Refined | None:
    """A better transform after one round on one grid; None where the pictures share too little."""
    here = level(ir, vis, matrix, rule.long_side)
    if here is None:
        return None
    size = (here.both.shape[1], here.both.shape[0])
    side = max(LEAST_BLOCK, round(rule.size * min(1, max(size) / rule.long_side) ** 0.5))
    found = surfaces(here.vis, here.ir, here.both, size=side, step=side // 2, radius=rule.radius)
    if len(found.centres) < 4:
        return None
    step = agree(found, model, widths=rule.widths, extent=float(np.hypot(*size)) / 2)
    return Refined(corrected(matrix, step, here.matrix), found, step, here.matrix, size)


def corrected(matrix: Matrix, step: Matrix, grid: Matrix) -> Matrix:
    """Infrared to visible, after blocks of the visible picture were found ``step`` further in the infrared one."""
    better = grid @ inverse(step) @ inverse(grid) @ matrix
    return better / better[2, 2]
