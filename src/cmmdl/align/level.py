"""Both pictures on one grid at one resolution, and one round of refinement there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cmmdl.align.blocks import Surfaces, surfaces
from cmmdl.align.fit import agree
from cmmdl.align.geometry import Matrix, overlap, resizing, zoom
from cmmdl.align.maps import Floats, Plane, small, structure


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
    here = np.linalg.inv(to_vis)
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
        matrix = matrix @ np.linalg.inv(resizing(before, picture.size))
    grey = cv2.warpPerspective(picture.grey, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    known = cv2.warpPerspective(picture.known, matrix, size)
    return Plane(grey, (known > 0.99).astype(np.float32))


@dataclass(frozen=True)
class Rule:
    """How one round looks."""

    long_side: int
    size: int
    step: int
    radius: int
    widths: tuple[float, ...]


def refine(ir: Plane, vis: Plane, matrix: Matrix, model: str, rule: Rule) -> tuple[Matrix, Surfaces, Matrix] | None:
    """Better transform after one round; with it the surfaces, and the correction on their grid."""
    here = level(ir, vis, matrix, rule.long_side)
    if here is None:
        return None
    found = surfaces(here.vis, here.ir, here.both, size=rule.size, step=rule.step, radius=rule.radius)
    if len(found.centres) < 4:
        return None
    height, width = here.both.shape
    step = agree(found, model, widths=rule.widths, extent=float(np.hypot(width, height)) / 2)
    # blocks of the visible picture at x are found in the infrared one at x + shift: step takes visible to infrared
    back = np.linalg.inv(here.matrix)
    return here.matrix @ np.linalg.inv(step) @ back @ matrix, found, step
