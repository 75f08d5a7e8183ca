"""Pictures brought onto one grid, with the part that the infrared one covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cmmdl.align.geometry import Matrix, Size, inverse, zoom
from cmmdl.align.transform import Alignment

Floats = NDArray[np.float32]
GRIDS = ("vis", "overlap", "ir")


@dataclass(frozen=True)
class Grid:
    """Whose pixels a fused picture has, and how both pictures come onto them.

    Attributes:
        size: Width and height of the grid.
        alignment: Infrared on visible.
        to_vis: 3x3 from pixels of the grid to those of the visible picture.
    """

    size: Size
    alignment: Alignment
    to_vis: Matrix

    def ir(self, picture: NDArray[Any]) -> NDArray[Any]:
        """The infrared picture on this grid; beyond its edge the nearest pixel goes on, NaN is filled likewise."""
        x, y = self.places_in_ir()
        return _sampled(_filled(_shrunk(picture, 1 / self._per_ir())), x, y, picture, self._per_ir())

    def vis(self, picture: NDArray[Any]) -> NDArray[Any]:
        """The visible picture on this grid; beyond its edge the nearest pixel goes on."""
        if np.array_equal(self.to_vis, np.eye(3)) and picture.shape[1::-1] == self.size:
            return picture
        if _whole_shift(self.to_vis):
            left, top = (round(float(v)) for v in self.to_vis[:2, 2])
            return picture[top : top + self.size[1], left : left + self.size[0]]
        x, y = _places(self.to_vis, self.size)
        return _sampled(_shrunk(picture, 1 / self._per_vis()), x, y, picture, self._per_vis())

    def cover(self, ir: NDArray[Any] | None = None, border: float | None = None) -> Floats:
        """``(height, width)`` 1 well inside the infrared picture, 0 outside it, smooth between.

        Args:
            ir: The infrared picture, where its NaN are to count as outside.
            border: Width of the transition in pixels of the grid; 2 % of the longer side by default.
        """
        border = 0.02 * max(self.size) if border is None else border
        width, height = self.alignment.ir_size
        known = np.ones((height, width), np.float32)
        if ir is not None and ir.dtype.kind == "f":
            known = np.isfinite(ir if ir.ndim == 2 else ir.mean(axis=2)).astype(np.float32)
        x, y = self.places_in_ir()
        inside = cv2.remap(known, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0) > 0.999
        inside &= (x >= -0.5) & (y >= -0.5) & (x <= width - 0.5) & (y <= height - 0.5)
        return soft(inside | self._whole(x, y, known), border)

    def _whole(self, x: Floats, y: Floats, known: Floats) -> NDArray[np.bool_]:
        """Pixels whose nearest infrared pixel exists: half a pixel of the frame lies outside all centres."""
        height, width = known.shape
        column, row = np.rint(x), np.rint(y)
        inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
        column, row = np.clip(column, 0, width - 1).astype(np.intp), np.clip(row, 0, height - 1).astype(np.intp)
        return inside & (known[row, column] > 0.5)

    def places_in_ir(self) -> tuple[Floats, Floats]:
        """Where each pixel of the grid lies in the infrared picture: x and y, each ``(height, width)``."""
        alignment = self.alignment
        if alignment.field is None:
            return _places(inverse(alignment.matrix) @ self.to_vis, self.size)
        x, y = _places(self.to_vis, self.size)
        width, height = alignment.vis_size
        rows, columns = alignment.field.shape[:2]
        u, v = x * ((columns - 1) / max(width - 1, 1)), y * ((rows - 1) / max(height - 1, 1))
        move = cv2.remap(alignment.field, u, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return _through(inverse(alignment.matrix), x + move[..., 0], y + move[..., 1])

    def _per_ir(self) -> float:
        return zoom(inverse(self.alignment.matrix) @ self.to_vis, self.size)

    def _per_vis(self) -> float:
        return zoom(self.to_vis, self.size)


def grid(alignment: Alignment, which: str = "vis") -> Grid:
    """The grid of the visible picture, of its part that infrared covers, or of the infrared picture.

    Args:
        alignment: Infrared on visible.
        which: ``vis``: every pixel of the visible picture. ``overlap``: the largest rectangle of these that the
            infrared picture covers. ``ir``: every pixel of the infrared picture; the visible one is resampled.

    Raises:
        ValueError: If ``which`` is none of these, or the pictures do not overlap.
    """
    if which not in GRIDS:
        raise ValueError(f"the grid must be one of {', '.join(GRIDS)}, not {which!r}")
    if which == "vis":
        return Grid(alignment.vis_size, alignment, np.eye(3))
    whole = Grid(alignment.vis_size, alignment, np.eye(3)).cover(border=0) > 0.5
    if which == "ir" and whole.any():
        return Grid(alignment.ir_size, alignment, alignment.matrix)
    left, top, width, height = largest_rectangle(whole)
    if not width:
        raise ValueError("the pictures do not overlap")
    return Grid((width, height), alignment, np.array([[1.0, 0, left], [0, 1, top], [0, 0, 1]]))


def onto_vis(ir: NDArray[Any], alignment: Alignment) -> NDArray[Any]:
    """The infrared picture on the visible one's grid, in its own number type."""
    return grid(alignment, "vis").ir(ir)


def blend(fused: NDArray[Any], vis: NDArray[Any], cover: Floats) -> NDArray[Any]:
    """The fused picture where infrared reaches, the visible one elsewhere, a soft border between.

    Args:
        fused: ``(height, width)`` or ``(height, width, channels)``.
        vis: Of the same shape and number type.
        cover: ``(height, width)`` from :meth:`Grid.cover`.
    """
    share = cover if fused.ndim == 2 else cover[..., None]
    mixed = vis + share * (fused.astype(np.float32) - vis)
    return mixed.astype(fused.dtype) if fused.dtype.kind == "f" else np.rint(mixed).astype(fused.dtype)


def soft(inside: NDArray[np.bool_], border: float) -> Floats:
    """A mask that rises from 0 at its edge to 1 at ``border`` pixels inside; the picture's own edge is none."""
    if border <= 0 or inside.all() or not inside.any():
        return inside.astype(np.float32)
    padded = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    x = np.clip(distance / border, 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)


def largest_rectangle(inside: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, width and height of the largest rectangle of true pixels; zeros where there is none."""
    best = (0, 0, 0, 0)
    heights = np.zeros(inside.shape[1], np.int64)
    for row, line in enumerate(inside):
        heights = np.where(line, heights + 1, 0)
        stack: list[int] = []
        for column in range(len(heights) + 1):
            height = heights[column] if column < len(heights) else 0
            while stack and heights[stack[-1]] >= height:
                tall = int(heights[stack.pop()])
                left = stack[-1] + 1 if stack else 0
                if tall * (column - left) > best[2] * best[3]:
                    best = (left, row - tall + 1, column - left, tall)
            stack.append(column)
    return best


def _whole_shift(matrix: Matrix) -> bool:
    return bool(np.array_equal(matrix[:2, :2], np.eye(2)) and np.array_equal(matrix[2], [0, 0, 1]))


def _places(matrix: Matrix, size: Size) -> tuple[Floats, Floats]:
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float64), np.arange(size[1], dtype=np.float64))
    return _through(matrix, x, y)


def _through(matrix: Matrix, x: NDArray[Any], y: NDArray[Any]) -> tuple[Floats, Floats]:
    depth = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    u = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / depth
    v = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / depth
    return u.astype(np.float32), v.astype(np.float32)


def _shrunk(picture: NDArray[Any], scale: float) -> NDArray[Any]:
    """The picture blurred for a grid with ``scale`` of its pixels a side, in floating point."""
    values = picture.astype(np.float64 if picture.dtype.kind in "iu" and picture.dtype.itemsize > 2 else np.float32)
    if scale > 0.75:
        return values
    return cv2.GaussianBlur(_filled(values), (0, 0), 0.5 * np.sqrt(1 / scale**2 - 1))


def _filled(picture: NDArray[Any]) -> NDArray[Any]:
    """NaN and infinities replaced by the nearest value."""
    if picture.dtype.kind != "f":
        return picture
    bad = ~np.isfinite(picture if picture.ndim == 2 else picture.sum(axis=2))
    if not bad.any() or bad.all():
        return np.nan_to_num(picture, posinf=0, neginf=0) if bad.all() else picture
    _, labels = cv2.distanceTransformWithLabels(bad.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    values = np.zeros((int(labels.max()) + 1, *picture.shape[2:]), picture.dtype)
    values[labels[~bad]] = picture[~bad]
    return np.where(bad if picture.ndim == 2 else bad[..., None], values[labels], picture)


def _sampled(values: NDArray[Any], x: Floats, y: Floats, like: NDArray[Any], step: float) -> NDArray[Any]:
    """Values at places, in the number type of ``like``; cubic where the picture is enlarged or kept."""
    how = cv2.INTER_CUBIC if step <= 1.3 else cv2.INTER_LINEAR
    found = cv2.remap(values, x, y, how, borderMode=cv2.BORDER_REPLICATE)
    if like.dtype.kind == "f":
        return found.astype(like.dtype)
    limits = np.iinfo(like.dtype)
    return np.rint(np.clip(found, limits.min, limits.max)).astype(like.dtype)
