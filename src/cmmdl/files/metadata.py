"""What pictures carry beside their pixels: EXIF with GPS, XMP, colour profile, resolution, GeoTIFF tags, history.

A fused picture keeps those of the visible one. What was done to it stands as JSON in the standard field for that,
EXIF's ImageHistory: version, model, ranges and alignment, so that the next frame can be fused alike.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from cmmdl.errors import UnreadableError, UnusableError
from cmmdl.files import ifd
from cmmdl.files.containers import ICC_TAG, SEGMENT, XMP_TAG, into_jpeg, into_png, into_tiff, into_webp
from cmmdl.files.ifd import Directory, Entry
from cmmdl.files.images import Note

HISTORY = 0x9213
"""EXIF's ImageHistory, from TIFF/EP (ISO 12234-2): what has been done to a picture."""

ORIENTATION, WIDTH, HEIGHT = 274, 40962, 40963
GEO = {33550, 33922, 34264, 34735, 34736, 34737, 42112}
"""Tags of GeoTIFF, and GDAL's own."""

_PIXELS = {254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291, 292, 293,
           297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336, 338, 339, 340, 341, 347, 512,
           513, 514, 529, 530, 531, 532, 42113, 50838, 50839, XMP_TAG, ICC_TAG, *GEO}  # fmt: skip
"""Tags that describe how the old pixels are stored, or that are kept apart."""


@dataclass(frozen=True)
class Metadata:
    """What a picture carries beside its pixels.

    Attributes:
        exif: Camera, time, GPS and more, of the picture as it is upright; no thumbnail.
        xmp: XMP packet.
        icc: Colour profile.
        dpi: Resolution in pixels an inch, horizontal and vertical.
        geo: GeoTIFF tags.
    """

    exif: Directory = field(default_factory=Directory)
    xmp: bytes = b""
    icc: bytes = b""
    dpi: tuple[float, float] | None = None
    geo: Directory = field(default_factory=Directory)

    def __bool__(self) -> bool:
        return bool(self.exif or self.xmp or self.icc or self.dpi or self.geo)


def read_metadata(path: str | Path, *, turned: bool = True) -> Metadata:
    """What a PNG, JPEG, TIFF or WebP file carries; nothing where that is damaged or of another kind.

    Args:
        path: The picture.
        turned: Whether its pixels are turned upright when it is read, so that its orientation is no longer needed.
    """
    try:
        found = _of_tiff(Path(path)) if _is_tiff(Path(path)) else _of_picture(Path(path))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return Metadata()
    return _upright(found) if turned else found


def history_of(path: str | Path) -> dict[str, Any]:
    """What was done to a fused picture, as it was written into it.

    Raises:
        UserError: If it cannot be read, or holds no such thing.
    """
    path = Path(path)
    if not path.is_file():
        raise UnreadableError(f"{path}: there is no such file; check the path")
    text = read_metadata(path).exif.children.get(ifd.EXIF, Directory()).text(HISTORY)
    try:
        history = json.loads(text)
        if isinstance(history, dict) and str(history.get("software", "")).startswith("CMMDL"):
            return history
    except ValueError:
        pass
    raise UnusableError(f"{path} does not say how it was fused; give a result that cmmdl fuse wrote with its metadata")


def embed(
    data: bytes, suffix: str, kept: Metadata, history: Mapping[str, Any], size: tuple[int, int], note: Note
) -> bytes:
    """Puts metadata into an encoded picture.

    Args:
        data: The file, as it was encoded.
        suffix: Of its name, such as ``.png``, in lower case.
        kept: What shall be in it.
        history: What was done; JSON, empty for nothing.
        size: Height and width.
        note: Called with a line about what the format cannot hold.

    Returns:
        The file with all of it that its format can hold.
    """
    if suffix == ".bmp":
        if kept:
            note(".bmp cannot hold metadata: that of the picture is lost; write .png, .jpg, .tif or .webp to keep it")
        return data
    exif = _described(kept, history, size)
    if suffix in (".tif", ".tiff"):
        return _into_tiff(data, exif, kept, note)
    if kept.geo:
        note(f"{suffix} cannot hold GeoTIFF tags: they are lost; write .tif to keep them")
    if suffix == ".webp":
        exif = _with_resolution(exif, kept.dpi)
        return into_webp(data, ifd.block(exif) if exif else b"", kept.xmp, kept.icc, size)
    block = ifd.block(exif) if exif else b""
    if suffix == ".png":
        return into_png(data, block, kept.xmp, kept.icc, kept.dpi)
    return into_jpeg(data, *_fitting(block, exif, kept.xmp, note), kept.icc, kept.dpi)


def fitting_profile(kept: Metadata, *, grey: bool, note: Note) -> Metadata:
    """The same without a colour profile that is not for such pixels, as one of CMYK."""
    space = kept.icc[16:20]
    if not kept.icc or space == (b"GRAY" if grey else b"RGB "):
        return kept
    note(
        f"the colour profile is for {space.decode('ascii', 'replace').strip()} pixels and the result has others: "
        "the profile is left out"
    )
    return replace(kept, icc=b"")


def _into_tiff(data: bytes, exif: Directory, kept: Metadata, note: Note) -> bytes:
    geo = kept.geo.ordered(exif.order)
    merged = replace(exif, entries={**exif.entries, **geo.entries})
    try:
        return into_tiff(data, merged, kept.xmp, kept.icc, kept.dpi)
    except ValueError:
        note("metadata is not written into TIFF files above 4 GB")
        return data


def _fitting(block: bytes, exif: Directory, xmp: bytes, note: Note) -> tuple[bytes, bytes]:
    """EXIF and XMP as far as a segment of a JPEG holds them: the camera's private notes go first."""
    if len(block) > SEGMENT - 6:
        note("a .jpg holds 64 KB of EXIF: the camera's private notes are lost; write .png or .tif to keep them")
        inner = exif.children.get(ifd.EXIF, Directory()).without({37500})
        block = ifd.block(replace(exif, children={**exif.children, ifd.EXIF: inner}))
        block = block if len(block) <= SEGMENT - 6 else b""
    if len(xmp) > SEGMENT - 29:
        note("a .jpg holds 64 KB of XMP: it is lost; write .png or .tif to keep it")
        xmp = b""
    return block, xmp


def _described(kept: Metadata, history: Mapping[str, Any], size: tuple[int, int]) -> Directory:
    """EXIF of the result: its size, and what was done."""
    exif = kept.exif
    inner = exif.children.get(ifd.EXIF, Directory(exif.order))
    if WIDTH in inner.entries:
        inner = inner.put(WIDTH, ifd.LONG, size[1]).put(HEIGHT, ifd.LONG, size[0])
    if history:
        inner = inner.put_text(HISTORY, json.dumps(history))
    return replace(exif, children={**exif.children, ifd.EXIF: inner})


def _with_resolution(exif: Directory, dpi: tuple[float, float] | None) -> Directory:
    """EXIF that holds the resolution, for a format that has no other place for it."""
    if not dpi or 282 in exif.entries:
        return exif
    for tag, value in zip((282, 283), dpi, strict=True):
        exif = exif.put(tag, ifd.RATIONAL, round(value * 10000), 10000)
    return exif.put(296, ifd.SHORT, 2)


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _of_picture(path: Path) -> Metadata:
    """Of a PNG, JPEG or WebP file."""
    with Image.open(path) as image:
        return _of_info(dict(image.info), image)


def _of_info(info: Mapping[Any, Any], image: Image.Image) -> Metadata:
    """Of a picture that Pillow has opened."""
    data = info.get("exif") or b""
    if not data and image.format == "PNG":  # ImageMagick's way to keep it
        data = image.getexif().tobytes() if "Raw profile type exif" in info else b""
    exif = Directory()
    if data:
        try:
            exif = ifd.parse(data.removeprefix(b"Exif\0\0"))
        except ValueError:
            exif = Directory()
    xmp = info.get("xmp") or b""
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    dpi = info.get("dpi")
    sound = dpi is not None and all(0 < float(value) < 1e6 for value in dpi)
    stated = not (image.format == "JPEG" and info.get("jfif_unit") == 0 and 282 not in exif.entries)
    resolution = (float(dpi[0]), float(dpi[1])) if sound and stated and dpi else None
    return Metadata(exif.without(_PIXELS), xmp, info.get("icc_profile") or b"", resolution)


def _of_tiff(path: Path) -> Metadata:
    """Of a TIFF file: descriptive tags of its first page are EXIF, as the standard has it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        view = memoryview(data)
        try:
            page = ifd.parse(view)
        finally:
            view.release()
    icc, xmp = (page.entries.get(tag, Entry(7, 0, b"")).data for tag in (ICC_TAG, XMP_TAG))
    exif = page.without(_PIXELS | {282, 283, 296})
    if exif.text(270).startswith('{"shape"'):  # tifffile's note to itself about the old array
        exif = exif.without({270})
    geo = Directory(page.order, page.only(GEO).entries)
    return Metadata(exif, xmp, icc, _resolution(page), geo)


def _resolution(page: Directory) -> tuple[float, float] | None:
    """Pixels an inch of a TIFF's page, if it states them in an absolute unit."""
    scale = {2: 1.0, 3: 2.54}.get(page.number(296) or 2)
    values = []
    for tag in (282, 283):
        entry = page.entries.get(tag)
        if entry is None or entry.type != ifd.RATIONAL or scale is None:
            return None
        order = "little" if page.order == "<" else "big"
        over, under = int.from_bytes(entry.data[:4], order), int.from_bytes(entry.data[4:8], order)  # type: ignore[arg-type]
        values.append(scale * over / under if under else 0.0)
    return (values[0], values[1]) if min(values) > 0 else None


def _upright(found: Metadata) -> Metadata:
    """The metadata of the picture once it is turned upright."""
    exif = found.exif
    if ORIENTATION in exif.entries:
        exif = exif.put(ORIENTATION, ifd.SHORT, 1)
    xmp = re.sub(rb'(tiff:Orientation\s*(?:=\s*["\']|>)\s*)[2-8]', rb"\g<1>1", found.xmp)
    turned = (found.exif.number(ORIENTATION) or 1) in (5, 6, 7, 8)
    dpi = found.dpi[::-1] if found.dpi and turned else found.dpi
    geo = found.geo if (found.exif.number(ORIENTATION) or 1) == 1 else Directory()
    return replace(found, exif=exif, xmp=xmp, dpi=(dpi[0], dpi[1]) if dpi else None, geo=geo)
