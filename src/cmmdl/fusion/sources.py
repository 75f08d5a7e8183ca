"""From what the user gave to a pair that is ready to be fused: files of one camera, painted pictures, four channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cmmdl.errors import UnusableError, UserError
from cmmdl.files import flir
from cmmdl.files.images import Note
from cmmdl.files.jpeg import radiometric_maker
from cmmdl.files.kinds import kind_of
from cmmdl.files.levels import Range
from cmmdl.files.notes import ResultNote
from cmmdl.files.palettes import indexed_values, palette_by_name, recover, values_of
from cmmdl.files.pictures import Picture, Source
from cmmdl.files.ranges import parse_range, text_of
from cmmdl.files.split import read_rgbt
from cmmdl.files.thermal import Conditions, Thermal, read_thermal
from cmmdl.fusion.fitting import resized_to_fit
from cmmdl.fusion.laid import Laid
from cmmdl.fusion.lay_pictures import array_of, lay_pictures
from cmmdl.fusion.lay_thermal import celsius_span, lay_thermal
from cmmdl.fusion.options import FuseOptions

if TYPE_CHECKING:
    ToPicture = Callable[..., Picture]

AnySource = Any
"""A :data:`cmmdl.files.pictures.Source`, a picture that was taken, or temperatures."""


def lay_sources(
    ir: AnySource,
    vis: AnySource | None,
    options: FuseOptions,
    to_picture: ToPicture,
    note: Note,
    *,
    files: bool = False,
) -> Laid:
    """Opens a pair, or one file that holds both, and lays both on one grid.

    Args:
        ir: Infrared picture, temperatures, or a file of them.
        vis: Visible picture; ``None`` if ``ir`` holds it too.
        options: What is asked for.
        to_picture: Reads a picture: ``to_picture(source, side, range)``.
        note: Called with a line about what was found.
        files: Whether floats beyond [0, 1] in a TIFF are degrees Celsius, as on the command line.

    Raises:
        UserError: If something cannot be read or used.
    """
    if options.split:
        ir, vis = read_rgbt(ir)
    thermal = _thermal(ir, options, note, files)
    if thermal is not None:
        return _lay_temperatures(thermal, ir, vis, options, to_picture, note)
    if options.conditions.given:
        raise UnusableError(not_radiometric(ir, options))
    if vis is None:
        raise UnusableError(_alone(ir))
    _refuse_as_visible(vis)
    one, two = _infrared(ir, options, to_picture, note), to_picture(vis, "visible", options.vis_range)
    one = resized_to_fit(one, two) if options.resize_ir else one
    return lay_pictures(one, two, options, note) if options.placed else Laid(one, two)


def _thermal(ir: AnySource, options: FuseOptions, note: Note, files: bool) -> Thermal | None:
    """The temperatures, if it is such a source."""
    if isinstance(ir, Thermal):
        return ir
    if not isinstance(ir, str | Path):
        return None
    if radiometric_maker(Path(ir)) is not None or (files and is_celsius_tiff(Path(ir))):
        wanted = options.conditions
        return read_thermal(
            ir,
            emissivity=wanted.emissivity,
            distance=wanted.distance,
            reflected=wanted.reflected,
            humidity=wanted.humidity,
            note=note,
        )
    return None


def is_celsius_tiff(path: Path) -> bool:
    """Whether a TIFF has one channel of floats that can be °C and leave [0, 1]."""
    from cmmdl.files.tiff import open_tiff

    if not path.is_file() or kind_of(path) != "tiff":
        return False
    try:
        with open_tiff(path) as file:
            page = file.pages.first
            if page.dtype is None or page.dtype.kind != "f" or len(page.shape) != 2:
                return False
            values = page.asarray()
    except Exception:  # the reader of pictures says what is wrong
        return False
    known = values[np.isfinite(values)]
    return bool(known.size) and bool(known.min() < -1e-6 or known.max() > 1 + 1e-6)


def shared_span(paths: list[Path], conditions: Conditions) -> Range | None:
    """What means black and white for all temperatures of a run.

    At most :data:`MOST` files, evenly spread, are looked at; those that cannot be read are left to say so later.

    Args:
        paths: Infrared files.
        conditions: How the scene was.

    Returns:
        The span, rounded to hundredths; ``None`` if no file that can be read holds temperatures.

    Raises:
        UnusableError: If all temperatures are equal.
    """
    seen: list[NDArray[np.float32]] = []
    for path in (paths[number] for number in looked_at(len(paths))):
        try:
            if radiometric_maker(path) is None and not is_celsius_tiff(path):
                continue
            celsius = read_thermal(path, **_given(path, conditions), note=lambda _: None).celsius
        except UserError:
            continue
        seen.append(celsius[np.isfinite(celsius)])
    if not seen:
        return None
    low, high = celsius_span(np.concatenate(seen), str(paths[0]))
    return (round(low, 2), round(high, 2)) if round(low, 2) < round(high, 2) else (low, high)


def settled_celsius(paths: list[Path], conditions: Conditions) -> tuple[str, str] | None:
    """One range for a run of temperatures, and a note that says it as an option to copy.

    Args:
        paths: Infrared files.
        conditions: How the scene was.

    Returns:
        For example ``"18.5:36.2"`` and the note; ``None`` if no file that can be read holds temperatures.

    Raises:
        UnusableError: If all temperatures are equal.
    """
    span = shared_span(paths, conditions)
    if span is None:
        return None
    said = f"{span[0]:g} to {span[1]:g} °C are taken as black and white"
    return text_of(*span), f"{said}; the same again: --ir-range {text_of(*span)}"


def looked_at(count: int) -> range:
    """Which of so many files decide what means black and white for temperatures."""
    return range(0, count, max(1, -(-count // MOST)))


def _given(path: Path, conditions: Conditions) -> dict[str, Any]:
    return dict(conditions.given) if radiometric_maker(path) is not None else {}


MOST = 64
"""Files of a run whose span decides what means black and white."""


def _lay_temperatures(
    thermal: Thermal, ir: AnySource, vis: AnySource | None, options: FuseOptions, to_picture: ToPicture, note: Note
) -> Laid:
    own = vis is None
    if own and thermal.photo is None:
        raise UnusableError(f"{thermal.name} contains no photo; give the visible picture as the second file")
    if not own:
        _refuse_as_visible(vis)
    photo = to_picture(thermal.photo if own else vis, "visible", options.vis_range)
    photo = replace(photo, name=f"the photo in {thermal.name}") if own else photo
    thermal = _inverted(thermal) if options.invert_ir else thermal
    return lay_thermal(thermal, photo, options, given=_range(thermal, options), own_photo=own, note=note)


def _range(thermal: Thermal, options: FuseOptions) -> Range | None:
    """The °C that mean black and white, as asked; ``None`` is their own span."""
    rule = parse_range(options.ir_range, "ir")
    if rule.kind == "numbers":
        return rule.low, rule.high
    if rule.kind == "percent":
        low, high = np.nanpercentile(thermal.celsius, [rule.low, rule.high])
        return (float(low), float(high)) if high > low else None
    return None


def _inverted(thermal: Thermal) -> Thermal:
    raise UnusableError(f"{thermal.name} holds temperatures, which cannot be black-hot; leave out --invert-ir")


def not_radiometric(ir: AnySource, options: FuseOptions) -> str:
    """What is wrong with conditions for a picture that is no radiometric file."""
    option = next(iter(options.conditions.given))
    name = str(ir) if isinstance(ir, str | Path) else "the infrared picture"
    return f"--{option} applies to radiometric JPEGs only, and {name} is not one; leave it out"


def _alone(ir: AnySource) -> str:
    name = str(ir) if isinstance(ir, str | Path) else "the infrared picture"
    return (
        f"{name} is not a radiometric JPEG with a photo inside; give the visible picture as the second file, "
        "or --split rgbt if its fourth channel is the thermal one"
    )


def _refuse_as_visible(vis: AnySource) -> None:
    """Refuses a radiometric JPEG as the visible picture: it would be fused as the camera painted it."""
    if not isinstance(vis, str | Path) or radiometric_maker(Path(vis)) is None:
        return
    if radiometric_maker(Path(vis)) == "dji" or flir.RAW in flir.read_records(Path(vis)).places:
        raise UnusableError(
            f"{vis} is a radiometric JPEG, given as the visible picture; give it first, the photo second"
        )


def _infrared(ir: Source | Picture, options: FuseOptions, to_picture: ToPicture, note: Note) -> Picture:
    """The infrared picture, its values taken back where it is painted, and turned where black is hot."""
    if options.ir_palette not in (None, "none") and options.chroma != "ir":
        one = _unpainted(ir, options, to_picture, note)
    else:
        one = to_picture(ir, "infrared", options.ir_range)
    return inverted(one) if options.invert_ir else one


_REFUSE = " (--ir-palette none uses them)"


def _unpainted(ir: Source | Picture, options: FuseOptions, to_picture: ToPicture, note: Note) -> Picture:
    one = to_picture(ir, "infrared", options.ir_range)
    if one.is_grey or one.kind != "array" or len(one.pixels) != 1 or one.pixels.dtype != np.uint8:
        return one
    stored = indexed_values(Path(ir)) if isinstance(ir, str | Path) and options.ir_palette == "auto" else None
    if stored is not None:
        note(
            ResultNote(f"{one.name} is painted in a palette of its own; its values are used, not its colours{_REFUSE}")
        )
        return replace(to_picture(stored.values, "infrared", None), name=one.name)
    painted = array_of(one)
    if options.ir_palette != "auto":
        values = values_of(painted, palette_by_name(str(options.ir_palette)))
        return replace(to_picture(values, "infrared", None), name=one.name)
    found = recover(painted)
    if found is None:
        return one
    note(ResultNote(f"{one.name} is painted in {found.palette}; its values are used, not its colours{_REFUSE}"))
    return replace(to_picture(found.values, "infrared", None), name=one.name)


def inverted(picture: Picture) -> Picture:
    """The picture with black and white exchanged, as of one in which black is hot."""
    low, high = picture.range
    values = (
        (high + low - picture.pixels.astype(np.float32)) if picture.kind != "tensor" else high + low - picture.pixels
    )
    return replace(picture, pixels=values)
