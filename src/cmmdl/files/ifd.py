"""Directories of tags as TIFF files and EXIF data have them, byte for byte: whatever is not changed stays as it was.

Pillow decodes values and guesses their types anew when it writes them; here types, counts and bytes pass through.

Reference: Adobe. TIFF revision 6.0, section 2, 1992; BigTIFF: libtiff's design page.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

EXIF, GPS, INTEROPERABILITY = 34665, 34853, 40965
CHILDREN = (EXIF, GPS, INTEROPERABILITY)
"""Tags that point to a directory of their own."""

ASCII, SHORT, LONG, RATIONAL = 2, 3, 4, 5
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes of one value of each type that a classic TIFF knows."""

_WORDS = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}
_MOST = 2**24
"""Bytes of one value above which a directory is taken for damaged."""

Order = Literal["<", ">"]


@dataclass(frozen=True)
class Entry:
    """One tag's value: its type, how many there are, and their bytes in the order of the directory."""

    type: int
    count: int
    data: bytes


@dataclass(frozen=True)
class Directory:
    """Tags by number, in one order of bytes; directories that tags point to are children."""

    order: Order = "<"
    entries: dict[int, Entry] = field(default_factory=dict)
    children: dict[int, Directory] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.entries or any(self.children.values()))

    def number(self, tag: int) -> int | None:
        """The first whole number of a tag."""
        entry = self.entries.get(tag)
        if entry is None or entry.type not in (1, SHORT, LONG, 13) or not entry.data:
            return None
        return int.from_bytes(entry.data[: SIZES[entry.type]], "little" if self.order == "<" else "big")

    def text(self, tag: int) -> str:
        """The text of a tag; empty without one."""
        entry = self.entries.get(tag)
        return "" if entry is None or entry.type != ASCII else entry.data.rstrip(b"\0 ").decode("utf-8", "replace")

    def numbers(self, tag: int) -> list[float]:
        """The numbers of a tag of doubles; empty without one."""
        entry = self.entries.get(tag)
        return [] if entry is None or entry.type != 12 else np.frombuffer(entry.data, f"{self.order}f8").tolist()

    def put(self, tag: int, kind: int, *values: int) -> Directory:
        """The same with whole numbers, or pairs of them for rationals, under a tag."""
        data = struct.pack(f"{self.order}{len(values)}{'H' if kind == SHORT else 'I'}", *values)
        count = len(values) // 2 if kind == RATIONAL else len(values)
        return replace(self, entries={**self.entries, tag: Entry(kind, count, data)})

    def put_text(self, tag: int, text: str) -> Directory:
        """The same with a text under a tag."""
        data = text.encode("ascii", "replace") + b"\0"
        return replace(self, entries={**self.entries, tag: Entry(ASCII, len(data), data)})

    def only(self, tags: Iterator[int] | set[int]) -> Directory:
        """The same with these tags only; children stay."""
        kept = set(tags)
        return replace(self, entries={tag: entry for tag, entry in self.entries.items() if tag in kept})

    def without(self, tags: set[int]) -> Directory:
        """The same without these tags."""
        return replace(self, entries={tag: entry for tag, entry in self.entries.items() if tag not in tags})

    def ordered(self, order: Order) -> Directory:
        """The same in another order of bytes."""
        if order == self.order:
            return self
        swapped = {
            tag: replace(entry, data=np.frombuffer(entry.data, f"u{_WORDS[entry.type]}").byteswap().tobytes())
            if entry.type in _WORDS
            else entry
            for tag, entry in self.entries.items()
        }
        return Directory(order, swapped, {tag: child.ordered(order) for tag, child in self.children.items()})


def parse(data: bytes | memoryview) -> Directory:
    """The first directory of a TIFF file, or of EXIF data without its six leading bytes; what is damaged is left out.

    Raises:
        ValueError: If it does not begin like a TIFF.
    """
    order: Order = "<" if bytes(data[:2]) == b"II" else ">"
    if bytes(data[:2]) not in (b"II", b"MM") or len(data) < 8:
        raise ValueError("no TIFF header")
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    (start,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
    return _directory(data, start, order, big, CHILDREN)


def _directory(data: bytes | memoryview, start: int, order: Order, big: bool, children: tuple[int, ...]) -> Directory:
    entries, below = {}, {}
    for tag, entry in _entries(data, start, order, big):
        if tag in children and entry.type in (LONG, 13, 16, 18):
            place = int.from_bytes(entry.data, "little" if order == "<" else "big")
            below[tag] = _directory(data, place, order, big, (INTEROPERABILITY,) if tag == EXIF else ())
        elif entry.type in SIZES:
            entries[tag] = entry
    return Directory(order, entries, below)


def _entries(data: bytes | memoryview, start: int, order: Order, big: bool) -> Iterator[tuple[int, Entry]]:
    head, step, room, letter = (8, 20, 8, "Q") if big else (2, 12, 4, "I")
    if not 0 < start <= len(data) - head:
        return
    (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, start)
    for place in range(start + head, min(start + head + step * min(count, 4096), len(data) - step + 1), step):
        tag, kind, number = struct.unpack_from(f"{order}HH{letter}", data, place)
        size = number * {**SIZES, 16: 8, 17: 8, 18: 8}.get(kind, 0)
        at = place + step - room
        if size > room:
            (at,) = struct.unpack_from(f"{order}{letter}", data, at)
        if 0 < size <= _MOST and at + size <= len(data):
            yield tag, Entry(kind, number, bytes(data[at : at + size]))


def block(directory: Directory) -> bytes:
    """EXIF data without its six leading bytes."""
    head = (b"II*\0" if directory.order == "<" else b"MM\0*") + struct.pack(f"{directory.order}I", 8)
    return head + serialise(directory, 8)


def serialise(directory: Directory, base: int) -> bytes:
    """The bytes of a directory and its children that will lie at ``base`` of a file; no other follows it."""
    order, entries = directory.order, dict(directory.entries)
    tags = sorted({*entries, *(tag for tag, child in directory.children.items() if child)})
    place = base + 2 + 12 * len(tags) + 4
    rows, body = struct.pack(f"{order}H", len(tags)), b""
    for tag in tags:
        if tag in directory.children:
            entry = Entry(LONG, 1, struct.pack(f"{order}I", place + len(body)))
            body += serialise(directory.children[tag], place + len(body))
            body += b"\0" * (len(body) % 2)
        else:
            entry = entries[tag]
        rows += struct.pack(f"{order}HHI", tag, entry.type, entry.count)
        if len(entry.data) <= 4:
            rows += entry.data.ljust(4, b"\0")
        else:
            rows += struct.pack(f"{order}I", place + len(body))
            body += entry.data + b"\0" * (len(entry.data) % 2)
    return rows + b"\0\0\0\0" + body
