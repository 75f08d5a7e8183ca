"""The size at which a Matroska or WebM file is shown, which PyAV does not write: put into its header afterwards.

Elements, lengths and the meaning of each identifier: RFC 8794 (EBML) and RFC 9559 (Matroska).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

SEGMENT, SEEK_HEAD, VOID, TRACKS, CLUSTER = (
    bytes.fromhex(identifier) for identifier in ("18538067", "114D9B74", "EC", "1654AE6B", "1F43B675")
)
SEEK, SEEK_POSITION = bytes.fromhex("4DBB"), bytes.fromhex("53AC")
TRACK, VIDEO, PIXEL_WIDTH, PIXEL_HEIGHT = (bytes.fromhex(identifier) for identifier in ("AE", "E0", "B0", "BA"))
DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT = (bytes.fromhex(identifier) for identifier in ("54B0", "54BA", "54B2"))
DISPLAY, CHECKSUM = (DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT), bytes.fromhex("BF")

HEADER = 2**20
"""Bytes that are read; tracks lie at the start."""


@dataclass(frozen=True)
class _Element:
    """Where an element lies: from its identifier to its end, with its content from ``body`` on."""

    name: bytes
    start: int
    body: int
    end: int
    length_bytes: int


def set_aspect(path: Path, aspect: Fraction) -> bool:
    """Writes how wide and high the first track is shown into a file that FFmpeg has written.

    The header grows into the empty space that FFmpeg leaves behind the table of its parts, so nothing else moves.

    Args:
        path: A whole file.
        aspect: Width of a pixel divided by its height.

    Returns:
        Whether there was room.
    """
    with path.open("r+b") as file:
        data = file.read(HEADER)
        segment = next(one for one in _elements(data, 0, len(data)) if one.name == SEGMENT)
        parts = _parts(data, segment)
        if not {SEEK_HEAD, VOID, TRACKS} <= parts.keys():
            return False
        table, empty, tracks = parts[SEEK_HEAD], parts[VOID], parts[TRACKS]
        grown = _extended(data, tracks, (TRACK, VIDEO), _display(data, tracks, aspect))
        growth = len(grown) - (tracks.end - tracks.start)
        room = empty.end - empty.start - growth
        if not table.end == empty.start < tracks.start or room < 2:
            return False
        moved = _table(data, table, (empty.end - segment.body, tracks.end - segment.body), growth)
        file.seek(table.start)
        file.write(_summed(moved) + _empty(room) + data[empty.end : tracks.start] + _summed(grown))
    return True


def _elements(data: bytes, start: int, end: int) -> Iterator[_Element]:
    """The elements side by side in a stretch of bytes; one of unknown length goes to its end."""
    while start < end:
        named = start + 9 - data[start].bit_length()
        width = 9 - data[named].bit_length()
        length = int.from_bytes(data[named : named + width], "big") & (1 << 7 * width) - 1
        body = named + width
        stop = end if length == (1 << 7 * width) - 1 else body + length
        yield _Element(data[start:named], start, body, stop, width)
        start = stop


def _parts(data: bytes, segment: _Element) -> dict[bytes, _Element]:
    """The first part of each kind before the frames."""
    parts: dict[bytes, _Element] = {}
    for part in _elements(data, segment.body, len(data)):
        if part.name == CLUSTER or part.end > len(data):
            break
        parts.setdefault(part.name, part)
    return parts


def _display(data: bytes, tracks: _Element, aspect: Fraction) -> bytes:
    """The size at which pixels of an aspect are shown: another width, or height if only that is a whole number."""
    track = next(child for child in _elements(data, tracks.body, tracks.end) if child.name == TRACK)
    video = next(child for child in _elements(data, track.body, track.end) if child.name == VIDEO)
    sides = {child.name: _number(data, child) for child in _elements(data, video.body, video.end)}
    width, height = sides[PIXEL_WIDTH] * aspect, sides[PIXEL_HEIGHT] / aspect
    if width.denominator == 1 or height.denominator > 1:
        height = Fraction(sides[PIXEL_HEIGHT])
    else:
        width = Fraction(sides[PIXEL_WIDTH])
    return b"".join(
        name + _length(4, 1) + round(value).to_bytes(4, "big")
        for name, value in ((DISPLAY_WIDTH, width), (DISPLAY_HEIGHT, height))
    )


def _number(data: bytes, element: _Element) -> int:
    return int.from_bytes(data[element.body : element.end], "big")


def _extended(data: bytes, element: _Element, within: Sequence[bytes], display: bytes) -> bytes:
    """An element in whose first child of that kind, or in that one's, and so on, the size of display is another."""
    children = [child for child in _elements(data, element.body, element.end) if child.name not in DISPLAY]
    first = next((child for child in children if within and child.name == within[0]), None)
    pieces = [
        _extended(data, child, within[1:], display) if child is first else data[child.start : child.end]
        for child in children
    ]
    content = b"".join(pieces) + (b"" if within else display)
    return element.name + _length(len(content), element.length_bytes) + content


def _length(value: int, width: int) -> bytes:
    """A length in at least so many bytes."""
    while value >= (1 << 7 * width) - 1:
        width += 1
    return (value | 1 << 7 * width).to_bytes(width, "big")


def _empty(size: int) -> bytes:
    """Empty space of so many bytes in all."""
    width = 1 if size < 100 else 4
    return VOID + _length(size - 1 - width, width) + bytes(size - 1 - width)


def _table(data: bytes, table: _Element, between: tuple[int, int], growth: int) -> bytes:
    """The table of parts, where those between two positions begin earlier."""
    moved = bytearray(data[table.start : table.end])
    for seek in _elements(data, table.body, table.end):
        for child in _elements(data, seek.body, seek.end) if seek.name == SEEK else ():
            position = _number(data, child)
            if child.name == SEEK_POSITION and between[0] <= position < between[1]:
                place = slice(child.body - table.start, child.end - table.start)
                moved[place] = (position - growth).to_bytes(child.end - child.body, "big")
    return bytes(moved)


def _summed(part: bytes) -> bytes:
    """A part with its checksum set right, if it has one."""
    (whole,) = _elements(part, 0, len(part))
    first = next(_elements(part, whole.body, whole.end))
    if first.name != CHECKSUM:
        return part
    return part[: first.body] + zlib.crc32(part[first.end :]).to_bytes(4, "little") + part[first.end :]
