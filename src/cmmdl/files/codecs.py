"""Formats whose depth Pillow would cut to 8 bits: deep PNG, JPEG 2000, AVIF and HEIC, and the Netpbm family."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from cmmdl.errors import UnreadableError
from cmmdl.files.filepicture import ALPHA, Array, FilePicture, check_size


def read_netpbm(path: Path, max_pixels: int) -> FilePicture:
    """PBM, PGM, PPM and PAM, whose ``maxval`` is white, and PFM."""
    from netpbmfile import NetpbmFile

    with NetpbmFile(path) as file:
        check_size(path, file.width, file.height, max_pixels)
        array = file.asarray()
        array = array[0] if file.axes.startswith("I") else array
        bitmap, floats, maxval = array.dtype.kind == "b", array.dtype.kind == "f", float(file.maxval)
    if bitmap:  # 1 is black
        return FilePicture(np.where(array, np.uint8(0), np.uint8(255)))
    notes: dict[str, str] = {}
    array = without_alpha(path, array.astype(array.dtype.newbyteorder("=")), notes)
    if floats:  # its rows run upwards
        return FilePicture(np.ascontiguousarray(array[::-1], np.float32), notes=notes)
    if array.max() > maxval:
        raise OSError(f"it holds {array.max()}, above its own maximum of {maxval:g}")
    return FilePicture(array, maxval if maxval != np.iinfo(array.dtype).max else None, notes=notes)


def without_alpha(path: Path, array: Array, notes: dict[str, str]) -> Array:
    """``(H, W)``, ``(H, W, 2)``, ``(H, W, 3)`` or ``(H, W, 4)`` without its second or fourth band."""
    if array.ndim == 2:
        return array
    if array.shape[2] in (2, 4):
        notes["alpha"] = f"{path}: {ALPHA}"
    if array.shape[2] > 4:
        raise UnreadableError(f"{path} has {array.shape[2]} bands; save grey (1 band) or RGB (3 bands)")
    return np.ascontiguousarray(array[..., :3] if array.shape[2] > 2 else array[..., 0])


def deep_bits(path: Path, image: Image.Image) -> int:
    """Bits of each channel of a picture that Pillow opened, where there are more than 8 and Pillow may cut them."""
    if image.format not in ("PNG", "JPEG2000", "AVIF"):
        return 8
    with path.open("rb") as file:
        start = file.read(2**16)
    if image.format == "PNG":
        return start[24]
    if image.format == "AVIF":  # AV1 codec configuration: bits 6 and 5 of its third byte are for 10 and 12 bits
        flags = start[start.index(b"av1C") + 6]
        return 12 if flags & 0x20 else 10 if flags & 0x40 else 8
    return (start[start.index(b"\xff\x4f\xff\x51") + 42] & 0x7F) + 1  # ISO/IEC 15444-1, annex A.5.1


def read_deep(path: Path, image: Image.Image, bits: int) -> FilePicture:
    """Decodes a PNG of 16 bits, a JPEG 2000 or an AVIF of more than 8, not turned yet.

    Raises:
        OSError: If it cannot be decoded.
    """
    if image.format == "PNG":
        return _deep_png(path, grey=image.mode in ("L", "LA", "I;16"))
    import imagecodecs

    decode = imagecodecs.avif_decode if image.format == "AVIF" else imagecodecs.jpeg2k_decode
    notes: dict[str, str] = {}
    array = without_alpha(path, decode(path.read_bytes()), notes)
    if array.dtype.kind != "u":
        raise UnreadableError(f"{path} holds {array.dtype} pixels; save it as a TIFF")
    return FilePicture(array, float(2**bits - 1) if bits < 16 else None, notes=notes)


def _deep_png(path: Path, *, grey: bool) -> FilePicture:
    """16 bits; ``grey`` is expanded to colour by OpenCV where there is alpha."""
    data = path.read_bytes()
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if array is None or array.dtype != np.uint16:
        raise OSError("its pixels cannot be decoded")
    notes: dict[str, str] = {}
    array = without_alpha(path, array, notes)
    if array.ndim == 3:
        array = array[..., 0] if grey else array[..., ::-1]
    return FilePicture(np.ascontiguousarray(array), _png_white(data, array), notes=notes)


def _png_white(data: bytes, array: Array) -> float | None:
    """White of a PNG of 16 bits whose ``sBIT`` chunk names fewer.

    The standard asks writers to scale samples up (W3C PNG, third edition, 11.3.2.7 and 12.4), and then 65535 is white.
    Some do not: none of their values needs more bits than are declared, and scaled samples could not differ as finely.
    """
    at, end = data.find(b"sBIT"), data.find(b"IDAT")
    if not 0 < at < end:
        return None
    (length,) = struct.unpack(">I", data[at - 4 : at])
    bits = max(data[at + 4 : at + 4 + min(3, length)], default=16)
    if not 0 < bits < 16 or array.max() >= 2**bits:
        return None
    return float(2**bits - 1) if len(np.unique(array)) > len(np.unique(array >> (16 - bits))) else None


def read_heif(path: Path, max_pixels: int) -> FilePicture:
    """HEIC in full depth; its own turns are applied by the decoder.

    Raises:
        UnreadableError: If pillow-heif is not installed.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise UnreadableError(
            f"{path} is a HEIC picture, which needs pillow-heif: pip install 'cmmdl[heic]'"
        ) from error
    file = pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
    width, height = file.size
    check_size(path, width, height, max_pixels)
    notes: dict[str, str] = {}
    array = without_alpha(path, np.array(file), notes)  # a copy: the decoder's memory goes with ``file``
    names = {"exif": "EXIF", "icc_profile": "ICC profile", "xmp": "XMP"}
    return FilePicture(array, notes=notes, metadata=tuple(names[key] for key in names if file.info.get(key)))
