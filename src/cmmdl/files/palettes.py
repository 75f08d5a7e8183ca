"""Palettes that thermal pictures are painted in, and the way back from a painted picture to its values.

Those with common names are OpenCV's tables; those after what cameras offer are our own, named for what they look like.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import cKDTree

from cmmdl.errors import UnusableError, UsageError
from cmmdl.files.jpeg import radiometric_maker

Table = NDArray[np.uint8]
"""``(N, 3)`` RGB from cold to hot."""

DEFAULT = "bluegold"
"""From blue over grey to gold: hues that every common kind of colour blindness tells apart."""

_POINTS: dict[str, list[tuple[float, int, int, int]]] = {
    "bluegold": [(0, 25, 60, 185), (0.25, 62, 98, 160), (0.5, 128, 128, 128), (0.75, 200, 170, 107), (1, 250, 212, 90)],
    "iron": [
        (0, 0, 0, 20), (0.12, 28, 0, 110), (0.3, 120, 0, 150), (0.5, 205, 25, 110), (0.65, 235, 85, 20),
        (0.8, 250, 160, 0), (0.92, 255, 225, 70), (1, 255, 255, 235),
    ],
    "rainbow": [
        (0, 70, 0, 150), (0.15, 20, 30, 230), (0.35, 0, 190, 230), (0.5, 0, 200, 60), (0.68, 240, 235, 0),
        (0.84, 250, 130, 0), (1, 225, 0, 20),
    ],
    "arctic": [
        (0, 15, 15, 110), (0.25, 20, 90, 230), (0.45, 110, 200, 250), (0.55, 190, 190, 180), (0.7, 200, 120, 40),
        (0.85, 245, 165, 30), (1, 255, 230, 120),
    ],
}  # fmt: skip
"""Share of the range and colour, linear between: our own."""

_JET = {
    "red": [(0, 0), (0.35, 0), (0.66, 1), (0.89, 1), (1, 0.5)],
    "green": [(0, 0), (0.125, 0), (0.375, 1), (0.64, 1), (0.91, 0), (1, 0)],
    "blue": [(0, 0.5), (0.11, 1), (0.34, 1), (0.65, 0), (1, 0)],
}
"""Jet as Matplotlib draws it; OpenCV's differs by up to 33 levels."""

PAINTS = (DEFAULT, "iron", "inferno", "rainbow", "arctic", "cividis", "viridis", "turbo")
"""What a picture can be painted in."""

GREYS = ("grey", "gray", "greys", "grays", "whitehot", "white-hot", "blackhot", "black-hot")

_OPENCV = ("autumn", "cividis", "cool", "hot", "inferno", "jet", "magma", "ocean", "parula", "plasma", "rainbow",
           "spring", "summer", "turbo", "viridis", "winter")  # fmt: skip
_WEIGHTS = np.array([1.0, 0.6, 0.6])
"""Of luma and the two chromas in distances between colours: JPEG keeps chroma at half the resolution."""

SAMPLES = 4_000
"""Pixels by which a palette is recognised."""

COLOURLESS = 6
"""Levels by which channels differ that are grey up to the rounding of JPEG."""


@dataclass(frozen=True)
class Recovered:
    """The values behind a painted picture.

    Attributes:
        palette: Its name.
        values: ``(H, W)`` uint8, from 0 for the cold end to 255 for the hot one.
        off: Median distance of the colours from the palette, in levels.
    """

    palette: str
    values: NDArray[np.uint8]
    off: float


def paint_table(name: str) -> Table:
    """The palette of a name, for painting: 256 colours.

    Raises:
        UsageError: If there is none, or it is grey.
    """
    if name.lower() in GREYS:
        raise UsageError(f"--palette {name}: greys have no hue to paint with; choose one of {', '.join(PAINTS)}")
    if name.lower() not in PAINTS:
        raise UsageError(f"--palette {name} is unknown; choose one of {', '.join(PAINTS)}, or own for the file's own")
    return known_palettes()[name.lower()]


def own_table(palette: Table | None, name: str) -> Table:
    """The palette that came with a file, for painting.

    Raises:
        UnusableError: If there is none, or it is grey.
    """
    if palette is None:
        raise UnusableError(f"{name} brings no palette of its own; choose one of {', '.join(PAINTS)}")
    if np.ptp(palette.astype(np.int16), axis=1).max() < 16:
        raise UnusableError(f"the palette of {name} is grey and has no hue to paint; choose one of {', '.join(PAINTS)}")
    return palette


@cache
def known_palettes() -> dict[str, Table]:
    """Every palette that is recognised, by name."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    tables = {name: _from_points(points) for name, points in _POINTS.items()}
    for name in _OPENCV:
        table = cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{name.upper()}"))[0, :, ::-1]
        tables[f"{name} (OpenCV)" if name in tables else name] = np.ascontiguousarray(table)
    tables["jet (Matplotlib)"] = _jet()
    return tables


def recover(painted: NDArray[np.uint8], own: Table | None = None) -> Recovered | None:
    """Takes the values back from a picture painted in a known palette.

    Args:
        painted: ``(H, W, 3)`` RGB.
        own: The palette that came with the file.

    Returns:
        The values, ``None`` if its colours lie on no known palette.
    """
    tables = {**({} if own is None else {"its own": own}), **known_palettes()}
    colours = painted.reshape(-1, 3)
    colours = colours[:: max(1, len(colours) // SAMPLES)]
    if np.ptp(colours.astype(np.int16), axis=1).max() <= COLOURLESS:
        return None
    sample = _weighed(colours)
    first = {name: float(_distances(sample[::10], table).mean()) for name, table in tables.items()}
    likely = sorted(first, key=lambda one: first[one])[:3]
    distances = {name: _distances(sample, tables[name]) for name in likely}
    name = min(likely, key=lambda one: float(distances[one].mean()))
    median, most = np.quantile(distances[name], [0.5, 0.95])
    if median > 6 or most > 20 or len(np.unique(_nearest(sample, tables[name]))) < 6:
        return None
    return Recovered(name, values_of(painted, tables[name]), float(median))


def values_of(painted: NDArray[np.uint8], table: Table) -> NDArray[np.uint8]:
    """The place of each colour's nearest one in a palette: ``(H, W, 3)`` → ``(H, W)`` uint8, 0 cold to 255 hot."""
    packed = painted.reshape(-1, 3).astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    distinct, places = np.unique(packed, return_inverse=True)
    colours = np.stack([distinct >> 16, distinct >> 8 & 255, distinct & 255], 1)
    found = np.rint(_nearest(_weighed(colours), table) * (255 / (_STEPS - 1))).astype(np.uint8)
    return found[places].reshape(painted.shape[:2])


def palette_by_name(name: str) -> Table:
    """A palette for taking values back: a known name, or a radiometric JPEG whose own it is.

    Raises:
        UserError: If it is neither.
    """
    known = known_palettes()
    if name.lower() in known:
        return known[name.lower()]
    if radiometric_maker(Path(name)) == "flir":
        from cmmdl.files.thermal import read_thermal

        return own_table(read_thermal(name).palette, name)
    listed = ", ".join(key for key in known if " " not in key)
    raise UsageError(f"--ir-palette {name} is unknown; choose auto, none, {listed}, or a radiometric JPEG with its own")


def indexed_values(path: Path) -> Recovered | None:
    """The values of a picture that is stored as places in a smooth palette of its own, as some cameras write PNGs."""
    try:
        with Image.open(path) as image:
            if image.mode != "P":
                return None
            table = np.array(image.convert("P").getpalette("RGB"), np.uint8).reshape(-1, 3)
            places = np.asarray(image).copy()
    except (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError):
        return None
    low, high = int(places.min()), min(int(places.max()), len(table) - 1)
    used = table[low : high + 1].astype(np.int16)
    if len(used) < 16 or np.abs(np.diff(used, axis=0)).max() > 40 or np.ptp(used, axis=1).max() < 16:
        return None
    return Recovered("its own", places, 0.0)


_STEPS = 1021
"""Colours between which the nearest is searched: three between neighbours of a table of 256."""


@lru_cache(maxsize=64)
def _tree_of(table: bytes) -> cKDTree:
    colours = np.frombuffer(table, np.uint8).reshape(-1, 3).astype(np.float64)
    fine = np.linspace(0, len(colours) - 1, _STEPS)
    dense = np.stack([np.interp(fine, np.arange(len(colours)), colours[:, k]) for k in range(3)], 1)
    return cKDTree(_weighed(dense))


def _distances(colours: NDArray[np.float64], table: Table) -> NDArray[np.float64]:
    return _tree_of(table.tobytes()).query(colours)[0]


def _nearest(colours: NDArray[np.float64], table: Table) -> NDArray[np.intp]:
    return _tree_of(table.tobytes()).query(colours)[1]


def _weighed(rgb: NDArray[np.integer | np.floating]) -> NDArray[np.float64]:
    """Luma and chroma, as distances count them."""
    red, green, blue = rgb.astype(np.float64).T
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack([y, (blue - y) / 1.772, (red - y) / 1.402], 1) * _WEIGHTS


def _from_points(points: list[tuple[float, int, int, int]]) -> Table:
    where, *channels = np.array(points).T
    ramp = np.linspace(0, 1, 256)
    return np.rint(np.stack([np.interp(ramp, where, channel) for channel in channels], 1)).astype(np.uint8)


def _jet() -> Table:
    ramp = np.linspace(0, 1, 256)
    channels = [np.interp(ramp, *np.array(_JET[name]).T) for name in ("red", "green", "blue")]
    return np.rint(255 * np.stack(channels, 1)).astype(np.uint8)
