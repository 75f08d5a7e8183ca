"""What comes of one fused pair: the picture, painted or not, its temperatures, a report; with the sources' metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cmmdl.errors import UnusableError, UsageError
from cmmdl.files.atomic import write_bytes
from cmmdl.files.colour import luma as luma_of
from cmmdl.files.images import Note, encode
from cmmdl.files.levels import MAXIMA
from cmmdl.files.metadata import Metadata, embed, fitting_profile, read_metadata
from cmmdl.files.palettes import DEFAULT, Table, own_table, paint_table
from cmmdl.fusion.laid import Laid
from cmmdl.fusion.options import FuseOptions
from cmmdl.fusion.painting import Alarm, beside, legend, paint
from cmmdl.fusion.pip import window_in
from cmmdl.fusion.temperatures import Box, Floats, Spot, Unit, in_unit, report, temperature_tiff

OWN = "own"
"""The name of the palette that came with the file."""


@dataclass(frozen=True)
class Products:
    """What is wanted of every pair.

    Attributes:
        palette: Paint in this one: a name, or :data:`OWN`; ``None`` keeps the visible colours.
        alarm: Paint only these values, in ``unit`` where there are temperatures, else infrared values.
        unit: Of the legend, the alarm and the report; ``None`` is °C where there are temperatures.
        legend: Whether a painted picture gets one beside it.
        metadata: Whose is kept.
        temperature: Whether and where temperatures go: a file, a folder for many pairs.
        report: Whether a report is wanted.
        spots: Places in it.
        boxes: Rectangles in it.
        origin: What the history of every result says: program, model, its hash. Empty writes none.
        replace: Whether results that are there already are replaced; else a pair whose result came meanwhile, and
            differs, fails.

    Raises:
        UsageError: If the palette cannot paint.
    """

    palette: str | None = None
    alarm: Alarm | None = None
    unit: Unit | None = None
    legend: bool = True
    metadata: Literal["vis", "ir", "none"] = "vis"
    temperature: Path | None = None
    report: bool = False
    spots: tuple[Spot, ...] = ()
    boxes: tuple[Box, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    replace: bool = True

    def __post_init__(self) -> None:
        if self.palette not in (None, OWN):
            paint_table(str(self.palette))
        if (self.spots or self.boxes) and not self.report:
            raise UsageError("--spot and --box add to a report; pass --report FILE")

    @property
    def paints(self) -> bool:
        """Whether the picture gets colours of its own."""
        return self.palette is not None or self.alarm is not None

    @property
    def needs_celsius(self) -> str:
        """The option that needs temperatures, empty if none does."""
        wanted = {"--temperature": self.temperature, "--report": self.report, "--unit": self.unit}
        return next((option for option, value in wanted.items() if value), "")


PICTURES = Products(metadata="none")
"""Pictures only, without what the sources carry."""


@dataclass(frozen=True)
class Sources:
    """The files of a pair and of its result; the name under which a report lists it."""

    ir: Path
    vis: Path
    out: Path
    name: str


def check(laid: Laid, products: Products, options: FuseOptions, name: str) -> None:
    """Refuses, before anything is computed, what a pair cannot give.

    Raises:
        UnusableError: If temperatures are wanted of a picture that has none, or a spot or box lies outside.
    """
    if laid.celsius is None and products.needs_celsius:
        raise UnusableError(
            f"{name} contains no temperatures, which {products.needs_celsius} needs; "
            "give a radiometric JPEG or a TIFF of floats in °C"
        )
    if laid.celsius is not None and products.report:
        report(laid.celsius, spots=products.spots, boxes=products.boxes, name=name)
    if options.pip:
        window_in(laid.vis.size, options.pip)
    if products.palette == OWN:
        own_table(None if laid.thermal is None else laid.thermal.palette, name)


def write_products(
    laid: Laid,
    fused: NDArray[Any],
    sources: Sources,
    products: Products,
    options: FuseOptions,
    depth: str,
    note: Note,
) -> dict[str, Any] | None:
    """Writes everything that is wanted of one pair.

    Args:
        laid: The pair on its grid.
        fused: ``(H, W)`` or ``(H, W, 3)``; floats in [0, 1] if it is to be painted.
        sources: Its files.
        products: What is wanted.
        options: How it was fused.
        depth: Type of the pixels that are written.
        note: Called with a line about what a format cannot hold.

    Returns:
        The report if one is wanted.

    Raises:
        UserError: If something cannot be written, or came from another run meanwhile.
    """
    history = _history(laid, sources, products, options) if products.origin and products.metadata != "none" else {}
    kept = _kept(laid, sources, products, note)
    if products.paints:
        fused = _painted(laid, fused, products, options, depth)
    suffix = sources.out.suffix.lower()
    kept = fitting_profile(kept, grey=fused.ndim == 2, note=note)
    size = (fused.shape[0], fused.shape[1])
    picture = encode(sources.out, fused)
    picture = embed(picture, suffix, kept, history, size, note) if kept or history else picture
    if products.temperature is not None and laid.celsius is not None:
        products.temperature.parent.mkdir(parents=True, exist_ok=True)  # of folders below
        celsius = temperature_tiff(laid.celsius, replace(kept, icc=b""), history)
        write_bytes(products.temperature, celsius, replace=products.replace)
    write_bytes(sources.out, picture, replace=products.replace)  # last: where it is, the pair is done
    return _report(laid, sources, products) if products.report else None


def _kept(laid: Laid, sources: Sources, products: Products, note: Note) -> Metadata:
    """The metadata of the side that is asked for; places on the earth only where its pixels are the result's."""
    if products.metadata == "none":
        return Metadata()
    side = sources.vis if products.metadata == "vis" else sources.ir
    radiometric = laid.thermal is not None and side == sources.ir
    kept = read_metadata(side, turned=not radiometric)
    held = (laid.vis if products.metadata == "vis" else laid.ir).metadata
    if held and not kept:
        note(f"what the pictures hold beside pixels is not in the results: {', '.join(sorted(held))}")
    same_grid = laid.grid == products.metadata or (laid.alignment is None and laid.grid == "vis")
    return kept if same_grid else replace(kept, geo=Metadata().geo)


def _history(laid: Laid, sources: Sources, products: Products, options: FuseOptions) -> dict[str, Any]:
    """What was done, for the standard field."""
    told: dict[str, Any] = {
        **products.origin,
        "ir": sources.ir.name,
        "vis": sources.vis.name,
        "ir_range": [float(f"{value:.7g}") for value in laid.ir.range],
        "vis_range": [float(f"{value:.7g}") for value in laid.vis.range],
        "grid": laid.grid,
    }
    if laid.celsius is not None:
        told["ir_unit"] = "C"
    if laid.alignment is not None:
        told["alignment"] = {
            "matrix": [[float(f"{value:.7g}") for value in row] for row in laid.alignment.matrix],
            "warp": laid.alignment.warp,
            "status": laid.alignment.status,
            "residual_px": round(laid.alignment.residual_px, 2),
        }
    if products.paints:
        told["palette"] = products.palette or DEFAULT
    return told


def _painted(laid: Laid, fused: NDArray[Any], products: Products, options: FuseOptions, depth: str) -> NDArray[Any]:
    """The picture in the colours of a palette, with its legend, in the depth of the result."""
    table = _table(laid, products)
    rgb = fused.transpose(2, 0, 1) if fused.ndim == 3 else np.repeat(fused[None], 3, 0)
    values, (low, high) = _values(laid, products)
    share = (values - low) / (high - low)
    luma = luma_of(rgb)[0] if fused.ndim == 3 else fused
    painted = paint(luma, share, table, over=rgb, where=_where(laid, values, products, options))
    picture = _quantised(painted.transpose(1, 2, 0), depth)
    if not products.legend:
        return picture
    unit = (products.unit or "C") if laid.celsius is not None else ""
    return beside(picture, legend(picture.shape[0], table, low, high, unit, products.alarm))


def _table(laid: Laid, products: Products) -> Table:
    if products.palette == OWN:
        return own_table(None if laid.thermal is None else laid.thermal.palette, "the infrared picture")
    return paint_table(products.palette or DEFAULT)


def _values(laid: Laid, products: Products) -> tuple[Floats, tuple[float, float]]:
    """What decides the hue, in the unit asked for, and the values of the palette's ends."""
    low, high = laid.ir.range
    if laid.celsius is None:
        own = low + laid.ir.luma()[0, 0] * (high - low)
        return own, (low, high)
    unit: Unit = products.unit or "C"
    return in_unit(laid.celsius, unit), (in_unit(low, unit), in_unit(high, unit))


def _where(laid: Laid, values: Floats, products: Products, options: FuseOptions) -> Floats:
    """How much of each pixel is painted: inside the thermal field of view, the window and the alarm."""
    where = np.ones(values.shape, np.float32) if laid.cover is None else laid.cover
    if products.alarm is not None:
        where = where * products.alarm.holds(values)
    if options.pip:
        left, top, width, height = window_in(laid.vis.size, options.pip)
        inside = np.zeros(values.shape, np.float32)
        inside[top : top + height, left : left + width] = 1
        where = where * inside
    return where


def _quantised(picture: Floats, depth: str) -> NDArray[Any]:
    return picture if "float" in depth else np.rint(picture * MAXIMA[depth]).astype(depth)


def _report(laid: Laid, sources: Sources, products: Products) -> dict[str, Any]:
    """Temperatures in words, and the parameters they were computed with."""
    assert laid.celsius is not None
    assert laid.thermal is not None
    unit: Unit = products.unit or "C"
    return {
        "file": sources.name,
        "ir": sources.ir.name,
        "vis": sources.vis.name,
        **report(laid.celsius, spots=products.spots, boxes=products.boxes, unit=unit, name=str(sources.out)),
        "parameters": dict(laid.thermal.parameters),
        "camera": dict(laid.thermal.camera),
        "grid": laid.grid,
    }
