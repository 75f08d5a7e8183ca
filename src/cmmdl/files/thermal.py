"""Temperatures from a file: FLIR radiometric JPEGs, and TIFFs whose floats are °C."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmmdl.errors import UnreadableError, UnusableError, UsageError
from cmmdl.files import flir
from cmmdl.files.images import Note
from cmmdl.files.jpeg import radiometric_maker

ABSOLUTE_ZERO = -273.15
HOTTEST = 5000.0
"""°C above which floats are no temperatures."""


@dataclass(frozen=True)
class Conditions:
    """How the scene was, where the file is to be overruled.

    Attributes:
        emissivity: Of the surface, 0.01 to 1.
        distance: To the surface, in m.
        reflected: Apparent temperature of what the surface mirrors, in °C.
        humidity: Relative humidity of the air in per cent, 0 to 100.

    Raises:
        UsageError: If a value lies outside.
    """

    emissivity: float | None = None
    distance: float | None = None
    reflected: float | None = None
    humidity: float | None = None

    def __post_init__(self) -> None:
        for name, (low, high, unit) in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UsageError(f"--{name} {value:g} is outside {low:g} to {high:g}{unit}")

    @property
    def given(self) -> dict[str, float]:
        """Those that are given, by name."""
        values = {name: getattr(self, name) for name in LIMITS}
        return {name: value for name, value in values.items() if value is not None}

    def overrule(self, values: Mapping[str, float]) -> dict[str, float]:
        """The parameters of a file, by ``flyr``'s names and units, with these in their place."""
        return {**values, **{FORMULA[name][0]: FORMULA[name][1](value) for name, value in self.given.items()}}


LIMITS = {
    "emissivity": (0.01, 1.0, ""),
    "distance": (0.0, 100_000.0, " m"),
    "reflected": (-273.0, HOTTEST, " °C"),
    "humidity": (0.0, 100.0, " %"),
}
FORMULA = {
    "emissivity": ("emissivity", lambda value: value),
    "distance": ("object_distance", lambda value: value),
    "reflected": ("reflected_apparent_temperature", lambda value: value - ABSOLUTE_ZERO),
    "humidity": ("relative_humidity", lambda value: value / 100),
}
"""Our name → that of the formula, and how to get there from our unit."""

_POSITIVE = ("planck_r1", "planck_r2", "planck_b", "planck_f", "ir_window_transmission", "atmospheric_temperature",
             "ir_window_temperature")  # fmt: skip


@dataclass(frozen=True)
class Thermal:
    """What a thermal camera saw.

    Attributes:
        celsius: ``(H, W)`` float32 in °C, NaN where the camera saw nothing.
        photo: The photo within the file, ``(h, w, 3)`` uint8 RGB, not laid on the temperatures; ``None`` without one.
        parameters: Emissivity, distance (m), reflected, atmosphere and window (°C), humidity (%), transmission: those
            that the temperatures were computed with; empty where the file holds temperatures.
        camera: Make, model, software and time, as far as the file states them.
        palette: The colours in which the camera painted its picture, ``(N, 3)`` uint8 RGB.
        offset: How much wider the photo's field of view is, and by how many pixels it is offset in x and y, as the file
            states them; often wrong.
        name: The file, for messages.
    """

    celsius: NDArray[np.float32]
    photo: NDArray[np.uint8] | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    camera: Mapping[str, str] = field(default_factory=dict)
    palette: NDArray[np.uint8] | None = None
    offset: tuple[float, float, float] | None = None
    name: str = "the thermal picture"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the temperatures."""
        return self.celsius.shape[0], self.celsius.shape[1]


def read_thermal(
    path: str | Path,
    *,
    emissivity: float | None = None,
    distance: float | None = None,
    reflected: float | None = None,
    humidity: float | None = None,
    note: Note = warnings.warn,
) -> Thermal:
    """Reads a FLIR radiometric JPEG, or a TIFF of floats in °C.

    Args:
        path: The file; its content says what it is.
        emissivity: Of the surface, 0.01 to 1, in place of what a radiometric JPEG states.
        distance: In m, likewise.
        reflected: In °C, likewise.
        humidity: In per cent, 0 to 100, likewise.
        note: Called with a line about a file that is damaged where it does no harm.

    Raises:
        UserError: If the file is neither, is incomplete, or states values that give no temperatures.
    """
    conditions, path = Conditions(emissivity, distance, reflected, humidity), Path(path)
    maker = radiometric_maker(path)
    if maker == "dji":
        raise UnreadableError(f"{path} {DJI_ADVICE}")
    if maker == "flir":
        return _read_flir(path, conditions, note)
    if conditions.given:
        option = next(iter(conditions.given))
        raise UnusableError(f"--{option} applies to radiometric JPEGs only, and {path} is not one; leave it out")
    return _read_celsius(path)


DJI_ADVICE = (
    "is a DJI radiometric JPEG, whose formula DJI keeps to its own programs; convert it to a °C TIFF with the "
    "DJI Thermal Analysis Tool or with dji_irp of the DJI Thermal SDK (-a measure --measurefmt float32), "
    "and fuse that with the photo"
)


def is_thermal(path: str | Path) -> bool:
    """Whether a file is a radiometric JPEG that can be read."""
    return radiometric_maker(Path(path)) == "flir"


def check_celsius(celsius: NDArray[np.floating], name: str) -> None:
    """Refuses what are no temperatures.

    Raises:
        UnusableError: If values lie below absolute zero or beyond what any camera sees, or if there are none.
    """
    known = celsius[np.isfinite(celsius)]
    if not known.size:
        raise UnusableError(f"{name} contains no temperatures at all; check how it was exported")
    low, high = float(known.min()), float(known.max())
    if low < ABSOLUTE_ZERO:
        raise UnusableError(f"{name} holds {low:.1f} °C, which is below absolute zero; check how it was exported")
    if high > HOTTEST:
        raise UnusableError(f"{name} holds values up to {high:g}, which are no °C; check how it was exported")


def _read_flir(path: Path, conditions: Conditions, note: Note) -> Thermal:
    flir.require_flyr(path)
    records = flir.read_records(path)
    counts, photo = flir.raw_counts(records), flir.photo(records)
    values = conditions.overrule(flir.parameters(records))
    _check_parameters(path, values)
    celsius = flir.celsius(counts, values)
    if not np.isfinite(celsius).all() or celsius.min() < ABSOLUTE_ZERO:
        raise UnusableError(
            f"{path}: its parameters give temperatures below absolute zero; "
            "check --emissivity, --reflected, --distance and --humidity, or copy it again from the camera"
        )
    if records.cut or flir.ends_before_its_pixels_do(path):
        note(f"{path} is cut off; its temperatures and photo are complete and are used")
    return Thermal(
        celsius,
        photo,
        _readable(values),
        camera_of(path),
        flir.palette(records),
        flir.stated_offset(records),
        str(path),
    )


def _check_parameters(path: Path, values: Mapping[str, float]) -> None:
    """Refuses parameters that the formula would divide by, or take for something else, in silence."""
    for name in _POSITIVE:
        if not values[name] > 0 or not math.isfinite(values[name]):
            raise UnusableError(f"{path} states {name.replace('_', ' ')} {values[name]:g}; {flir.AGAIN}")
    for name, (low, high, unit) in LIMITS.items():
        key, _ = FORMULA[name]
        value = {"reflected": values[key] + ABSOLUTE_ZERO, "humidity": 100 * values[key]}.get(name, values[key])
        if not low <= value <= high:
            raise UnusableError(f"{path} states {name} {value:g}{unit}; give --{name}, {low:g} to {high:g}{unit}")


def _readable(values: Mapping[str, float]) -> dict[str, float]:
    """The parameters that users know, in the units of the options."""
    return {
        "emissivity": round(values["emissivity"], 4),
        "distance_m": round(values["object_distance"], 3),
        "reflected_c": round(values["reflected_apparent_temperature"] + ABSOLUTE_ZERO, 2),
        "humidity_percent": round(100 * values["relative_humidity"], 2),
        "atmosphere_c": round(values["atmospheric_temperature"] + ABSOLUTE_ZERO, 2),
        "window_c": round(values["ir_window_temperature"] + ABSOLUTE_ZERO, 2),
        "window_transmission": round(values["ir_window_transmission"], 4),
    }


def camera_of(path: Path) -> dict[str, str]:
    """Make, model, software and time from the EXIF data of a picture, as far as they are there."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            exif = image.getexif()
    except (OSError, SyntaxError, ValueError):
        return {}
    found = {name: str(exif.get(tag, "")).strip("\0 ") for name, tag in _CAMERA.items()}
    return {name: value for name, value in found.items() if value not in ("", "*")}


_CAMERA = {"make": 271, "model": 272, "software": 305, "taken": 306}


def _read_celsius(path: Path) -> Thermal:
    """A TIFF of floats; what it declares as missing becomes NaN."""
    from cmmdl.files.tiff import open_tiff

    try:
        with open_tiff(path) as file:
            page = file.pages.first
            values, missing = page.asarray(), page.tags.valueof("GDAL_NODATA")
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    except Exception as error:
        raise UnreadableError(
            f"{path} is neither a radiometric JPEG nor a °C TIFF; convert it to one of these"
        ) from error
    if values.dtype.kind != "f" or values.ndim != 2:
        raise UnusableError(
            f"{path} holds {values.shape} {values.dtype}, which are not temperatures; "
            "a °C TIFF has one channel of floats"
        )
    celsius = np.array(values, np.float32)
    if missing is not None:
        celsius[values == float(str(missing).strip("\0 "))] = np.nan
    celsius[~np.isfinite(celsius)] = np.nan
    check_celsius(celsius, str(path))
    return Thermal(celsius, camera=camera_of(path), name=str(path))
