"""Picture files in and out: bit depth, size and colour survive the round trip.

Files are written under a temporary name and renamed, so that there is never half a picture.
"""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cmmdl.errors import UsageError, UserError
from cmmdl.files.atomic import write_bytes
from cmmdl.files.filepicture import MAX_PIXELS, Array, FilePicture, Note
from cmmdl.files.kinds import READABLE as IMAGE_SUFFIXES
from cmmdl.files.kinds import WRITABLE
from cmmdl.files.reading import quiet_decoders, read_picture

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "Array",
    "FilePicture",
    "Note",
    "check_suffix",
    "quiet_decoders",
    "read_image",
    "read_picture",
    "write_image",
]


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS, note: Note = warnings.warn) -> Array:
    """The pixels of a picture file, in the file's own values; see :func:`cmmdl.files.reading.read_picture`.

    Args:
        path: The file; its content, not its suffix, says which format it has.
        max_pixels: Largest height times width that is decoded.
        note: Called with a line about anything that was dropped.

    Returns:
        ``(H, W)`` grey or ``(H, W, 3)`` RGB: whole numbers of the file's type, or float32.

    Raises:
        UserError: If there is no such file, if it is no picture, damaged, too large, or holds NaN.
    """
    picture = read_picture(path, max_pixels=max_pixels)
    for line in picture.notes.values():
        note(line)
    return picture.array


def write_image(path: str | Path, array: Array) -> None:
    """Writes a picture; the suffix says the format. After a kill or an error there is no half file.

    JPEG has quality 95, WebP is lossless.

    Args:
        path: Where to; ``.png .jpg .jpeg .bmp .tif .tiff .webp``.
        array: ``(H, W)`` grey or ``(H, W, 3)`` RGB. uint8 goes into any format, uint16 into PNG and TIFF, float
            into TIFF (as float32).

    Raises:
        UserError: If the format cannot hold the array, or the file cannot be written.
    """
    path = Path(path)
    write_bytes(path, encode(path, array))


def check_suffix(path: Path) -> str:
    """The suffix in lower case.

    Raises:
        UserError: If it is no format that can be written.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITABLE:
        raise UsageError(
            f"{path}: {suffix or 'a name without suffix'} is not a format that can be written; use .png, .tif or .jpg"
        )
    return suffix


def encode(path: Path, array: Array) -> bytes:
    """The bytes of the file, made in memory."""
    suffix = check_suffix(path)
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
    check_depth(path, array.dtype)
    if suffix in (".tif", ".tiff"):
        return _encode_tiff(array)
    pixels = np.ascontiguousarray(array[..., ::-1]) if array.ndim == 3 else array
    options = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95], ".webp": [cv2.IMWRITE_WEBP_QUALITY, 101]}
    try:
        done, data = cv2.imencode(suffix, pixels, options.get(suffix.replace("jpeg", "jpg"), []))
    except cv2.error as error:
        raise UserError(f"{path}: {suffix} cannot hold {array.shape} {array.dtype}; write .png or .tif") from error
    if not done:
        raise UserError(f"{path}: {suffix} cannot hold {array.shape} {array.dtype}; write .png or .tif")
    return data.tobytes()


def _encode_tiff(array: Array) -> bytes:
    """By tifffile rather than OpenCV, which before 4.13 writes colour floats with losses."""
    from tifffile import imwrite

    buffer = BytesIO()
    colours = "rgb" if array.ndim == 3 else "minisblack"
    predictor = array.dtype.kind == "u"
    imwrite(buffer, array, photometric=colours, compression="zlib", predictor=predictor, metadata=None, software=False)
    return buffer.getvalue()


def check_depth(path: Path, dtype: np.dtype[Any] | type[np.generic] | str) -> None:
    """Refuses a depth that the format cannot hold, rather than cutting it down in silence.

    Raises:
        UserError: Naming the formats that can.
    """
    dtype, suffix = np.dtype(dtype), check_suffix(path)
    tiff = suffix in (".tif", ".tiff")
    if dtype == np.uint8 or (dtype == np.uint16 and (tiff or suffix == ".png")) or (dtype == np.float32 and tiff):
        return
    if dtype in (np.uint16, np.float32):
        fits = "PNG or TIFF" if dtype == np.uint16 else "TIFF"
        raise UsageError(f"{path}: {suffix} cannot hold {dtype}; write {fits}, or ask for --depth uint8")
    raise UserError(f"{path}: {dtype} cannot be written; convert it to uint8, uint16 or float32")
