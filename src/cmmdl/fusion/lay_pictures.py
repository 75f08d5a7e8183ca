"""An infrared picture laid on the visible one before both are fused: as found, as stored, or as told by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmmdl.align import Alignment, identity, register
from cmmdl.align.geometry import Matrix, middle, shifting, turning
from cmmdl.align.transform import load
from cmmdl.align.warp import Grid
from cmmdl.align.warp import grid as grid_of
from cmmdl.errors import UnusableError
from cmmdl.files.arrays import Pixels, namespace
from cmmdl.files.images import Note
from cmmdl.files.notes import UndoneNote
from cmmdl.files.pictures import Picture
from cmmdl.fusion.laid import Laid
from cmmdl.fusion.options import FuseOptions


def lay_pictures(ir: Picture, vis: Picture, options: FuseOptions, note: Note) -> Laid:
    """Lays an infrared picture on a visible one.

    A pair that cannot be laid surely stays as it is, and `note` says so.

    Args:
        ir: Infrared picture, one numpy array.
        vis: Visible picture, one numpy array.
        options: Says how: ``align``, ``transform``, ``shift``, ``zoom``, ``rotate``, ``grid``.
        note: Called with a line about what was done.

    Raises:
        UnusableError: If these are tensors or a batch, if a stored transform is of other fields of view, or nothing
            is left where both overlap.
    """
    first, second = array_of(ir), array_of(vis)
    found = nudged(base(first, second, ir, vis, options, note), options)
    try:
        grid = grid_of(found, options.grid or "vis")
        cover = cover_of(grid, first)
    except ValueError as error:
        raise UnusableError(
            f"{ir.name} and {vis.name} do not overlap; check --transform, --shift and --zoom"
        ) from error
    warped = first if options.grid == "ir" else grid.ir(first)
    return Laid(
        replace(ir, pixels=channels_first(warped)),
        replace(vis, pixels=channels_first(grid.vis(second))),
        cover,
        alignment=found,
        grid=options.grid or "vis",
    )


def cover_of(grid: Grid, ir: NDArray[Any]) -> NDArray[np.float32] | None:
    """How much of the fused picture counts on a grid; ``None`` where all of it does.

    Raises:
        ValueError: If the pictures do not overlap.
    """
    cover = grid.cover(ir)
    if not cover.any():
        raise ValueError("the pictures do not overlap")
    return None if cover.min() == 1 else cover


def base(
    first: NDArray[Any], second: NDArray[Any], ir: Picture, vis: Picture, options: FuseOptions, note: Note
) -> Alignment:
    """The transform before anything is moved by hand: stored, found, or plain resizing."""
    sizes = (first.shape[1], first.shape[0]), (second.shape[1], second.shape[0])
    if options.transform is not None:
        return stored(options.transform, *sizes, ir.name)
    if options.align is None:
        return identity(*sizes)
    found = register(first, second, None if options.align == "auto" else options.align)
    if found.ok:
        x, y = found.shift
        note(
            f"{Path(ir.name).name}: laid on the visible picture ({found.warp}), moved by up to "
            f"{found.largest_shift:.1f} px ({x:+.1f}, {y:+.1f} in the middle)"
        )
        return found
    words = found.status.replace("_", " ")
    if sizes[0] != sizes[1]:
        raise UnusableError(f"{ir.name} could not be laid on {vis.name} ({words}); give --transform, or leave it out")
    note(UndoneNote(f"{ir.name} could not be laid on {vis.name} ({words}); fused as they are"))
    return identity(*sizes)


def stored(
    transform: Alignment | str | Path, ir_size: tuple[int, int], vis_size: tuple[int, int], name: str
) -> Alignment:
    """A transform that was given, or that lies in a file, for pictures of these sizes.

    Raises:
        UnusableError: If it was stored as a failure, or for pictures of another aspect.
    """
    if isinstance(transform, Alignment):
        return transform.resized(ir_size, vis_size)
    path = str(transform)
    found = _loaded(path, _changed(path))
    if not found.ok:
        raise UnusableError(
            f"{path}: contains no reliable transform (status {found.status}); write another with `cmmdl align`"
        )
    if (found.ir_size, found.vis_size) == (ir_size, vis_size):
        return found
    for own, given, what in ((found.ir_size, ir_size, "infrared"), (found.vis_size, vis_size, "visible")):
        if abs(own[0] * given[1] - own[1] * given[0]) > max(own[0] * 1.0, own[0] * given[1] * 0.01):
            raise UnusableError(
                f"{path}: is for {what} pictures of {own[0]}x{own[1]}, {name} has one of {given[0]}x{given[1]}; "
                "write one for these with `cmmdl align --save`"
            )
    return found.resized(ir_size, vis_size)


@lru_cache(maxsize=4)
def _loaded(path: str, changed: int) -> Alignment:
    """The transform of a file as it was when it was last changed."""
    return load(path)


def _changed(path: str) -> int:
    return Path(path).stat().st_mtime_ns if Path(path).exists() else 0


def nudged(found: Alignment, options: FuseOptions) -> Alignment:
    """Moved, enlarged about the middle of the visible picture and turned by hand, on top of what was found."""
    if options.shift == (0, 0) and options.zoom == 1 and options.rotate == 0:
        return found
    return replace(found, matrix=by_hand(options, found.vis_size) @ found.matrix)


def by_hand(options: FuseOptions, vis_size: tuple[int, int]) -> Matrix:
    """What ``shift``, ``zoom`` and ``rotate`` ask for, on pixels of the visible picture."""
    return shifting(*options.shift) @ turning(options.rotate, options.zoom, middle(vis_size))


def covered(fused: Pixels, luma: Pixels, cover: NDArray[np.float32] | None) -> Pixels:
    """The fused luma where the infrared picture reaches, the visible one's elsewhere; ``(B, 1, H, W)`` both."""
    if cover is None:
        return fused
    share = namespace(fused).asarray(cover)
    return luma + share * (fused - luma)


def array_of(picture: Picture) -> NDArray[Any]:
    """The pixels ``(H, W)`` or ``(H, W, C)`` of one picture that is a numpy array.

    Raises:
        UnusableError: If it is a tensor or a batch.
    """
    if picture.kind == "tensor" or len(picture.pixels) != 1:
        raise UnusableError(f"{picture.name}: pictures are laid on each other one by one, not as tensors")
    array = np.ascontiguousarray(picture.pixels[0].transpose(1, 2, 0))
    return array[..., 0] if array.shape[2] == 1 else array


def channels_first(array: NDArray[Any]) -> NDArray[Any]:
    """``(H, W)`` or ``(H, W, C)`` as ``(1, C, H, W)``."""
    planes = array[..., None] if array.ndim == 2 else array
    return planes.transpose(2, 0, 1)[None]
