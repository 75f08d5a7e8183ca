"""Temperatures and a photo brought onto one grid, with the part that the temperatures cover."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmmdl.align import Alignment, identity, register
from cmmdl.align.warp import Grid
from cmmdl.align.warp import grid as grid_of
from cmmdl.errors import UnusableError
from cmmdl.files.images import Note
from cmmdl.files.levels import Range
from cmmdl.files.notes import ResultNote
from cmmdl.files.pictures import Picture
from cmmdl.files.thermal import Thermal
from cmmdl.fusion.laid import Laid
from cmmdl.fusion.lay_pictures import array_of, channels_first, cover_of, nudged, stored
from cmmdl.fusion.options import FuseOptions
from cmmdl.fusion.temperatures import Floats, filled, sampled

SPAN = (0.1, 99.9)
"""Percentiles of the temperatures that mean black and white where no range is given."""


def lay_thermal(
    thermal: Thermal, vis: Picture, options: FuseOptions, *, given: Range | None, own_photo: bool, note: Note
) -> Laid:
    """Lays temperatures and a photo on one grid.

    Args:
        thermal: The temperatures.
        vis: The photo.
        options: Says how: ``grid``, ``align``, ``transform``, ``shift``, ``zoom``, ``rotate``, ``resize_ir``.
        given: °C that mean black and white; by default their :data:`SPAN`.
        own_photo: Whether the photo was in the file, so that the file states how they lie.
        note: Told how well they lie on each other.

    Raises:
        UnusableError: If it cannot be found how they lie on each other.
    """
    which = options.grid or ("overlap" if own_photo else "vis")
    photo = array_of(vis)
    alignment = nudged(_alignment(thermal, photo, vis.name, options, own_photo, note), options)
    try:
        grid = grid_of(alignment, which)
        cover = cover_of(grid, thermal.celsius)
    except ValueError as error:
        raise UnusableError(f"{thermal.name} and {vis.name} do not overlap; check that they belong together") from error
    celsius = celsius_on(thermal.celsius, grid, which)
    infrared = grid.ir(filled(thermal.celsius)) if which != "ir" else filled(thermal.celsius)
    return Laid(
        ir=celsius_picture(infrared, given or celsius_span(thermal.celsius, thermal.name), thermal.name),
        vis=replace(vis, pixels=channels_first(grid.vis(photo))),
        cover=cover,
        celsius=celsius,
        thermal=thermal,
        alignment=alignment,
        grid=which,
    )


def celsius_span(celsius: Floats, name: str) -> Range:
    """What means black and white: the :data:`SPAN` of the temperatures.

    Raises:
        UnusableError: If they are all equal.
    """
    low, high = np.nanpercentile(celsius, SPAN)
    if low < high:
        return float(low), float(high)
    low, high = np.nanmin(celsius), np.nanmax(celsius)
    if low < high:
        return float(low), float(high)
    remedy = "--ir-range LOW:HIGH, in Python ir_range=(LOW, HIGH)"
    raise UnusableError(f"{name} has the value {low:g} everywhere, which spans no range; give one: {remedy}")


def celsius_on(celsius: Floats, grid: Grid, which: str) -> Floats:
    """The temperatures on the pixels of a grid, bilinear; on their own exactly as they are."""
    if which == "ir":
        return celsius
    return sampled(celsius, *grid.places_in_ir())


def celsius_picture(values: Floats, given: Range, name: str) -> Picture:
    """An infrared picture of float values and what means black and white among them."""
    return Picture(np.asarray(values, np.float32)[None, None], given, "array", 2, name, "float32")


def _alignment(
    thermal: Thermal, photo: NDArray[Any], photo_name: str, options: FuseOptions, own_photo: bool, note: Note
) -> Alignment:
    """How the temperatures lie on the photo: as one, as asked, as found, or as the file states."""
    ir_size, vis_size = thermal.celsius.shape[1::-1], photo.shape[1::-1]
    if options.transform is not None:
        return stored(options.transform, ir_size, vis_size, thermal.name)
    if options.resize_ir or (ir_size == vis_size and not own_photo and not options.align):
        return identity(ir_size, vis_size)
    found = register(thermal.celsius, photo, None if options.align in (None, "auto") else options.align)
    name = Path(thermal.name).name
    if found.ok:
        note(f"{name}: laid on the photo by its edges ({found.warp}), residual {found.residual_px:.1f} px")
        return found
    if own_photo and thermal.offset is not None:
        note(
            ResultNote(
                f"{name}: too little in common with its photo to be laid on it by edges ({found.status}); "
                "laid as the file states, which is often 10 px off"
            )
        )
        return stated(thermal.offset, ir_size, vis_size)
    raise UnusableError(
        f"{thermal.name} could not be laid on {photo_name} ({found.status}); if both show the same field of view, "
        "pass --resize-ir, else give a --transform, or --resize-ir with --shift and --zoom"
    )


def stated(offset: tuple[float, float, float], ir_size: tuple[int, int], vis_size: tuple[int, int]) -> Alignment:
    """The transform that a radiometric JPEG states: how much wider the photo is, and its offset in pixels of it."""
    ratio, x, y = offset
    scale = vis_size[0] / ir_size[0] / ratio
    shift = [(v - 1) / 2 + o - scale * (i - 1) / 2 for v, o, i in zip(vis_size, (x, y), ir_size, strict=True)]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]])
    return Alignment(matrix, "similarity", ir_size, vis_size, "stated", confidence=0.0)
