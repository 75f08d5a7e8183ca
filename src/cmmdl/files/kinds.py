"""What kind of file it is, by its first bytes, and what to do with the kinds that are no pictures."""

from __future__ import annotations

import re
from pathlib import Path

from cmmdl.errors import UnreadableError

READABLE = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".pfm", ".jp2", ".j2k", ".avif", ".heic", ".heif"),
)
"""Suffixes of the pictures in a folder; the content of a file says what it is read as."""

WRITABLE = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_MARKS = (
    ("png", rb"\x89PNG"),
    ("jpeg", rb"\xff\xd8\xff"),
    ("tiff", rb"II\*\0|MM\0\*|II\+\0|MM\0\+"),
    ("webp", rb"RIFF....WEBP"),
    ("netpbm", rb"P[1-6f]\s|PF4?\s|P7\n"),
    ("jpeg 2000", rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    ("avif", rb"....ftypavi[fs]"),
    ("heif", rb"....ftyp(?:hei[cmxs]|hev[cmx]|mif1|msf1)"),
    ("video", rb"....ftyp|....moov|RIFF....AVI |\x1a\x45\xdf\xa3|FLV\x01|\0\0\x01\xba|OggS|\x47.{187}\x47"),
    ("nifti", rb".{344}(?:n\+1|ni1)\0|\x5c\x01\0\0|\0\0\x01\x5c|....n[+i]2\0\r\n\x1a\n"),
    ("gzip", rb"\x1f\x8b"),
    ("array", rb"\x93NUMPY"),
    ("gif", rb"GIF8"),
    ("bmp", rb"BM"),
)
"""The first that matches the beginning of a file is its kind."""

_VIDEO = "is a video; take single pictures out of it, for example: ffmpeg -i {name} frames/%05d.png"
_NIFTI = (
    "is a NIfTI volume, which holds many slices; save one as a TIFF, for example with nibabel and tifffile: "
    "tifffile.imwrite('slice.tif', nibabel.load('{name}').get_fdata(dtype='float32')[:, :, 80])"
)
_DICOM = (
    "is a DICOM file, which cannot be read here; save its values as a TIFF, for example with pydicom and tifffile: "
    "tifffile.imwrite('picture.tif', pydicom.dcmread('{name}').pixel_array)"
)
_OTHERS = {
    "dicom": _DICOM,
    "nifti": _NIFTI,
    "video": _VIDEO,
    "array": "is a numpy array on disk; pass numpy.load('{name}') in Python, or save it as a TIFF first",
    "gif": "is a GIF; convert it to PNG first",
    "gzip": "is compressed by gzip; unpack it first",
}


def kind_of(path: Path) -> str:
    """One word for the kind of a file: ``png``, ``tiff``, ``dicom``, ``video``, ...; empty if it is unknown.

    DICOM is looked for first: its files may begin with the header of a TIFF as well (PS3.10, section 7.1).
    """
    with path.open("rb") as file:
        start = file.read(352)
    if start[128:132] == b"DICM":
        return "dicom"
    kind = next((kind for kind, mark in _MARKS if re.match(mark, start, re.DOTALL)), "")
    return "nifti" if kind == "gzip" and path.name.lower().endswith(".nii.gz") else kind


def refusal(path: Path, kind: str) -> UnreadableError:
    """Why a file of that kind is not read, and the way on."""
    if kind in _OTHERS:
        return UnreadableError(f"{path} {_OTHERS[kind].format(name=path.name)}")
    return UnreadableError(
        f"{path} is not a PNG, JPEG, TIFF, BMP, WebP, PGM, PPM, JPEG 2000, AVIF or HEIC picture, "
        "whatever its name says; convert it first"
    )


def is_8_bit(path: Path) -> bool:
    """Whether the first bytes of a file alone say that it holds no more than 8 bits."""
    kind = kind_of(path)
    if kind == "png":
        with path.open("rb") as file:
            return file.read(25)[24:25] <= b"\x08"
    return kind in ("jpeg", "bmp", "webp")
