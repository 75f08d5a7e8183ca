"""How an infrared picture lies on a visible one: the answer, its words and its file."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmmdl.align.geometry import Matrix, Points, Size, corners, middle, moved, resizing, sane, slopes
from cmmdl.errors import UserError
from cmmdl.files.atomic import write_bytes

WARPS = ("translation", "similarity", "affine", "homography", "elastic")
FAILURES = ("mirrored", "foreign", "too_little_structure", "low_confidence", "degenerate")


def tolerance(vis_size: Size) -> float:
    """Shift in pixels of the visible picture up to which a pair counts as aligned: 4, or 0.6 % of the width."""
    return max(4.0, 0.006 * vis_size[0])


@dataclass(frozen=True)
class Alignment:
    """Where the infrared picture lies on the visible one.

    Attributes:
        matrix: 3x3 float64 from pixels of the infrared picture to those of the visible one (x right, y down, whole
            numbers at pixel centres). Where ``status`` is a failure, the best guess, for reading only.
        warp: One of :data:`WARPS`.
        ir_size: Width and height of the infrared picture.
        vis_size: Width and height of the visible picture.
        status: ``ok``, or one of :data:`FAILURES`.
        residual_px: How far the blocks that agree lie off the transform, as a median in pixels of the visible picture.
        confidence: From 0 to 1.
        field: ``(rows, columns, 2)`` float32 for ``elastic``: what is to be added to x and y of the visible grid
            before the inverse matrix, on points spread evenly from corner pixel to corner pixel.
    """

    matrix: Matrix
    warp: str
    ir_size: Size
    vis_size: Size
    status: str = "ok"
    residual_px: float = 0.0
    confidence: float = 1.0
    field: NDArray[np.float32] | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the transform is to be trusted."""
        return self.status == "ok"

    def displaced(self, points: Points) -> Points:
        """How far points of the infrared picture lie from where plain resizing puts them, in visible pixels."""
        return moved(self.matrix, points) - moved(resizing(self.ir_size, self.vis_size), points)

    @property
    def shift(self) -> tuple[float, float]:
        """Right and down shift in the middle, in pixels of the visible picture."""
        x, y = self.displaced(np.array([middle(self.ir_size)]))[0]
        return float(x), float(y)

    @property
    def corner_shifts(self) -> list[tuple[float, float]]:
        """Shifts at the corners, clockwise from the top left, in pixels of the visible picture."""
        return [(float(x), float(y)) for x, y in self.displaced(corners(self.ir_size))]

    @property
    def largest_shift(self) -> float:
        """Of the middle and the corners, in pixels of the visible picture."""
        return max(float(np.hypot(x, y)) for x, y in (self.shift, *self.corner_shifts))

    @property
    def scale(self) -> float:
        """Size of the infrared picture on the visible one, against plain resizing (1 where fields of view agree)."""
        plain = np.linalg.det(resizing(self.ir_size, self.vis_size)[:2, :2])
        return float(np.sqrt(abs(np.linalg.det(slopes(self.matrix, self.ir_size))) / plain))

    @property
    def degrees(self) -> float:
        """Rotation, clockwise on the screen."""
        (a, b), (c, d) = slopes(self.matrix, self.ir_size)
        return float(np.rad2deg(np.arctan2(c - b, a + d)))

    def verdict(self, within: float | None = None) -> str:
        """``aligned`` or ``shifted`` for a sure answer, otherwise the status.

        Args:
            within: Largest shift of an aligned pair in pixels; :func:`tolerance` by default.
        """
        if not self.ok:
            return self.status
        within = tolerance(self.vis_size) if within is None else within
        return "aligned" if self.largest_shift <= within else "shifted"

    def warp_ir(self, ir: NDArray[Any]) -> NDArray[Any]:
        """See :func:`cmmdl.align.warp.onto_vis`."""
        from cmmdl.align.warp import onto_vis

        return onto_vis(ir, self)

    def resized(self, ir_size: Size, vis_size: Size) -> Alignment:
        """The same transform for pictures of other sizes with the same fields of view."""
        before, after = resizing(ir_size, self.ir_size), resizing(self.vis_size, vis_size)
        matrix = after @ self.matrix @ before
        grid = None if self.field is None else self.field * np.float32(np.diag(after)[:2])
        return replace(self, matrix=matrix / matrix[2, 2], ir_size=ir_size, vis_size=vis_size, field=grid)


def identity(ir_size: Size, vis_size: Size) -> Alignment:
    """Plain resizing: the whole infrared picture on the whole visible one."""
    return Alignment(resizing(ir_size, vis_size), "translation", ir_size, vis_size)


def save(alignment: Alignment, path: str | os.PathLike[str]) -> None:
    """Writes the transform as JSON, and the field of an elastic one as ``.npy`` beside it.

    Raises:
        UnwritableError: If the file cannot be written.
    """
    path = Path(path)
    words: dict[str, Any] = {
        "matrix": [[float(f"{value:.9g}") for value in row] for row in alignment.matrix],
        "warp": alignment.warp,
        "ir_size": list(alignment.ir_size),
        "vis_size": list(alignment.vis_size),
        "status": alignment.status,
        "residual_px": round(alignment.residual_px, 3),
        "confidence": round(alignment.confidence, 3),
    }
    if alignment.field is not None:
        words["field"] = field_file(path).name
        held = io.BytesIO()
        np.save(held, alignment.field)
        write_bytes(field_file(path), held.getvalue())
    write_bytes(path, (json.dumps(words, indent=1) + "\n").encode())
    if alignment.field is None:
        field_file(path).unlink(missing_ok=True)  # of an elastic transform that was there before


def field_file(path: Path) -> Path:
    """Where the field of an elastic transform lies: beside its JSON."""
    return path.with_name(f"{path.stem}.field.npy")


def load(path: str | os.PathLike[str]) -> Alignment:
    """Reads what :func:`save` wrote.

    Raises:
        UserError: If the file is missing, is not such a transform, or holds one that cannot be undone.
    """
    path = Path(path)
    try:
        words = json.loads(path.read_text(encoding="utf-8"))
        matrix = np.array(words["matrix"], np.float64).reshape(3, 3)
        ir_size, vis_size = _size(words["ir_size"]), _size(words["vis_size"])
        found = Alignment(
            matrix,
            str(words.get("warp", "homography")),
            ir_size,
            vis_size,
            str(words.get("status", "ok")),
            float(words.get("residual_px", 0)),
            float(words.get("confidence", 1)),
            _field(path, words),
        )
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a transform as `cmmdl align --save` writes it ({error})") from error
    if not sane(matrix, ir_size):
        raise UserError(f"{path}: the matrix cannot be undone or folds the picture; write it again with `cmmdl align`")
    return found


def _size(values: Any) -> Size:
    width, height = (int(value) for value in values)
    if width < 1 or height < 1:
        raise ValueError("sizes are at least 1 pixel")
    return width, height


def _field(path: Path, words: dict[str, Any]) -> NDArray[np.float32] | None:
    if not words.get("field"):
        return None
    beside = path.parent / Path(str(words["field"])).name
    if not beside.is_file():
        raise UserError(f"{path}: its field {beside.name} is not beside it; copy both files, or write them again")
    grid = np.load(beside, allow_pickle=False)
    if grid.ndim != 3 or grid.shape[2] != 2 or not np.isfinite(grid).all():
        raise ValueError("its field is not (rows, columns, 2) finite numbers")
    return grid.astype(np.float32)
