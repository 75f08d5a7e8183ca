"""Decoding pixels that are deeper than Pillow keeps: several channels of 16 bits or floats, by OpenCV."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin

from cmmdl.errors import UnreadableError

TIFF = (b"II*\0", b"MM\0*")
"""How TIFF files begin."""


def tiff_header(path: Path) -> tuple[int, int, int]:
    """Width, height and orientation of a TIFF file.

    Raises:
        OSError: If its pixels lie beyond the end of the file.
        UserError: If it keeps deep channels in planes of their own, which OpenCV takes for interleaved ones.
    """
    with path.open("rb") as file:
        start = file.read(8)
        tags = TiffImagePlugin.ImageFileDirectory_v2(start + file.read(8) if 43 in start[2:4] else start)
        file.seek(tags.next)
        tags.load(file)
    starts, sizes = tags.get(273, tags.get(324, ())), tags.get(279, tags.get(325, ()))
    if any(start + size > path.stat().st_size for start, size in zip(starts, sizes, strict=False)):
        raise OSError("its pixels end beyond the file")
    if tags.get(284) == 2 and tags.get(277, 1) > 1 and max(tags.get(258, (1,))) > 8:
        raise UnreadableError(f"{path} keeps each channel in a plane of its own; save it with interleaved channels")
    return int(tags[256]), int(tags[257]), int(tags.get(274, 1))


def read_deep(path: Path, orientation: int, *, grey: bool, note: Callable[[str], None]) -> NDArray[Any]:
    """Decodes deep pixels.

    Args:
        path: PNG or TIFF.
        orientation: EXIF orientation, 1 to 8, to be applied.
        grey: Whether it is grey, which OpenCV expands to colour where there is alpha.
        note: Told if alpha was dropped.

    Returns:
        ``(H, W)`` or ``(H, W, 3)`` RGB: uint8, uint16 or float32.

    Raises:
        OSError: If it cannot be decoded.
        UserError: If its pixels are of another type.
    """
    data = bytearray(path.read_bytes())
    _forget_orientation(data)
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise OSError("its kind of pixels cannot be decoded")
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    if array.dtype not in (np.uint8, np.uint16, np.float32):
        raise UnreadableError(f"{path} holds {array.dtype} pixels; save it with 8 or 16 bits or as float")
    if array.ndim == 3 and array.shape[2] == 4:
        note(f"{path}: alpha dropped")
    if array.ndim == 3:
        array = array[..., 0] if grey else array[..., 2::-1]
    return np.ascontiguousarray(_upright(array, orientation))


def _forget_orientation(data: bytearray) -> None:
    """Sets the orientation of a TIFF to 1: versions of OpenCV differ in what they make of any other."""
    if data[:4] not in TIFF:
        return
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from(f"{order}H", data, entry)[0] == 274:
            struct.pack_into(f"{order}H", data, entry + 8, 1)


def _upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Applies an EXIF orientation, 1 to 8; anything else leaves the picture as it is."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return array[::rows, ::columns]
