"""TIFF files of any depth, number format and compression, by tifffile and imagecodecs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, TiffFile, TiffPage

from cmmdl.errors import UnreadableError, UnusableError
from cmmdl.files.filepicture import ALPHA, Array, FilePicture, check_size, is_turned, upright

_GREY = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.PALETTE)
_RAW = (PHOTOMETRIC.CFA, PHOTOMETRIC.LINEAR_RAW)
_ORIENTATION, _NO_DATA, _DNG = 274, 42113, 50706
_METADATA = {34853: "GPS", 34665: "EXIF", 34675: "ICC profile", 700: "XMP", 34735: "GeoTIFF position"}


@contextmanager
def open_tiff(path: Path) -> Iterator[TiffFile]:
    """A TIFF that is read by its handle: of a path tifffile resolves links, which files in memory do not survive."""
    with path.open("rb") as handle, TiffFile(handle) as file:
        yield file


def needs_pillow(path: Path) -> bool:
    """Whether a TIFF holds printing colours, Lab or old JPEG colours, which Pillow turns into RGB."""
    with open_tiff(path) as file:
        return page_needs_pillow(_first(file))


def page_needs_pillow(page: TiffPage) -> bool:
    """The same of one page."""
    subsampled = page.photometric == PHOTOMETRIC.YCBCR and page.compression != COMPRESSION.JPEG
    return page.photometric in (PHOTOMETRIC.SEPARATED, PHOTOMETRIC.CIELAB) or subsampled


def read_tiff(path: Path, max_pixels: int) -> FilePicture:
    """Reads the first page of a TIFF file.

    Raises:
        UserError: If it is too large, has bands that are neither grey, colour nor alpha, or is a raw photo.
        Exception: Whatever tifffile raises on a damaged file.
    """
    with open_tiff(path) as file:
        picture = read_page(path, _first(file), max_pixels)
        pages = max(len(file.pages), int((file.imagej_metadata or {}).get("images", 1)))
    more = {"pages": f"{path}: {pages} pages, the first is used"} if pages > 1 else {}
    return replace(picture, notes={**picture.notes, **more})


def read_page(path: Path, page: TiffPage, max_pixels: int) -> FilePicture:
    """Reads one page of an opened TIFF file.

    Raises:
        UserError: As `read_tiff`.
        Exception: Whatever tifffile raises on a damaged file.
    """
    check_size(path, page.imagewidth, page.imagelength, max_pixels)
    _check_kind(path, page)
    _check_segments(path, page)
    notes = {"alpha": f"{path}: {ALPHA}"} if _alpha(path, page) else {}
    array = _values(path, page)
    orientation = int(page.tags.valueof(_ORIENTATION, 1))
    metadata = tuple(name for tag, name in _METADATA.items() if tag in page.tags)
    return FilePicture(upright(array, orientation), _white(page, array), is_turned(orientation), notes, metadata)


def _first(file: TiffFile) -> TiffPage:
    page = file.pages[0]
    assert isinstance(page, TiffPage)
    return page


def _check_kind(path: Path, page: TiffPage) -> None:
    """Refuses what is no picture as it stands."""
    if page.photometric in _RAW or _DNG in page.tags:
        raise UnreadableError(f"{path} is a raw photo of a camera; develop it to a 16-bit TIFF first")
    if page.is_reduced:
        raise UnreadableError(f"{path} begins with a preview of another picture; save the picture itself as a TIFF")
    if page.imagedepth > 1:
        raise UnreadableError(f"{path} is a volume of {page.imagedepth} slices; save one slice as a picture")


def _check_segments(path: Path, page: TiffPage) -> None:
    """Refuses pixels that are missing, which tifffile would fill with zeros."""
    size = path.stat().st_size
    for start, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if count == 0 or start + count > size:
            raise OSError("pixels are missing at its end" if count else "pixels are missing in it")


def _alpha(path: Path, page: TiffPage) -> bool:
    """Whether the last band is alpha."""
    bands, extra = page.samplesperpixel, tuple(page.extrasamples)
    colours = 1 if page.photometric in _GREY else 3
    if bands == colours or (bands == 3 and not extra):
        return False
    if bands == colours + 1 and extra and extra[-1] in (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA):
        return True
    ordinals = {2: "a second", 4: "a fourth"}
    what = f"{ordinals[bands]} band that is not alpha" if bands == colours + 1 else f"{bands} bands"
    raise UnreadableError(f"{path} has {what}; save grey (1 band) or RGB (3 bands), other bands as files of their own")


def _values(path: Path, page: TiffPage) -> Array:
    """``(H, W)`` or ``(H, W, 3)`` in the file's own values, white brighter than black."""
    array: Any = page.asarray(maxworkers=1)
    if array is None or array.size == 0:
        raise OSError("it has no pixels")
    array = np.moveaxis(array, 0, -1) if page.axes.startswith("S") else array
    if array.dtype.kind == "c":
        raise UnreadableError(f"{path} holds complex numbers; save their magnitude")
    if array.ndim == 3:
        array = array[..., :3] if array.shape[2] > 2 else array[..., 0]
    _check_no_data(path, page, array)
    array = array.astype(np.float32) if array.dtype.kind == "f" else array
    if page.photometric == PHOTOMETRIC.PALETTE and page.colormap is not None:
        return np.ascontiguousarray(np.moveaxis(page.colormap[:, array], 0, -1) >> 8).astype(np.uint8)
    array = array.astype(array.dtype.newbyteorder("=")) if not array.dtype.isnative else array
    array = _whole_bytes(array, page.bitspersample)
    return _inverted(path, page, array) if page.photometric == PHOTOMETRIC.MINISWHITE else array


def _whole_bytes(array: Array, bits: int) -> Array:
    """1, 2 and 4 bits on the 8-bit scale."""
    return array.astype(np.uint8) * np.uint8(255 // (2**bits - 1)) if bits in (1, 2, 4) else array


def _inverted(path: Path, page: TiffPage, array: Array) -> Array:
    """Of a picture whose 0 is white: black at 0."""
    if array.dtype.kind != "u":
        raise UnreadableError(f"{path} says that 0 is white in {array.dtype}; save it with black as the low value")
    return array.dtype.type(_white(page, array) or np.iinfo(array.dtype).max) - array


def _white(page: TiffPage, array: Array) -> float | None:
    """White as declared, where the bits are fewer than the type's."""
    bits = page.bitspersample
    declared = array.dtype.kind == "u" and page.photometric != PHOTOMETRIC.PALETTE and bits not in (1, 2, 4)
    return float(2**bits - 1) if declared and bits < 8 * array.dtype.itemsize else None


def _check_no_data(path: Path, page: TiffPage, array: Array) -> None:
    """Refuses values that stand for missing pixels among floats and signed numbers, as NaN is refused."""
    if _NO_DATA not in page.tags or array.dtype.kind not in "if":
        return
    missing = int((array == page.nodata).sum())
    if missing:
        raise UnusableError(f"{path}: {missing} pixels hold {page.nodata:g}, which stands for no data; fill them first")
