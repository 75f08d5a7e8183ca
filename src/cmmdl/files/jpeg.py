"""The segments of a JPEG file: what cameras put before the pixels, and which camera's thermal data it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
APP1, APP4 = 0xE1, 0xE4
FLIR = b"FLIR\0"
"""How the segments of a FLIR radiometric JPEG begin."""

DJI = ((0, b"\xaa\x55\x12\x06"), (32, b"\xaa\x55\x38\x00"), (32, b"\x2c\x01\x20\x00"), (64, b"\x2c\x01\x20\x00"))
"""Where in their APP4 segment the thermal parameters of DJI cameras carry which mark, as ExifTool documents them."""

_HEAD = 72


@dataclass(frozen=True)
class Segment:
    """A segment before the pixels.

    Attributes:
        marker: Its second byte, such as 0xE1.
        start: Where its content begins in the file.
        size: Bytes of content that the length field states.
        head: The first bytes of the content.
        chained: Whether another marker follows where this one should end, as far as the file goes.
    """

    marker: int
    start: int
    size: int
    head: bytes
    chained: bool


def segments(file: BinaryIO) -> Iterator[Segment]:
    """The segments of an open JPEG file up to its pixels; ends early where the chain of lengths breaks."""
    file.seek(0)
    if file.read(2) != bytes([0xFF, SOI]):
        return
    while len(start := file.read(4)) == 4 and start[0] == 0xFF and start[1] not in (SOS, EOI):
        place, size = file.tell(), int.from_bytes(start[2:], "big") - 2
        head = file.read(min(_HEAD, max(size, 0)))
        file.seek(place + max(size, 0))
        following = file.read(2)
        chained = size >= 0 and (len(following) < 2 or (following[0] == 0xFF and following[1] > 1))
        yield Segment(start[1], place, size, head, chained)
        file.seek(place + max(size, 0))


def radiometric_maker(path: Path) -> Literal["flir", "dji"] | None:
    """Whose radiometric JPEG a file is, by its content; ``None`` for any other file, and for plain photos of theirs."""
    try:
        with path.open("rb") as file:
            for segment in segments(file):
                if segment.marker == APP1 and segment.head.startswith(FLIR):
                    return "flir"
                if segment.marker == APP4 and any(segment.head[at : at + len(mark)] == mark for at, mark in DJI):
                    return "dji"
                if not segment.chained:
                    return "flir" if _mentions_flir(file, segment.start) else None
    except OSError:
        return None
    return None


def _mentions_flir(file: BinaryIO, start: int) -> bool:
    """Whether a FLIR segment comes after a broken length field, up to which nothing else can be followed."""
    file.seek(start)
    return FLIR + b"\x01" in file.read(2**18)
