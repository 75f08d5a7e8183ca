"""Files that hold both pictures: colour in three channels, thermal in the fourth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cmmdl.errors import UnreadableError, UnusableError
from cmmdl.files.kinds import kind_of
from cmmdl.files.tiff import open_tiff


def read_rgbt(path: str | Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Takes a picture of four channels apart, as MFNet's data set and some cameras keep pairs.

    Args:
        path: A PNG, WebP or TIFF file; its fourth channel, where others have alpha, is thermal.

    Returns:
        Infrared ``(H, W)`` and visible ``(H, W, 3)`` RGB, in the depth of the file.

    Raises:
        UserError: If it cannot be read or has not four channels.
    """
    path = Path(path)
    if not path.is_file():
        raise UnreadableError(f"{path}: there is no such file; check the path")
    pixels = _tiff(path) if kind_of(path) == "tiff" else _decoded(path)
    if pixels.ndim != 3 or pixels.shape[2] != 4:
        channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
        raise UnusableError(f"{path} has {channels} channels; --split rgbt takes files of four, the fourth thermal")
    return np.ascontiguousarray(pixels[..., 3]), np.ascontiguousarray(pixels[..., :3])


def _decoded(path: Path) -> NDArray[Any]:
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED) if path.stat().st_size else None
    if pixels is None:
        raise UnreadableError(f"{path} is damaged or no picture of four channels; give a PNG, WebP or TIFF")
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        pixels[..., :3] = pixels[..., 2::-1].copy()
    return pixels


def _tiff(path: Path) -> NDArray[Any]:
    try:
        with open_tiff(path) as file:
            page = file.pages.first
            pixels = page.asarray()
    except Exception as error:
        raise UnreadableError(f"{path} is truncated or damaged; copy it again from its source") from error
    planar = pixels.ndim == 3 and page.planarconfig == 2
    return np.moveaxis(pixels, 0, 2) if planar else pixels
