"""Temperatures beside a fused picture: on its pixels, as a TIFF, and in words."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from cmmdl.errors import UnusableError, UsageError
from cmmdl.files.metadata import Metadata, embed

Floats = NDArray[np.float32]
Unit = Literal["C", "F", "K"]
UNITS = ("C", "F", "K")


@dataclass(frozen=True)
class Spot:
    """A place to be reported, in pixels of the fused picture from 0."""

    x: int
    y: int


@dataclass(frozen=True)
class Box:
    """A rectangle to be reported: its left upper pixel and its size, in pixels of the fused picture."""

    x: int
    y: int
    width: int
    height: int


def parse_spot(text: str) -> Spot:
    """``X,Y``.

    Raises:
        UsageError: If it is not.
    """
    x, y = _whole_numbers(text, "spot", "X,Y", 2)
    return Spot(x, y)


def parse_box(text: str) -> Box:
    """``X,Y,W,H``.

    Raises:
        UsageError: If it is not, or is empty.
    """
    x, y, width, height = _whole_numbers(text, "box", "X,Y,W,H", 4)
    if width < 1 or height < 1:
        raise UsageError(f"--box {text} is empty; width and height are at least 1 pixel")
    return Box(x, y, width, height)


def _whole_numbers(text: str, name: str, form: str, count: int) -> list[int]:
    parts = text.split(",")
    if len(parts) != count or not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"--{name} {text!r} is not {form} in whole pixels from 0")
    return [int(part) for part in parts]


def in_unit(celsius: Any, unit: Unit) -> Any:
    """Degrees Celsius in another unit, a number or an array."""
    return {"C": celsius, "F": celsius * 1.8 + 32, "K": celsius + 273.15}[unit]


def from_unit(value: float, unit: Unit) -> float:
    """A value of another unit in degrees Celsius."""
    return {"C": value, "F": (value - 32) / 1.8, "K": value - 273.15}[unit]


def sampled(celsius: Floats, x: Floats, y: Floats) -> Floats:
    """Temperatures at places between pixels: bilinear, so between the extremes of the four neighbours.

    Args:
        celsius: ``(H, W)``, NaN where there is none.
        x: ``(h, w)`` places from the left, whole numbers at pixel centres.
        y: ``(h, w)`` places from the top.

    Returns:
        ``(h, w)``; NaN where a neighbour that counts is missing or lies outside. Half a pixel beyond the outermost
        centres still belongs to the picture and has the value of its border.
    """
    height, width = celsius.shape
    inside = (x >= -0.5) & (y >= -0.5) & (x <= width - 0.5) & (y <= height - 0.5)
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = np.minimum(x.astype(np.intp), max(width - 2, 0)), np.minimum(y.astype(np.intp), max(height - 2, 0))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (x - left).astype(np.float64), (y - top).astype(np.float64)
    upper = _between(celsius[top, left], celsius[top, right], across)
    lower = _between(celsius[bottom, left], celsius[bottom, right], across)
    found = _between(upper, lower, down).astype(np.float32)
    found[~inside] = np.nan
    return found


def _between(one: NDArray[Any], other: NDArray[Any], share: NDArray[Any]) -> NDArray[Any]:
    """The way from one value to another; a missing value without weight does not matter."""
    mixed = one * (1 - share) + other * share
    return np.where(share == 0, one, np.where(share == 1, other, mixed))


def temperature_tiff(celsius: Floats, kept: Metadata, history: Mapping[str, Any]) -> bytes:
    """A float32 TIFF of °C with the tags of the visible picture; NaN where the camera saw nothing."""
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        np.asarray(celsius, np.float32),
        compression="zlib",
        photometric="minisblack",
        metadata=None,
        software=False,
        extratags=[(42113, 2, 4, "nan", True)],
    )
    return embed(file.getvalue(), ".tif", kept, {**history, "values": "degrees Celsius"}, celsius.shape, _nothing)


def _nothing(_: str) -> None:
    """Metadata in a TIFF has nothing to say."""


def report(
    celsius: Floats,
    *,
    spots: tuple[Spot, ...] = (),
    boxes: tuple[Box, ...] = (),
    unit: Unit = "C",
    name: str = "the fused picture",
) -> dict[str, Any]:
    """Range, mean, hottest and coldest place of temperatures, and of the spots and boxes asked for.

    Args:
        celsius: ``(H, W)`` on the pixels of the fused picture, NaN where there is none.
        spots: Places; where there is no temperature theirs is ``None``.
        boxes: Rectangles, likewise.
        unit: Of all temperatures in the report.
        name: For messages.

    Raises:
        UnusableError: If a spot or box lies outside the picture.
    """
    height, width = celsius.shape
    for spot in spots:
        if not (spot.x < width and spot.y < height):
            raise UnusableError(f"{name} is {width}x{height}: --spot {spot.x},{spot.y} lies outside; count from 0")
    for box in boxes:
        if box.x + box.width > width or box.y + box.height > height:
            asked = f"--box {box.x},{box.y},{box.width},{box.height}"
            raise UnusableError(f"{name} is {width}x{height}: {asked} reaches outside; make it smaller")
    values = in_unit(celsius.astype(np.float64), unit)
    return {
        "unit": unit,
        "size": [width, height],
        "covered": round(float(np.isfinite(values).mean()), 4),
        **_statistics(values, 0, 0),
        "spots": [{"x": s.x, "y": s.y, "temperature": _number(values[s.y, s.x])} for s in spots],
        "boxes": [
            {
                "x": b.x,
                "y": b.y,
                "width": b.width,
                "height": b.height,
                **_statistics(values[b.y : b.y + b.height, b.x : b.x + b.width], b.x, b.y),
            }
            for b in boxes
        ],
    }


def _statistics(values: NDArray[Any], left: int, top: int) -> dict[str, Any]:
    """Extremes with their place in the whole picture, and the mean."""
    if not np.isfinite(values).any():
        return {"min": None, "max": None, "mean": None, "hottest": None, "coldest": None}
    places = {"hottest": np.nanargmax(values), "coldest": np.nanargmin(values)}
    found: dict[str, Any] = {
        "min": _number(np.nanmin(values)),
        "max": _number(np.nanmax(values)),
        "mean": _number(np.nanmean(values)),
    }
    for word, place in places.items():
        y, x = np.unravel_index(place, values.shape)
        found[word] = {"x": left + int(x), "y": top + int(y), "temperature": _number(values[y, x])}
    return found


def _number(value: float) -> float | None:
    return round(float(value), 3) if math.isfinite(value) else None


def filled(celsius: Floats) -> Floats:
    """The temperatures with every missing one replaced by its nearest neighbour's, as a picture needs it."""
    missing = ~np.isfinite(celsius)
    if not missing.any():
        return celsius
    _, labels = cv2.distanceTransformWithLabels(
        missing.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    values = np.zeros(int(labels.max()) + 1, np.float32)
    values[labels[~missing]] = celsius[~missing]
    return np.where(missing, values[labels], celsius)
