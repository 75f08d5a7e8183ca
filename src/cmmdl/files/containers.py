"""Where PNG, JPEG, WebP and TIFF keep metadata: it is put into the encoded bytes, the pixels are not touched.

Reference: PNG specification, third edition, W3C 2023; ITU-T T.871; ICC.1:2010, annex B; Exif 2.32, section 4.5;
    WebP Container Specification, Google; TIFF revision 6.0.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

from cmmdl.files import ifd
from cmmdl.files.ifd import Directory

SEGMENT = 65533
"""Bytes that one segment of a JPEG file can hold."""

XMP_TAG, ICC_TAG = 700, 34675
_ICC = b"ICC_PROFILE\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"


def into_png(data: bytes, exif: bytes, xmp: bytes, icc: bytes, dpi: tuple[float, float] | None) -> bytes:
    """Puts chunks behind the header of a PNG."""
    chunks = b""
    if icc:
        chunks += _chunk(b"iCCP", b"icc\0\0" + zlib.compress(icc))
    if dpi:
        chunks += _chunk(b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in dpi), 1))
    if exif:
        chunks += _chunk(b"eXIf", exif)
    if xmp:
        chunks += _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    return data[:33] + chunks + data[33:]


def into_jpeg(data: bytes, exif: bytes, xmp: bytes, icc: bytes, dpi: tuple[float, float] | None) -> bytes:
    """Puts segments behind the first one of a JPEG, and the density into that."""
    end = 4 + int.from_bytes(data[4:6], "big") if data[2:4] == b"\xff\xe0" else 2
    start = data[:end]
    if dpi and end >= 18:
        start = start[:13] + struct.pack(">BHH", 1, *(min(65535, max(1, round(value))) for value in dpi)) + start[18:]
    parts = [icc[place : place + SEGMENT - 14] for place in range(0, len(icc), SEGMENT - 14)]
    segments = [(0xE1, b"Exif\0\0" + exif)] if exif else []
    segments += [(0xE1, _XMP + xmp)] if xmp else []
    segments += [(0xE2, _ICC + bytes([number, len(parts)]) + part) for number, part in enumerate(parts, 1)]
    packed = (struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content for marker, content in segments)
    return start + b"".join(packed) + data[end:]


def into_webp(data: bytes, exif: bytes, xmp: bytes, icc: bytes, size: tuple[int, int]) -> bytes:
    """Makes an extended WebP of a simple one.

    Args:
        data: The file.
        exif: EXIF data without the six leading bytes, or nothing.
        xmp: XMP, or nothing.
        icc: Colour profile, or nothing.
        size: Height and width.
    """
    body = data[12:] if data[12:16] != b"VP8X" else data[30:]
    flags = 0x20 * bool(icc) | 0x08 * bool(exif) | 0x04 * bool(xmp)
    width, height = ((side - 1).to_bytes(3, "little") for side in (size[1], size[0]))
    head = _riff(b"VP8X", struct.pack("<I", flags) + width + height)
    before = _riff(b"ICCP", icc) if icc else b""
    after = (_riff(b"EXIF", exif) if exif else b"") + (_riff(b"XMP ", xmp) if xmp else b"")
    content = b"WEBP" + head + before + body + after
    return b"RIFF" + struct.pack("<I", len(content)) + content


def into_tiff(data: bytes, directory: Directory, xmp: bytes, icc: bytes, dpi: tuple[float, float] | None) -> bytes:
    """Writes the first directory of a TIFF anew behind its pixels, with more tags.

    Raises:
        ValueError: If it is a BigTIFF.
    """
    own = ifd.parse(data)
    if struct.unpack_from(f"{own.order}H", data, 2)[0] != 42:
        raise ValueError("a BigTIFF")
    added = directory.ordered(own.order)
    for tag, content in ((XMP_TAG, xmp), (ICC_TAG, icc)):
        if content:
            added.entries[tag] = ifd.Entry(7 if tag == ICC_TAG else 1, len(content), content)
    if dpi:
        for tag, value in zip((282, 283), dpi, strict=True):
            added = added.put(tag, ifd.RATIONAL, round(value * 10000), 10000)
        added = added.put(296, ifd.SHORT, 2)
    merged = replace(own, entries={**own.entries, **added.entries}, children=added.children)
    padded = data + b"\0" * (len(data) % 2)
    return padded[:4] + struct.pack(f"{own.order}I", len(padded)) + padded[8:] + ifd.serialise(merged, len(padded))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _riff(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
